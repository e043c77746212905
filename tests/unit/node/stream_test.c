#include "node/channel/stream.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "node/channel/channel_conn.h"
#include "proto/base/mem.h"

enum {
	WAITING = 512 << 10, /* stream.c */
	ALL = 8 << 20,
	MORE = WAITING + 1000,
};

struct fixture {
	struct channel channel; /* without a connection */
	struct stream *s;
	uint8_t *data;
	int n_writable;
};

static void writable(void *ctx)
{
	struct fixture *f = ctx;

	f->n_writable++;
}

static const struct stream_events events = { .writable = writable };

static int set_up(void **state)
{
	static const struct node_id peer = { { 1 } };
	struct fixture *f = mem_new(f);

	f->s = stream_new(&peer, STREAM_TCP, "", 1, &events, f);
	f->s->state = STREAM_OPEN;
	f->s->channel = &f->channel;
	f->data = mem_calloc(1, MORE);
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	stream_free(f->s);
	free(f->data);
	free(f);
	return 0;
}

/* As QUIC sends it, until it has no more or yields: how much. */
static size_t send_round(struct fixture *f)
{
	nghttp3_vec vec[4];
	uint32_t flags = 0;
	size_t sum = 0;
	nghttp3_ssize n;

	while ((n = stream_give(f->s, vec, 4, &flags)) > 0)
		for (nghttp3_ssize i = 0; i < n; i++)
			sum += vec[i].len;
	assert_int_equal(n, NGHTTP3_ERR_WOULDBLOCK);
	return sum;
}

static size_t send_all(struct fixture *f)
{
	size_t sum = send_round(f);

	while (f->s->has_yielded) {
		assert_ptr_equal(f->channel.yielded, f->s);
		f->channel.yielded = NULL;
		f->s->has_yielded = false;
		f->s->n_round = 0;
		sum += send_round(f);
	}
	return sum;
}

/* However much it has. */
static void a_stream_yields_to_the_others(void **state)
{
	struct fixture *f = *state;

	stream_write(f->s, f->data, MORE);
	assert_int_equal(send_round(f), 32 << 10);
	assert_true(f->s->has_yielded);
	assert_int_equal(send_all(f), WAITING - (32 << 10));
	/* One that has run out has not. */
	assert_false(f->s->has_yielded);
	assert_true(f->s->is_resumable);
	stream_write(f->s, f->data, 100);
	assert_int_equal(send_round(f), 100);
	assert_false(f->s->has_yielded);
}

static void what_waits_is_bounded(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(stream_room(f->s), WAITING);
	assert_int_equal(stream_write(f->s, f->data, MORE), WAITING);
	assert_int_equal(stream_room(f->s), 0);
	assert_int_equal(stream_write(f->s, f->data, 1), 0);
}

/* A path that carries much has much under way. */
static void what_is_under_way_does_not_wait(void **state)
{
	struct fixture *f = *state;

	stream_write(f->s, f->data, MORE);
	assert_int_equal(send_all(f), WAITING);
	assert_int_equal(stream_room(f->s), WAITING);
	/* Told with the next acknowledgement. */
	assert_int_equal(f->n_writable, 0);
	stream_acked(f->s, 1000);
	assert_int_equal(f->n_writable, 1);
	/* Once for each time that it was asked for more than there was. */
	stream_acked(f->s, 1000);
	assert_int_equal(f->n_writable, 1);
}

static void what_is_kept_is_bounded_as_well(void **state)
{
	struct fixture *f = *state;
	size_t sum = 0, n;

	while ((n = stream_write(f->s, f->data, MORE)) > 0) {
		sum += n;
		send_all(f);
	}
	assert_int_equal(sum, ALL);
	assert_int_equal(stream_room(f->s), 0);
	stream_acked(f->s, WAITING / 2 - 1);
	assert_int_equal(f->n_writable, 0);
	stream_acked(f->s, 1);
	assert_int_equal(f->n_writable, 1);
	assert_int_equal(stream_room(f->s), WAITING / 2);
}

#define T(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(a_stream_yields_to_the_others),
		T(what_waits_is_bounded),
		T(what_is_under_way_does_not_wait),
		T(what_is_kept_is_bounded_as_well),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
