/* Relay queues: who sends how much, and who waits how long. */
#include "tests/unit/circuit/relay_queue_help.h"

static void a_circuit_with_little_passes_one_with_much(void **state)
{
	struct relay_pool *p = pool_of_default();
	struct relay_queue *q = relay_queue_new(p);
	struct got g;

	(void)state;
	for (uint32_t i = 0; i < 100; i++)
		put(q, 1, false, i, LARGE, NOW);
	for (int i = 0; i < 3; i++)
		assert_true(get(q, &g, NOW));
	put(q, 2, false, 0, 60, NOW);
	assert_true(get(q, &g, NOW));
	assert_int_equal(g.label, 2);
	stop(q, p);
}

static void a_circuit_that_trickles_cannot_starve_the_others(void **state)
{
	struct relay_pool *p = pool_of_default();
	struct relay_queue *q = relay_queue_new(p);
	size_t n[3] = { 0 };
	struct got g;

	(void)state;
	for (uint32_t i = 0; i < 100; i++)
		put(q, 1, false, i, LARGE, NOW);
	/* Always one packet of the second, new each time it is looked at. */
	for (uint32_t i = 0; i < 100; i++) {
		put(q, 2, false, i, LARGE, NOW);
		assert_true(get(q, &g, NOW));
		n[g.label]++;
	}
	assert_in_range(n[1], 48, 52);
	stop(q, p);
}

static void circuits_share_by_bytes_not_by_packets(void **state)
{
	struct relay_pool *p = pool_of_default();
	struct relay_queue *q = relay_queue_new(p);
	uint32_t number = 0;
	size_t bytes[4] = { 0 };

	(void)state;
	for (int round = 0; round < 10000; round++) {
		struct got g;

		while (relay_queue_has_room(q, 1))
			put(q, 1, true, number++, LARGE, NOW);
		while (relay_queue_has_room(q, 2))
			put(q, 2, true, number++, 100, NOW);
		while (relay_queue_has_room(q, 3))
			put(q, 3, true, number++, 700, NOW);
		assert_true(get(q, &g, NOW));
		bytes[g.label] += g.len;
	}
	assert_in_range(bytes[1] * 100 / bytes[2], 98, 102);
	assert_in_range(bytes[1] * 100 / bytes[3], 98, 102);
	assert_int_equal(relay_queue_counters(q)->n_full, 0);
	stop(q, p);
}

struct overload {
	enum packet_part part;
	bool is_own;
	uint64_t n_marked; /* that came out */
};

/* A circuit that comes twice as fast as the session sends, for `n_ms`: its
 * longest wait after the first half. */
static nsec overload(struct relay_queue *q, struct overload *o, uint32_t n_ms)
{
	nsec sent_at[4000], longest = 0;
	uint32_t number = 0;

	assert_true(2 * n_ms <= ARRAY_LEN(sent_at));
	for (uint32_t ms = 0; ms < n_ms; ms++) {
		nsec now = NOW + ms * NS_PER_MS;
		struct got g;

		for (int i = 0; i < 2; i++) {
			sent_at[number] = now;
			put_part(q, o->part, 1, o->is_own, number++, LARGE,
				 now);
		}
		assert_true(get(q, &g, now));
		o->n_marked += g.is_marked;
		if (ms > n_ms / 2 && now - sent_at[g.number] > longest)
			longest = now - sent_at[g.number];
	}
	return longest;
}

static void what_waits_too_long_in_transit_is_marked(void **state)
{
	struct relay_pool *p = pool_of_default();
	struct relay_queue *q = relay_queue_new(p);
	const struct relay_counters *n = relay_queue_counters(q);
	struct overload o = { .part = PACKET_WHOLE };

	(void)state;
	overload(q, &o, 1000);
	assert_in_range(n->n_marked, 20, 500);
	assert_int_equal(n->n_late, 0);
	assert_int_equal(o.n_marked, n->n_marked);
	assert_int_equal(relay_pool_counters(p)->n_marked, n->n_marked);
	/* It does not react to marks: the limit is reached all the same. */
	assert_int_equal(n->n_full, 2000 - 1000 - relay_queue_n(q));
	stop(q, p);
}

static void a_mark_stays_at_the_next_relay(void **state)
{
	struct relay_pool *p = pool_of_default();
	struct relay_queue *q = relay_queue_new(p);
	struct overload o = { .part = PACKET_MARKED };

	(void)state;
	overload(q, &o, 1000);
	assert_int_equal(o.n_marked, 1000);
	assert_in_range(relay_queue_counters(q)->n_marked, 20, 500);
	assert_int_equal(relay_queue_counters(q)->n_late, 0);
	stop(q, p);
}

static void parts_that_wait_too_long_in_transit_are_dropped(void **state)
{
	const enum packet_part parts[] = { PACKET_FIRST, PACKET_LAST };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
		struct relay_pool *p = pool_of_default();
		struct relay_queue *q = relay_queue_new(p);
		struct overload o = { .part = parts[i] };

		overload(q, &o, 1000);
		assert_in_range(relay_queue_counters(q)->n_late, 20, 500);
		assert_int_equal(relay_pool_counters(p)->n_late,
				 relay_queue_counters(q)->n_late);
		assert_int_equal(relay_queue_counters(q)->n_marked, 0);
		assert_int_equal(o.n_marked, 0);
		stop(q, p);
	}
}

