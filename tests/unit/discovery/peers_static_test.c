/* Peers of the configuration, their addresses and names. */
#include "discovery/peers.h"

#include "tests/unit/discovery/peer_help.h"

static void a_reload_keeps_what_is_unchanged(void **state)
{
	static const char *const before[] = { "10.0.0.7", "b.example:4000" };
	static const char *const after[] = { "b.example:4000", "10.0.0.8" };
	struct peer_config c[] = { { "bravo", before, 2 },
				   { "carol", before, 1 } };
	struct peers *p = make_peers(1);
	const struct peer *peer;
	uint32_t address;
	peer_no no;

	(void)state;
	assert_int_equal(peers_set_statics(p, c, 2, START), 0);
	assert_int_equal(peers_count(p), 2);
	peer = peers_next(p, NULL);
	no = peer->no;
	address = peer->statics->addresses[1].no;
	peers_handle_dial_failed(p, no, AT(make_at4(7)), PEER_ERROR_REFUSED,
				 START);
	assert_int_equal(peers_set_statics(p, c, 2, START), 0);
	assert_int_equal(peer->no, no);
	assert_int_equal(peer->endpoints[0].backoff.n_failures, 1);
	assert_int_equal(peer->n_endpoints, 1);

	c[0].addresses = after;
	assert_int_equal(peers_set_statics(p, c, 1, START), 0);
	assert_int_equal(peers_count(p), 1);
	peer = peers_next(p, NULL);
	assert_int_equal(peer->no, no);
	assert_int_equal(peer->n_endpoints, 1);
	assert_true(endpoint_equal(&peer->endpoints[0].at, AT(make_at4(8))));
	assert_int_equal(peer->statics->n_addresses, 2);
	assert_int_equal(peer->statics->addresses[0].no, address);
	assert_null(peer->statics->next);
	assert_int_equal(peers_set_statics(p, NULL, 0, START), 0);
	assert_int_equal(peers_count(p), 0);
	peers_free(p);
}

static void who_leaves_the_configuration_stays_if_it_was_met(void **state)
{
	struct peers *p = make_peers(1);
	peer_no no;

	(void)state;
	make_static(p, "bravo", "10.0.0.7", START);
	make_up(p, 1, peers_next(p, NULL)->no, 7, make_at4(7), 0, START, &no);
	peers_set_statics(p, NULL, 0, START);
	assert_int_equal(peers_count(p), 1);
	assert_null(find(p, 7)->statics);
	assert_int_equal(find(p, 7)->endpoints[0].source, ENDPOINT_SEEN);
	peers_free(p);
}

static void malformed_addresses_are_left_out_and_counted(void **state)
{
	static const char *const bad[] = { "10.0.0.7:0", "", "a b", "10.0.0.7",
					   "[::1" };
	struct peer_config c = { "bravo", bad, ARRAY_LEN(bad) };
	struct peers *p = make_peers(1);

	(void)state;
	assert_int_equal(peers_set_statics(p, &c, 1, START), 4);
	assert_int_equal(peers_next(p, NULL)->n_endpoints, 1);
	peers_free(p);
}

static void a_resolution_replaces_the_one_before(void **state)
{
	union endpoint first[] = { make_at4(1), make_at4(2) };
	union endpoint then[] = { make_at4(2), make_at4(3) };
	struct peers *p = make_peers(1);
	const struct peer *peer;
	uint32_t address;

	(void)state;
	make_static(p, "bravo", "b.example:4000", START);
	peer = peers_next(p, NULL);
	address = peer->statics->addresses[0].no;
	assert_string_equal(peer->statics->addresses[0].host, "b.example");
	assert_int_equal(peer->statics->addresses[0].port, 4000);
	peers_handle_resolved(p, peer->no, address, first, 2, START);
	assert_int_equal(peer->n_endpoints, 2);
	peers_handle_dial_failed(p, peer->no, &first[1], PEER_ERROR_REFUSED,
				 START);
	peers_handle_resolved(p, peer->no, address, then, 2, START);
	assert_int_equal(peer->n_endpoints, 2);
	assert_true(endpoint_equal(&peer->endpoints[0].at, &then[0]));
	assert_int_equal(peer->endpoints[0].backoff.n_failures, 1);
	assert_true(endpoint_equal(&peer->endpoints[1].at, &then[1]));
	/* A failure leaves them: they may well be good still. */
	peers_handle_resolved(p, peer->no, address, NULL, 0, START);
	assert_int_equal(peer->n_endpoints, 2);
	assert_int_equal(peer->statics->addresses[0].backoff.n_failures, 1);
	peers_free(p);
}

static void a_name_without_an_address_is_the_error(void **state)
{
	struct peers *p = make_peers(1);
	const struct peer *peer;

	(void)state;
	make_static(p, "bravo", "nowhere.example", START);
	peer = peers_next(p, NULL);
	peers_handle_resolved(p, peer->no, peer->statics->addresses[0].no, NULL,
			      0, START);
	assert_int_equal(peer->last_error, PEER_ERROR_NAME);
	assert_string_equal(peer_error_text(peer->last_error),
			    "its name has no address");
	peers_free(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_reload_keeps_what_is_unchanged),
		cmocka_unit_test(
			who_leaves_the_configuration_stays_if_it_was_met),
		cmocka_unit_test(malformed_addresses_are_left_out_and_counted),
		cmocka_unit_test(a_resolution_replaces_the_one_before),
		cmocka_unit_test(a_name_without_an_address_is_the_error),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
