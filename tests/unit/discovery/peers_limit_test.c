/* PEERS_MAX: how many peers may have sessions, and who gives way. */
#include "discovery/peers.h"

#include "tests/unit/discovery/peer_help.h"

/* Of node `i`, and of its one endpoint and session. */
static enum peers_verdict meet(struct peers *p, uint32_t i, nsec now)
{
	peer_no no;

	return make_up(p, i, 0, 2000 + i, make_at4(i), 1, now, &no);
}

static const struct peer *met(const struct peers *p, uint32_t i)
{
	struct identity id = make_who(2000 + i);

	return peers_find(p, &id.id);
}

static void meet_all(struct peers *p, uint32_t n)
{
	for (uint32_t i = 1; i <= n; i++)
		assert_int_equal(meet(p, i, START), PEERS_OK);
	assert_int_equal(peers_connected(p), n);
}

/* Long after: all scores are what they were in the beginning. */
#define LATER (START + 100 * SCORE_HALF_LIFE_NS)

static void as_many_as_the_limit_are_let_in(void **state)
{
	struct peers *p = make_peers(1);
	uint32_t session;

	(void)state;
	meet_all(p, PEERS_MAX - 1);
	assert_int_equal(meet(p, PEERS_MAX, LATER), PEERS_OK);
	assert_int_equal(meet(p, PEERS_MAX + 1, LATER), PEERS_FULL);
	assert_int_equal(peers_connected(p), PEERS_MAX);
	assert_int_equal(peers_counters(p)->n_up[PEERS_FULL], 1);
	assert_int_equal(peers_counters(p)->n_refused, 1);
	assert_int_equal(peers_counters(p)->n_dismissed, 0);
	assert_false(peers_next_dismissed(p, &session));
	peers_free(p);
}

static void a_place_that_is_free_again_is_given_away(void **state)
{
	struct peers *p = make_peers(1);

	(void)state;
	meet_all(p, PEERS_MAX);
	peers_handle_session_down(p, met(p, 5)->no, 5, PEER_ERROR_NONE, LATER);
	assert_int_equal(meet(p, PEERS_MAX + 1, LATER), PEERS_OK);
	peers_free(p);
}

static void a_second_session_of_a_peer_takes_no_place(void **state)
{
	struct peers *p = make_peers(1);
	peer_no no;

	(void)state;
	meet_all(p, PEERS_MAX);
	assert_int_equal(make_up(p, 7000, 0, 2001, make_at4(1), 2, LATER, &no),
			 PEERS_OK);
	assert_int_equal(peers_connected(p), PEERS_MAX);
	peers_free(p);
}

/* It was lost and came back: worse than one of which nothing is known. */
static void make_worse(struct peers *p, uint32_t i, nsec now)
{
	peers_handle_session_down(p, met(p, i)->no, i, PEER_ERROR_TIMEOUT, now);
	peers_handle_dial_failed(p, met(p, i)->no, &met(p, i)->endpoints[0].at,
				 PEER_ERROR_TIMEOUT, now);
	assert_int_equal(meet(p, i, now), PEERS_OK);
}

static void the_worst_gives_way_to_a_better_one(void **state)
{
	struct peers *p = make_peers(1);
	uint32_t session;
	peer_no no;

	(void)state;
	meet_all(p, PEERS_MAX);
	/* All of its sessions will end. */
	make_up(p, 7009, 0, 2009, make_at4(7009), 2, START, &no);
	make_worse(p, 7, LATER);
	make_worse(p, 9, LATER);
	make_worse(p, 9, LATER);

	assert_int_equal(meet(p, PEERS_MAX + 1, LATER), PEERS_OK);
	assert_int_equal(peers_connected(p), PEERS_MAX);
	assert_int_equal(met(p, 9)->n_links, 0);
	assert_int_equal(met(p, 9)->last_error, PEER_ERROR_LIMIT);
	assert_int_equal(peers_counters(p)->n_dismissed, 1);
	assert_true(peers_next_dismissed(p, &session));
	assert_true(session == 9 || session == 7009);
	assert_true(peers_next_dismissed(p, &session));
	assert_true(session == 9 || session == 7009);
	assert_false(peers_next_dismissed(p, &session));
	/* What the caller tells of their ends changes nothing. */
	peers_handle_session_down(p, met(p, 9)->no, 9, PEER_ERROR_NONE, LATER);
	assert_int_equal(peers_connected(p), PEERS_MAX);

	/* It does not come back by that, nor does its like. */
	assert_int_equal(meet(p, 9, LATER), PEERS_FULL);
	assert_int_equal(met(p, 7)->n_links, 1);
	peers_free(p);
}

