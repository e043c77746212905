#include "discovery/peer.h"

const char *peer_error_text(peer_error e)
{
	static const char *const text[PEER_ERRORS] = {
		[PEER_ERROR_NONE] = "none",
		[PEER_ERROR_TIMEOUT] = "no answer",
		[PEER_ERROR_REFUSED] = "port refused",
		[PEER_ERROR_UNREACHABLE] = "network unreachable",
		[PEER_ERROR_IDENTITY] = "another node answers there",
		[PEER_ERROR_SELF] = "this is our own address",
		[PEER_ERROR_REJECTED] = "it rejects our certificate",
		[PEER_ERROR_CLOSED] = "it closed the session",
		[PEER_ERROR_PROTOCOL] = "it broke the protocol",
		[PEER_ERROR_LIMIT] = "too many sessions",
		[PEER_ERROR_NAME] = "its name has no address",
	};

	if (e < PEER_ERRORS)
		return text[e];
	if (e >= PEER_ERROR_CERTIFICATE &&
	    e < PEER_ERROR_CERTIFICATE + CERT_VERDICTS)
		return cert_verdict_text(
			(enum cert_verdict)(e - PEER_ERROR_CERTIFICATE));
	return "unknown";
}

const char *sighting_word(enum sighting_what what)
{
	static const char *const words[] = {
		[SIGHTING_HEARD] = "heard",
		[SIGHTING_UP] = "up",
		[SIGHTING_DOWN] = "down",
		[SIGHTING_FAILED] = "failed",
	};

	return words[what];
}

const char *endpoint_source_word(enum endpoint_source source)
{
	static const char *const words[] = {
		[ENDPOINT_STATIC] = "static",
		[ENDPOINT_BEACON] = "beacon",
		[ENDPOINT_SEEN] = "seen",
	};

	return words[source];
}

const struct peer_endpoint *peer_endpoint_find(const struct peer *peer,
					       const union endpoint *at)
{
	for (size_t i = 0; i < peer->n_endpoints; i++)
		if (endpoint_equal(&peer->endpoints[i].at, at))
			return &peer->endpoints[i];
	return NULL;
}

bool peer_link_is_taken(const struct peer *peer, uint32_t ifindex)
{
	for (size_t i = 0; i < peer->n_links; i++) {
		uint32_t taken = peer->links[i].ifindex;

		if (taken == 0 || ifindex == 0 || taken == ifindex)
			return true;
	}
	return false;
}
