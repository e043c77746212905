#include "tests/unit/node/store_help.h"

static void what_was_put_is_there_after_a_restart(void **state)
{
	struct store *s;
	struct found f;

	(void)state;
	s = open_store();
	for (uint32_t i = 0; i < N_SAMPLES; i++)
		put_sample(s, STORE_PEERS, i);
	put_sample(s, STORE_ROUTES, 3);
	store_close(s);

	s = open_store();
	assert_int_equal(store_state(s), STORE_OK);
	assert_string_equal(store_state_text(s), "");
	f = look(s, STORE_PEERS);
	assert_int_equal(f.n, N_SAMPLES);
	assert_int_equal(f.n_wrong, 0);
	assert_int_equal(look(s, STORE_ROUTES).n, 1);
	assert_int_equal(look(s, STORE_NAMES).n, 0);
	store_close(s);
}

static void the_last_change_of_a_key_wins(void **state)
{
	uint32_t one = 1, two = 2;
	struct store *s = open_store();
	struct found f;

	(void)state;
	store_put(s, STORE_PEERS, &one, sizeof one, "old", 3);
	put_sample(s, STORE_PEERS, 1);
	put_sample(s, STORE_PEERS, 2);
	store_del(s, STORE_PEERS, &two, sizeof two);
	store_flush(s);
	store_del(s, STORE_PEERS, &two, sizeof two);
	store_close(s);
	s = open_store();
	f = look(s, STORE_PEERS);
	assert_int_equal(f.n, 1);
	assert_int_equal(f.is_there[1], 1);
	store_close(s);
}

static bool is_done;

static void stop_when_committed(void *ctx)
{
	const struct store_counters *n = store_counters(ctx);

	if (n->n_committed == n->n_changes) {
		is_done = true;
		loop_stop(loop);
	}
}

static void changes_are_gathered_and_committed_within_a_second(void **state)
{
	struct store *s = open_store();
	nsec start = loop_now(loop);

	(void)state;
	is_done = false;
	loop_on_turn_end(loop, stop_when_committed, s);
	put_sample(s, STORE_PEERS, 1);
	put_sample(s, STORE_PEERS, 2);
	assert_int_equal(store_counters(s)->n_commits, 0);
	assert_int_equal(store_counters(s)->n_waiting, 2);
	loop_run(loop);
	assert_true(is_done);
	assert_true(loop_now(loop) - start < NS_PER_S);
	assert_int_equal(store_counters(s)->n_commits, 1);
	assert_int_equal(store_counters(s)->n_waiting, 0);
	assert_int_equal(look(s, STORE_PEERS).n, 2);
	store_close(s);
}

static void stop_at_once(void *ctx)
{
	struct timer *t = ctx;

	if (loop_now(loop) >= t->at)
		loop_stop(loop);
}

static void do_nothing(struct timer *t)
{
	(void)t;
}

static void closing_while_the_worker_runs_loses_nothing(void **state)
{
	struct timer at = { .fire = do_nothing };
	struct store *s = open_store();

	(void)state;
	for (uint32_t i = 0; i < N_SAMPLES; i++)
		put_sample(s, STORE_PEERS, i);
	loop_on_turn_end(loop, stop_at_once, &at);
	loop_timer_set(loop, &at, loop_now(loop) + STORE_LATE_NS);
	loop_run(loop);
	put_sample(s, STORE_ROUTES, 1);
	store_close(s);
	loop_free(loop);
	loop = loop_new();
	s = open_store();
	assert_int_equal(look(s, STORE_PEERS).n, N_SAMPLES);
	assert_int_equal(look(s, STORE_ROUTES).n, 1);
	store_close(s);
}

static void a_second_daemon_is_refused(void **state)
{
	struct store *s = open_store(), *other = NULL;
	char want[256];

	(void)state;
	assert_int_equal(store_open(&other, loop, dir, why, sizeof why),
			 -EBUSY);
	snprintf(want, sizeof want, "%s is in use by another qanatd (pid %ld)",
		 dir, (long)getpid());
	assert_string_equal(why, want);
	put_sample(s, STORE_PEERS, 1);
	store_close(s);
	s = open_store();
	assert_int_equal(look(s, STORE_PEERS).n, 1);
	store_close(s);
}

static void old_events_are_pruned(void **state)
{
	struct store *s = open_store();

	(void)state;
	for (uint64_t i = 0; i < STORE_EVENTS_MAX + 50; i++) {
		store_put_event(s, i, "something happened");
		if (i % 4000 == 0)
			store_flush(s);
	}
	store_flush(s);
	assert_int_equal(look(s, STORE_EVENTS).n, STORE_EVENTS_MAX);
	assert_int_equal(store_counters(s)->n_events_pruned, 50);
	store_close(s);
}

static void the_map_grows_before_it_is_full(void **state)
{
	struct store *s = open_store();
	uint8_t *value = mem_calloc(STORE_VALUE_MAX, 1);

	(void)state;
	for (uint32_t i = 0; i < 3000; i++) {
		store_put(s, STORE_NAMES, &i, sizeof i, value, STORE_VALUE_MAX);
		if (i % 500 == 0)
			store_flush(s);
	}
	store_flush(s);
	free(value);
	assert_int_equal(store_state(s), STORE_OK);
	assert_int_equal(store_counters(s)->n_dropped, 0);
	assert_true(store_counters(s)->used_bytes > UINT64_C(3000) * 16384);
	assert_true(store_counters(s)->map_bytes >
		    store_counters(s)->used_bytes);
	store_close(s);
}

static void keys_and_values_are_bounded(void **state)
{
	uint8_t *value = mem_calloc(STORE_VALUE_MAX + 1, 1);
	struct store *s = open_store();

	(void)state;
	store_put(s, STORE_NAMES, value, STORE_KEY_MAX, value, STORE_VALUE_MAX);
	assert_int_equal(store_counters(s)->n_dropped, 0);
	store_put(s, STORE_NAMES, value, STORE_KEY_MAX, value,
		  STORE_VALUE_MAX + 1);
	assert_int_equal(store_counters(s)->n_dropped, 1);
	store_put(s, STORE_NAMES, value, STORE_KEY_MAX + 1, value, 1);
	assert_int_equal(store_counters(s)->n_dropped, 2);
	store_put(s, STORE_NAMES, value, 0, value, 1);
	assert_int_equal(store_counters(s)->n_dropped, 3);
	store_flush(s);
	assert_int_equal(store_counters(s)->n_committed, 1);
	free(value);
	store_close(s);
}

int main(void)
{
#define CASE(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		CASE(what_was_put_is_there_after_a_restart),
		CASE(the_last_change_of_a_key_wins),
		CASE(changes_are_gathered_and_committed_within_a_second),
		CASE(closing_while_the_worker_runs_loses_nothing),
		CASE(a_second_daemon_is_refused),
		CASE(old_events_are_pruned),
		CASE(the_map_grows_before_it_is_full),
		CASE(keys_and_values_are_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
