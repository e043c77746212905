/* Channels over held circuits: the spare takes over beneath a stream
 * (overlay_lab.h). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "tests/support/overlay_lab.h"

static bool find_hold(struct lab *lab, struct hold_info *out)
{
	return router_hold_find(lab->n[0].overlay->router, lab_id(lab, 2), out);
}

static bool has_spare(struct lab *lab)
{
	struct hold_info info;

	return find_hold(lab, &info) && info.carries != 0 && info.spare != 0;
}

/* The stream of A to C over B, and a spare over their own link.  Nothing is
 * written. */
static struct lab *lab_with_spare(void)
{
	struct lab *lab = lab_new();

	lab_ask(lab, lab_id(lab, 2), STREAM_TCP);
	lab_run_until(lab, lab_is_opened);
	lab_join(lab, 0, 2);
	lab_run_until(lab, has_spare);
	return lab;
}

static struct session_info session_between(struct lab *lab, size_t a, size_t b)
{
	struct session_info s = { 0 };

	while (sessions_next(lab->n[a].overlay->sessions, s.no, &s))
		if (id_equal(&s.peer.id, lab_id(lab, b)))
			return s;
	fail_msg("no such session");
	return s;
}

static uint64_t n_followed;

static bool has_followed(struct lab *lab)
{
	return channels_counters(lab->n[2].overlay->channels)->n_switched >
	       n_followed;
}

/* Whatever has happened before. */
static void begin_following(struct lab *lab)
{
	n_followed = channels_counters(lab->n[2].overlay->channels)->n_switched;
}

static void finish(struct lab *lab)
{
	stream_close(seen.stream, STREAM_RESET);
	lab_free(lab);
}

static void a_channel_goes_over_to_the_spare_when_its_circuit_ends(void **state)
{
	struct lab *lab = lab_with_spare();
	struct circuit_info c;
	struct hold_info info;
	nsec began;

	(void)state;
	assert_true(find_hold(lab, &info));
	assert_true(router_circuit_get(lab->n[0].overlay->router, info.carries,
				       &c));
	begin_following(lab);
	began = loop_now(lab->loop);
	sessions_close(lab->n[0].overlay->sessions,
		       session_between(lab, 0, c.hops.n == 1 ? 2 : 1).no,
		       "test");
	lab_run_until(lab, has_followed);
	assert_true(loop_now(lab->loop) - began < NS_PER_S);
	/* A new stream takes the same channel. */
	stream_close(seen.stream, STREAM_RESET);
	lab_ask(lab, lab_id(lab, 2), STREAM_TCP);
	lab_run_until(lab, lab_is_opened);
	assert_int_equal(
		channels_counters(lab->n[0].overlay->channels)->n_connected, 1);
	finish(lab);
}

/* Nothing is being said when the circuits change: a PING tells the far end,
 * which would go on over the old one. */
static void the_far_end_follows_without_a_word_from_above(void **state)
{
	struct lab *lab = lab_with_spare();
	struct hold_info info;

	(void)state;
	assert_true(find_hold(lab, &info));
	begin_following(lab);
	assert_true(router_path_pin(lab->n[0].overlay->router, info.spare,
				    loop_now(lab->loop)));
	lab_run_until(lab, has_followed);
	finish(lab);
}

static size_t n_echoed;

static bool is_echoed(struct lab *lab)
{
	(void)lab;
	return seen.n_bytes == n_echoed;
}

/* What goes over both is taken once, and the far end does not change from one
 * circuit to the other with each packet. */
static void a_copy_over_the_spare_is_taken_once(void **state)
{
	enum {
		N = 50
	};
	static const uint8_t data[100];
	struct lab *lab = lab_with_spare();
	struct channels *a = lab->n[0].overlay->channels;
	const struct channel_counters *far =
		channels_counters(lab->n[2].overlay->channels);
	struct hold_info info;

	(void)state;
	assert_true(find_hold(lab, &info));
	begin_following(lab);
	channels_circuit_carries(a, info.carries, info.spare);
	n_echoed = 0;
	for (int i = 0; i < N; i++) {
		n_echoed += stream_write(seen.stream, data, sizeof data);
		lab_run_until(lab, is_echoed);
	}
	assert_int_equal(n_echoed, N * sizeof data);
	assert_true(channels_counters(a)->n_copies_sent >= N);
	assert_in_range(far->n_copies, N / 2,
			channels_counters(a)->n_copies_sent);
	assert_in_range(far->n_switched - n_followed, 0, N / 5);
	finish(lab);
}

static bool is_released(struct lab *lab)
{
	struct hold_info info;

	return !find_hold(lab, &info);
}

static void the_spare_goes_with_the_channel(void **state)
{
	struct lab *lab = lab_with_spare();
	struct channel *c =
		dest_channel(lab->n[0].overlay->dests, lab_id(lab, 2));
	struct circuit_info none;

	(void)state;
	assert_non_null(c);
	channel_close(c, "test");
	lab_run_until(lab, is_released);
	assert_false(router_circuit_next(lab->n[0].overlay->router, 0, &none));
	lab_free(lab);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(
			a_channel_goes_over_to_the_spare_when_its_circuit_ends),
		cmocka_unit_test(the_far_end_follows_without_a_word_from_above),
		cmocka_unit_test(a_copy_over_the_spare_is_taken_once),
		cmocka_unit_test(the_spare_goes_with_the_channel),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
