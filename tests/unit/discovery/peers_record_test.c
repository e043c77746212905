#include "discovery/peers_record.h"

#include "tests/unit/discovery/peer_help.h"

/* Node 7, met as the static peer "bravo", with three endpoints of which one is
 * link-local. */
static struct peers *make_met(peer_no *no)
{
	struct peers *p = make_peers(1);

	make_static(p, "bravo", "10.0.0.7", START);
	make_up(p, 1, peers_next(p, NULL)->no, 7, make_at4(7), 0, START, no);
	make_hint(p, 7, make_at4(8), 3, true, START);
	make_hint(p, 7, make_at6(7, 3), 3, true, START);
	peers_handle_session_down(p, *no, 1, PEER_ERROR_TIMEOUT,
				  START + 60 * NS_PER_S);
	return p;
}

static size_t write_met(uint8_t data[PEER_RECORD_MAX])
{
	peer_no no;
	struct peers *p = make_met(&no);
	size_t len = peers_record_write(p, peers_find_no(p, no), data,
					PEER_RECORD_MAX, START + 60 * NS_PER_S);

	assert_true(len > 0);
	peers_free(p);
	return len;
}

static void what_is_written_is_loaded(void **state)
{
	uint8_t data[PEER_RECORD_MAX];
	size_t len = write_met(data);
	struct identity who = make_who(7);
	struct peers *p = make_peers(2);
	struct peers_event ev;
	const struct peer *peer;
	struct peer_record r;

	(void)state;
	make_static(p, "bravo", "10.0.0.7", START);
	/* A minute later, and a start later. */
	peers_set_wall(p, WALL_MS + 120000, START);
	assert_true(peers_record_parse(&r, data, len));
	assert_int_equal(r.chain_len, sizeof test_chain);
	assert_memory_equal(r.chain, test_chain, sizeof test_chain);
	assert_string_equal(r.name, "bravo");
	assert_int_equal(peers_load(p, &r, &who, START), PEERS_OK);
	assert_int_equal(peers_count(p), 1);
	peer = peers_find(p, &who.id);
	assert_true(peer->is_identified);
	assert_string_equal(peer->statics->name, "bravo");
	assert_int_equal(peer->last_error, PEER_ERROR_TIMEOUT);
	assert_int_equal(peer->first_seen_ms, WALL_MS);
	assert_int_equal(peer->last_seen_ms, WALL_MS + 60000);
	/* Not the link-local one. */
	assert_int_equal(peer->n_endpoints, 2);
	assert_int_equal(peer->endpoints[0].source, ENDPOINT_STATIC);
	assert_int_equal(peer->endpoints[0].last_success_ms, WALL_MS);
	assert_int_equal(peer->endpoints[1].source, ENDPOINT_BEACON);
	assert_int_equal(peer->endpoints[1].last_heard_ms, WALL_MS);
	assert_true(score_at(&peer->endpoints[0].score, START) > SCORE_NEUTRAL);
	/* The database has it already. */
	assert_false(peers_next_event(p, &ev));
	peers_free(p);
}

static void only_identified_peers_have_a_record(void **state)
{
	uint8_t data[PEER_RECORD_MAX];
	struct peers *p = make_peers(1);

	(void)state;
	make_hint(p, 7, make_at4(8), 3, true, START);
	assert_int_equal(peers_record_write(p, peers_next(p, NULL), data,
					    sizeof data, START),
			 0);
	peers_free(p);
}

static void the_largest_record_fits(void **state)
{
	static uint8_t chain[CHAIN_BYTES_MAX];
	uint8_t data[PEER_RECORD_MAX];
	struct identity who = make_who(7);
	struct peers *p = make_peers(1);
	char name[NAME_BYTES_MAX + 1] = { 0 };
	struct peer_record r;
	size_t len;
	peer_no no;

	(void)state;
	memset(name, 'x', NAME_BYTES_MAX);
	make_static(p, name, "10.0.0.7", START);
	make_up(p, 1, peers_next(p, NULL)->no, 7, make_at4(7), 0, START, &no);
	peers_handle_identity(p, &who, chain, sizeof chain, START);
	for (uint8_t i = 1; i < ENDPOINTS_PER_PEER_MAX; i++) {
		union endpoint at = make_at("[2001:db8::1]:4433");

		at.in6.sin6_addr.s6_addr[15] = i;
		make_hint(p, 7, at, 3, true, START);
	}
	len = peers_record_write(p, peers_find_no(p, no), data, sizeof data,
				 START);
	assert_true(len > CHAIN_BYTES_MAX);
	assert_true(peers_record_parse(&r, data, len));
	assert_int_equal(r.n_endpoints, ENDPOINTS_PER_PEER_MAX);
	assert_int_equal(strlen(r.name), NAME_BYTES_MAX);
	for (size_t cap = 0; cap < len; cap++)
		assert_int_equal(peers_record_write(p, peers_find_no(p, no),
						    data, cap, START),
				 0);
	peers_free(p);
}

