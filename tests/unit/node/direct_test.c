/* Packets of a channel past the session: two neighbours, and somebody on the
 * wire between them (overlay_lab.h, udp_middle.h). */
#include <ngtcp2/ngtcp2.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "proto/base/mem.h"
#include "tests/support/overlay_lab.h"
#include "tests/support/udp_middle.h"

enum {
	CID_BYTES = 4,
	/* A packet is at least so long if it carries data. */
	DATA_BYTES = 1000,
};

enum way {
	BACK,
	FORTH,
	WAYS,
};

struct wire { /* between A, who dials, and B */
	struct lab *lab;
	struct udp_middle *middle;
	bool is_dead, loses_direct[WAYS];
	uint8_t session_cid[WAYS][CID_BYTES];
	bool has_session_cid[WAYS];
	size_t n_direct[WAYS], n_long, n_lost_back;
	size_t n_ect;                    /* of the direct ones, forth */
	uint8_t kept[MIDDLE_KEPT_BYTES]; /* a direct packet of A's */
	size_t n_kept;
};

static void keep(struct wire *w, const uint8_t *data, size_t len)
{
	if (len < DATA_BYTES || len > sizeof w->kept)
		return;
	memcpy(w->kept, data, len);
	w->n_kept = len;
}

/* Before there is a channel all short headers are the session's. */
static bool pass(void *ctx, bool is_forth, const uint8_t *data, size_t len)
{
	enum way way = is_forth ? FORTH : BACK;
	struct wire *w = ctx;

	if (w->is_dead) {
		w->n_lost_back += !is_forth;
		return false;
	}
	if ((data[0] & 0x80) != 0) {
		w->n_long++;
		return true;
	}
	if (!w->has_session_cid[way]) {
		memcpy(w->session_cid[way], data + 1, CID_BYTES);
		w->has_session_cid[way] = true;
	}
	if (memcmp(w->session_cid[way], data + 1, CID_BYTES) == 0)
		return true;
	w->n_direct[way]++;
	if (is_forth) {
		w->n_ect += udp_middle_ecn(w->middle) == NGTCP2_ECN_ECT_0;
		keep(w, data, len);
	}
	return !w->loses_direct[way];
}

static bool are_joined(struct lab *lab)
{
	return lab->n[0].n_sessions == 1 && lab->n[1].n_sessions == 1;
}

static void wire_open(struct wire *w, const bool direct[NODES])
{
	*w = (struct wire){ .lab = lab_new_apart(direct) };
	w->middle = udp_middle_new(w->lab->loop, &w->lab->n[1].at);
	udp_middle_watch(w->middle, pass, w);
	lab_dial(w->lab, 0, udp_middle_at(w->middle));
	lab_run_until(w->lab, are_joined);
	seen.data = mem_calloc(1, BULK);
}

static void wire_close(struct wire *w)
{
	free(seen.data);
	seen.data = NULL;
	lab_free(w->lab);
}

/* The middle goes first: the loop frees what it has closed. */
static void wire_end(struct wire *w)
{
	udp_middle_free(w->middle);
	wire_close(w);
}

static const struct channel_counters *counts(const struct wire *w, size_t i)
{
	return channels_counters(w->lab->n[i].overlay->channels);
}

static struct session_info session_of(const struct wire *w, size_t i)
{
	struct session_info s = { 0 };

	assert_true(sessions_next(w->lab->n[i].overlay->sessions, s.no, &s));
	return s;
}

static struct circuit_info circuit_of(const struct wire *w, size_t i)
{
	struct circuit_info c = { 0 };

	assert_true(router_circuit_next(w->lab->n[i].overlay->router, 0, &c));
	return c;
}

static bool b_is_done(struct lab *lab)
{
	return lab->n[1].asked == NULL;
}

