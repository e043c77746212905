#include "discovery/dialer.h"

#include "tests/unit/discovery/peer_help.h"

static struct dial next_dial(struct dialer *d, nsec now)
{
	struct dial out = { 0 };

	assert_true(dialer_next(d, now, &out));
	return out;
}

static void assert_idle(struct dialer *d, nsec now)
{
	struct dial out;

	assert_false(dialer_next(d, now, &out));
	assert_true(dialer_deadline(d) > now);
}

static void a_static_peer_is_dialled_at_once_whoever_it_is(void **state)
{
	struct peers *p = make_peers(1);
	struct dialer *d = dialer_new(p, START);
	struct dial out;

	(void)state;
	assert_idle(d, START);
	assert_true(dialer_deadline(d) == TIME_NEVER);
	make_static(p, "bravo", "10.0.0.7", START);
	out = next_dial(d, START);
	assert_int_equal(out.type, DIAL_START);
	assert_int_equal(out.at.in.sin_addr.s_addr,
			 make_at4(7).in.sin_addr.s_addr);
	assert_false(out.has_id);
	assert_int_equal(out.peer, peers_next(p, NULL)->no);
	assert_idle(d, START);
	dialer_free(d);
	peers_free(p);
}

static void a_hint_is_dialled_for_its_id_over_its_interface(void **state)
{
	struct peers *p = make_peers(1);
	struct dialer *d = dialer_new(p, START);
	struct identity who = make_who(2007);
	struct dial out;

	(void)state;
	make_hint(p, 2007, make_at4(7), 5, true, START);
	out = next_dial(d, START);
	assert_true(out.has_id);
	assert_true(id_equal(&out.id, &who.id));
	assert_int_equal(out.ifindex, 5);
	dialer_free(d);
	peers_free(p);
}

static void failures_back_off_and_never_end_for_a_static_peer(void **state)
{
	struct peers *p = make_peers(1);
	struct dialer *d = dialer_new(p, START);
	nsec now = START, last = START;

	(void)state;
	make_static(p, "bravo", "10.0.0.7", START);
	for (uint32_t i = 0; i < 200; i++) {
		struct dial out = next_dial(d, now);
		nsec want = backoff_nominal(i);

		if (i > 0)
			assert_in_range(now - last, want * 4 / 5, want * 6 / 5);
		last = now;
		dialer_handle_failed(d, out.no, PEER_ERROR_REFUSED, now);
		assert_idle(d, now);
		now = dialer_deadline(d);
	}
	dialer_free(d);
	peers_free(p);
}

