/* One connection, both ends in memory. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "node/quic/protect_ops.h"
#include "node/quic/quic_conn.h"
#include "proto/base/mem.h"
#include "tests/support/quic_pair.h"

static struct protect *protect;

static int open_protect(void **state)
{
	char why[256];

	(void)state;
	return protect_new(&protect, PROTECT_AUTO, why, sizeof why);
}

static int close_protect(void **state)
{
	(void)state;
	protect_free(protect);
	return 0;
}

static struct quic_pair *connected(bool is_channel)
{
	struct quic_pair *p = quic_pair_new(
		&(struct quic_pair_config){ .client = protect,
					    .server = protect,
					    .is_channel = is_channel });

	quic_pair_connect(p);
	return p;
}

static void exchange(struct quic_pair *p)
{
	uint64_t a = p->client.n_datagrams, b = p->server.n_datagrams;

	quic_pair_datagram(&p->client, 100);
	quic_pair_datagram(&p->server, 100);
	assert_int_equal(p->client.n_datagrams, a + 1);
	assert_int_equal(p->server.n_datagrams, b + 1);
}

/* ---- after the handshake ---- */

static void tls_is_freed_and_what_it_knew_is_kept(void **state)
{
	struct quic_pair *p = connected(false);
	struct quic_pair *other = connected(false);
	const uint8_t zero[QUIC_EXPORTED_BYTES] = { 0 };
	struct quic *a = p->client.quic, *b = p->server.quic;

	(void)state;
	assert_null(a->tls);
	assert_null(b->tls);
	assert_memory_equal(quic_exported(a), quic_exported(b),
			    QUIC_EXPORTED_BYTES);
	assert_memory_not_equal(quic_exported(a), zero, sizeof zero);
	assert_memory_not_equal(quic_exported(a),
				quic_exported(other->client.quic),
				QUIC_EXPORTED_BYTES);
	assert_true(hash_equal(&quic_peer(a)->who.hash,
			       &p->server.credentials.self.hash));
	assert_true(hash_equal(&quic_peer(b)->who.hash,
			       &p->client.credentials.self.hash));
	exchange(p);
	quic_pair_free(p);
	quic_pair_free(other);
}

/* ---- asleep ---- */

static void pass(struct quic_pair *p)
{
	for (int i = 0; i < 20; i++) {
		p->now += 20 * NS_PER_MS;
		quic_pair_run(p, NS_PER_MS);
	}
}

static void fall_asleep(struct quic_pair_end *e)
{
	quic_sleep(e->quic);
	assert_true(quic_mem_is_asleep(&e->quic->mem));
	assert_int_equal(protect_n_at_work(&e->quic->ref.keys), 0);
}

static void a_sleeper_wakes_for_each_thing(void **state)
{
	struct quic_pair *p = connected(false);
	struct quic *q = p->client.quic;
	struct quic_measure before, after;

	(void)state;
	exchange(p);
	pass(p);
	quic_measure(q, &before);
	for (int i = 0; i < 20; i++) {
		fall_asleep(&p->client);
		fall_asleep(&p->server);
		quic_sleep(q); /* it does already */
		assert_false(quic_is_server(q));
		exchange(p);
		pass(p);
	}
	fall_asleep(&p->client);
	quic_measure(q, &after);
	assert_int_equal(after.n_acked, before.n_acked + 20);
	assert_int_equal(after.rtt_min, before.rtt_min);
	assert_int_equal(after.n_lost, 0);
	fall_asleep(&p->server); /* and ends so */
	quic_pair_free(p);
}

static void keys_change_while_it_sleeps(void **state)
{
	struct quic_pair *p = connected(false);

	(void)state;
	for (int i = 0; i < 5; i++) {
		exchange(p);
		pass(p);
		assert_int_equal(ngtcp2_conn_initiate_key_update(
					 quic_conn(p->client.quic), p->now),
				 0);
		fall_asleep(&p->client);
		fall_asleep(&p->server);
		exchange(p);
		pass(p);
	}
	quic_pair_free(p);
}

static void streams_go_on_after_sleep(void **state)
{
	struct quic_pair *p = connected(true);

	(void)state;
	p->client.stream = quic_open_bidi(p->client.quic);
	for (uint64_t i = 1; i <= 3; i++) {
		fall_asleep(&p->client);
		fall_asleep(&p->server);
		p->client.n_to_send = 300000;
		for (int turns = 0; turns < 2000; turns++)
			quic_pair_run(p, NS_PER_MS);
		assert_int_equal(p->server.n_stream_bytes, i * 300000);
	}
	quic_pair_free(p);
}

static void nobody_sleeps_in_a_handshake(void **state)
{
	struct quic_pair *p = quic_pair_new(&(struct quic_pair_config){
		.client = protect, .server = protect });

	(void)state;
	quic_sleep(p->client.quic);
	assert_false(quic_mem_is_asleep(&p->client.quic->mem));
	quic_pair_connect(p);
	exchange(p);
	quic_pair_free(p);
}