static void one_of_the_configuration_always_gets_in(void **state)
{
	struct peers *p = make_peers(1);
	uint32_t session;
	peer_no no;

	(void)state;
	make_static(p, "bravo", "192.0.2.7", START);
	no = peers_next(p, NULL)->no;
	meet_all(p, PEERS_MAX);
	assert_int_equal(
		make_up(p, 7000, no, 9000, make_at("192.0.2.7"), 1, LATER, &no),
		PEERS_OK);
	assert_int_equal(peers_connected(p), PEERS_MAX);
	assert_true(peers_next_dismissed(p, &session));
	/* Of equals the one that was met last. */
	assert_int_equal(session, PEERS_MAX);
	peers_free(p);
}

static void those_of_the_configuration_never_give_way(void **state)
{
	static char text[PEERS_MAX][16];
	const char *address[PEERS_MAX];
	struct peer_config list[PEERS_MAX];
	struct peers *p = make_peers(1);
	uint32_t session;

	(void)state;
	for (uint32_t i = 0; i < PEERS_MAX; i++) {
		snprintf(text[i], sizeof text[i], "10.0.%u.%u", (i + 1) / 256,
			 (i + 1) % 256);
		address[i] = text[i];
		list[i] = (struct peer_config){ text[i], &address[i], 1 };
	}
	assert_int_equal(peers_set_statics(p, list, PEERS_MAX, START), 0);
	meet_all(p, PEERS_MAX);
	for (uint32_t i = 1; i <= PEERS_MAX; i++)
		make_worse(p, i, LATER);
	assert_int_equal(meet(p, PEERS_MAX + 1, LATER), PEERS_FULL);
	assert_false(peers_next_dismissed(p, &session));
	/* One of them that the configuration does not name any more may. */
	assert_int_equal(peers_set_statics(p, list, PEERS_MAX - 1, LATER), 0);
	assert_int_equal(meet(p, PEERS_MAX + 1, LATER), PEERS_OK);
	assert_true(peers_next_dismissed(p, &session));
	assert_int_equal(session, PEERS_MAX);
	peers_free(p);
}

static void who_is_to_be_told_has_a_limit(void **state)
{
	struct peers *p = make_peers(1);
	enum peers_verdict v = PEERS_OK;
	uint32_t n = 0, session;

	(void)state;
	meet_all(p, PEERS_MAX);
	for (uint32_t i = 1; i <= PEERS_MAX; i++)
		make_worse(p, i, LATER);
	while (v == PEERS_OK)
		v = meet(p, PEERS_MAX + ++n, LATER);
	assert_int_equal(v, PEERS_FULL);
	assert_int_equal(n, PEERS_DISMISSED_MAX + 1);
	while (n-- > 1)
		assert_true(peers_next_dismissed(p, &session));
	assert_false(peers_next_dismissed(p, &session));
	assert_int_equal(meet(p, 5000, LATER), PEERS_OK);
	peers_free(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(as_many_as_the_limit_are_let_in),
		cmocka_unit_test(a_place_that_is_free_again_is_given_away),
		cmocka_unit_test(a_second_session_of_a_peer_takes_no_place),
		cmocka_unit_test(the_worst_gives_way_to_a_better_one),
		cmocka_unit_test(one_of_the_configuration_always_gets_in),
		cmocka_unit_test(those_of_the_configuration_never_give_way),
		cmocka_unit_test(who_is_to_be_told_has_a_limit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
