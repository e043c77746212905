#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "node/peers/resolve.h"
#include "proto/base/log.h"
#include "proto/base/mem.h"

/* Names that fail without asking anybody: a label has 63 bytes at most. */
#define LABEL "x234567890x234567890x234567890x234567890x234567890x234567890x234"

struct world {
	struct loop *loop;
	struct resolve *r;
	uv_timer_t guard;
	size_t n_done;
	size_t n_wanted; /* then the loop stops */
	size_t n;        /* of the last answer */
	union endpoint list[ENDPOINTS_PER_PEER_MAX];
	struct resolve_ask *cancel; /* in the next callback */
};

static void give_up(uv_timer_t *t)
{
	(void)t;
	fprintf(stderr, "no answer in time\n");
	abort();
}

static int set_up(void **state)
{
	struct world *w = mem_new(w);

	log_set_level(LOG_LEVEL_WARN);
	w->loop = loop_new();
	w->r = resolve_new(w->loop);
	uv_timer_init(loop_uv(w->loop), &w->guard);
	uv_timer_start(&w->guard, give_up, 30000, 0);
	*state = w;
	return 0;
}

static int tear_down(void **state)
{
	struct world *w = *state;

	resolve_free(w->r);
	uv_close((uv_handle_t *)&w->guard, NULL);
	loop_free(w->loop);
	free(w);
	return 0;
}

static void done(void *ctx, const union endpoint *list, size_t n)
{
	struct world *w = ctx;

	w->n = n;
	if (n > 0)
		memcpy(w->list, list, n * sizeof *list);
	if (w->cancel != NULL) {
		resolve_cancel(w->cancel);
		w->cancel = NULL;
	}
	if (++w->n_done == w->n_wanted)
		loop_stop(w->loop);
}

static void run_until(struct world *w, size_t n_done)
{
	w->n_wanted = n_done;
	if (w->n_done < n_done)
		loop_run(w->loop);
	assert_int_equal(w->n_done, n_done);
}

static void a_name_becomes_endpoints_with_the_port(void **state)
{
	struct world *w = *state;
	bool is_loopback;

	loop_turn(w->loop);
	resolve_ask(w->r, "localhost", 4433, done, w);
	assert_int_equal(w->n_done, 0);
	run_until(w, 1);
	assert_true(w->n > 0);
	for (size_t i = 0; i < w->n; i++) {
		const union endpoint *e = &w->list[i];

		is_loopback =
			e->sa.sa_family == AF_INET6
				? IN6_IS_ADDR_LOOPBACK(&e->in6.sin6_addr)
				: ntohl(e->in.sin_addr.s_addr) >> 24 == 127;
		assert_true(is_loopback);
		assert_int_equal(ntohs(e->sa.sa_family == AF_INET6
					       ? e->in6.sin6_port
					       : e->in.sin_port),
				 4433);
	}
}

static void an_answer_is_kept_and_gets_the_port_of_who_asks(void **state)
{
	struct world *w = *state;

	resolve_ask(w->r, "localhost", 1, done, w);
	run_until(w, 1);
	resolve_ask(w->r, "localhost", 2, done, w);
	assert_int_equal(w->n_done, 1);
	run_until(w, 2);
	assert_int_equal(ntohs(w->list[0].in.sin_port), 2);
	assert_int_equal(resolve_counters(w->r)->n_lookups, 1);
	assert_int_equal(resolve_counters(w->r)->n_from_memory, 1);
}

static void two_who_ask_at_once_share_a_lookup(void **state)
{
	struct world *w = *state;

	for (int i = 0; i < 5; i++)
		resolve_ask(w->r, "localhost", 4433, done, w);
	run_until(w, 5);
	assert_int_equal(resolve_counters(w->r)->n_lookups, 1);
}

static void numbers_need_no_lookup(void **state)
{
	static const struct {
		const char *host;
		int family;
	} cases[] = {
		{ "192.0.2.1", AF_INET },
		{ "2001:db8::1", AF_INET6 },
	};
	struct world *w = *state;

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		resolve_ask(w->r, cases[i].host, 77, done, w);
		run_until(w, i + 1);
		assert_int_equal(w->n, 1);
		assert_int_equal(w->list[0].sa.sa_family, cases[i].family);
		assert_int_equal(ntohs(w->list[0].in6.sin6_port), 77);
	}
	assert_int_equal(resolve_counters(w->r)->n_lookups, 0);
}

static void a_failure_is_an_empty_answer_and_remembered(void **state)
{
	struct world *w = *state;

	w->n = 9;
	resolve_ask(w->r, LABEL, 4433, done, w);
	run_until(w, 1);
	assert_int_equal(w->n, 0);
	resolve_ask(w->r, LABEL, 4433, done, w);
	run_until(w, 2);
	assert_int_equal(w->n, 0);
	assert_int_equal(resolve_counters(w->r)->n_failed, 1);
	assert_int_equal(resolve_counters(w->r)->n_lookups, 1);
}

