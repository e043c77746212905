/* Relay queues: order, limits, back-pressure. */
#include "tests/unit/circuit/relay_queue_help.h"

static void packets_of_a_circuit_leave_in_order(void **state)
{
	struct relay_pool *p = pool_of_default();
	struct relay_queue *q = relay_queue_new(p);
	struct got g;

	(void)state;
	assert_false(get(q, &g, NOW));
	for (uint32_t i = 0; i < 100; i++)
		put(q, 7, false, i, 8 + i, NOW);
	assert_int_equal(relay_queue_n(q), 100);
	for (uint32_t i = 0; i < 100; i++) {
		assert_true(get(q, &g, NOW));
		assert_int_equal(g.label, 7);
		assert_int_equal(g.number, i);
		assert_int_equal(g.len, 8 + i);
	}
	assert_false(get(q, &g, NOW));
	assert_int_equal(relay_queue_n(q), 0);
	relay_queue_free(NULL);
	relay_pool_free(NULL);
	stop(q, p);
}

static void the_largest_packet_fits(void **state)
{
	struct relay_pool *p = pool_of_default();
	struct relay_queue *q = relay_queue_new(p);
	struct got g;

	(void)state;
	put(q, 7, false, 1, CIRCUIT_MTU_MAX + PACKET_HEADER_MAX, NOW);
	assert_true(get(q, &g, NOW));
	assert_int_equal(g.len, CIRCUIT_MTU_MAX + PACKET_HEADER_MAX);
	stop(q, p);
}

static void the_next_packet_stays_the_same_until_it_is_sent(void **state)
{
	struct relay_pool *p = pool_of_default();
	struct relay_queue *q = relay_queue_new(p);
	struct relay_bytes a, b;

	(void)state;
	put(q, 7, false, 1, LARGE, NOW);
	assert_true(relay_queue_next(q, NOW, &a));
	put(q, 8, false, 2, 60, NOW);
	assert_true(relay_queue_next(q, NOW + NS_PER_S, &b));
	assert_ptr_equal(a.data, b.data);
	assert_int_equal(relay_queue_n(q), 2);
	relay_queue_sent(q);
	assert_int_equal(relay_queue_n(q), 1);
	assert_true(relay_queue_next(q, NOW, &b));
	assert_int_equal(b.len, 60);
	/* Freed with one that was given out. */
	stop(q, p);
}

/* ---- limits ---- */

static void a_circuit_over_its_limit_loses_its_oldest(void **state)
{
	(void)state;
	for (size_t n = RELAY_QUEUE_MAX - 1; n <= RELAY_QUEUE_MAX + 1; n++) {
		struct relay_pool *p = pool_of_default();
		struct relay_queue *q = relay_queue_new(p);
		size_t n_lost = n > RELAY_QUEUE_MAX;
		struct got g;

		put(q, 2, false, 0, LARGE, NOW);
		for (uint32_t i = 0; i < n; i++)
			put(q, 1, false, i, LARGE, NOW);
		assert_int_equal(relay_queue_n(q), 1 + n - n_lost);
		assert_int_equal(relay_queue_counters(q)->n_full, n_lost);
		assert_true(get(q, &g, NOW));
		assert_int_equal(g.label, 2);
		assert_true(get(q, &g, NOW));
		assert_int_equal(g.number, n_lost);
		stop(q, p);
	}
}

static void at_a_full_queue_the_longest_circuit_pays(void **state)
{
	(void)state;
	for (size_t n = 39; n <= 41; n++) {
		struct relay_pool *p = pool_of(30, 40, 1000);
		struct relay_queue *q = relay_queue_new(p);
		size_t n_lost = n > 40;
		struct got g;

		for (uint32_t i = 0; i < 15; i++)
			put(q, 1, false, i, LARGE, NOW);
		for (uint32_t i = 0; i < 10; i++)
			put(q, 2, false, i, LARGE, NOW);
		for (uint32_t i = 25; i < n; i++)
			put(q, i, false, i, LARGE, NOW);
		assert_int_equal(relay_queue_n(q), n - n_lost);
		assert_int_equal(relay_queue_counters(q)->n_full, n_lost);
		assert_true(get(q, &g, NOW));
		assert_int_equal(g.label, 1);
		assert_int_equal(g.number, n_lost);
		assert_true(get(q, &g, NOW));
		stop(q, p);
	}
}

