/* The overlay as its users see it: three nodes in a line (overlay_lab.h). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "node/session/session_conn.h"
#include "proto/base/mem.h"
#include "proto/base/rng.h"
#include "tests/support/overlay_lab.h"

/* ---- tests ---- */

static void a_stream_over_a_relay_echoes_all_and_closes_cleanly(void **state)
{
	struct lab *lab = lab_new();
	uint8_t want[32], have[32];
	struct rng rng;

	(void)state;
	rng_init(&rng, 7);
	seen.data = mem_calloc(1, BULK);
	rng_fill(&rng, seen.data, BULK);
	crypto_hash_sha256(want, seen.data, BULK);
	lab_ask(lab, lab_id(lab, 1), STREAM_TCP);
	lab_run_until(lab, lab_is_closed);
	assert_int_equal(seen.why, STREAM_OK);
	assert_true(seen.is_ended);
	assert_int_equal(seen.n_bytes, BULK);
	crypto_hash_sha256_final(&seen.hash, have);
	assert_memory_equal(want, have, sizeof want);
	free(seen.data);
	seen.data = NULL;
	lab_free(lab);
}

static void a_refusal_comes_back_with_its_reason(void **state)
{
	static const enum stream_error reasons[] = {
		STREAM_NOT_ALLOWED,  STREAM_REFUSED,         STREAM_TIMED_OUT,
		STREAM_HOST_UNKNOWN, STREAM_NET_UNREACHABLE, STREAM_LIMIT,
	};
	struct lab *lab = lab_new();

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(reasons); i++) {
		lab->n[2].refuse = reasons[i];
		lab_ask(lab, lab_id(lab, 2), STREAM_TCP);
		lab_run_until(lab, lab_is_closed);
		assert_false(seen.is_opened);
		assert_int_equal(seen.why, reasons[i]);
	}
	/* All over one channel. */
	assert_int_equal(
		channels_counters(lab->n[2].overlay->channels)->n_accepted, 1);
	lab_free(lab);
}

/* The 80 bits of an id lead to a node, the rest of the digest says whether it
 * is the one that is meant. */
static void another_key_with_the_same_id_is_not_asked(void **state)
{
	struct lab *lab = lab_new();
	const struct identity *c = &lab->n[2].credentials.self;
	struct node_hash other = c->hash;

	(void)state;
	other.b[HASH_LEN - 1] ^= 1;
	/* At first there is no channel yet, then there is. */
	for (int i = 0; i < 2; i++) {
		lab_ask_key(lab, &c->id, &other);
		lab_run_until(lab, lab_is_closed);
		assert_int_equal(seen.why, STREAM_HOST_UNKNOWN);
		assert_int_equal(lab->n[2].n_requests, i);

		lab_ask_key(lab, &c->id, &c->hash);
		lab_run_until(lab, lab_is_opened);
		assert_int_equal(lab->n[2].n_requests, i + 1);
		stream_close(seen.stream, STREAM_RESET);
	}
	assert_int_equal(
		channels_counters(lab->n[0].overlay->channels)->n_wrong_key, 2);
	lab_free(lab);
}

static void a_node_that_is_not_there_is_unreachable(void **state)
{
	struct lab *lab = lab_new();
	const struct node_id nobody = { { 1, 2, 3 } };
	nsec began = loop_now(lab->loop);

	(void)state;
	lab_ask(lab, &nobody, STREAM_TCP);
	lab_run_until(lab, lab_is_closed);
	assert_int_equal(seen.why, STREAM_UNREACHABLE);
	assert_true(loop_now(lab->loop) - began < 8 * NS_PER_S);
	lab_free(lab);
}

static bool got_datagram(struct lab *lab)
{
	(void)lab;
	if (seen.is_opened && seen.n_datagrams == 0)
		stream_write(seen.stream, (const uint8_t *)"hello", 5);
	return seen.n_datagrams > 0;
}

static void datagrams_echo(void **state)
{
	struct lab *lab = lab_new();

	(void)state;
	lab_ask(lab, lab_id(lab, 2), STREAM_UDP);
	lab_run_until(lab, lab_is_opened);
	lab_run_until(lab, got_datagram);
	assert_int_equal(seen.n_bytes % 5, 0);
	/* One that does not fit is not taken. */
	assert_int_equal(
		stream_write(seen.stream, (const uint8_t[2000]){ 0 }, 2000), 0);
	stream_close(seen.stream, STREAM_OK);
	lab_free(lab);
}