static void a_host_too_long_for_any_name_fails(void **state)
{
	struct world *w = *state;
	char host[300];

	memset(host, 'a', sizeof host - 1);
	host[sizeof host - 1] = '\0';
	w->n = 9;
	resolve_ask(w->r, host, 4433, done, w);
	assert_int_equal(w->n_done, 0);
	run_until(w, 1);
	assert_int_equal(w->n, 0);
}

static void who_cancels_hears_nothing(void **state)
{
	struct world *w = *state;
	struct resolve_ask *a, *b;

	/* While it waits for the thread, and when its answer is ready. */
	a = resolve_ask(w->r, "localhost", 1, done, w);
	b = resolve_ask(w->r, "192.0.2.1", 2, done, w);
	resolve_cancel(a);
	resolve_cancel(b);
	resolve_ask(w->r, "localhost", 3, done, w);
	run_until(w, 1);
	assert_int_equal(ntohs(w->list[0].in.sin_port), 3);
	/* And from the callback of another one. */
	resolve_ask(w->r, "192.0.2.1", 4, done, w);
	w->cancel = resolve_ask(w->r, "192.0.2.2", 5, done, w);
	resolve_ask(w->r, "192.0.2.3", 6, done, w);
	run_until(w, 3);
	assert_int_equal(ntohs(w->list[0].in.sin_port), 6);
}

static void memory_holds_so_many_names_and_no_more(void **state)
{
	struct world *w = *state;
	char host[sizeof LABEL + 24];

	for (size_t i = 0; i < RESOLVE_NAMES_MAX + 1; i++) {
		resolve_ask(w->r, "localhost", 1, done, w);
		run_until(w, 2 * i + 1);
		snprintf(host, sizeof host, "%zu" LABEL, i);
		resolve_ask(w->r, host, 1, done, w);
		run_until(w, 2 * i + 2);
	}
	/* "localhost" was used all the time, the first other one was not. */
	assert_int_equal(resolve_counters(w->r)->n_lookups,
			 RESOLVE_NAMES_MAX + 2);
	resolve_ask(w->r, "0" LABEL, 1, done, w);
	run_until(w, w->n_done + 1);
	assert_int_equal(resolve_counters(w->r)->n_lookups,
			 RESOLVE_NAMES_MAX + 3);
}

/* More lookups than there are threads, all given up: those that run end by
 * themselves, and touch nothing that is gone. */
static void an_end_in_the_middle_of_lookups_is_clean(void **state)
{
	struct world *w = *state;
	char host[sizeof LABEL + 24];
	size_t n_left;

	for (int i = 0; i < 40; i++) {
		snprintf(host, sizeof host, "%d" LABEL, i);
		resolve_ask(w->r, host, 1, done, w);
	}
	resolve_ask(w->r, "localhost", 1, done, w);
	resolve_ask(w->r, "192.0.2.1", 1, done, w);
	n_left = resolve_free(w->r);
	w->r = NULL;
	assert_true(n_left <= 41);
	uv_unref((uv_handle_t *)&w->guard);
	for (int i = 0; i < 100; i++)
		uv_run(loop_uv(w->loop), UV_RUN_NOWAIT);
	for (int i = 0; i < 1000; i++) {
		if (loop_uv(w->loop)->active_reqs.count == 0)
			break;
		uv_sleep(5);
		uv_run(loop_uv(w->loop), UV_RUN_NOWAIT);
	}
	assert_int_equal(loop_uv(w->loop)->active_reqs.count, 0);
	assert_int_equal(w->n_done, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
			a_name_becomes_endpoints_with_the_port, set_up,
			tear_down),
		cmocka_unit_test_setup_teardown(
			an_answer_is_kept_and_gets_the_port_of_who_asks, set_up,
			tear_down),
		cmocka_unit_test_setup_teardown(
			two_who_ask_at_once_share_a_lookup, set_up, tear_down),
		cmocka_unit_test_setup_teardown(numbers_need_no_lookup, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(
			a_failure_is_an_empty_answer_and_remembered, set_up,
			tear_down),
		cmocka_unit_test_setup_teardown(
			a_host_too_long_for_any_name_fails, set_up, tear_down),
		cmocka_unit_test_setup_teardown(who_cancels_hears_nothing,
						set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			memory_holds_so_many_names_and_no_more, set_up,
			tear_down),
		cmocka_unit_test_setup_teardown(
			an_end_in_the_middle_of_lookups_is_clean, set_up,
			tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
