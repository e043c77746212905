#include "discovery/peers.h"

#include "tests/unit/discovery/peer_help.h"

static void a_hint_is_known_but_not_believed(void **state)
{
	struct peers *p = make_peers(1);
	const struct peer *peer;

	(void)state;
	make_hint(p, 7, make_at6(7, 2), 2, true, START);
	peer = find(p, 7);
	assert_non_null(peer);
	assert_true(peer->has_id);
	assert_false(peer->is_identified);
	assert_int_equal(peer->n_endpoints, 1);
	assert_int_equal(peer->endpoints[0].source, ENDPOINT_BEACON);
	assert_int_equal(peer->endpoints[0].ifindex, 2);
	assert_int_equal(peer->n_sightings, 1);
	/* Nothing about it goes to the database. */
	assert_int_equal(drain(p, PEER_CHANGED, NULL), 0);
	peers_free(p);
}

static void a_session_makes_a_hint_an_identified_peer(void **state)
{
	struct peers *p = make_peers(1);
	struct peers_event ev = { 0 };
	const struct peer *peer;
	peer_no no = 0;

	(void)state;
	make_hint(p, 7, make_at4(7), 2, true, START);
	assert_int_equal(make_up(p, 1, find(p, 7)->no, 7, make_at4(7), 2,
				 START + NS_PER_S, &no),
			 PEERS_OK);
	peer = find(p, 7);
	assert_int_equal(no, peer->no);
	assert_true(peer->is_identified);
	assert_memory_equal(peer->chain, test_chain, sizeof test_chain);
	assert_int_equal(peer->n_links, 1);
	assert_int_equal(peers_connected(p), 1);
	assert_int_equal(peers_count(p), 1);
	assert_int_equal(peer->endpoints[0].last_success_ms, WALL_MS + 1000);
	assert_int_equal(peer->last_seen_ms, WALL_MS + 1000);
	assert_true(peers_next_event(p, &ev));
	assert_int_equal(ev.type, PEER_SIGHTED);
	assert_int_equal(ev.sighting.what, SIGHTING_UP);
	assert_int_equal(ev.sighting.when_ms, WALL_MS + 1000);
	assert_true(peers_next_event(p, &ev));
	assert_int_equal(ev.type, PEER_CHANGED);
	assert_true(id_equal(&ev.id, &peer->who.id));
	assert_false(peers_next_event(p, &ev));
	peers_free(p);
}

static void who_calls_us_is_known_by_where_it_called_from(void **state)
{
	struct peers *p = make_peers(1);
	peer_no no;

	(void)state;
	assert_int_equal(make_up(p, 1, 0, 7, make_at4(9), 0, START, &no),
			 PEERS_OK);
	assert_int_equal(find(p, 7)->endpoints[0].source, ENDPOINT_SEEN);
	peers_free(p);
}

static void a_static_peer_gets_its_identity_from_the_session(void **state)
{
	struct peers *p = make_peers(1);
	const struct peer *peer;
	peer_no no;

	(void)state;
	assert_int_equal(make_static(p, "bravo", "10.0.0.7", START), 0);
	peer = peers_next(p, NULL);
	assert_false(peer->has_id);
	assert_int_equal(make_up(p, 1, peer->no, 7, make_at4(7), 0, START, &no),
			 PEERS_OK);
	assert_int_equal(no, peer->no);
	assert_ptr_equal(find(p, 7), peer);
	assert_string_equal(peer->statics->name, "bravo");
	assert_int_equal(peers_count(p), 1);
	peers_free(p);
}

static void a_static_peer_that_was_known_already_is_one_peer(void **state)
{
	struct peers *p = make_peers(1);
	const struct peer *peer;
	peer_no no;

	(void)state;
	make_static(p, "bravo", "10.0.0.7", START);
	peer = peers_next(p, NULL);
	make_hint(p, 7, make_at6(7, 2), 2, true, START);
	assert_int_equal(peers_count(p), 2);
	assert_int_equal(make_up(p, 1, peer->no, 7, make_at4(7), 0, START, &no),
			 PEERS_OK);
	assert_int_equal(peers_count(p), 1);
	peer = find(p, 7);
	assert_int_equal(no, peer->no);
	assert_string_equal(peer->statics->name, "bravo");
	assert_int_equal(peer->n_endpoints, 2);
	assert_non_null(peer_endpoint_find(peer, AT(make_at4(7))));
	peers_free(p);
}

static void a_call_from_a_static_address_tells_who_lives_there(void **state)
{
	struct peers *p = make_peers(1);
	peer_no no;

	(void)state;
	make_static(p, "bravo", "10.0.0.7", START);
	assert_int_equal(make_up(p, 1, 0, 7, make_at4(7), 0, START, &no),
			 PEERS_OK);
	assert_int_equal(peers_count(p), 1);
	assert_string_equal(find(p, 7)->statics->name, "bravo");
	peers_free(p);
}