static bool c_has_packet(struct lab *lab)
{
	return lab->n[2].n_packets > 0;
}

static bool a_has_packet(struct lab *lab)
{
	return lab->n[0].n_packets > 0;
}

static enum dest_packet_verdict send_packet(struct lab *lab, size_t from,
					    const struct node_id *to,
					    size_t len, size_t *mtu)
{
	static const uint8_t data[2000] = { 0x60 };

	return dest_packet(lab->n[from].overlay->dests, to, data, len, mtu);
}

static void packets_go_there_and_back_over_one_channel(void **state)
{
	struct lab *lab = lab_new();
	size_t mtu = 0;

	(void)state;
	/* It waits for the path, then goes. */
	assert_int_equal(send_packet(lab, 0, lab_id(lab, 2), 100, &mtu),
			 DEST_SENT);
	lab_run_until(lab, c_has_packet);
	assert_int_equal(lab->n[2].last_packet_len, 100);
	assert_true(id_equal(&lab->n[2].last_packet_from, lab_id(lab, 0)));
	/* The answer takes the way that is there: no probe of its own. */
	assert_int_equal(send_packet(lab, 2, lab_id(lab, 0), 60, &mtu),
			 DEST_SENT);
	lab_run_until(lab, a_has_packet);
	assert_int_equal(
		channels_counters(lab->n[2].overlay->channels)->n_connected, 0);
	/* One byte over what fits is told, and what fits passes. */
	assert_int_equal(send_packet(lab, 0, lab_id(lab, 2), 1500, &mtu),
			 DEST_TOO_BIG);
	assert_int_equal(mtu, CIRCUIT_MTU_MAX - CHANNEL_OVERHEAD);
	lab->n[2].n_packets = 0;
	assert_int_equal(send_packet(lab, 0, lab_id(lab, 2), mtu, &mtu),
			 DEST_SENT);
	lab_run_until(lab, c_has_packet);
	assert_int_equal(lab->n[2].last_packet_len, mtu);
	lab_free(lab);
}

/* B marks what it passes on, as if its queue were long. */
static const struct session_events *b_events;

static void mark_and_pass(void *ctx, session_no s, const struct packet *p,
			  const uint8_t *raw, size_t len)
{
	uint8_t copy[UDP_PAYLOAD_MAX];
	struct packet q;

	(void)p;
	memcpy(copy, raw, len);
	assert_true(packet_mark(copy));
	assert_int_equal(packet_parse(&q, copy, len), PACKET_OK);
	b_events->packet(ctx, s, &q, copy, len);
}

static size_t n_awaited;

static bool c_has_awaited(struct lab *lab)
{
	return lab->n[2].n_packets >= n_awaited;
}

static void send_and_await(struct lab *lab, size_t n)
{
	size_t mtu;

	for (size_t i = 0; i < n; i++) {
		assert_int_equal(send_packet(lab, 0, lab_id(lab, 2), 700, &mtu),
				 DEST_SENT);
		n_awaited++;
		lab_run_until(lab, c_has_awaited);
	}
}

static void a_mark_reaches_the_far_end_with_what_it_is_on(void **state)
{
	struct lab *lab = lab_new();
	struct sessions *b = lab->n[1].overlay->sessions;
	struct session_events marking = *b->events;

	(void)state;
	n_awaited = 0;
	send_and_await(lab, 20);
	assert_int_equal(lab->n[2].n_marked, 0);
	b_events = b->events;
	marking.packet = mark_and_pass;
	b->events = &marking;
	send_and_await(lab, 1);
	assert_int_equal(lab->n[2].last_packet_len, 700);
	assert_int_equal(lab->n[2].n_marked, 1);
	/* Of many one in 16 is told. */
	send_and_await(lab, 15);
	assert_int_equal(lab->n[2].n_marked, 1);
	send_and_await(lab, 1);
	assert_int_equal(lab->n[2].n_marked, 2);
	/* The channel carries streams as before. */
	seen.data = mem_calloc(1, BULK);
	lab_ask(lab, lab_id(lab, 2), STREAM_TCP);
	lab_run_until(lab, lab_is_closed);
	assert_int_equal(seen.why, STREAM_OK);
	assert_int_equal(seen.n_bytes, BULK);
	free(seen.data);
	seen.data = NULL;
	b->events = b_events;
	lab_free(lab);
}

