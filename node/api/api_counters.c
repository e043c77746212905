#include <stddef.h>

#include "discovery/peers.h"
#include "node/api/api_parts.h"
#include "node/service/echo.h"
#include "proto/base/mem.h"

/* A counter of a struct, by the name that it has there. */
struct field {
	const char *name;
	size_t at;
};

#define FIELD(type, name)                                                      \
	{                                                                      \
#name, offsetof(struct type, n_##name)                         \
	}

static void fields(json_t *o, const void *base, const struct field *list,
		   size_t n)
{
	for (size_t i = 0; i < n; i++) {
		uint64_t x =
			*(const uint64_t *)((const char *)base + list[i].at);

		json_object_set_new(o, list[i].name,
				    json_integer((json_int_t)x));
	}
}

static json_t *words(const uint64_t *counts, size_t from, size_t n,
		     const char *(*text)(uint8_t))
{
	json_t *o = json_object();

	for (size_t i = from; i < n; i++)
		json_object_set_new(o, text((uint8_t)i),
				    json_integer((json_int_t)counts[i]));
	return o;
}

#define F(name) FIELD(router_counters, name)
static const struct field router_fields[] = {
	F(probe_duplicate),
	F(probe_loop),
	F(probe_expired),
	F(probe_rate_peer),
	F(probe_rate_origin),
	F(probe_bad_signature),
	F(probe_ttl),
	F(probe_unknown_origin),
	F(answer_unexpected),
	F(answer_bad_signature),
	F(answer_altered),
	F(answer_limit),
	F(nak_unexpected),
	F(open_refused),
	F(open_bad_signature),
	F(open_stale),
	F(open_limit),
	F(opened_unexpected),
	F(close_unexpected),
	F(link_rate),
	F(parked_full),
	F(asked_full),
	F(holds_full),
	F(identities_evicted),
	F(rings_full),
	F(seeks_full),
	F(opens_seen_full),
	F(offers_full),
	F(avoid_full),
	F(test_own_rate),
	F(probes_seen_full),
	F(asked_waiting_full),
	F(query_unknown),
	F(query_rate),
	F(info_rejected),
	F(label_unknown),
	F(packet_too_big),
	F(verify),
	F(verify_rate),
	F(verify_rate_peer),
	F(open_rate_peer),
	F(open_rate_origin),
	F(origins_evicted),
	F(circuits_opened),
	F(circuits_broken),
	F(circuits_full),
	F(circuits_full_peer),
	F(circuits_full_pair),
	F(circuits_full_pending),
	F(connect),
	F(connect_reused),
	F(unreachable),
	F(probe_not_flood),
	F(packet_early),
	F(beacon_rate),
	F(beacon_loop),
	F(beacon_stale),
	F(beacon_bad_signature),
	F(beacon_sent),
	F(parent_changes),
	F(root_changes),
	F(beat_stale),
	F(beat_bad_signature),
	F(record_bad),
	F(record_full),
	F(record_stale),
	F(appointment_bad),
	F(handed_over),
	F(store_rate),
	F(lookup_rate),
	F(request_full),
	F(request_unexpected),
	F(request_failed),
	F(lookups),
	F(lookups_cached),
	F(lookups_absent),
	F(lookups_failed),
	F(rounds),
	F(repairs),
	F(probe_budget),
	F(nak_bad_signature),
	F(blamed),
	F(flood_rate),
	F(flood_last_resort),
	F(tests),
	F(test_rate),
	F(test_unexpected),
	F(receipt_unexpected),
	F(receipt_bad_signature),
	F(receipt_lost),
	F(switches),
	F(localised),
	F(close_bad_signature),
};
#undef F

#define F(name) FIELD(session_counters, name)
static const struct field session_fields[] = {
	F(udp_garbage),    F(udp_unknown),
	F(version),        F(reset_sent),
	F(retry),          F(half_open_limit),
	F(token_invalid),  F(accepted),
	F(accept_failed),  F(dialled),
	F(refused),        F(duplicate),
	F(frame_too_long), F(stream_unexpected),
	F(packet_bad),     F(queue_full),
	F(queue_late),     F(queue_marked),
	F(too_big),        F(control_overflow),
	F(dead),           F(cut),
	F(direct_doubted), F(moved),
	F(gone),           F(icmp),
	F(icmp_strange),   F(seal_bad),
	F(seal_seen),      F(seal_unknown),
	F(seal_doubted),   F(seal_unmarkable),
};
#undef F

#define F(name) FIELD(channel_counters, name)
static const struct field channel_fields[] = {
	F(connected),        F(accepted),
	F(failed),           F(switched),
	F(unknown),          F(garbage),
	F(wrong_peer),       F(wrong_key),
	F(too_big),          F(parts),
	F(parts_lost),       F(streams_opened),
	F(streams_accepted), F(streams_refused),
	F(datagram_bad),     F(datagram_unknown),
	F(datagram_full),    F(capsule_bad),
	F(h3_errors),        F(request_bad),
	F(fields_over),      F(reset_sent),
	F(direct_sent),      F(direct_received),
	F(direct_refused),   F(direct_bad),
	F(copies_sent),      F(copies),
};
#undef F

