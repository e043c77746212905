/* What was seen of a peer, and when it is worth another dial. */
#include "discovery/peers.h"

#include "tests/unit/discovery/peer_help.h"

static void a_repeated_sighting_is_kept_seldom(void **state)
{
	struct peers *p = make_peers(1);
	const nsec hour = 3600 * NS_PER_S;
	peer_no no;

	(void)state;
	make_up(p, 1, 0, 7, make_at4(1), 1, START, &no);
	drain(p, PEER_SIGHTED, NULL);
	/* Two wires, a beacon on each, every half minute. */
	for (nsec t = 0; t < hour; t += BEACON_PERIOD_NS) {
		make_hint(p, 7, make_at4(2), 2, false, START + t);
		make_hint(p, 7, make_at4(3), 3, false, START + t);
	}
	assert_int_equal(drain(p, PEER_SIGHTED, NULL), 2 * 6);
	peers_free(p);
}

static void a_session_that_held_is_dialled_again_at_once(void **state)
{
	static const struct {
		const char *why;
		nsec held;
		peer_error error;
		nsec min, max;
	} cases[] = {
		{ "lost after a while", PEER_HELD_NS, PEER_ERROR_TIMEOUT, 0,
		  0 },
		{ "lost too soon", PEER_HELD_NS - 1, PEER_ERROR_TIMEOUT,
		  400 * NS_PER_MS, 600 * NS_PER_MS },
		{ "it said goodbye", PEER_HELD_NS, PEER_ERROR_CLOSED,
		  400 * NS_PER_MS, 600 * NS_PER_MS },
		{ "we closed a duplicate", PEER_HELD_NS, PEER_ERROR_NONE,
		  800 * NS_PER_MS, 1200 * NS_PER_MS },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct peers *p = make_peers(i);
		nsec down = START + cases[i].held, wait;
		const struct peer *peer;
		peer_no no;

		make_static(p, "bravo", "10.0.0.7", START);
		no = peers_next(p, NULL)->no;
		make_up(p, 1, no, 7, make_at4(7), 0, START, &no);
		peers_handle_session_down(p, no, 1, cases[i].error, down);
		peer = find(p, 7);
		wait = peer->endpoints[0].backoff.retry_at - down;
		if (wait < cases[i].min || wait > cases[i].max)
			fail_msg("%s: %llu ns", cases[i].why,
				 (unsigned long long)wait);
		assert_int_equal(peer->last_error, cases[i].error);
		peers_free(p);
	}
}

static void a_lost_session_gives_the_other_endpoints_a_chance(void **state)
{
	struct peers *p = make_peers(1);
	union endpoint other = make_at4(8);
	const struct peer *peer;
	nsec now = START + 3600 * NS_PER_S;
	peer_no no;

	(void)state;
	make_up(p, 1, 0, 7, make_at4(7), 1, START, &no);
	make_hint(p, 7, other, 2, true, START);
	peer = find(p, 7);
	for (int i = 0; i < 10; i++)
		peers_handle_dial_failed(p, no, &other, PEER_ERROR_TIMEOUT,
					 now - NS_PER_S);
	assert_true(peer->endpoints[1].backoff.retry_at > now + 600 * NS_PER_S);
	peers_handle_session_down(p, no, 1, PEER_ERROR_TIMEOUT, now);
	assert_true(peer->endpoints[1].backoff.retry_at <= now + NS_PER_S);
	peers_free(p);
}

static void who_fails_and_is_not_static_is_left_alone(void **state)
{
	static const struct {
		bool is_static, is_identified;
		nsec min, max; /* wait after PEER_TRIES failures */
	} cases[] = {
		{ true, false, 3200 * NS_PER_MS, 4800 * NS_PER_MS },
		{ false, true, PEER_REST_NS * 4 / 5, PEER_REST_NS * 6 / 5 },
		{ false, false, TIME_NEVER - START, TIME_NEVER - START },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct peers *p = make_peers(i);
		union endpoint at = make_at4(7);
		const struct peer *peer;
		nsec wait;

		if (cases[i].is_static)
			make_static(p, "bravo", "10.0.0.7", START);
		else
			make_hint(p, 7, at, 2, true, START);
		if (cases[i].is_identified) {
			struct identity who = make_who(7);

			peers_handle_identity(p, &who, test_chain, 5, START);
		}
		peer = peers_next(p, NULL);
		for (int j = 0; j < PEER_TRIES; j++)
			peers_handle_dial_failed(p, peer->no, &at,
						 PEER_ERROR_TIMEOUT, START);
		wait = peer->endpoints[0].backoff.retry_at - START;
		assert_in_range(wait, cases[i].min, cases[i].max);
		peers_free(p);
	}
}

