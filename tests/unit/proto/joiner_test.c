/* Split packets at the far end of circuits. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "proto/base/mem.h"
#include "proto/base/rng.h"
#include "proto/joiner.h"

#define PART_MAX 1500

/* A part with `len` bytes of `fill`. */
static struct packet part_of(uint8_t *data, enum packet_part part,
			     uint32_t label, uint16_t number, uint8_t fill,
			     size_t len)
{
	memset(data, fill, len);
	return (struct packet){ .part = part,
				.label = label,
				.number = number,
				.payload = data,
				.len = len };
}

static void two_parts_join_in_either_order(void **state)
{
	struct joiners *all = joiners_new();
	struct joiner *j = joiner_new(all);
	uint8_t a[PART_MAX], b[PART_MAX];
	struct packet first = part_of(a, PACKET_FIRST, 7, 1, 'a', 1200);
	struct packet last = part_of(b, PACKET_LAST, 7, 1, 'b', 80);

	(void)state;
	for (int i = 0; i < 2; i++) {
		const uint8_t *p;
		size_t len = 0;

		assert_null(joiner_handle(j, i == 0 ? &first : &last, 5, &len));
		p = joiner_handle(j, i == 0 ? &last : &first, 6, &len);
		assert_non_null(p);
		assert_int_equal(len, 1280);
		assert_memory_equal(p, a, 1200);
		assert_memory_equal(p + 1200, b, 80);
	}
	assert_int_equal(joiners_n_lost(all), 0);
	joiner_free(j);
	joiners_free(all);
	joiner_free(NULL);
	joiners_free(NULL);
}

static void a_whole_packet_passes_through(void **state)
{
	struct joiners *all = joiners_new();
	struct joiner *j = joiner_new(all);
	uint8_t a[10];
	struct packet p = part_of(a, PACKET_WHOLE, 7, 0, 'a', 10);
	size_t len;

	(void)state;
	assert_ptr_equal(joiner_handle(j, &p, 5, &len), a);
	assert_int_equal(len, 10);
	joiner_free(j);
	joiners_free(all);
}

static void a_duplicate_changes_nothing(void **state)
{
	struct joiners *all = joiners_new();
	struct joiner *j = joiner_new(all);
	uint8_t a[8], b[8];
	struct packet first = part_of(a, PACKET_FIRST, 7, 1, 'a', 8);
	struct packet last = part_of(b, PACKET_LAST, 7, 1, 'b', 8);
	const uint8_t *p;
	size_t len;

	(void)state;
	assert_null(joiner_handle(j, &first, 5, &len));
	assert_null(joiner_handle(j, &first, 6, &len));
	p = joiner_handle(j, &last, 7, &len);
	assert_non_null(p);
	assert_memory_equal(p, "aaaaaaaabbbbbbbb", 16);
	assert_int_equal(joiners_n_lost(all), 0);
	/* Late: a part of a packet that is gone. */
	assert_null(joiner_handle(j, &last, 8, &len));
	joiner_free(j);
	joiners_free(all);
}

static void a_number_that_comes_round_replaces_the_old_part(void **state)
{
	struct joiners *all = joiners_new();
	struct joiner *j = joiner_new(all);
	uint8_t a[8], b[8];
	struct packet first = part_of(a, PACKET_FIRST, 7, 1, 'a', 8);
	struct packet last = part_of(b, PACKET_LAST, 7, 1, 'b', 8);
	const uint8_t *p;
	size_t len;

	(void)state;
	assert_null(joiner_handle(j, &first, 5, &len));
	first = part_of(a, PACKET_FIRST, 7, 1, 'n', 8);
	assert_null(joiner_handle(j, &first, 6, &len));
	assert_int_equal(joiners_n_lost(all), 1);
	p = joiner_handle(j, &last, 7, &len);
	assert_non_null(p);
	assert_memory_equal(p, "nnnnnnnnbbbbbbbb", 16);
	joiner_free(j);
	joiners_free(all);
}

