/* How much the peer table keeps, and what goes when it is full. */
#include "discovery/peers.h"

#include "tests/unit/discovery/peer_help.h"

static void hints_have_a_limit_of_their_own(void **state)
{
	struct peers *p = make_peers(1);

	(void)state;
	for (uint32_t i = 1; i <= PEERS_HINTS_MAX + 1; i++) {
		make_hint(p, 2000 + i, make_at4(i), 2, true, START);
		assert_int_equal(peers_count(p),
				 i <= PEERS_HINTS_MAX ? i : PEERS_HINTS_MAX);
	}
	assert_int_equal(peers_counters(p)->n_evicted, 1);
	/* Of equals the oldest goes. */
	assert_null(find(p, 2001));
	assert_non_null(find(p, 2000 + PEERS_HINTS_MAX + 1));
	peers_free(p);
}

static void a_full_table_gives_up_the_worst_and_never_the_dear(void **state)
{
	struct peers *p = make_peers(1);
	struct peers_event ev = { 0 };
	struct identity who;
	peer_no no;

	(void)state;
	make_static(p, "bravo", "10.0.0.7", START);
	assert_int_equal(make_up(p, 1, 0, 1, make_at4(1), 0, START, &no),
			 PEERS_OK);
	for (uint32_t i = 2; peers_count(p) < PEERS_KNOWN_MAX; i++) {
		who = make_who(2000 + i);
		assert_int_equal(
			peers_handle_identity(p, &who, test_chain, 5, START),
			PEERS_OK);
	}
	assert_int_equal(peers_counters(p)->n_evicted, 0);
	/* One of them has a worse record than the rest. */
	no = find(p, 2500)->no;
	peers_handle_dial_failed(p, no, AT(make_at4(5)), PEER_ERROR_TIMEOUT,
				 START);
	make_up(p, 5, 0, 2500, make_at4(5), 0, START, &no);
	peers_handle_session_down(p, no, 5, PEER_ERROR_TIMEOUT, START + 1);
	drain(p, PEER_GONE, NULL);

	/* A hint drives nobody out who is identified. */
	who = make_who(90000);
	assert_int_equal(
		peers_handle_hint(p, &who.id, AT(make_at4(9)), 0, true, START),
		PEERS_FULL);
	assert_int_equal(peers_count(p), PEERS_KNOWN_MAX);

	assert_int_equal(peers_handle_identity(p, &who, test_chain, 5, START),
			 PEERS_OK);
	assert_int_equal(peers_count(p), PEERS_KNOWN_MAX);
	assert_null(find(p, 2500));
	assert_int_equal(drain(p, PEER_GONE, &ev), 1);
	who = make_who(2500);
	assert_true(id_equal(&ev.id, &who.id));

	for (uint32_t i = 0; i < PEERS_KNOWN_MAX + 10; i++) {
		who = make_who(100000 + i);
		peers_handle_identity(p, &who, test_chain, 5, START);
		drain(p, PEER_GONE, NULL);
	}
	assert_int_equal(peers_count(p), PEERS_KNOWN_MAX);
	assert_non_null(find(p, 1));
	assert_string_equal(peers_next(p, NULL)->statics->name, "bravo");
	peers_free(p);
}

static void endpoints_are_bounded_and_the_static_ones_stay(void **state)
{
	struct peers *p = make_peers(1);
	const struct peer *peer;
	peer_no no;

	(void)state;
	make_static(p, "bravo", "10.0.0.7", START);
	make_up(p, 1, peers_next(p, NULL)->no, 7, make_at4(7), 0, START, &no);
	peer = find(p, 7);
	for (uint32_t i = 1; i < ENDPOINTS_PER_PEER_MAX + 2; i++) {
		make_hint(p, 7, make_at4(100 + i), 2, false,
			  START + i * NS_PER_S);
		assert_int_equal(peer->n_endpoints,
				 i < ENDPOINTS_PER_PEER_MAX
					 ? i + 1
					 : ENDPOINTS_PER_PEER_MAX);
	}
	assert_int_equal(peers_counters(p)->n_endpoints_replaced, 2);
	assert_int_equal(peer->endpoints[0].source, ENDPOINT_STATIC);
	assert_true(endpoint_equal(&peer->endpoints[0].at, AT(make_at4(7))));
	peers_free(p);
}