static void an_address_with_another_node_behind_it_moves_to_that(void **state)
{
	struct peers *p = make_peers(1);
	const struct peer *old, *new;
	peer_no no;

	(void)state;
	make_static(p, "bravo", "10.0.0.7", START);
	make_up(p, 1, peers_next(p, NULL)->no, 7, make_at4(7), 0, START, &no);
	peers_handle_session_down(p, no, 1, PEER_ERROR_TIMEOUT,
				  START + NS_PER_S);
	assert_int_equal(make_up(p, 2, no, 8, make_at4(7), 0,
				 START + 60 * NS_PER_S, &no),
			 PEERS_OK);
	old = find(p, 7);
	new = find(p, 8);
	assert_null(old->statics);
	assert_int_equal(old->n_endpoints, 0);
	assert_int_equal(no, new->no);
	assert_string_equal(new->statics->name, "bravo");
	assert_int_equal(new->endpoints[0].source, ENDPOINT_STATIC);
	assert_int_equal(peers_counters(p)->n_identity_changed, 1);
	peers_free(p);
}

static void we_are_not_our_own_peer(void **state)
{
	struct identity self = make_who(1000);
	union endpoint at = make_at4(1);
	struct peers *p = make_peers(1);
	const struct peer *peer;
	peer_no no = 77;

	(void)state;
	make_static(p, "me", "10.0.0.1", START);
	peer = peers_next(p, NULL);
	assert_int_equal(
		make_up(p, 1, peer->no, 1000, make_at4(1), 0, START, &no),
		PEERS_SELF);
	assert_int_equal(no, 77);
	assert_int_equal(peer->last_error, PEER_ERROR_SELF);
	assert_true(peer->endpoints[0].backoff.retry_at == TIME_NEVER);
	/* No reason makes us dial ourselves again. */
	peers_handle_network_changed(p, START + NS_PER_S);
	assert_true(peer->endpoints[0].backoff.retry_at == TIME_NEVER);
	assert_int_equal(peers_handle_hint(p, &self.id, &at, 0, true, START),
			 PEERS_SELF);
	assert_int_equal(peers_handle_identity(p, &self, test_chain, 5, START),
			 PEERS_SELF);
	assert_int_equal(peers_count(p), 1);
	peers_free(p);
}

static void another_key_with_the_same_id_is_refused(void **state)
{
	struct identity who = make_who(7);
	struct peers *p = make_peers(1);

	(void)state;
	assert_int_equal(peers_handle_identity(p, &who, test_chain, 5, START),
			 PEERS_OK);
	who.hash.b[31] ^= 1;
	assert_int_equal(peers_handle_identity(p, &who, test_chain, 5, START),
			 PEERS_CLASH);
	assert_int_equal(find(p, 7)->who.hash.b[31], 0);
	peers_free(p);
}

static void a_renewed_certificate_is_kept(void **state)
{
	const uint8_t renewed[] = { 0, 4, 9, 9, 9, 9 };
	struct identity who = make_who(7);
	struct peers *p = make_peers(1);

	(void)state;
	peers_handle_identity(p, &who, test_chain, sizeof test_chain, START);
	assert_int_equal(drain(p, PEER_CHANGED, NULL), 1);
	peers_handle_identity(p, &who, test_chain, sizeof test_chain, START);
	assert_int_equal(drain(p, PEER_CHANGED, NULL), 0);
	peers_handle_identity(p, &who, renewed, sizeof renewed, START);
	assert_int_equal(drain(p, PEER_CHANGED, NULL), 1);
	assert_int_equal(find(p, 7)->chain_len, sizeof renewed);
	peers_free(p);
}

static void every_error_has_a_text(void **state)
{
	(void)state;
	for (unsigned e = 0; e < PEER_ERRORS; e++)
		assert_true(strlen(peer_error_text((peer_error)e)) > 3);
	assert_string_equal(peer_error_text(PEER_ERRORS), "unknown");
	assert_string_equal(
		peer_error_text(PEER_ERROR_CERTIFICATE + CERT_EXPIRED),
		cert_verdict_text(CERT_EXPIRED));
	for (unsigned e = 0; e < 256; e++)
		assert_non_null(peer_error_text((peer_error)e));
	assert_string_equal(sighting_word(SIGHTING_FAILED), "failed");
	assert_string_equal(endpoint_source_word(ENDPOINT_SEEN), "seen");
}

static void the_wall_clock_goes_with_the_time(void **state)
{
	struct peers *p = make_peers(1);

	(void)state;
	assert_int_equal(peers_wall_ms(p, START + 5 * NS_PER_S),
			 WALL_MS + 5000);
	peers_set_wall(p, WALL_MS - 1000000, START + 9 * NS_PER_S);
	assert_int_equal(peers_wall_ms(p, START + 10 * NS_PER_S),
			 WALL_MS - 999000);
	peers_free(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_hint_is_known_but_not_believed),
		cmocka_unit_test(a_session_makes_a_hint_an_identified_peer),
		cmocka_unit_test(who_calls_us_is_known_by_where_it_called_from),
		cmocka_unit_test(
			a_static_peer_gets_its_identity_from_the_session),
		cmocka_unit_test(
			a_static_peer_that_was_known_already_is_one_peer),
		cmocka_unit_test(
			a_call_from_a_static_address_tells_who_lives_there),
		cmocka_unit_test(
			an_address_with_another_node_behind_it_moves_to_that),
		cmocka_unit_test(we_are_not_our_own_peer),
		cmocka_unit_test(another_key_with_the_same_id_is_refused),
		cmocka_unit_test(a_renewed_certificate_is_kept),
		cmocka_unit_test(every_error_has_a_text),
		cmocka_unit_test(the_wall_clock_goes_with_the_time),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