#define F(name) FIELD(dest_counters, name)
static const struct field dest_fields[] = {
	F(dests),           F(packets_waited),
	F(packets_dropped), F(packets_unreachable),
	F(streams_failed),  F(tags_over),
	F(second_tries),    F(servers_silent),
	F(evicted),
};
#undef F

#define F(name) FIELD(udp_counters, name)
static const struct field udp_fields[] = {
	F(received),   F(bytes_received), F(truncated), F(sent),
	F(bytes_sent), F(blocked),        F(too_big),   F(errors),
};
#undef F

#define F(name) FIELD(service_counts, name)
static const struct field service_fields[] = {
	F(asked),        F(host_unknown),   F(not_allowed),
	F(over_limit),   F(connect_failed), F(forward_refused),
	F(datagrams_in), F(datagrams_out),  F(datagrams_dropped),
};
#undef F

#define F(name) FIELD(tun_counts, name)
static const struct field tun_fields[] = {
	F(marked),     F(unmarkable),    F(read),        F(written),
	F(read_large), F(written_large), F(blocked),     F(stuck),
	F(malformed),  F(too_big),       F(unreachable), F(write_failed),
};
#undef F

#define F(name) FIELD(splicer_counts, name)
static const struct field splicer_fields[] = {
	F(asked),   F(joined),  F(served),  F(elsewhere),
	F(refused), F(blocked), F(no_room),
};
#undef F

#define F(name) FIELD(tun_splice_counts, name)
static const struct field splice_fields[] = {
	F(flows), F(back), F(again), F(foreign), F(full), F(evicted),
};
#undef F

#define F(name) FIELD(bridge_set, name)
static const struct field bridge_fields[] = {
	F(made), F(open), F(clean), F(reset_near), F(reset_far), F(timed_out),
};
#undef F

#define F(name) FIELD(peers_counters, name)
static const struct field peer_fields[] = {
	F(down),
	F(failed),
	F(evicted),
	F(hints_refused),
	F(dismissed),
	F(refused),
	F(endpoints_replaced),
	F(endpoints_refused),
	F(identity_changed),
	F(events_lost),
};
#undef F

#define F(name) FIELD(store_counters, name)
static const struct field store_fields[] = {
	F(changes),        F(committed), F(commits),
	F(commits_failed), F(dropped),   F(bad_records),
	F(events_pruned),  F(set_aside), F(waiting),
};
#undef F

#define F(name) FIELD(api_counters, name)
static const struct field api_fields[] = {
	F(connections), F(requests),  F(refused),
	F(bad),         F(timed_out), F(without_request),
};
#undef F

#define F(name) FIELD(echo_counters, name)
static const struct field echo_fields[] = {
	F(flows),
	F(refused),
	F(echoed),
	F(dropped),
};
#undef F

static void group(json_t *o, const char *name, const void *base,
		  const struct field *list, size_t n)
{
	json_t *g = json_object();

	fields(g, base, list, n);
	json_object_set_new(o, name, g);
}

#define GROUP(o, name, base, list) group(o, name, base, list, ARRAY_LEN(list))

static void splicing(json_t *o, const struct splicer *sp)
{
	json_t *g = json_object();

	fields(g, splicer_counts(sp), splicer_fields,
	       ARRAY_LEN(splicer_fields));
	fields(g, splicer_table(sp), splice_fields, ARRAY_LEN(splice_fields));
	fields(g, splicer_bridged(sp), bridge_fields, ARRAY_LEN(bridge_fields));
	json_object_set_new(o, "splicing", g);
}

json_t *api_get_counters(void *ctx, const struct api_request *r, int *status)
{
	const struct api_handlers *h = ctx;
	const struct node *n = h->node;
	const struct router_counters *router =
		router_counters(n->overlay->router);
	json_t *o = json_object();

	(void)r;
	(void)status;
	GROUP(o, "router", router, router_fields);
	json_object_set_new(o, "messages",
			    json_pack("{s:o, s:o}", "sent",
				      words(router->n_sent, MSG_HELLO,
					    MSG_TYPES, msg_type_text),
				      "received",
				      words(router->n_received, MSG_HELLO,
					    MSG_TYPES, msg_type_text)));
	GROUP(o, "sessions", sessions_counters(n->overlay->sessions),
	      session_fields);
	GROUP(o, "udp", udp_counters(sessions_udp(n->overlay->sessions)),
	      udp_fields);
	GROUP(o, "channels", channels_counters(n->overlay->channels),
	      channel_fields);
	GROUP(o, "destinations", dest_counters(n->overlay->dests), dest_fields);
	GROUP(o, "peers", peers_counters(neighbours_peers(n->neighbours)),
	      peer_fields);
	GROUP(o, "services", services_counts(n->services), service_fields);
	if (n->tun != NULL)
		GROUP(o, "tun", tun_counts(n->tun), tun_fields);
	if (n->splicer != NULL)
		splicing(o, n->splicer);
	GROUP(o, "echo", echo_counters(n->echo), echo_fields);
	GROUP(o, "store", store_counters(n->store), store_fields);
	GROUP(o, "api", api_counters(h->api), api_fields);
	return o;
}