static void keys_change_without_tls(void **state)
{
	struct quic_pair *p = connected(false);

	(void)state;
	for (int i = 0; i < 5; i++) {
		for (int j = 0; j < 20; j++) {
			exchange(p);
			p->now += 20 * NS_PER_MS;
			quic_pair_run(p, NS_PER_MS);
		}
		assert_int_equal(ngtcp2_conn_initiate_key_update(
					 p->client.quic->conn, p->now),
				 0);
	}
	exchange(p);
	quic_pair_free(p);
}

/* Such as a session ticket, which other implementations send unasked. */
static void what_tls_is_told_later_is_ignored(void **state)
{
	static const uint8_t ticket[] = { 4, 0, 0, 4, 1, 2, 3, 4 };
	struct quic_pair *p = connected(false);

	(void)state;
	assert_int_equal(
		ngtcp2_conn_submit_crypto_data(p->server.quic->conn,
					       NGTCP2_ENCRYPTION_LEVEL_1RTT,
					       ticket, sizeof ticket),
		0);
	quic_pair_run(p, NS_PER_MS);
	assert_true(p->client.quic->n_crypto[NGTCP2_ENCRYPTION_LEVEL_1RTT] >=
		    sizeof ticket);
	assert_int_equal(quic_state(p->client.quic), QUIC_CONFIRMED);
	exchange(p);
	quic_pair_free(p);
}

/* ---- windows ---- */

/* The client sends as much as it is let; what has come of it when nothing more
 * does. */
static uint64_t pour(struct quic_pair *p, uint64_t n)
{
	uint64_t last;

	p->client.stream = quic_open_bidi(p->client.quic);
	assert_true(p->client.stream >= 0);
	p->client.n_to_send = n;
	do {
		last = p->server.n_stream_bytes;
		for (int i = 0; i < 200; i++)
			quic_pair_run(p, NS_PER_MS);
	} while (p->server.n_stream_bytes != last);
	return last;
}

static void what_is_not_taken_stops_at_the_windows_floor(void **state)
{
	struct quic_pair *p = connected(true);

	(void)state;
	p->server.keeps = true;
	assert_int_equal(pour(p, 100 << 20), QUIC_STREAM_WINDOW);
	for (int i = 1; i < QUIC_CONN_WINDOW / QUIC_STREAM_WINDOW; i++) {
		p->client.is_blocked = false;
		pour(p, 100 << 20);
	}
	assert_int_equal(p->server.n_stream_bytes, QUIC_CONN_WINDOW);
	/* And there is no more, on no stream. */
	p->client.is_blocked = false;
	pour(p, 100 << 20);
	assert_int_equal(p->server.n_stream_bytes, QUIC_CONN_WINDOW);
	quic_pair_free(p);
}

static void windows_grow_with_what_is_taken_and_end_with_it(void **state)
{
	struct quic_pair *p = connected(true);
	struct window_pool *pool = quic_tls_windows(p->server.tls);
	uint64_t n;

	(void)state;
	assert_int_equal(pour(p, 64 << 20), 64 << 20);
	assert_true(pool->used > 0);
	assert_int_equal(p->server.quic->window.size,
			 QUIC_CONN_WINDOW + pool->used);
	/* Half of the window is the most that one stream can fill. */
	n = p->server.n_stream_bytes;
	p->server.keeps = true;
	pour(p, 100 << 20);
	assert_in_range(p->server.n_stream_bytes - n, QUIC_STREAM_WINDOW,
			p->server.quic->window.size);
	quic_free(p->server.quic);
	p->server.quic = NULL;
	assert_int_equal(pool->used, 0);
	quic_pair_free(p);
}

/* A tenth of a second there and back: a window must be as large as what is on
 * its way. */
static void windows_grow_with_the_length_of_the_path(void **state)
{
	struct quic_pair *p = connected(true);
	nsec start = p->now, round_trip;
	uint64_t rounds;

	(void)state;
	p->trip = 50 * NS_PER_MS;
	round_trip = 2 * p->trip;
	assert_int_equal(pour(p, 32 << 20), 32 << 20);
	rounds = (p->now - start) / round_trip;
	/* At its floor it would take 32 MiB / 64 KiB of them. */
	assert_in_range(rounds, 1, 150);
	assert_true(p->server.quic->window.size >= 1 << 20);
	quic_pair_free(p);
}

static void windows_stay_at_their_floor_when_there_is_no_more(void **state)
{
	struct quic_pair *p = connected(true);
	struct window_pool *pool = quic_tls_windows(p->server.tls);

	(void)state;
	pool->limit = 0;
	assert_int_equal(pour(p, 16 << 20), 16 << 20);
	assert_int_equal(pool->used, 0);
	assert_int_equal(p->server.quic->window.size, QUIC_CONN_WINDOW);
	quic_pair_free(p);
}

