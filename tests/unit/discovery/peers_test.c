#include "discovery/peers.h"

#include "tests/unit/discovery/peer_help.h"

/* The address of a value that lives as long as the block. */
#define AT(e) (&(union endpoint[]){ e }[0])

static const struct peer *find(const struct peers *p, uint32_t who)
{
	struct identity id = make_who(who);

	return peers_find(p, &id.id);
}

/* All events that are pending; how many of one type, the last one in `out`. */
static size_t drain(struct peers *p, enum peers_event_type type,
		    struct peers_event *out)
{
	struct peers_event ev;
	size_t n = 0;

	while (peers_next_event(p, &ev)) {
		if (ev.type != type)
			continue;
		n++;
		if (out != NULL)
			*out = ev;
	}
	return n;
}

/* ---- the three kinds ---- */

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

/* ---- bounds ---- */

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

/* ---- sightings and failures ---- */

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

/* ---- static peers ---- */

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
		cmocka_unit_test(hints_have_a_limit_of_their_own),
		cmocka_unit_test(
			a_full_table_gives_up_the_worst_and_never_the_dear),
		cmocka_unit_test(
			endpoints_are_bounded_and_the_static_ones_stay),
		cmocka_unit_test(one_static_address_too_many_is_left_out),
		cmocka_unit_test(sessions_to_one_peer_are_bounded),
		cmocka_unit_test(the_queue_of_events_loses_the_oldest),
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
		cmocka_unit_test(a_reload_keeps_what_is_unchanged),
		cmocka_unit_test(
			who_leaves_the_configuration_stays_if_it_was_met),
		cmocka_unit_test(malformed_addresses_are_left_out_and_counted),
		cmocka_unit_test(a_resolution_replaces_the_one_before),
		cmocka_unit_test(a_name_without_an_address_is_the_error),
		cmocka_unit_test(every_error_has_a_text),
		cmocka_unit_test(the_wall_clock_goes_with_the_time),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