static bool a_is_told(struct lab *lab)
{
	return lab->n[0].n_unreachable == 2;
}

static void packets_to_nobody_are_told_as_unreachable(void **state)
{
	struct lab *lab = lab_new();
	const struct node_id nobody = { { 9 } };
	size_t mtu;

	(void)state;
	assert_int_equal(send_packet(lab, 0, &nobody, 100, &mtu), DEST_SENT);
	assert_int_equal(send_packet(lab, 0, &nobody, 100, &mtu), DEST_SENT);
	lab_run_until(lab, a_is_told);
	/* It is remembered for a moment. */
	assert_int_equal(send_packet(lab, 0, &nobody, 100, &mtu),
			 DEST_UNREACHABLE);
	lab_free(lab);
}

static bool is_blocked(struct lab *lab)
{
	size_t mtu;

	for (int i = 0; i < 5000; i++) {
		if (send_packet(lab, 0, lab_id(lab, 2), 1300, &mtu) ==
		    DEST_BLOCKED)
			return true;
	}
	return false;
}

static bool is_unblocked(struct lab *lab)
{
	return lab->n[0].n_unblocked > 0;
}

static void too_many_packets_block_and_unblock(void **state)
{
	struct lab *lab = lab_new();
	size_t mtu;

	(void)state;
	send_packet(lab, 0, lab_id(lab, 2), 100, &mtu);
	lab_run_until(lab, c_has_packet);
	lab_run_until(lab, is_blocked);
	lab_run_until(lab, is_unblocked);
	/* Nothing was dropped at the origin. */
	assert_int_equal(
		sessions_counters(lab->n[0].overlay->sessions)->n_queue_full,
		0);
	lab_free(lab);
}

static bool path_is_back(struct lab *lab)
{
	return lab->n[0].n_sessions == 2 && seen.n_bytes > 100000;
}

static void a_stream_survives_the_death_of_its_path(void **state)
{
	struct lab *lab = lab_new();
	uint8_t want[32], have[32];
	struct session_info s;

	(void)state;
	seen.data = mem_calloc(1, BULK);
	memset(seen.data, 0x5a, BULK);
	crypto_hash_sha256(want, seen.data, BULK);
	lab_ask(lab, lab_id(lab, 2), STREAM_TCP);
	lab_run_until(lab, lab_is_opened);
	/* A second way, without B; then the first one goes. */
	lab_join(lab, 0, 2);
	lab_run_until(lab, path_is_back);
	assert_true(sessions_next(lab->n[1].overlay->sessions, 0, &s));
	sessions_close(lab->n[1].overlay->sessions, s.no, "test");
	lab_run_until(lab, lab_is_closed);
	assert_int_equal(seen.why, STREAM_OK);
	assert_int_equal(seen.n_bytes, BULK);
	crypto_hash_sha256_final(&seen.hash, have);
	assert_memory_equal(want, have, sizeof want);
	assert_true(channels_counters(lab->n[0].overlay->channels)->n_switched >
		    0);
	free(seen.data);
	seen.data = NULL;
	lab_free(lab);
}

/* A link whose MTU is not known yet carries 1168 bytes. */
#define NARROW 1168

/* B's sessions measure their links, and tell it now and then. */
static void narrow_links(struct lab *lab)
{
	const struct msg_link narrow = { .cost_100us = 100, .mtu = NARROW };
	struct overlay *b = lab->n[1].overlay;
	struct session_info s = { 0 };

	while (sessions_next(b->sessions, s.no, &s))
		router_session_measured(b->router, s.no, &narrow,
					loop_now(lab->loop));
}

static bool is_opened_over_narrow_links(struct lab *lab)
{
	narrow_links(lab);
	return lab_is_opened(lab);
}

