/* Acknowledgements that wait for a packet to ride on. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "node/quic/quic_conn.h"
#include "tests/support/quic_pair.h"

enum {
	PACKET_MAX = 1500,
	WARM = 40,
};

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

/* ---- alone ---- */

/* Past those that are prompt. */
static struct ack_hold warm(void)
{
	struct ack_hold h = { 0 };

	for (int i = 0; i < WARM; i++) {
		ack_hold_came(&h, 10, NS_PER_S);
		ack_hold_left(&h);
	}
	return h;
}

static void what_comes_alone_is_held_for_a_while(void **state)
{
	struct ack_hold h = warm();
	nsec now = 2 * NS_PER_S;

	(void)state;
	assert_false(ack_hold_holds(&h, now));
	ack_hold_came(&h, 10, now);
	assert_true(ack_hold_holds(&h, now));
	/* The next does not begin it anew. */
	ack_hold_came(&h, 10, now + ACK_HOLD_NS / 2);
	assert_true(ack_hold_holds(&h, now + ACK_HOLD_NS - 1));
	assert_false(ack_hold_holds(&h, now + ACK_HOLD_NS));
	ack_hold_left(&h);
	assert_false(ack_hold_holds(&h, now));
	ack_hold_came(&h, 10, now + NS_PER_S);
	assert_true(ack_hold_holds(&h, now + NS_PER_S));
}

static void many_are_not_held(void **state)
{
	struct ack_hold h = warm();
	nsec now = 2 * NS_PER_S;

	(void)state;
	for (int i = 0; i < 9; i++)
		ack_hold_came(&h, 10, now);
	assert_true(ack_hold_holds(&h, now));
	ack_hold_came(&h, 10, now);
	assert_false(ack_hold_holds(&h, now));
	ack_hold_came(&h, 10, now);
	assert_false(ack_hold_holds(&h, now));
}

static void a_hurry_ends_it(void **state)
{
	struct ack_hold h = warm();
	nsec now = 2 * NS_PER_S;

	(void)state;
	ack_hold_hurry(&h);
	ack_hold_came(&h, 10, now);
	assert_true(ack_hold_holds(&h, now));
	ack_hold_hurry(&h);
	assert_false(ack_hold_holds(&h, now));
	ack_hold_came(&h, 10, now);
	assert_false(ack_hold_holds(&h, now));
}

static void the_first_and_some_of_the_others_are_prompt(void **state)
{
	struct ack_hold h = { 0 };
	int n_held = 0;

	(void)state;
	for (int i = 0; i < 176; i++) {
		ack_hold_came(&h, 10, NS_PER_S);
		if (i < 16)
			assert_false(ack_hold_holds(&h, NS_PER_S));
		n_held += ack_hold_holds(&h, NS_PER_S);
		ack_hold_left(&h);
	}
	assert_int_equal(n_held, 150);
}

/* ---- of a connection ---- */

static struct quic_pair *connected(bool is_channel)
{
	struct quic_pair *p = quic_pair_new(
		&(struct quic_pair_config){ .client = protect,
					    .server = protect,
					    .is_channel = is_channel });

	quic_pair_connect(p);
	for (int i = 0; i < WARM; i++) {
		quic_pair_datagram(&p->client, 100);
		quic_pair_run(p, 5 * NS_PER_MS);
		quic_pair_run(p, 5 * NS_PER_MS);
	}
	/* Neither owes the other anything. */
	while (p->server.quic->ack_hold.n_all % 16 == 15 ||
	       p->server.quic->ack_hold.n_all < 16)
		quic_pair_datagram(&p->client, 100);
	for (int i = 0; i < 10; i++)
		quic_pair_run(p, NS_PER_MS);
	return p;
}

/* The server gets a packet with one datagram, some time after it was sent.
 * When the client wants to be woken. */
static nsec ask(struct quic_pair *p, uint8_t ecn)
{
	static uint8_t packet[PACKET_MAX];
	const ngtcp2_vec vec = { (uint8_t *)(uintptr_t)quic_pair_text, 100 };
	bool accepted;
	uint8_t out_ecn;
	nsec rest;
	size_t n =
		quic_write_datagram(p->client.quic, &out_ecn, packet,
				    sizeof packet, &vec, 1, &accepted, p->now);

	assert_true(n > 0 && accepted);
	rest = quic_rest(p->client.quic, p->now);
	p->now += p->trip;
	quic_read(p->server.quic, &p->server.path.path, ecn, packet, n, p->now);
	return rest;
}