/* A sends all of it to B, which sends it back. */
static void echo_bulk(struct wire *w)
{
	lab_ask(w->lab, lab_id(w->lab, 1), STREAM_TCP);
	lab_run_until(w->lab, lab_is_closed);
	assert_int_equal(seen.why, STREAM_OK);
	assert_int_equal(seen.n_bytes, BULK);
	lab_run_until(w->lab, b_is_done);
}

static struct wire *quiet;

/* Both ends have counted what the other has sent, each way. */
static bool counts_agree(struct lab *lab)
{
	struct circuit_info a = circuit_of(quiet, 0), b = circuit_of(quiet, 1);

	(void)lab;
	return memcmp(a.n_packets, b.n_packets, sizeof a.n_packets) == 0;
}

static void a_stream_to_a_neighbour_goes_past_the_session(void **state)
{
	struct session_info s;
	struct wire w;

	(void)state;
	wire_open(&w, NULL);
	w.n_long = 0;
	echo_bulk(&w);
	for (size_t i = 0; i < 2; i++) {
		s = session_of(&w, i);
		assert_true(s.is_direct);
		/* All but the handshake and a sample now and then. */
		assert_true(s.n_direct_out > s.n_packets_out * 7 / 8);
		assert_true(s.n_direct_in > s.n_packets_in * 7 / 8);
		assert_true(s.n_direct_out < s.n_packets_out);
		assert_true(s.n_bytes_out > BULK);
	}
	assert_true(w.n_direct[FORTH] > 0);
	assert_true(w.n_direct[BACK] > 0);
	assert_int_equal(w.n_long, 0); /* no handshake is to be seen */
	/* Path tests would see a loss otherwise. */
	quiet = &w;
	lab_run_until(w.lab, counts_agree);
	wire_end(&w);
}

static size_t n_awaited;

static bool b_has_awaited(struct lab *lab)
{
	return lab->n[1].n_packets >= n_awaited;
}

/* And say before that they may be. */
static void they_are_marked_by_a_full_router(void **state)
{
	static const uint8_t packet[700] = { 0x60 };
	struct wire w;
	size_t mtu;

	(void)state;
	wire_open(&w, NULL);
	echo_bulk(&w);
	assert_int_equal(w.n_ect, w.n_direct[FORTH]);
	udp_middle_congest(w.middle, true);
	for (n_awaited = 1; n_awaited <= 40; n_awaited++) {
		assert_int_equal(dest_packet(w.lab->n[0].overlay->dests,
					     lab_id(w.lab, 1), packet,
					     sizeof packet, &mtu),
				 DEST_SENT);
		lab_run_until(w.lab, b_has_awaited);
	}
	/* Of 16 one is told. */
	assert_int_equal(w.lab->n[1].n_marked, 2);
	wire_end(&w);
}

static void nothing_does_unless_both_ends_say_so(void **state)
{
	static const bool rows[][NODES] = {
		{ true, false, true },
		{ false, true, true },
		{ false, false, true },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct wire w;

		wire_open(&w, rows[i]);
		echo_bulk(&w);
		assert_false(session_of(&w, 0).is_direct);
		assert_int_equal(w.n_direct[FORTH] + w.n_direct[BACK], 0);
		assert_int_equal(counts(&w, 0)->n_direct_sent, 0);
		assert_int_equal(counts(&w, 1)->n_direct_sent, 0);
		wire_end(&w);
	}
}

static void nothing_does_over_a_relay(void **state)
{
	struct lab *lab = lab_new();

	(void)state;
	seen.data = mem_calloc(1, BULK);
	lab_ask(lab, lab_id(lab, 2), STREAM_TCP);
	lab_run_until(lab, lab_is_closed);
	assert_int_equal(seen.n_bytes, BULK);
	for (size_t i = 0; i < NODES; i++)
		assert_int_equal(channels_counters(lab->n[i].overlay->channels)
					 ->n_direct_sent,
				 0);
	free(seen.data);
	seen.data = NULL;
	lab_free(lab);
}