/* The law of RFC 8289 is the same for both. */
static void as_many_are_marked_as_would_have_been_dropped(void **state)
{
	uint64_t n[2];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(n); i++) {
		struct relay_pool *p = pool_of_default();
		struct relay_queue *q = relay_queue_new(p);
		struct overload o = { .part = i == 0 ? PACKET_WHOLE
						     : PACKET_FIRST };

		overload(q, &o, 400);
		n[i] = relay_queue_counters(q)->n_marked +
		       relay_queue_counters(q)->n_late;
		stop(q, p);
	}
	assert_in_range(n[0], 3, 50);
	assert_in_range(n[1], n[0] - 1, n[0] + 1);
}

static void what_waits_too_long_at_its_origin_waits(void **state)
{
	struct relay_pool *p = pool_of_default();
	struct relay_queue *q = relay_queue_new(p);
	struct overload o = { .part = PACKET_WHOLE, .is_own = true };

	(void)state;
	overload(q, &o, 1000);
	assert_int_equal(o.n_marked, 0);
	assert_int_equal(relay_queue_counters(q)->n_marked, 0);
	assert_int_equal(relay_queue_counters(q)->n_late, 0);
	stop(q, p);
}

/* One that sends three packets in two milliseconds, and halves its rate for a
 * while when one is marked: CoDel brings it to wait for about the target, and
 * nothing is lost. */
static void a_sender_that_listens_ends_up_near_the_target(void **state)
{
	struct relay_pool *p = pool_of_default();
	struct relay_queue *q = relay_queue_new(p);
	double rate = 1.5, owed = 0, waits = 0;
	uint64_t n_marked = 0;
	uint32_t number = 0;
	size_t n = 0;
	static nsec sent_at[60000];

	(void)state;
	for (uint32_t ms = 0; ms < 20000; ms++) {
		nsec now = NOW + ms * NS_PER_MS;
		struct got g;

		for (owed += rate; owed >= 1; owed--) {
			sent_at[number] = now;
			put(q, 1, false, number++, LARGE, now);
		}
		if (relay_queue_counters(q)->n_marked > n_marked) {
			n_marked = relay_queue_counters(q)->n_marked;
			rate /= 2;
		} else {
			rate += 0.002;
		}
		if (get(q, &g, now) && ms > 5000) {
			waits += (double)(now - sent_at[g.number]) / 1e6;
			n++;
		}
	}
	assert_true(n > 10000);
	assert_true(waits / (double)n < 15);
	assert_int_equal(relay_queue_counters(q)->n_late, 0);
	assert_int_equal(relay_queue_counters(q)->n_full, 0);
	stop(q, p);
}

/* A session that sends a packet in each millisecond, for four seconds; circuits
 * 1 and 2 send `rate` packets in each, circuit 3 one in ten. */
struct contest {
	size_t n_sent[4], n_got[4];
	nsec longest; /* wait of circuit 3 */
};

static struct contest contest(size_t rate1, size_t rate2)
{
	struct relay_pool *p = pool_of_default();
	struct relay_queue *q = relay_queue_new(p);
	struct contest t = { 0 };

	for (uint32_t ms = 0; ms < 4000; ms++) {
		nsec now = NOW + ms * NS_PER_MS;
		struct got g;

		for (size_t i = 0; i < rate1; i++, t.n_sent[1]++)
			put(q, 1, false, ms, LARGE, now);
		for (size_t i = 0; i < rate2; i++, t.n_sent[2]++)
			put(q, 2, false, ms, LARGE, now);
		if (ms % 10 == 0 && ms < 3900) {
			put(q, 3, false, ms, LARGE, now);
			t.n_sent[3]++;
		}
		if (!get(q, &g, now))
			continue;
		t.n_got[g.label]++;
		if (g.label == 3 && (ms - g.number) * NS_PER_MS > t.longest)
			t.longest = (ms - g.number) * NS_PER_MS;
	}
	stop(q, p);
	return t;
}

static void a_flood_neither_delays_nor_drops_what_others_send(void **state)
{
	struct contest t = contest(5, 0);

	(void)state;
	assert_int_equal(t.n_got[3], t.n_sent[3]);
	assert_true(t.longest <= 2 * NS_PER_MS);
}

static void floods_share_equally_whatever_they_send(void **state)
{
	struct contest t = contest(1, 7);

	(void)state;
	assert_in_range(t.n_got[1] * 100 / t.n_got[2], 98, 102);
	assert_int_equal(t.n_got[3], t.n_sent[3]);
	/* Each of the others may send two in its turn. */
	assert_true(t.longest <= 4 * NS_PER_MS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_circuit_with_little_passes_one_with_much),
		cmocka_unit_test(
			a_circuit_that_trickles_cannot_starve_the_others),
		cmocka_unit_test(circuits_share_by_bytes_not_by_packets),
		cmocka_unit_test(what_waits_too_long_in_transit_is_marked),
		cmocka_unit_test(a_mark_stays_at_the_next_relay),
		cmocka_unit_test(
			parts_that_wait_too_long_in_transit_are_dropped),
		cmocka_unit_test(as_many_are_marked_as_would_have_been_dropped),
		cmocka_unit_test(what_waits_too_long_at_its_origin_waits),
		cmocka_unit_test(a_sender_that_listens_ends_up_near_the_target),
		cmocka_unit_test(
			a_flood_neither_delays_nor_drops_what_others_send),
		cmocka_unit_test(floods_share_equally_whatever_they_send),
	};

	if (sodium_init() < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
