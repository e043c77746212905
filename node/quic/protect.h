/* How the packets of an established connection are sealed and opened: AES-GCM
 * and header protection behind one table of functions.  RFC 9001 5.
 *
 * Which backend is used is chosen once, at start.  It serves 1-RTT packets
 * only; the handshake's stay with ngtcp2's helper, as do connections with
 * another cipher than AES-GCM.  Nonces, key phases, limits of use and the
 * verdict on what fails to open are ngtcp2's.
 */
#pragma once

#include <stddef.h>

enum protect_choice {
	PROTECT_AUTO, /* the fastest that is here */
	PROTECT_GNUTLS,
	PROTECT_IPSEC_MB,
	PROTECT_CHOICES,
};

struct protect;

/* Of one connection: all that were installed and not deleted yet. */
struct protect_keys {
	struct kept_key *first;
};

/* 0, or -errno with `why` when the choice cannot be had here. */
int protect_new(struct protect **out, enum protect_choice choice, char *why,
		size_t why_cap);
/* After the last connection. */
void protect_free(struct protect *p);
const char *protect_name(const struct protect *p);
/* The words of the configuration. */
const char *protect_choice_text(enum protect_choice choice);