/* ---- who is not believed ---- */

static uint64_t wanted;

static bool b_has_refused(struct lab *lab)
{
	return channels_counters(lab->n[1].overlay->channels)
		       ->n_direct_refused >= wanted;
}

static bool b_has_bad(struct lab *lab)
{
	return channels_counters(lab->n[1].overlay->channels)->n_direct_bad >=
	       wanted;
}

static bool b_has_garbage(struct lab *lab)
{
	return sessions_counters(lab->n[1].overlay->sessions)->n_udp_garbage >=
	       wanted;
}

static void wire_with_a_kept_packet(struct wire *w)
{
	wire_open(w, NULL);
	echo_bulk(w);
	quiet = w;
	lab_run_until(w->lab, counts_agree);
	assert_true(w->n_kept > 0);
}

static void what_comes_from_another_address_is_refused(void **state)
{
	const struct session_counters *b;
	struct wire w;
	uint64_t n_resets;

	(void)state;
	wire_with_a_kept_packet(&w);
	b = sessions_counters(w.lab->n[1].overlay->sessions);
	n_resets = b->n_reset_sent;
	wanted = counts(&w, 1)->n_direct_refused + 1;
	udp_middle_inject(w.middle, true, w.kept, w.n_kept);
	lab_run_until(w.lab, b_has_refused);
	/* Who asks with the id of a live channel does not get its token. */
	assert_int_equal(b->n_reset_sent, n_resets);
	lab_run_until(w.lab, counts_agree);
	wire_end(&w);
}

static void what_was_seen_or_not_sealed_by_the_peer_does_not_count(void **state)
{
	struct wire w;

	(void)state;
	wire_with_a_kept_packet(&w);
	wanted = counts(&w, 1)->n_direct_bad + 1;
	udp_middle_inject(w.middle, false, w.kept, w.n_kept);
	lab_run_until(w.lab, b_has_bad);
	wanted++;
	w.kept[w.n_kept - 1] ^= 1;
	udp_middle_inject(w.middle, false, w.kept, w.n_kept);
	lab_run_until(w.lab, b_has_bad);
	lab_run_until(w.lab, counts_agree);
	/* The channel is as it was. */
	echo_bulk(&w);
	assert_int_equal(counts(&w, 0)->n_connected, 1);
	wire_end(&w);
}

static void a_long_header_is_refused(void **state)
{
	uint8_t packet[1200] = { 0xe0, 0, 0, 0, 1, CID_BYTES };
	struct wire w;

	(void)state;
	wire_with_a_kept_packet(&w);
	memcpy(packet + 6, w.kept + 1, CID_BYTES);
	wanted = sessions_counters(w.lab->n[1].overlay->sessions)
			 ->n_udp_garbage +
		 1;
	udp_middle_inject(w.middle, false, packet, sizeof packet);
	lab_run_until(w.lab, b_has_garbage);
	wire_end(&w);
}

/* ---- what fails ---- */

/* Either way: the client finds it, the server does as the client does. */
static void a_wire_that_loses_direct_packets_alone_is_overcome(void **state)
{
	(void)state;
	for (int way = 0; way < WAYS; way++) {
		struct wire w;

		wire_open(&w, NULL);
		w.loses_direct[way] = true;
		echo_bulk(&w);
		assert_true(w.n_direct[way] > 0);
		/* More than once where it takes long. */
		assert_true(sessions_counters(w.lab->n[0].overlay->sessions)
				    ->n_direct_doubted > 0);
		assert_int_equal(counts(&w, 0)->n_connected, 1);
		wire_end(&w);
	}
}

static bool a_has_lost_b(struct lab *lab)
{
	return lab->n[0].n_sessions == 0;
}

/* Nothing of the session's is in flight, nor of the channel's: the last word
 * was an acknowledgement. */