static void a_circuit_below_its_equal_part_loses_nothing(void **state)
{
	enum {
		N_FLOODS = 9,
		PART = 1000 / (N_FLOODS + 1)
	};
	struct relay_pool *p = pool_of(RELAY_QUEUE_MAX, 1000, 5000);
	struct relay_queue *q = relay_queue_new(p);
	uint32_t next = 0;
	struct got g;

	(void)state;
	for (uint32_t i = 0; i < PART; i++)
		put(q, 100, false, i, LARGE, NOW);
	for (uint32_t i = 0; i < 10000; i++)
		put(q, i % N_FLOODS, false, i, 60, NOW);
	assert_int_equal(relay_queue_n(q), 1000);
	while (get(q, &g, NOW)) {
		if (g.label == 100)
			assert_int_equal(g.number, next++);
	}
	assert_int_equal(next, PART);
	stop(q, p);
}

static void at_a_full_pool_the_longest_queue_pays(void **state)
{
	(void)state;
	for (size_t n = 59; n <= 61; n++) {
		struct relay_pool *p = pool_of(40, 100, 60);
		struct relay_queue *a = relay_queue_new(p);
		struct relay_queue *b = relay_queue_new(p);
		size_t n_lost = n > 60;
		struct got g;

		for (uint32_t i = 0; i < 40; i++)
			put(a, 1 + i % 2, false, i, LARGE, NOW);
		for (uint32_t i = 40; i < n; i++)
			put(b, 1, false, i, LARGE, NOW);
		assert_int_equal(relay_pool_n(p), n - n_lost);
		assert_int_equal(relay_queue_counters(a)->n_full, n_lost);
		assert_int_equal(relay_queue_counters(b)->n_full, 0);
		assert_true(get(b, &g, NOW));
		assert_int_equal(g.number, 40);
		relay_queue_free(a);
		assert_int_equal(relay_pool_counters(p)->n_full, n_lost);
		stop(b, p);
	}
}

static void what_is_being_sent_is_not_dropped(void **state)
{
	struct relay_pool *p = pool_of(2, 2, 2);
	struct relay_queue *q[3];
	struct relay_bytes b;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(q); i++) {
		q[i] = relay_queue_new(p);
		put(q[i], 1, false, 0, LARGE, NOW);
		assert_true(relay_queue_next(q[i], NOW, &b));
	}
	put(q[0], 1, false, 1, LARGE, NOW);
	for (size_t i = 0; i < ARRAY_LEN(q); i++) {
		assert_int_equal(relay_queue_counters(q[i])->n_full, 0);
		relay_queue_free(q[i]);
	}
	assert_int_equal(relay_pool_n(p), 0);
	relay_pool_free(p);
}

/* ---- back-pressure ---- */

static void our_circuit_has_room_until_its_queue_is_half_full(void **state)
{
	static const size_t half = RELAY_QUEUE_MAX / 2;

	(void)state;
	for (size_t n = half - 1; n <= half + 1; n++) {
		struct relay_pool *p = pool_of_default();
		struct relay_queue *q = relay_queue_new(p);

		for (uint32_t i = 0; i < n; i++)
			put(q, 1, true, i, LARGE, NOW);
		assert_int_equal(relay_queue_has_room(q, 1), n < half);
		assert_true(relay_queue_has_room(q, 2));
		stop(q, p);
	}
}

static void a_full_circuit_blocks_no_other(void **state)
{
	struct relay_pool *p = pool_of_default();
	struct relay_queue *q = relay_queue_new(p);

	(void)state;
	for (uint32_t i = 0; i < RELAY_QUEUE_MAX; i++)
		put(q, 1, false, i, LARGE, NOW);
	for (uint32_t i = 0; i < 10; i++) {
		assert_true(relay_queue_has_room(q, 2));
		put(q, 2, true, i, LARGE, NOW);
	}
	assert_false(relay_queue_has_room(q, 1));
	stop(q, p);
}

static void whoever_waits_for_room_is_woken_once(void **state)
{
	struct relay_pool *p = pool_of_default();
	struct relay_queue *q = relay_queue_new(p);
	struct got g;
	size_t n = 0;

	(void)state;
	for (uint32_t i = 0; relay_queue_has_room(q, 1); i++)
		put(q, 1, true, i, LARGE, NOW);
	assert_false(relay_queue_woke(q));
	while (!relay_queue_woke(q)) {
		assert_true(get(q, &g, NOW));
		n++;
	}
	assert_in_range(n, 2, RELAY_QUEUE_MAX / 2);
	assert_true(relay_queue_has_room(q, 1));
	while (get(q, &g, NOW))
		assert_false(relay_queue_woke(q));
	stop(q, p);
}