static void a_beacon_revives_what_was_given_up(void **state)
{
	static const struct {
		const char *why;
		bool is_identified, is_fresh;
		nsec silence;
		nsec max;
	} cases[] = {
		{ "met before, and has just come back", true, true,
		  20 * NS_PER_S, 0 },
		{ "met before, and was silent for long", true, false,
		  80 * NS_PER_S, 0 },
		{ "met before, and lives on but does not answer", true, false,
		  30 * NS_PER_S, 72 * NS_PER_S },
		{ "anyone can claim to be fresh", false, true, 20 * NS_PER_S,
		  72 * NS_PER_S },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct peers *p = make_peers(i);
		union endpoint at = make_at4(2007);
		nsec now = START + cases[i].silence, wait;
		const struct peer *peer;

		/* Its id is the larger one: we need not wait. */
		make_hint(p, 2007, at, 2, true, START);
		if (cases[i].is_identified) {
			struct identity who = make_who(2007);

			peers_handle_identity(p, &who, test_chain, 5, START);
		}
		peer = peers_next(p, NULL);
		for (int j = 0; j < 8; j++)
			peers_handle_dial_failed(p, peer->no, &at,
						 PEER_ERROR_TIMEOUT, START);
		make_hint(p, 2007, at, 2, cases[i].is_fresh, now);
		wait = peer->endpoints[0].backoff.retry_at - now;
		if (wait > cases[i].max ||
		    (cases[i].max > 0 && wait < 48 * NS_PER_S))
			fail_msg("%s: %llu ns", cases[i].why,
				 (unsigned long long)wait);
		peers_free(p);
	}
}

static void of_two_that_meet_the_smaller_id_dials_first(void **state)
{
	struct peers *p = make_peers(1);

	(void)state;
	make_hint(p, 999, make_at4(1), 2, true, START);
	make_hint(p, 1001, make_at4(2), 2, true, START);
	assert_int_equal(find(p, 999)->endpoints[0].backoff.retry_at,
			 START + PEER_HINT_WAIT_NS);
	assert_int_equal(find(p, 1001)->endpoints[0].backoff.retry_at, START);
	peers_free(p);
}

static void another_node_at_a_hinted_endpoint_counts_as_failure(void **state)
{
	struct peers *p = make_peers(1);
	const struct peer *liar;
	peer_no no;

	(void)state;
	make_hint(p, 2007, make_at4(8), 2, true, START);
	liar = find(p, 2007);
	assert_int_equal(make_up(p, 1, liar->no, 8, make_at4(8), 2, START, &no),
			 PEERS_OK);
	assert_int_equal(no, find(p, 8)->no);
	assert_int_equal(liar->last_error, PEER_ERROR_IDENTITY);
	assert_int_equal(liar->endpoints[0].backoff.n_failures, 1);
	assert_int_equal(liar->n_links, 0);
	peers_free(p);
}

static void a_link_is_taken_by_interface(void **state)
{
	static const struct {
		uint32_t of_session, of_new;
		bool want;
	} cases[] = {
		{ 2, 2, true },
		{ 2, 3, false },
		{ 0, 3, true },
		{ 2, 0, true },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct peers *p = make_peers(1);
		peer_no no;

		make_up(p, 1, 0, 7, make_at4(7), cases[i].of_session, START,
			&no);
		assert_int_equal(
			peer_link_is_taken(find(p, 7), cases[i].of_new),
			cases[i].want);
		peers_handle_session_down(p, no, 1, PEER_ERROR_NONE, START);
		assert_false(peer_link_is_taken(find(p, 7), cases[i].of_new));
		peers_free(p);
	}
}

static void a_session_to_a_scoped_address_names_its_interface(void **state)
{
	struct peers *p = make_peers(1);
	peer_no no;

	(void)state;
	make_up(p, 1, 0, 7, make_at6(7, 4), 0, START, &no);
	assert_int_equal(find(p, 7)->links[0].ifindex, 4);
	make_hint(p, 8, make_at4(8), 6, true, START);
	make_up(p, 2, 0, 8, make_at4(8), 0, START, &no);
	assert_int_equal(find(p, 8)->links[0].ifindex, 6);
	peers_free(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_repeated_sighting_is_kept_seldom),
		cmocka_unit_test(a_session_that_held_is_dialled_again_at_once),
		cmocka_unit_test(
			a_lost_session_gives_the_other_endpoints_a_chance),
		cmocka_unit_test(who_fails_and_is_not_static_is_left_alone),
		cmocka_unit_test(a_beacon_revives_what_was_given_up),
		cmocka_unit_test(of_two_that_meet_the_smaller_id_dials_first),
		cmocka_unit_test(
			another_node_at_a_hinted_endpoint_counts_as_failure),
		cmocka_unit_test(a_link_is_taken_by_interface),
		cmocka_unit_test(
			a_session_to_a_scoped_address_names_its_interface),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
