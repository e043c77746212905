#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "circuit/neighbour/link_meter.h"
#include "proto/limits.h"

#define STEP METER_PERIOD_NS

static struct link_sample at_rtt(nsec rtt)
{
	return (struct link_sample){ .rtt = rtt, .cwnd = 100000 };
}

static uint16_t cost_of(const struct link_meter *m)
{
	return link_meter_claim(m, 1400, 0).cost_100us;
}

static void add_for(struct link_meter *m, const struct link_sample *s,
		    nsec *now, int n)
{
	for (int i = 0; i < n; i++) {
		link_meter_add(m, s, *now);
		*now += STEP;
	}
}

static void cost_is_half_the_round_trip_and_never_under_the_floor(void **state)
{
	static const struct {
		nsec rtt;
		uint16_t cost;
		const char *why;
	} rows[] = {
		{ 0, LINK_COST_FLOOR_100US, "not measured" },
		{ 1 * NS_PER_MS, LINK_COST_FLOOR_100US, "a LAN" },
		{ 20 * NS_PER_MS, 100, "exactly the floor" },
		{ 60 * NS_PER_MS, 300, "30 ms one way" },
		{ 100 * NS_PER_S, LINK_COST_MAX_100US, "no such link" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct link_sample s = at_rtt(rows[i].rtt);
		struct link_meter m = { 0 };

		link_meter_add(&m, &s, STEP);
		if (cost_of(&m) != rows[i].cost)
			fail_msg("%s: %u", rows[i].why, cost_of(&m));
	}
}

static void the_operator_adds_on_top(void **state)
{
	struct link_sample s = at_rtt(60 * NS_PER_MS);
	struct link_meter m = { 0 };
	struct msg_link l;

	(void)state;
	link_meter_add(&m, &s, STEP);
	l = link_meter_claim(&m, 1317, 50);
	assert_int_equal(l.cost_100us, 350);
	assert_int_equal(l.mtu, 1317);
	assert_int_equal(link_meter_claim(&m, 1, UINT16_MAX).cost_100us,
			 LINK_COST_MAX_100US);
}

static void loss_makes_a_link_dear(void **state)
{
	struct link_sample s = at_rtt(60 * NS_PER_MS);
	struct link_meter m = { 0 };
	nsec now = STEP;

	(void)state;
	for (int i = 0; i < 60; i++) {
		s.n_acked += 50;
		s.n_lost += 50;
		add_for(&m, &s, &now, 1);
	}
	assert_in_range(cost_of(&m), 590, 600);
	assert_in_range(link_meter_claim(&m, 1400, 0).loss, 125, 128);
	for (int i = 0; i < 100; i++) {
		s.n_acked += 100;
		add_for(&m, &s, &now, 1);
	}
	assert_in_range(cost_of(&m), 300, 302);
}

static void a_few_lost_packets_say_nothing(void **state)
{
	struct link_sample s = at_rtt(60 * NS_PER_MS);
	struct link_meter m = { 0 };
	nsec now = STEP;

	(void)state;
	s.n_lost = 63;
	add_for(&m, &s, &now, 10);
	assert_int_equal(cost_of(&m), 300);
	s.n_lost = 64;
	add_for(&m, &s, &now, 1);
	assert_true(cost_of(&m) > 300);
}

static void a_link_that_loses_all_still_has_a_cost(void **state)
{
	struct link_sample s = at_rtt(60 * NS_PER_MS);
	struct link_meter m = { 0 };
	nsec now = STEP;

	(void)state;
	for (int i = 0; i < 100; i++) {
		s.n_lost += 100;
		add_for(&m, &s, &now, 1);
	}
	assert_in_range(cost_of(&m), 2990, 3010);
}

static void a_slow_link_costs_the_time_of_a_packet(void **state)
{
	struct link_sample s = at_rtt(100 * NS_PER_MS);
	struct link_meter m = { 0 };

	(void)state;
	/* 25 kB in flight over 100 ms, twice the product: 125 kB/s. */
	s.cwnd = 25000;
	s.in_flight = 25000;
	link_meter_add(&m, &s, STEP);
	assert_int_equal(cost_of(&m), 500 + 100);
	assert_int_equal(link_meter_claim(&m, 1400, 0).rate, 9); /* 1000 kbit */
}

static void an_idle_link_claims_no_rate(void **state)
{
	struct link_sample s = at_rtt(100 * NS_PER_MS);
	struct link_meter m = { 0 };

	(void)state;
	s.in_flight = s.cwnd / 2 - 1;
	link_meter_add(&m, &s, STEP);
	assert_int_equal(link_meter_claim(&m, 1400, 0).rate, 0);
}

/* A burst that fills queues for a second must not chase traffic away. */
static void a_short_load_hardly_shows(void **state)
{
	struct link_sample calm = at_rtt(40 * NS_PER_MS);
	struct link_sample load = at_rtt(120 * NS_PER_MS);
	struct link_meter m = { 0 };
	nsec now = STEP;

	(void)state;
	add_for(&m, &calm, &now, 4);
	add_for(&m, &load, &now, 4);
	assert_in_range(cost_of(&m), 201, 300);
	add_for(&m, &calm, &now, 40);
	assert_in_range(cost_of(&m), 200, 201);
	add_for(&m, &load, &now, 200);
	assert_in_range(cost_of(&m), 595, 600);
}

static void samples_in_one_period_count_once(void **state)
{
	struct link_sample calm = at_rtt(40 * NS_PER_MS);
	struct link_sample load = at_rtt(400 * NS_PER_MS);
	struct link_meter m = { 0 };

	(void)state;
	link_meter_add(&m, &calm, STEP);
	for (nsec t = 0; t < STEP; t += STEP / 100)
		link_meter_add(&m, &load, STEP + t);
	assert_int_equal(cost_of(&m), 200);
}

static void a_claim_is_made_anew_for_a_fifth(void **state)
{
	static const struct {
		uint16_t was, is, mtu_was, mtu_is;
		nsec since;
		bool differs;
		const char *why;
	} rows[] = {
		{ 100, 100, 1400, 1400, 9 * NS_PER_S, false, "the same" },
		{ 100, 120, 1400, 1400, 9 * NS_PER_S, false, "just a fifth" },
		{ 100, 121, 1400, 1400, 9 * NS_PER_S, true, "more" },
		{ 100, 80, 1400, 1400, 9 * NS_PER_S, false, "a fifth less" },
		{ 100, 79, 1400, 1400, 9 * NS_PER_S, true, "less" },
		{ 100, 500, 1400, 1400, METER_CLAIM_NS - 1, false, "too soon" },
		{ 100, 500, 1400, 1400, METER_CLAIM_NS, true, "soon enough" },
		{ 100, 100, 1400, 1399, 0, true, "the MTU, at once" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct msg_link told = { .cost_100us = rows[i].was,
					 .mtu = rows[i].mtu_was };
		struct msg_link is = { .cost_100us = rows[i].is,
				       .mtu = rows[i].mtu_is };

		if (link_claim_differs(&told, &is, rows[i].since) !=
		    rows[i].differs)
			fail_msg("%s", rows[i].why);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(
			cost_is_half_the_round_trip_and_never_under_the_floor),
		cmocka_unit_test(the_operator_adds_on_top),
		cmocka_unit_test(loss_makes_a_link_dear),
		cmocka_unit_test(a_few_lost_packets_say_nothing),
		cmocka_unit_test(a_link_that_loses_all_still_has_a_cost),
		cmocka_unit_test(a_slow_link_costs_the_time_of_a_packet),
		cmocka_unit_test(an_idle_link_claims_no_rate),
		cmocka_unit_test(a_short_load_hardly_shows),
		cmocka_unit_test(samples_in_one_period_count_once),
		cmocka_unit_test(a_claim_is_made_anew_for_a_fifth),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