/* ---- marks ---- */

static void a_packet_that_met_congestion_is_told_apart(void **state)
{
	(void)state;
	for (int i = 0; i < 2; i++) {
		struct quic_pair *p = connected(i == 0);

		exchange(p);
		assert_int_equal(p->server.n_marked, 0);
		p->is_congested = true;
		exchange(p);
		assert_int_equal(p->client.n_marked, 1);
		assert_int_equal(p->server.n_marked, 1);
		p->is_congested = false;
		exchange(p);
		assert_int_equal(p->client.n_marked, 1);
		assert_int_equal(p->server.n_marked, 1);
		quic_pair_free(p);
	}
}

/* Only a session asks the IP header for marks. */
static void a_channel_asks_for_no_mark_of_its_packets(void **state)
{
	(void)state;
	for (int i = 0; i < 2; i++) {
		bool is_channel = i == 0;
		struct quic_pair *p = connected(is_channel);
		const uint8_t data[100] = { 1 };
		const ngtcp2_vec vec = { (uint8_t *)(uintptr_t)data, 100 };
		uint8_t out[1472], ecn = 7;
		bool accepted;

		exchange(p);
		while (quic_write_datagram(p->client.quic, &ecn, out,
					   sizeof out, &vec, 1, &accepted,
					   p->now) == 0)
			quic_pair_run(p, NS_PER_MS);
		assert_int_equal(ecn, is_channel ? NGTCP2_ECN_NOT_ECT
						 : NGTCP2_ECN_ECT_0);
		quic_pair_free(p);
	}
}

/* Of the packets of a stream one may be marked: how often the sender's window
 * got smaller. */
static struct {
	uint64_t n, marked;
	uint64_t cwnd;
	int n_smaller;
} row;

static bool mark_one(struct quic_pair *p, const uint8_t *data, size_t len)
{
	struct quic_measure m;

	(void)data;
	p->is_congested = len > 1000 && ++row.n == row.marked;
	quic_measure(p->client.quic, &m);
	row.n_smaller += m.cwnd < row.cwnd;
	row.cwnd = m.cwnd;
	return false;
}

/* After hundreds of packets as well: there is no validation that may have
 * failed. */
static void a_mark_makes_the_senders_window_smaller(void **state)
{
	const uint64_t at[] = { 0, 200, 1000 };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(at); i++) {
		struct quic_pair *p = connected(true);

		memset(&row, 0, sizeof row);
		row.marked = at[i];
		p->trip = NS_PER_MS;
		p->is_lost = mark_one;
		assert_int_equal(pour(p, 4 << 20), 4 << 20);
		assert_true(row.n > at[i]);
		assert_int_equal(row.n_smaller > 0, at[i] > 0);
		quic_pair_free(p);
	}
}

/* As a relay would that wants to stop it. */
static void a_stream_of_which_all_is_marked_goes_on(void **state)
{
	nsec took[2];

	(void)state;
	for (int i = 0; i < 2; i++) {
		struct quic_pair *p = connected(true);
		nsec start = p->now;

		p->is_congested = i == 1;
		p->trip = NS_PER_MS;
		while (p->server.n_stream_bytes < 16 << 20) {
			if (p->client.stream < 0) {
				p->client.stream =
					quic_open_bidi(p->client.quic);
				p->client.n_to_send = 16 << 20;
			}
			quic_pair_run(p, NS_PER_MS);
			assert_true(p->now < start + 60 * NS_PER_S);
		}
		took[i] = p->now - start;
		quic_pair_free(p);
	}
	assert_true(took[1] < 2 * took[0]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tls_is_freed_and_what_it_knew_is_kept),
		cmocka_unit_test(keys_change_without_tls),
		cmocka_unit_test(a_sleeper_wakes_for_each_thing),
		cmocka_unit_test(keys_change_while_it_sleeps),
		cmocka_unit_test(streams_go_on_after_sleep),
		cmocka_unit_test(nobody_sleeps_in_a_handshake),
		cmocka_unit_test(what_tls_is_told_later_is_ignored),
		cmocka_unit_test(what_is_not_taken_stops_at_the_windows_floor),
		cmocka_unit_test(
			windows_grow_with_what_is_taken_and_end_with_it),
		cmocka_unit_test(windows_grow_with_the_length_of_the_path),
		cmocka_unit_test(
			windows_stay_at_their_floor_when_there_is_no_more),
		cmocka_unit_test(a_packet_that_met_congestion_is_told_apart),
		cmocka_unit_test(a_channel_asks_for_no_mark_of_its_packets),
		cmocka_unit_test(a_mark_makes_the_senders_window_smaller),
		cmocka_unit_test(a_stream_of_which_all_is_marked_goes_on),
	};

	return cmocka_run_group_tests(tests, open_protect, close_protect);
}