/* Bytes of what the server has to say now. */
static size_t server_writes(struct quic_pair *p)
{
	static uint8_t packet[PACKET_MAX];
	uint8_t ecn;
	size_t n;

	quic_handle_timeout(p->server.quic, p->now);
	n = quic_write(p->server.quic, NULL, &ecn, packet, sizeof packet,
		       p->now);
	quic_rest(p->server.quic, p->now);
	if (n > 0)
		quic_read(p->client.quic, &p->client.path.path, 0, packet, n,
			  p->now);
	return n;
}

static void an_answer_takes_it_along(struct quic_pair *p)
{
	uint64_t acked = p->client.quic->n_datagrams_acked;

	ask(p, 0);
	/* An eighth of the round trip is over. */
	p->now += p->trip / 2;
	assert_int_equal(server_writes(p), 0);
	assert_int_equal(p->client.quic->n_datagrams_acked, acked);
	quic_pair_datagram(&p->server, 100);
	assert_int_equal(p->client.quic->n_datagrams_acked, acked + 1);
	p->now += ACK_HOLD_NS;
	assert_int_equal(server_writes(p), 0);
}

static void an_answer_of_a_session_takes_it_along(void **state)
{
	struct quic_pair *p = connected(false);

	(void)state;
	an_answer_takes_it_along(p);
	quic_pair_free(p);
}

static void an_answer_of_a_channel_takes_it_along(void **state)
{
	struct quic_pair *p = connected(true);

	(void)state;
	an_answer_takes_it_along(p);
	quic_pair_free(p);
}

static void what_nobody_answers_is_acknowledged_alone(void **state)
{
	struct quic_pair *p = connected(false);
	uint64_t acked = p->client.quic->n_datagrams_acked;
	nsec came;

	(void)state;
	ask(p, 0);
	came = p->now;
	p->now += p->trip / 2;
	assert_int_equal(server_writes(p), 0);
	assert_int_equal(quic_rest(p->server.quic, p->now), came + ACK_HOLD_NS);
	p->now = came + ACK_HOLD_NS;
	assert_true(server_writes(p) > 0);
	assert_int_equal(p->client.quic->n_datagrams_acked, acked + 1);
	quic_pair_free(p);
}

static void ten_are_acknowledged_at_once(void **state)
{
	struct quic_pair *p = connected(false);
	uint64_t acked = p->client.quic->n_datagrams_acked;

	(void)state;
	p->trip = NS_PER_US;
	for (int i = 0; i < QUIC_ACK_EVERY - 1; i++)
		ask(p, 0);
	assert_int_equal(server_writes(p), 0);
	ask(p, 0);
	assert_true(server_writes(p) > 0);
	assert_int_equal(p->client.quic->n_datagrams_acked,
			 acked + QUIC_ACK_EVERY);
	quic_pair_free(p);
}

static void a_mark_of_congestion_is_told_at_once(void **state)
{
	struct quic_pair *p = connected(false);

	(void)state;
	ask(p, NGTCP2_ECN_CE);
	assert_true(server_writes(p) > 0);
	quic_pair_free(p);
}

/* Pacing wants a pause after each packet, but nothing waits for its end. */
static void nobody_is_woken_for_the_end_of_a_pause(void **state)
{
	struct quic_pair *p = connected(false);
	nsec sent = p->now;

	(void)state;
	/* Until it might be lost. */
	assert_true(ask(p, 0) > sent + 5 * NS_PER_MS);
	quic_pair_free(p);
}

/* One way, so that nothing is there to ride on. */
static void the_round_trip_is_known_nevertheless(void **state)
{
	struct quic_pair *p = connected(false);
	struct quic_measure m;

	(void)state;
	for (int i = 0; i < 300; i++) {
		ask(p, 0);
		for (int j = 0; j < 3; j++)
			quic_pair_run(p, ACK_HOLD_NS);
	}
	quic_measure(p->client.quic, &m);
	assert_true(m.rtt >= 2 * p->trip);
	assert_true(m.rtt < 2 * p->trip + ACK_HOLD_NS / 4);
	quic_pair_free(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_comes_alone_is_held_for_a_while),
		cmocka_unit_test(many_are_not_held),
		cmocka_unit_test(a_hurry_ends_it),
		cmocka_unit_test(the_first_and_some_of_the_others_are_prompt),
		cmocka_unit_test(an_answer_of_a_session_takes_it_along),
		cmocka_unit_test(an_answer_of_a_channel_takes_it_along),
		cmocka_unit_test(what_nobody_answers_is_acknowledged_alone),
		cmocka_unit_test(ten_are_acknowledged_at_once),
		cmocka_unit_test(a_mark_of_congestion_is_told_at_once),
		cmocka_unit_test(nobody_is_woken_for_the_end_of_a_pause),
		cmocka_unit_test(the_round_trip_is_known_nevertheless),
	};

	return cmocka_run_group_tests(tests, open_protect, close_protect);
}
