/* Users who are kept apart: A asks C, over B (overlay_lab.h). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "proto/base/mem.h"
#include "tests/support/overlay_lab.h"

enum {
	ASKS_MAX = 2 * DEST_TAGS_MAX,
};

/* One request, at either end. */
struct ask {
	struct stream *stream;
	bool is_opened, is_closed;
	enum stream_error why;
	size_t n_bytes;
};

static struct fixture {
	struct lab *lab;
	size_t n_asks, n_asked;
	struct ask asks[ASKS_MAX], asked[ASKS_MAX];
} f;

static void opened(void *ctx)
{
	struct ask *a = ctx;

	a->is_opened = true;
}

static void data(void *ctx, const uint8_t *bytes, size_t len)
{
	struct ask *a = ctx;

	a->n_bytes += len;
	stream_consumed(a->stream, len);
	/* C's end echoes. */
	if (a >= f.asked && a < f.asked + ASKS_MAX)
		stream_write(a->stream, bytes, len);
}

static void nothing(void *ctx)
{
	(void)ctx;
}

static void closed(void *ctx, enum stream_error why)
{
	struct ask *a = ctx;

	a->is_closed = true;
	a->why = why;
}

static const struct stream_events events = {
	.opened = opened,
	.data = data,
	.ended = nothing,
	.writable = nothing,
	.closed = closed,
};

static void request(void *ctx, struct stream *s)
{
	struct ask *a = &f.asked[f.n_asked++];

	(void)ctx;
	a->stream = s;
	stream_set_events(s, &events, a);
	stream_accept(s);
}

static int set_up(void **state)
{
	(void)state;
	f = (struct fixture){ .lab = lab_new() };
	dests_set_requests(f.lab->n[2].overlay->dests, request, NULL);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	lab_free(f.lab);
	return 0;
}

/* Users are numbers; 0 has no tag. */
static struct ask *ask(uint8_t user)
{
	const struct dest_tag tag = { .b = { user } };
	struct ask *a = &f.asks[f.n_asks++];

	a->stream = dest_stream_apart(f.lab->n[0].overlay->dests, &tag,
				      lab_id(f.lab, 2), STREAM_TCP, "carol", 80,
				      &events, a);
	return a;
}

static bool all_answered(struct lab *lab)
{
	(void)lab;
	for (size_t i = 0; i < f.n_asks; i++) {
		if (!f.asks[i].is_opened && !f.asks[i].is_closed)
			return false;
	}
	return true;
}

static uint64_t n_channels(void)
{
	return channels_counters(f.lab->n[2].overlay->channels)->n_accepted;
}

static void each_user_has_a_channel(void **state)
{
	(void)state;
	for (int round = 0; round < 2; round++) {
		for (uint8_t user = 0; user < 3; user++) {
			struct ask *a = ask(user);

			lab_run_until(f.lab, all_answered);
			assert_true(a->is_opened);
		}
	}
	assert_int_equal(n_channels(), 3);
}

static void users_who_come_together_are_kept_apart_too(void **state)
{
	(void)state;
	for (uint8_t user = 0; user < 3; user++) {
		ask(user);
		ask(user);
	}
	lab_run_until(f.lab, all_answered);
	for (size_t i = 0; i < f.n_asks; i++)
		assert_true(f.asks[i].is_opened);
	assert_int_equal(n_channels(), 3);
}

static bool all_echoed(struct lab *lab)
{
	(void)lab;
	for (size_t i = 0; i < f.n_asks; i++) {
		if (!f.asks[i].is_closed && f.asks[i].n_bytes == 0)
			return false;
	}
	return true;
}

/* The one that goes may have shared its circuit. */
static void the_end_of_one_channel_leaves_the_others(void **state)
{
	struct channel *c = NULL;
	size_t index = 0;

	(void)state;
	for (uint8_t user = 0; user < 3; user++)
		ask(user);
	lab_run_until(f.lab, all_answered);
	assert_true(channels_next(f.lab->n[0].overlay->channels, &index, &c));
	channel_close(c, "test");
	for (size_t i = 0; i < f.n_asks; i++) {
		if (!f.asks[i].is_closed)
			stream_write(f.asks[i].stream, (const uint8_t *)"x", 1);
	}
	lab_run_until(f.lab, all_echoed);
	assert_int_equal(f.asks[0].is_closed + f.asks[1].is_closed +
				 f.asks[2].is_closed,
			 1);
}

static bool two_ways(struct lab *lab)
{
	return lab->n[0].n_sessions == 2;
}

static bool one_way(struct lab *lab)
{
	return lab->n[1].n_sessions == 1;
}

static void all_of_them_survive_the_death_of_their_path(void **state)
{
	struct session_info s;

	(void)state;
	for (uint8_t user = 0; user < 3; user++)
		ask(user);
	lab_run_until(f.lab, all_answered);
	lab_join(f.lab, 0, 2);
	lab_run_until(f.lab, two_ways);
	assert_true(sessions_next(f.lab->n[1].overlay->sessions, 0, &s));
	sessions_close(f.lab->n[1].overlay->sessions, s.no, "test");
	lab_run_until(f.lab, one_way);
	for (size_t i = 0; i < f.n_asks; i++)
		stream_write(f.asks[i].stream, (const uint8_t *)"x", 1);
	lab_run_until(f.lab, all_echoed);
	for (size_t i = 0; i < f.n_asks; i++)
		assert_false(f.asks[i].is_closed);
}