/* Less than a channel's first packets, which go in two parts. */
static void a_narrow_circuit_carries_a_channel_in_parts(void **state)
{
	struct lab *lab = lab_new();
	struct circuit_info c = { 0 };

	(void)state;
	narrow_links(lab);
	seen.data = mem_calloc(1, BULK);
	lab_ask(lab, lab_id(lab, 2), STREAM_TCP);
	lab_run_until(lab, is_opened_over_narrow_links);
	/* More than a link has would never arrive. */
	assert_true(router_circuit_next(lab->n[1].overlay->router, 0, &c));
	assert_int_equal(c.mtu, NARROW);
	lab_run_until(lab, lab_is_closed);
	assert_int_equal(seen.why, STREAM_OK);
	assert_int_equal(seen.n_bytes, BULK);
	assert_true(channels_counters(lab->n[0].overlay->channels)->n_parts >
		    0);
	free(seen.data);
	seen.data = NULL;
	lab_free(lab);
}

static bool c_counts_label(struct lab *lab)
{
	return router_counters(lab->n[1].overlay->router)->n_label_unknown > 0;
}

static void a_label_that_was_not_given_out_is_counted(void **state)
{
	struct lab *lab = lab_new();
	static const uint8_t header[LABEL_BYTES] = { 0, 0, 0, 9 };
	static const uint8_t payload[100];
	struct session_info s;

	(void)state;
	assert_true(sessions_next(lab->n[0].overlay->sessions, 0, &s));
	assert_int_equal(
		sessions_send_packet(
			lab->n[0].overlay->sessions, s.no,
			&(struct session_packet){ .label = 9,
						  .is_own = true,
						  .header = header,
						  .header_len = sizeof header,
						  .payload = payload,
						  .len = sizeof payload }),
		SESSION_SENT);
	lab_run_until(lab, c_counts_label);
	assert_int_equal(lab->n[1].n_sessions, 2);
	lab_free(lab);
}

/* A member that speaks QUIC well and HTTP/3 not at all: whatever it writes on
 * the circuit, the other end counts it and lives. */
static void garbage_on_a_circuit_is_counted(void **state)
{
	struct lab *lab = lab_new();
	struct overlay *a;
	struct circuit_info c = { 0 };
	struct relay_hop hop;
	uint8_t noise[200], header[PACKET_HEADER_MAX];
	struct rng rng;

	(void)state;
	a = lab->n[0].overlay;
	rng_init(&rng, 3);
	lab_ask(lab, lab_id(lab, 2), STREAM_TCP);
	lab_run_until(lab, lab_is_opened);
	assert_true(router_circuit_next(a->router, 0, &c));
	for (int i = 0; i < 60; i++) {
		size_t n;

		rng_fill(&rng, noise, sizeof noise);
		assert_true(router_circuit_out(a->router, c.circuit,
					       sizeof noise,
					       loop_now(lab->loop), &hop));
		n = packet_header_write(header, (enum packet_part)(i % 3),
					hop.label, (uint16_t)i);
		sessions_send_packet(
			a->sessions, hop.session,
			&(struct session_packet){ .label = hop.label,
						  .is_own = true,
						  .header = header,
						  .header_len = n,
						  .payload = noise,
						  .len = sizeof noise });
	}
	/* The stream beside it goes on. */
	seen.data = mem_calloc(1, BULK);
	lab_push(&seen);
	lab_run_until(lab, lab_is_closed);
	assert_int_equal(seen.why, STREAM_OK);
	assert_int_equal(seen.n_bytes, BULK);
	assert_true(channels_counters(lab->n[2].overlay->channels)->n_unknown >
		    0);
	free(seen.data);
	seen.data = NULL;
	lab_free(lab);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(
			a_stream_over_a_relay_echoes_all_and_closes_cleanly),
		cmocka_unit_test(a_refusal_comes_back_with_its_reason),
		cmocka_unit_test(another_key_with_the_same_id_is_not_asked),
		cmocka_unit_test(a_node_that_is_not_there_is_unreachable),
		cmocka_unit_test(datagrams_echo),
		cmocka_unit_test(packets_go_there_and_back_over_one_channel),
		cmocka_unit_test(a_mark_reaches_the_far_end_with_what_it_is_on),
		cmocka_unit_test(packets_to_nobody_are_told_as_unreachable),
		cmocka_unit_test(too_many_packets_block_and_unblock),
		cmocka_unit_test(a_stream_survives_the_death_of_its_path),
		cmocka_unit_test(a_narrow_circuit_carries_a_channel_in_parts),
		cmocka_unit_test(a_label_that_was_not_given_out_is_counted),
		cmocka_unit_test(garbage_on_a_circuit_is_counted),
	};

	if (sodium_init() < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