static void a_part_waits_half_a_second_and_no_longer(void **state)
{
	static const struct {
		nsec wait;
		bool joins;
	} cases[] = {
		{ PARTS_PENDING_NS - 1, true },
		{ PARTS_PENDING_NS, false },
		{ PARTS_PENDING_NS + 1, false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct joiners *all = joiners_new();
		struct joiner *j = joiner_new(all);
		uint8_t a[8], b[8];
		struct packet first = part_of(a, PACKET_FIRST, 7, 1, 'a', 8);
		struct packet last = part_of(b, PACKET_LAST, 7, 1, 'b', 8);
		const nsec start = 100 * NS_PER_S;
		size_t len;

		assert_null(joiner_handle(j, &first, start, &len));
		assert_int_equal(joiner_handle(j, &last, start + cases[i].wait,
					       &len) != NULL,
				 cases[i].joins);
		assert_int_equal(joiners_n_lost(all), !cases[i].joins);
		joiner_free(j);
		joiners_free(all);
	}
}

/* Feeds eight bytes; true if a packet came out. */
static bool feed(struct joiner *j, enum packet_part part, uint16_t number,
		 nsec now)
{
	uint8_t data[8];
	struct packet p = part_of(data, part, 7, number, 'x', sizeof data);
	size_t len;

	return joiner_handle(j, &p, now, &len) != NULL;
}

static void parts_of_other_packets_and_circuits_do_not_mix(void **state)
{
	struct joiners *all = joiners_new();
	struct joiner *j = joiner_new(all), *other = joiner_new(all);

	(void)state;
	assert_false(feed(j, PACKET_FIRST, 1, 5));
	assert_false(feed(j, PACKET_LAST, 2, 5));
	assert_false(feed(other, PACKET_LAST, 1, 5));
	assert_true(feed(j, PACKET_LAST, 1, 5));
	assert_true(feed(other, PACKET_FIRST, 1, 5));
	assert_int_equal(joiners_n_kept(all), 1);
	joiner_free(j);
	joiner_free(other);
	assert_int_equal(joiners_n_kept(all), 0);
	assert_int_equal(joiners_n_lost(all), 1);
	joiners_free(all);
}

static void a_circuit_keeps_so_many_halves_and_its_oldest_makes_room(
	void **state)
{
	(void)state;
	for (uint16_t n = PARTS_PENDING_MAX - 1; n <= PARTS_PENDING_MAX + 1;
	     n++) {
		struct joiners *all = joiners_new();
		struct joiner *j = joiner_new(all);
		uint16_t n_lost =
			n > PARTS_PENDING_MAX ? n - PARTS_PENDING_MAX : 0;

		for (uint16_t i = 0; i < n; i++)
			assert_false(feed(j, PACKET_FIRST, i, i));
		assert_int_equal(joiners_n_lost(all), n_lost);
		assert_int_equal(joiners_n_kept(all), n - n_lost);
		for (uint16_t i = n_lost; i < n; i++)
			assert_true(feed(j, PACKET_LAST, i, n));
		assert_int_equal(joiners_n_lost(all), n_lost);
		if (n_lost > 0)
			assert_false(feed(j, PACKET_LAST, 0, n));
		joiner_free(j);
		joiners_free(all);
	}
}

static void a_circuit_of_first_halves_alone_harms_no_other(void **state)
{
	struct joiners *all = joiners_new();
	struct joiner *honest = joiner_new(all), *flood = joiner_new(all);
	uint16_t number = 0;

	(void)state;
	for (uint16_t i = 0; i < 1000; i++) {
		assert_false(feed(honest, PACKET_FIRST, i, i));
		for (int k = 0; k < 2 * PARTS_PENDING_MAX; k++)
			assert_false(feed(flood, PACKET_FIRST, number++, i));
		assert_true(feed(honest, PACKET_LAST, i, i));
	}
	assert_int_equal(joiners_n_kept(all), PARTS_PENDING_MAX);
	assert_int_equal(joiners_n_lost(all), number - PARTS_PENDING_MAX);
	joiner_free(honest);
	joiner_free(flood);
	joiners_free(all);
}

/* A node whose places are all taken but `n_free`, by circuits that keep as
 * much as they may; they never send the other halves. */
#define N_GREEDY (PARTS_ALL_MAX / PARTS_PENDING_MAX)

struct crowd {
	struct joiners *all;
	struct joiner *greedy[N_GREEDY];
};

static void crowd_begin(struct crowd *c, size_t n_free)
{
	c->all = joiners_new();
	for (size_t i = 0; i < N_GREEDY; i++) {
		c->greedy[i] = joiner_new(c->all);
		for (uint16_t k = 0; k < PARTS_PENDING_MAX; k++) {
			if (joiners_n_kept(c->all) + n_free < PARTS_ALL_MAX)
				assert_false(
					feed(c->greedy[i], PACKET_FIRST, k, 1));
		}
	}
	assert_int_equal(joiners_n_kept(c->all), PARTS_ALL_MAX - n_free);
}

static void crowd_end(struct crowd *c)
{
	for (size_t i = 0; i < N_GREEDY; i++)
		joiner_free(c->greedy[i]);
	joiners_free(c->all);
}

static void a_node_keeps_so_many_halves_in_all(void **state)
{
	(void)state;
	for (size_t n_free = 0; n_free <= 2; n_free++) {
		struct crowd c;
		struct joiner *j;

		crowd_begin(&c, n_free);
		j = joiner_new(c.all);
		assert_false(feed(j, PACKET_FIRST, 1, 2));
		assert_int_equal(joiners_n_lost(c.all), n_free == 0);
		assert_int_equal(joiners_n_kept(c.all),
				 PARTS_ALL_MAX - (n_free == 2));
		joiner_free(j);
		crowd_end(&c);
	}
}

static void at_a_full_node_the_greediest_circuits_pay(void **state)
{
	struct crowd c;
	struct joiner *honest;

	(void)state;
	crowd_begin(&c, 0);
	honest = joiner_new(c.all);
	/* Nearly the fair share, taken one half after another from those which
	 * have more; and kept, whatever they send. */
	for (uint16_t i = 0; i < PARTS_PENDING_MAX - 2; i++)
		assert_false(feed(honest, PACKET_FIRST, i, 2));
	for (uint16_t i = 0; i < 100; i++) {
		for (size_t k = 0; k < N_GREEDY; k++)
			assert_false(
				feed(c.greedy[k], PACKET_FIRST, 100 + i, 3));
	}
	assert_int_equal(joiners_n_kept(c.all), PARTS_ALL_MAX);
	for (uint16_t i = 0; i < PARTS_PENDING_MAX - 2; i++)
		assert_true(feed(honest, PACKET_LAST, i, 4));
	joiner_free(honest);
	crowd_end(&c);
}

static void whoever_has_as_many_as_the_greediest_pays_itself(void **state)
{
	struct crowd c;
	struct joiner *late;

	(void)state;
	crowd_begin(&c, 0);
	late = joiner_new(c.all);
	for (uint16_t i = 0; i < 10 * PARTS_PENDING_MAX; i++)
		assert_false(feed(late, PACKET_FIRST, i, 2));
	/* It could take from the others down to one less than they have. */
	assert_true(feed(late, PACKET_LAST, 10 * PARTS_PENDING_MAX - 1, 3));
	assert_int_equal(joiners_n_lost(c.all), 10 * PARTS_PENDING_MAX);
	for (size_t k = PARTS_PENDING_MAX; k < N_GREEDY; k++) {
		for (uint16_t i = 0; i < PARTS_PENDING_MAX; i++)
			assert_true(feed(c.greedy[k], PACKET_LAST, i, 3));
	}
	joiner_free(late);
	crowd_end(&c);
}

static void halves_of_a_circuit_that_fell_silent_go_with_time(void **state)
{
	struct joiners *all = joiners_new();
	struct joiner *silent = joiner_new(all), *other = joiner_new(all);

	(void)state;
	for (uint16_t i = 0; i < PARTS_PENDING_MAX; i++)
		assert_false(feed(silent, PACKET_FIRST, i, 0));
	assert_false(feed(other, PACKET_FIRST, 1, PARTS_PENDING_NS));
	assert_int_equal(joiners_n_kept(all), 1);
	assert_int_equal(joiners_n_lost(all), PARTS_PENDING_MAX);
	joiner_free(silent);
	joiner_free(other);
	joiners_free(all);
}

static void parts_over_an_ethernet_frame_are_lost(void **state)
{
	(void)state;
	for (size_t size = PART_MAX - 1; size <= PART_MAX + 1; size++) {
		struct joiners *all = joiners_new();
		struct joiner *j = joiner_new(all);
		uint8_t a[PART_MAX + 1], b[PART_MAX + 1];
		struct packet first = part_of(a, PACKET_FIRST, 7, 1, 'a', size);
		struct packet last = part_of(b, PACKET_LAST, 7, 1, 'b', size);
		const uint8_t *p;
		size_t len;

		assert_null(joiner_handle(j, &first, 5, &len));
		p = joiner_handle(j, &last, 5, &len);
		assert_int_equal(p != NULL, size <= PART_MAX);
		assert_int_equal(joiners_n_lost(all), size <= PART_MAX ? 0 : 2);
		if (p != NULL) {
			assert_int_equal(len, 2 * size);
			assert_memory_equal(p, a, size);
			assert_memory_equal(p + size, b, size);
		}
		joiner_free(j);
		joiners_free(all);
	}
}

/* Any split of any packet, shuffled within the window, comes back whole. */
static void shuffled_parts_all_come_back(void **state)
{
	enum {
		ROUND = PARTS_PENDING_MAX
	};
	struct joiners *all = joiners_new();
	struct joiner *j = joiner_new(all);
	uint8_t data[ROUND][2 * PART_MAX];
	struct packet parts[2 * ROUND];
	struct rng r;
	uint16_t number = UINT16_MAX - 100;
	size_t n_whole = 0;

	(void)state;
	rng_init(&r, 3);
	for (int round = 0; round < 50; round++) {
		for (size_t i = 0; i < ROUND; i++, number++) {
			size_t cut = 1 + (size_t)rng_below(&r, PART_MAX);
			size_t rest = 1 + (size_t)rng_below(&r, PART_MAX);

			rng_fill(&r, data[i], cut + rest);
			parts[2 * i] = (struct packet){ .part = PACKET_FIRST,
							.number = number,
							.payload = data[i],
							.len = cut };
			parts[2 * i + 1] =
				(struct packet){ .part = PACKET_LAST,
						 .number = number,
						 .payload = data[i] + cut,
						 .len = rest };
		}
		for (size_t i = 2 * ROUND - 1; i > 0; i--) {
			size_t k = (size_t)rng_below(&r, i + 1);
			struct packet t = parts[i];

			parts[i] = parts[k];
			parts[k] = t;
		}
		for (size_t i = 0; i < 2 * ROUND; i++) {
			size_t len;
			size_t which = (uint16_t)(parts[i].number -
						  (uint16_t)(number - ROUND));
			const uint8_t *p = joiner_handle(
				j, &parts[i], (nsec)round * NS_PER_MS, &len);

			if (p == NULL)
				continue;
			assert_memory_equal(p, data[which], len);
			n_whole++;
		}
	}
	assert_int_equal(n_whole, 50 * ROUND);
	assert_int_equal(joiners_n_lost(all), 0);
	joiner_free(j);
	joiners_free(all);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(two_parts_join_in_either_order),
		cmocka_unit_test(a_whole_packet_passes_through),
		cmocka_unit_test(a_duplicate_changes_nothing),
		cmocka_unit_test(
			a_number_that_comes_round_replaces_the_old_part),
		cmocka_unit_test(a_part_waits_half_a_second_and_no_longer),
		cmocka_unit_test(
			parts_of_other_packets_and_circuits_do_not_mix),
		cmocka_unit_test(
			a_circuit_keeps_so_many_halves_and_its_oldest_makes_room),
		cmocka_unit_test(
			a_circuit_of_first_halves_alone_harms_no_other),
		cmocka_unit_test(a_node_keeps_so_many_halves_in_all),
		cmocka_unit_test(at_a_full_node_the_greediest_circuits_pay),
		cmocka_unit_test(
			whoever_has_as_many_as_the_greediest_pays_itself),
		cmocka_unit_test(
			halves_of_a_circuit_that_fell_silent_go_with_time),
		cmocka_unit_test(parts_over_an_ethernet_frame_are_lost),
		cmocka_unit_test(shuffled_parts_all_come_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