static void a_hint_is_given_up_and_a_peer_that_was_met_rests(void **state)
{
	static const struct {
		bool is_identified;
		size_t per_day_min, per_day_max;
	} cases[] = {
		{ false, PEER_TRIES, PEER_TRIES },
		{ true, 80, 125 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct peers *p = make_peers(i);
		struct dialer *d = dialer_new(p, START);
		struct identity who = make_who(2007);
		size_t n = 0;

		make_hint(p, 2007, make_at4(7), 5, true, START);
		if (cases[i].is_identified)
			peers_handle_identity(p, &who, test_chain, 5, START);
		for (nsec t = START; t < START + 86400 * NS_PER_S;) {
			struct dial out;

			while (dialer_next(d, t, &out)) {
				n++;
				dialer_handle_failed(d, out.no,
						     PEER_ERROR_TIMEOUT, t);
			}
			t = dialer_deadline(d);
		}
		assert_in_range(n, cases[i].per_day_min, cases[i].per_day_max);
		dialer_free(d);
		peers_free(p);
	}
}

static void the_families_take_turns_with_a_stagger(void **state)
{
	static const char *const all[] = { "10.0.0.1", "10.0.0.2",
					   "[2001:db8::1]", "[2001:db8::2]" };
	static const int want[] = { AF_INET6, AF_INET, AF_INET6, AF_INET };
	struct peer_config c = { "bravo", all, 4 };
	struct peers *p = make_peers(1);
	struct dialer *d = dialer_new(p, START);
	nsec now = START;

	(void)state;
	peers_set_statics(p, &c, 1, START);
	for (size_t i = 0; i < 4; i++) {
		struct dial out = next_dial(d, now);

		assert_int_equal(out.at.sa.sa_family, want[i]);
		assert_idle(d, now);
		if (i < 3)
			assert_int_equal(dialer_deadline(d),
					 now + DIAL_STAGGER_NS);
		now += DIAL_STAGGER_NS;
	}
	dialer_free(d);
	peers_free(p);
}

static void the_endpoint_that_worked_comes_first(void **state)
{
	static const char *const all[] = { "[2001:db8::1]", "10.0.0.1" };
	struct peer_config c = { "bravo", all, 2 };
	struct peers *p = make_peers(1);
	struct dialer *d = dialer_new(p, START);
	nsec now = START + 60 * NS_PER_S;
	struct dial out;
	peer_no no;

	(void)state;
	peers_set_statics(p, &c, 1, START);
	make_up(p, 1, peers_next(p, NULL)->no, 7, make_at4(1), 0, START, &no);
	peers_handle_session_down(p, no, 1, PEER_ERROR_TIMEOUT, now);
	out = next_dial(d, now);
	assert_int_equal(out.at.sa.sa_family, AF_INET);
	dialer_free(d);
	peers_free(p);
}

static void reaching_a_peer_cancels_its_other_dials(void **state)
{
	struct peers *p = make_peers(1);
	struct dialer *d = dialer_new(p, START);
	nsec now = START + DIAL_STAGGER_NS;
	struct dial first, second, out;
	peer_no no;

	(void)state;
	make_hint(p, 2007, make_at6(7, 5), 5, true, START);
	make_hint(p, 2007, make_at4(7), 5, true, START);
	first = next_dial(d, START);
	assert_idle(d, START);
	second = next_dial(d, now);
	assert_int_equal(second.at.sa.sa_family, AF_INET);
	dialer_handle_up(d, first.no);
	make_up(p, 1, first.peer, 2007, first.at, 5, now, &no);
	out = next_dial(d, now);
	assert_int_equal(out.type, DIAL_CANCEL);
	assert_int_equal(out.no, second.no);
	assert_idle(d, now);
	/* What comes of it now is too late. */
	dialer_handle_failed(d, second.no, PEER_ERROR_TIMEOUT, now);
	assert_int_equal(dialer_counters(d)->n_stale, 1);
	assert_int_equal(peers_find_no(p, no)->last_error, PEER_ERROR_NONE);
	dialer_free(d);
	peers_free(p);
}

static void a_connected_peer_is_dialled_over_another_wire_only(void **state)
{
	struct peers *p = make_peers(1);
	struct dialer *d = dialer_new(p, START);
	struct dial out;
	peer_no no;

	(void)state;
	make_hint(p, 2007, make_at6(7, 5), 5, true, START);
	out = next_dial(d, START);
	dialer_handle_up(d, out.no);
	make_up(p, 1, out.peer, 2007, out.at, 5, START, &no);
	make_hint(p, 2007, make_at4(7), 5, true, START);
	assert_idle(d, START);
	make_hint(p, 2007, make_at4(8), 6, true, START);
	out = next_dial(d, START);
	assert_int_equal(out.ifindex, 6);
	dialer_handle_up(d, out.no);
	make_up(p, 2, out.peer, 2007, out.at, 6, START, &no);
	assert_idle(d, START);
	assert_int_equal(peers_find_no(p, no)->n_links, 2);
	dialer_free(d);
	peers_free(p);
}

static void a_lost_session_is_dialled_at_once_and_only_once(void **state)
{
	struct peers *p = make_peers(1);
	struct dialer *d = dialer_new(p, START);
	nsec now = START + PEER_HELD_NS;
	struct dial out;
	peer_no no;

	(void)state;
	make_static(p, "bravo", "10.0.0.7", START);
	out = next_dial(d, START);
	dialer_handle_up(d, out.no);
	make_up(p, 1, out.peer, 7, out.at, 0, START, &no);
	assert_idle(d, START);
	peers_handle_session_down(p, no, 1, PEER_ERROR_TIMEOUT, now);
	out = next_dial(d, now);
	dialer_handle_failed(d, out.no, PEER_ERROR_TIMEOUT, now);
	assert_idle(d, now);
	assert_in_range(dialer_deadline(d), now + 400 * NS_PER_MS,
			now + 600 * NS_PER_MS);
	dialer_free(d);
	peers_free(p);
}

static void an_answer_that_never_comes_is_a_failure(void **state)
{
	struct peers *p = make_peers(1);
	struct dialer *d = dialer_new(p, START);
	nsec now = START + DIAL_GUARD_NS;
	struct dial first, out;

	(void)state;
	make_static(p, "bravo", "10.0.0.7", START);
	first = next_dial(d, START);
	assert_idle(d, START);
	assert_true(dialer_deadline(d) <= now);
	out = next_dial(d, now);
	assert_int_equal(out.type, DIAL_CANCEL);
	assert_int_equal(out.no, first.no);
	assert_idle(d, now);
	assert_int_equal(dialer_counters(d)->n_unanswered, 1);
	assert_int_equal(peers_next(p, NULL)->last_error, PEER_ERROR_TIMEOUT);
	dialer_free(d);
	peers_free(p);
}

static void a_name_is_looked_up_and_then_dialled(void **state)
{
	struct peers *p = make_peers(1);
	struct dialer *d = dialer_new(p, START);
	union endpoint list[] = { make_at4(1) };
	struct dial out;
	uint32_t lookup;

	(void)state;
	make_static(p, "bravo", "b.example:4000", START);
	out = next_dial(d, START);
	assert_int_equal(out.type, DIAL_RESOLVE);
	assert_string_equal(out.host, "b.example");
	assert_int_equal(out.port, 4000);
	lookup = out.no;
	assert_idle(d, START);
	dialer_handle_resolved(d, lookup, list, 1, START);
	out = next_dial(d, START);
	assert_int_equal(out.type, DIAL_START);
	assert_true(endpoint_equal(&out.at, &list[0]));
	dialer_handle_resolved(d, lookup, list, 1, START);
	assert_int_equal(dialer_counters(d)->n_stale, 1);
	dialer_free(d);
	peers_free(p);
}

static void a_name_without_address_is_asked_for_with_back_off(void **state)
{
	struct peers *p = make_peers(1);
	struct dialer *d = dialer_new(p, START);
	nsec now = START, last = START;

	(void)state;
	make_static(p, "bravo", "b.example", START);
	for (uint32_t i = 0; i < 50; i++) {
		struct dial out = next_dial(d, now);

		assert_int_equal(out.type, DIAL_RESOLVE);
		if (i > 0)
			assert_in_range(now - last, backoff_nominal(i) * 4 / 5,
					backoff_nominal(i) * 6 / 5);
		last = now;
		dialer_handle_resolved(d, out.no, NULL, 0, now);
		assert_idle(d, now);
		now = dialer_deadline(d);
	}
	dialer_free(d);
	peers_free(p);
}

static void dials_at_the_same_time_are_limited(void **state)
{
	struct peers *p = make_peers(1);
	struct dialer *d = dialer_new(p, START);
	const nsec now = START + 60 * NS_PER_S;
	struct dial out[DIALS_MAX];
	size_t n = 0;

	(void)state;
	for (uint32_t i = 0; i < 2 * DIALS_MAX; i++)
		make_hint(p, 2000 + i, make_at4(i), 5, true, START);
	for (nsec t = now; t < now + 5 * NS_PER_S; t += 100 * NS_PER_MS)
		while (n <= DIALS_MAX && dialer_next(d, t, &out[n]))
			n++;
	assert_int_equal(n, DIALS_MAX);
	dialer_handle_failed(d, out[3].no, PEER_ERROR_REFUSED,
			     now + 5 * NS_PER_S);
	assert_int_equal(next_dial(d, now + 5 * NS_PER_S).type, DIAL_START);
	assert_idle(d, now + 5 * NS_PER_S);
	dialer_free(d);
	peers_free(p);
}

static void the_configuration_goes_before_hints(void **state)
{
	struct peers *p = make_peers(1);
	struct dialer *d = dialer_new(p, START);

	(void)state;
	for (uint32_t i = 0; i < 100; i++)
		make_hint(p, 2000 + i, make_at4(100 + i), 5, true, START);
	make_static(p, "bravo", "10.0.0.7", START + NS_PER_S);
	assert_false(next_dial(d, START + NS_PER_S).has_id);
	dialer_free(d);
	peers_free(p);
}

static void half_of_the_room_is_left_to_those_who_call(void **state)
{
	struct peers *p = make_peers(1);
	struct dialer *d = dialer_new(p, START);
	struct dial out;
	peer_no no;

	(void)state;
	for (uint32_t i = 0; i < DIAL_LEARNT_MAX; i++) {
		assert_int_equal(make_up(p, i + 1, 0, 3000 + i, make_at4(i), 5,
					 START, &no),
				 PEERS_OK);
		if (i + 2 != DIAL_LEARNT_MAX)
			continue;
		make_hint(p, 2001, make_at4(5001), 5, true, START);
		out = next_dial(d, START);
		dialer_handle_failed(d, out.no, PEER_ERROR_REFUSED, START);
	}
	make_hint(p, 2002, make_at4(5002), 5, true, START);
	assert_idle(d, START);
	make_static(p, "bravo", "10.0.0.7", START);
	assert_false(next_dial(d, START).has_id);
	dialer_free(d);
	peers_free(p);
}

static void one_endpoint_is_dialled_once_whoever_is_said_to_be_there(
	void **state)
{
	struct peers *p = make_peers(1);
	struct dialer *d = dialer_new(p, START);

	(void)state;
	make_hint(p, 2001, make_at4(7), 5, true, START);
	make_hint(p, 2002, make_at4(7), 5, true, START);
	next_dial(d, START);
	assert_idle(d, START);
	dialer_free(d);
	peers_free(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(
			a_static_peer_is_dialled_at_once_whoever_it_is),
		cmocka_unit_test(
			a_hint_is_dialled_for_its_id_over_its_interface),
		cmocka_unit_test(
			failures_back_off_and_never_end_for_a_static_peer),
		cmocka_unit_test(
			a_hint_is_given_up_and_a_peer_that_was_met_rests),
		cmocka_unit_test(the_families_take_turns_with_a_stagger),
		cmocka_unit_test(the_endpoint_that_worked_comes_first),
		cmocka_unit_test(reaching_a_peer_cancels_its_other_dials),
		cmocka_unit_test(
			a_connected_peer_is_dialled_over_another_wire_only),
		cmocka_unit_test(
			a_lost_session_is_dialled_at_once_and_only_once),
		cmocka_unit_test(an_answer_that_never_comes_is_a_failure),
		cmocka_unit_test(a_name_is_looked_up_and_then_dialled),
		cmocka_unit_test(
			a_name_without_address_is_asked_for_with_back_off),
		cmocka_unit_test(dials_at_the_same_time_are_limited),
		cmocka_unit_test(the_configuration_goes_before_hints),
		cmocka_unit_test(half_of_the_room_is_left_to_those_who_call),
		cmocka_unit_test(
			one_endpoint_is_dialled_once_whoever_is_said_to_be_there),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