/* As many of our circuits as a session may have, each as full as it is let. */
static void our_circuits_never_lose_to_each_other(void **state)
{
	enum {
		N_CIRCUITS = 500
	};
	struct relay_pool *p = pool_of_default();
	struct relay_queue *q = relay_queue_new(p);
	bool has_sent = true;

	(void)state;
	/* In turns, as sessions which all begin at once would. */
	for (uint32_t i = 0; has_sent; i++) {
		has_sent = false;
		for (uint32_t k = 0; k < N_CIRCUITS; k++) {
			if (!relay_queue_has_room(q, k))
				continue;
			put(q, k, true, i, LARGE, NOW);
			has_sent = true;
		}
	}
	assert_int_equal(relay_queue_counters(q)->n_full, 0);
	assert_in_range(relay_queue_n(q), N_CIRCUITS, RELAY_SESSION_MAX);
	stop(q, p);
}

/* ---- all of it at random ---- */

enum {
	N_LABELS = 40,
	N_QUEUES = 3
};

struct model {
	uint32_t next_in[N_QUEUES][N_LABELS], next_out[N_QUEUES][N_LABELS];
	uint64_t n_in, n_out;
};

static void step(struct model *m, struct relay_queue **q, struct rng *r,
		 nsec now)
{
	size_t i = (size_t)rng_below(r, N_QUEUES);
	uint32_t label = (uint32_t)rng_below(r, N_LABELS);
	struct got g;

	switch (rng_below(r, 3)) {
	case 0:
		if (label < 20 && !relay_queue_has_room(q[i], label))
			break;
		put(q[i], label, label < 20, m->next_in[i][label]++,
		    8 + (size_t)rng_below(r, LARGE), now);
		m->n_in++;
		break;
	case 1:
		/* A flood of one circuit. */
		for (int k = 0; k < 5; k++)
			put(q[i], 39, false, m->next_in[i][39]++, 100, now);
		m->n_in += 5;
		break;
	default:
		for (int k = 0; k < 4 && get(q[i], &g, now); k++) {
			assert_true(g.number >= m->next_out[i][g.label]);
			assert_true(g.number < m->next_in[i][g.label]);
			m->next_out[i][g.label] = g.number + 1;
			m->n_out++;
		}
		break;
	}
}

static void every_packet_is_sent_dropped_or_waits_and_in_order(void **state)
{
	struct relay_pool *p = pool_of(16, 100, 200);
	struct relay_queue *q[N_QUEUES];
	struct model m = { 0 };
	nsec now = NOW;
	struct rng r;

	(void)state;
	rng_init(&r, 5);
	for (size_t i = 0; i < N_QUEUES; i++)
		q[i] = relay_queue_new(p);
	for (int i = 0; i < 100000; i++) {
		uint64_t n_dropped = 0;

		now += rng_below(&r, NS_PER_MS);
		step(&m, q, &r, now);
		assert_true(relay_pool_n(p) <= 200);
		for (size_t k = 0; k < N_QUEUES; k++) {
			n_dropped += relay_queue_counters(q[k])->n_full +
				     relay_queue_counters(q[k])->n_late;
			assert_true(relay_queue_n(q[k]) <= 100);
		}
		assert_true(m.n_in == m.n_out + n_dropped + relay_pool_n(p));
	}
	assert_true(m.n_out > 10000);
	for (size_t i = 0; i < N_QUEUES; i++)
		relay_queue_free(q[i]);
	relay_pool_free(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(packets_of_a_circuit_leave_in_order),
		cmocka_unit_test(the_largest_packet_fits),
		cmocka_unit_test(
			the_next_packet_stays_the_same_until_it_is_sent),
		cmocka_unit_test(a_circuit_over_its_limit_loses_its_oldest),
		cmocka_unit_test(at_a_full_queue_the_longest_circuit_pays),
		cmocka_unit_test(a_circuit_below_its_equal_part_loses_nothing),
		cmocka_unit_test(at_a_full_pool_the_longest_queue_pays),
		cmocka_unit_test(what_is_being_sent_is_not_dropped),
		cmocka_unit_test(
			our_circuit_has_room_until_its_queue_is_half_full),
		cmocka_unit_test(a_full_circuit_blocks_no_other),
		cmocka_unit_test(whoever_waits_for_room_is_woken_once),
		cmocka_unit_test(our_circuits_never_lose_to_each_other),
		cmocka_unit_test(
			every_packet_is_sent_dropped_or_waits_and_in_order),
	};

	if (sodium_init() < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