static void a_cut_or_longer_record_is_refused(void **state)
{
	uint8_t data[PEER_RECORD_MAX + 1] = { 0 };
	size_t len = write_met(data);
	struct peer_record r;

	(void)state;
	for (size_t n = 0; n < len; n++) {
		/* At its exact size, for the sanitizer. */
		uint8_t *cut = mem_calloc(n, 1);

		memcpy(cut, data, n);
		assert_false(peers_record_parse(&r, cut, n));
		free(cut);
	}
	assert_true(peers_record_parse(&r, data, len));
	assert_false(peers_record_parse(&r, data, len + 1));
}

/* Where the fields are in write_met()'s record. */
static void each_field_is_checked(void **state)
{
	enum {
		NAME = 30,
		CHAIN = NAME + 1 + 5,
		ENDPOINTS = CHAIN + 2 + sizeof test_chain,
		FIRST = ENDPOINTS + 1,
	};
	static const struct {
		const char *why;
		size_t at;
		uint8_t to;
		bool want;
	} cases[] = {
		{ "unchanged", 0, PEER_RECORD_VERSION, true },
		{ "version 0", 0, 0, false },
		{ "a later version", 0, PEER_RECORD_VERSION + 1, false },
		{ "an error of a later version", 1, 0xff, true },
		{ "a name longer than may be", NAME, 64, false },
		{ "a NUL in the name", NAME + 2, 0, false },
		{ "a chain longer than may be", CHAIN, 0x11, false },
		{ "a chain of another length", CHAIN + 1, 4, false },
		{ "nine endpoints", ENDPOINTS, 9, false },
		{ "one endpoint less than there are", ENDPOINTS, 1, false },
		{ "an endpoint of no family", FIRST + 1, 5, false },
		{ "an endpoint of another length", FIRST, 6, false },
		{ "an endpoint of no length", FIRST, 0, false },
		{ "an unknown source", FIRST + 8, ENDPOINT_SOURCES, false },
		{ "the configuration is not in the database", FIRST + 8,
		  ENDPOINT_STATIC, false },
	};
	uint8_t data[PEER_RECORD_MAX];
	size_t len = write_met(data);

	(void)state;
	assert_int_equal(data[NAME], 5);
	assert_int_equal(data[ENDPOINTS], 2);
	assert_int_equal(data[FIRST], 7);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		uint8_t was = data[cases[i].at];
		struct peer_record r;

		data[cases[i].at] = cases[i].to;
		if (peers_record_parse(&r, data, len) != cases[i].want)
			fail_msg("%s", cases[i].why);
		data[cases[i].at] = was;
	}
}

static void a_score_from_the_database_has_faded(void **state)
{
	uint8_t data[PEER_RECORD_MAX];
	size_t len = write_met(data);
	struct identity who = make_who(7);
	struct peer_record r;

	(void)state;
	assert_true(peers_record_parse(&r, data, len));
	assert_true(r.score > SCORE_NEUTRAL);
	for (int i = 0; i < 2; i++) {
		struct peers *p = make_peers(1);
		uint32_t score;

		/* After ten years; with a clock of ten years ago. */
		peers_set_wall(p,
			       i == 0 ? WALL_MS + UINT64_C(315360000000)
				      : WALL_MS - UINT64_C(315360000000),
			       START);
		assert_int_equal(peers_load(p, &r, &who, START), PEERS_OK);
		score = score_at(&peers_find(p, &who.id)->score, START);
		assert_int_equal(score, i == 0 ? SCORE_NEUTRAL : r.score);
		peers_free(p);
	}
}

static void our_own_record_is_not_loaded(void **state)
{
	uint8_t data[PEER_RECORD_MAX];
	size_t len = write_met(data);
	struct identity self = make_who(1000);
	struct peers *p = make_peers(1);
	struct peer_record r;

	(void)state;
	assert_true(peers_record_parse(&r, data, len));
	assert_int_equal(peers_load(p, &r, &self, START), PEERS_SELF);
	assert_int_equal(peers_count(p), 0);
	peers_free(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_written_is_loaded),
		cmocka_unit_test(only_identified_peers_have_a_record),
		cmocka_unit_test(the_largest_record_fits),
		cmocka_unit_test(a_cut_or_longer_record_is_refused),
		cmocka_unit_test(each_field_is_checked),
		cmocka_unit_test(a_score_from_the_database_has_faded),
		cmocka_unit_test(our_own_record_is_not_loaded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