static void there_is_a_limit_of_users_at_a_time(void **state)
{
	struct ask *a;

	(void)state;
	ask(0);
	for (uint8_t user = 1; user <= DEST_TAGS_MAX; user++)
		ask(user);
	lab_run_until(f.lab, all_answered);
	for (size_t i = 0; i < f.n_asks; i++)
		assert_true(f.asks[i].is_opened);

	a = ask(DEST_TAGS_MAX + 1);
	lab_run_until(f.lab, all_answered);
	assert_true(a->is_closed);
	assert_int_equal(a->why, STREAM_LIMIT);
	assert_int_equal(dest_counters(f.lab->n[0].overlay->dests)->n_tags_over,
			 1);
	assert_int_equal(n_channels(), DEST_TAGS_MAX + 1);
	/* Those that are there may go on. */
	a = ask(1);
	lab_run_until(f.lab, all_answered);
	assert_true(a->is_opened);
}

static bool first_is_gone(struct lab *lab)
{
	(void)lab;
	return f.asked[0].is_closed;
}

static void who_has_left_makes_room(void **state)
{
	struct ask *a;

	(void)state;
	for (uint8_t user = 1; user <= DEST_TAGS_MAX; user++) {
		ask(user);
		lab_run_until(f.lab, all_answered);
	}
	stream_close(f.asks[0].stream, STREAM_RESET);
	lab_run_until(f.lab, first_is_gone);
	a = ask(DEST_TAGS_MAX + 1);
	lab_run_until(f.lab, all_answered);
	assert_true(a->is_opened);
	for (size_t i = 1; i < f.n_asks; i++)
		assert_false(f.asks[i].is_closed);
	/* A user who asked in this very turn has not left. */
	ask(2);
	stream_close(f.asks[1].stream, STREAM_RESET);
	a = ask(DEST_TAGS_MAX + 2);
	lab_run_until(f.lab, all_answered);
	assert_int_equal(a->why, STREAM_LIMIT);
}

static size_t n_served(void)
{
	struct channel *c;
	size_t index = 0, n = 0;

	while (channels_next(f.lab->n[2].overlay->channels, &index, &c))
		n++;
	return n;
}

static bool has_many(struct lab *lab)
{
	(void)lab;
	return n_channels() == CHANNELS_PER_PEER_MAX;
}

static bool has_too_many(struct lab *lab)
{
	(void)lab;
	return n_channels() == CHANNELS_PER_PEER_MAX + 1;
}

/* What our own limit is for: the server has one too, and ends the oldest. */
static void a_server_holds_so_many_channels_of_one_node(void **state)
{
	struct overlay *a = f.lab->n[0].overlay;
	struct dest_tag tag = { .b = { 0, 1 } };
	circuit_no circuit;

	(void)state;
	ask(0);
	lab_run_until(f.lab, all_answered);
	circuit = channel_circuit(dest_channel(a->dests, lab_id(f.lab, 2)));
	for (uint8_t i = 1; i < CHANNELS_PER_PEER_MAX; i++) {
		tag.b[0] = i;
		assert_non_null(channel_connect(a->channels, circuit, &tag));
	}
	lab_run_until(f.lab, has_many);
	assert_int_equal(n_served(), CHANNELS_PER_PEER_MAX);
	assert_false(f.asked[0].is_closed);

	tag.b[0] = CHANNELS_PER_PEER_MAX;
	assert_non_null(channel_connect(a->channels, circuit, &tag));
	lab_run_until(f.lab, has_too_many);
	assert_int_equal(n_served(), CHANNELS_PER_PEER_MAX);
	assert_true(f.asked[0].is_closed);
}

static bool packets_came(struct lab *lab)
{
	return lab->n[0].n_packets > 0;
}

/* Packets have no user: they go where they went. */
static void packets_take_the_channel_without_a_tag(void **state)
{
	static const uint8_t packet[100] = { 0x60 };
	size_t mtu;

	(void)state;
	for (uint8_t user = 0; user < 3; user++)
		ask(user);
	lab_run_until(f.lab, all_answered);
	assert_int_equal(dest_packet(f.lab->n[2].overlay->dests,
				     lab_id(f.lab, 0), packet, sizeof packet,
				     &mtu),
			 DEST_SENT);
	lab_run_until(f.lab, packets_came);
	assert_int_equal(n_channels(), 3);
	assert_int_equal(
		channels_counters(f.lab->n[2].overlay->channels)->n_connected,
		0);
}

int main(void)
{
#define CASE(t) cmocka_unit_test_setup_teardown(t, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		CASE(each_user_has_a_channel),
		CASE(users_who_come_together_are_kept_apart_too),
		CASE(the_end_of_one_channel_leaves_the_others),
		CASE(all_of_them_survive_the_death_of_their_path),
		CASE(there_is_a_limit_of_users_at_a_time),
		CASE(who_has_left_makes_room),
		CASE(a_server_holds_so_many_channels_of_one_node),
		CASE(packets_take_the_channel_without_a_tag),
	};

	if (sodium_init() < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