static void one_static_address_too_many_is_left_out(void **state)
{
	static const char *const all[] = {
		"10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.4", "10.0.0.5",
		"10.0.0.6", "10.0.0.7", "10.0.0.8", "10.0.0.9",
	};
	struct peers *p = make_peers(1);
	union endpoint at = make_at4(99);
	struct identity who = make_who(7);
	peer_no no;

	(void)state;
	for (size_t n = 7; n <= 9; n++) {
		struct peer_config c = { "bravo", all, n };

		assert_int_equal(peers_set_statics(p, &c, 1, START),
				 n <= ENDPOINTS_PER_PEER_MAX ? 0 : n - 8);
		assert_int_equal(peers_next(p, NULL)->n_endpoints,
				 n <= 8 ? n : 8);
	}
	/* Nor is there room for a beacon's. */
	make_up(p, 1, peers_next(p, NULL)->no, 7, make_at4(1), 0, START, &no);
	assert_int_equal(peers_handle_hint(p, &who.id, &at, 2, true, START),
			 PEERS_FULL);
	assert_int_equal(peers_counters(p)->n_hints_refused, 1);
	peers_free(p);
}

static void sessions_to_one_peer_are_bounded(void **state)
{
	struct peers *p = make_peers(1);
	peer_no no;

	(void)state;
	for (uint32_t i = 1; i <= PEER_LINKS_MAX + 1; i++)
		assert_int_equal(
			make_up(p, i, 0, 7, make_at4(i), i, START, &no),
			i <= PEER_LINKS_MAX ? PEERS_OK : PEERS_LINKS);
	assert_int_equal(find(p, 7)->n_links, PEER_LINKS_MAX);
	assert_int_equal(peers_connected(p), 1);
	for (uint32_t i = 1; i <= PEER_LINKS_MAX; i++)
		peers_handle_session_down(p, no, i, PEER_ERROR_NONE, START);
	assert_int_equal(peers_connected(p), 0);
	/* Twice is once. */
	peers_handle_session_down(p, no, 1, PEER_ERROR_NONE, START);
	assert_int_equal(peers_counters(p)->n_down, PEER_LINKS_MAX);
	peers_free(p);
}

static void the_queue_of_events_loses_the_oldest(void **state)
{
	struct peers *p = make_peers(1);
	struct peers_event ev;
	peer_no no;

	(void)state;
	for (uint32_t i = 0; i <= PEERS_EVENTS_MAX; i++) {
		make_up(p, i, 0, 7, make_at4(7), 0, START + i * NS_PER_S, &no);
		peers_handle_session_down(p, no, i, PEER_ERROR_NONE,
					  START + i * NS_PER_S);
	}
	assert_int_equal(peers_counters(p)->n_events_lost,
			 PEERS_EVENTS_MAX + 2);
	assert_true(peers_next_event(p, &ev));
	assert_true(ev.sighting.when_ms > WALL_MS);
	assert_int_equal(drain(p, PEER_SIGHTED, NULL), PEERS_EVENTS_MAX - 1);
	peers_free(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(hints_have_a_limit_of_their_own),
		cmocka_unit_test(
			a_full_table_gives_up_the_worst_and_never_the_dear),
		cmocka_unit_test(
			endpoints_are_bounded_and_the_static_ones_stay),
		cmocka_unit_test(one_static_address_too_many_is_left_out),
		cmocka_unit_test(sessions_to_one_peer_are_bounded),
		cmocka_unit_test(the_queue_of_events_loses_the_oldest),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
