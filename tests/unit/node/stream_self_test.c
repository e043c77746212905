/* A node that asks itself: A of the line in overlay_lab.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "node/channel/stream_self.h"
#include "proto/base/mem.h"
#include "proto/base/rng.h"
#include "tests/support/overlay_lab.h"

static int set_up(void **state)
{
	*state = lab_new();
	return 0;
}

static int tear_down(void **state)
{
	free(seen.data);
	seen.data = NULL;
	lab_free(*state);
	return 0;
}

static void ask_self(struct lab *lab, enum stream_kind kind)
{
	lab_ask(lab, lab_id(lab, 0), kind);
}

static void all_that_is_sent_comes_back_and_it_closes_cleanly(void **state)
{
	struct lab *lab = *state;
	uint8_t want[32], have[32];
	struct rng rng;

	rng_init(&rng, 7);
	seen.data = mem_calloc(1, BULK);
	rng_fill(&rng, seen.data, BULK);
	crypto_hash_sha256(want, seen.data, BULK);
	ask_self(lab, STREAM_TCP);
	lab_run_until(lab, lab_is_closed);
	assert_int_equal(seen.why, STREAM_OK);
	assert_true(seen.is_ended);
	assert_int_equal(seen.n_bytes, BULK);
	crypto_hash_sha256_final(&seen.hash, have);
	assert_memory_equal(want, have, sizeof want);
	assert_null(lab->n[0].asked);
	/* No path was looked for. */
	assert_int_equal(router_counters(lab->n[0].overlay->router)->n_connect,
			 0);
}

static void nothing_is_told_inside_the_call_that_asks(void **state)
{
	struct lab *lab = *state;

	ask_self(lab, STREAM_TCP);
	assert_int_equal(lab->n[0].n_requests, 0);
	assert_false(seen.is_opened);
	lab_run_until(lab, lab_is_opened);
	assert_true(id_equal(stream_peer(lab->n[0].asked), lab_id(lab, 0)));
	assert_int_equal(stream_port(lab->n[0].asked), 80);
	assert_string_equal(stream_host(lab->n[0].asked), "carol");
	stream_write(seen.stream, (const uint8_t *)"x", 1);
	assert_int_equal(seen.n_bytes, 0);
}

static bool all_has_come(struct lab *lab)
{
	(void)lab;
	return seen.n_bytes >= BULK / 2;
}

static bool is_writer_stuck(struct lab *lab)
{
	(void)lab;
	return seen.n_written > 0 && stream_room(seen.stream) == 0;
}

static void a_reader_that_waits_holds_the_writer(void **state)
{
	struct lab *lab = *state;
	size_t held;

	seen.data = mem_calloc(1, BULK);
	ask_self(lab, STREAM_TCP);
	seen.is_consuming = false;
	lab_run_until(lab, is_writer_stuck);
	held = seen.n_written;
	assert_true(held < BULK);
	stream_consumed(seen.stream, seen.n_bytes);
	seen.is_consuming = true;
	lab_run_until(lab, all_has_come);
	assert_true(seen.n_written > held);
}

static void a_refusal_comes_back_with_its_reason(void **state)
{
	static const enum stream_error reasons[] = {
		STREAM_NOT_ALLOWED,  STREAM_REFUSED,         STREAM_TIMED_OUT,
		STREAM_HOST_UNKNOWN, STREAM_NET_UNREACHABLE, STREAM_LIMIT,
	};
	struct lab *lab = *state;

	for (size_t i = 0; i < ARRAY_LEN(reasons); i++) {
		lab->n[0].refuse = reasons[i];
		ask_self(lab, STREAM_TCP);
		lab_run_until(lab, lab_is_closed);
		assert_false(seen.is_opened);
		assert_int_equal(seen.why, reasons[i]);
	}
}

static void another_key_is_not_ours(void **state)
{
	struct lab *lab = *state;
	struct node_hash hash = lab->n[0].credentials.self.hash;

	lab_ask_key(lab, lab_id(lab, 0), &hash);
	lab_run_until(lab, lab_is_opened);
	stream_close(seen.stream, STREAM_RESET);

	hash.b[HASH_LEN - 1] ^= 1;
	lab_ask_key(lab, lab_id(lab, 0), &hash);
	lab_run_until(lab, lab_is_closed);
	assert_int_equal(seen.why, STREAM_HOST_UNKNOWN);
	assert_int_equal(lab->n[0].n_requests, 1);
}

static bool is_asked_gone(struct lab *lab)
{
	return lab->n[0].n_requests == 1 && lab->n[0].asked == NULL;
}

static void either_end_may_reset_it(void **state)
{
	struct lab *lab = *state;

	ask_self(lab, STREAM_TCP);
	lab_run_until(lab, lab_is_opened);
	stream_close(seen.stream, STREAM_RESET);
	lab_run_until(lab, is_asked_gone);
	assert_false(seen.is_closed);

	ask_self(lab, STREAM_TCP);
	lab_run_until(lab, lab_is_opened);
	stream_close(lab->n[0].asked, STREAM_RESET);
	lab_run_until(lab, lab_is_closed);
	assert_int_equal(seen.why, STREAM_RESET);
}

static bool is_second_opened(struct lab *lab)
{
	return lab->n[0].n_requests == 1 && seen.is_opened;
}

static void who_gives_up_at_once_has_asked_nobody(void **state)
{
	struct lab *lab = *state;

	ask_self(lab, STREAM_TCP);
	stream_close(seen.stream, STREAM_OK);
	ask_self(lab, STREAM_TCP);
	lab_run_until(lab, is_second_opened);
	/* It is still open when the lab ends. */
}

static size_t wanted;

static bool has_echo(struct lab *lab)
{
	(void)lab;
	return seen.n_datagrams == 1 && seen.n_bytes == wanted;
}

static void datagrams_of_every_size_echo(void **state)
{
	static const uint8_t data[SELF_DATAGRAM_MAX + 1] = { 1 };
	static const size_t sizes[] = { 0, 1, 1400, 9000, SELF_DATAGRAM_MAX };
	struct lab *lab = *state;

	ask_self(lab, STREAM_UDP);
	lab_run_until(lab, lab_is_opened);
	for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
		seen.n_datagrams = seen.n_bytes = 0;
		wanted = sizes[i];
		stream_write(seen.stream, data, sizes[i]);
		lab_run_until(lab, has_echo);
	}
	assert_int_equal(stream_datagram_max(seen.stream), SELF_DATAGRAM_MAX);
	assert_int_equal(stream_write(seen.stream, data, sizeof data), 0);
}

static void datagrams_of_one_turn_are_bounded(void **state)
{
	static const uint8_t data[60000] = { 1 };
	struct lab *lab = *state;
	int n = 0;

	ask_self(lab, STREAM_UDP);
	lab_run_until(lab, lab_is_opened);
	while (n < 100 && stream_write(seen.stream, data, sizeof data) != 0)
		n++;
	assert_in_range(n, 2, 20);
}

int main(void)
{
#define CASE(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		CASE(all_that_is_sent_comes_back_and_it_closes_cleanly),
		CASE(nothing_is_told_inside_the_call_that_asks),
		CASE(a_reader_that_waits_holds_the_writer),
		CASE(a_refusal_comes_back_with_its_reason),
		CASE(another_key_is_not_ours),
		CASE(either_end_may_reset_it),
		CASE(who_gives_up_at_once_has_asked_nobody),
		CASE(datagrams_of_every_size_echo),
		CASE(datagrams_of_one_turn_are_bounded),
	};

	if (sodium_init() < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