static void a_silent_neighbour_is_noticed_as_under_load(void **state)
{
	struct wire w;
	nsec began;

	(void)state;
	wire_with_a_kept_packet(&w);
	began = loop_now(w.lab->loop);
	w.is_dead = true;
	lab_ask(w.lab, lab_id(w.lab, 1), STREAM_TCP);
	lab_run_until(w.lab, a_has_lost_b);
	assert_int_equal(
		sessions_counters(w.lab->n[0].overlay->sessions)->n_dead, 1);
	/* An idle one takes six seconds. */
	assert_true(loop_now(w.lab->loop) - began < 5 * NS_PER_S);
	wire_end(&w);
}

static bool a_has_no_channel(struct lab *lab)
{
	struct channel *c;
	size_t index = 0;

	return !channels_next(lab->n[0].overlay->channels, &index, &c);
}

static bool is_lost(struct lab *lab)
{
	(void)lab;
	return quiet->n_lost_back > 0;
}

/* B has ended the channel and A did not hear of it: A's next packets are for
 * nobody, and B says so. */
static void a_channel_that_is_gone_is_told(void **state)
{
	struct channel *c;
	size_t index = 0;
	struct wire w;

	(void)state;
	wire_open(&w, NULL);
	echo_bulk(&w);
	lab_ask(w.lab, lab_id(w.lab, 1), STREAM_TCP);
	lab_run_until(w.lab, lab_is_opened);
	w.is_dead = true;
	assert_true(channels_next(w.lab->n[1].overlay->channels, &index, &c));
	channel_close(c, "test");
	overlay_flush(w.lab->n[1].overlay);
	quiet = &w;
	lab_run_until(w.lab, is_lost);
	w.is_dead = false;
	lab_push(&seen);
	lab_run_until(w.lab, a_has_no_channel);
	assert_true(seen.is_closed);
	assert_int_equal(w.lab->n[0].n_sessions, 1);
	wire_end(&w);
}

static bool b_has_followed(struct lab *lab)
{
	return sessions_counters(lab->n[1].overlay->sessions)->n_moved > 0;
}

/* A NAT has forgotten A: its packets come to B from another port. */
static void packets_follow_a_neighbour_whose_address_changes(void **state)
{
	struct session_info before, after;
	struct wire w;

	(void)state;
	wire_open(&w, NULL);
	echo_bulk(&w);
	before = session_of(&w, 1);
	udp_middle_move(w.middle);
	lab_ask(w.lab, lab_id(w.lab, 1), STREAM_TCP);
	lab_run_until(w.lab, b_has_followed);
	lab_run_until(w.lab, lab_is_closed);
	assert_int_equal(seen.why, STREAM_OK);
	assert_int_equal(seen.n_bytes, BULK);
	after = session_of(&w, 1);
	assert_int_equal(after.no, before.no);
	assert_false(endpoint_equal(&after.path.remote, &before.path.remote));
	assert_int_equal(counts(&w, 0)->n_connected, 1);
	assert_true(after.n_direct_out > before.n_direct_out);
	wire_end(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_stream_to_a_neighbour_goes_past_the_session),
		cmocka_unit_test(they_are_marked_by_a_full_router),
		cmocka_unit_test(nothing_does_unless_both_ends_say_so),
		cmocka_unit_test(nothing_does_over_a_relay),
		cmocka_unit_test(what_comes_from_another_address_is_refused),
		cmocka_unit_test(
			what_was_seen_or_not_sealed_by_the_peer_does_not_count),
		cmocka_unit_test(a_long_header_is_refused),
		cmocka_unit_test(
			a_wire_that_loses_direct_packets_alone_is_overcome),
		cmocka_unit_test(a_silent_neighbour_is_noticed_as_under_load),
		cmocka_unit_test(a_channel_that_is_gone_is_told),
		cmocka_unit_test(
			packets_follow_a_neighbour_whose_address_changes),
	};

	if (sodium_init() < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
