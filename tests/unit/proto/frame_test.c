#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "proto/base/mem.h"
#include "proto/base/rng.h"
#include "proto/frame.h"
#include "proto/msg.h"

/* A type that no message has. */
#define TYPE_UNKNOWN 200

static void header(uint8_t *out, uint8_t type, size_t len)
{
	frame_header_write(out, type, len);
}

static void a_header_is_a_type_and_three_bytes_of_length(void **state)
{
	uint8_t out[FRAME_HEADER_BYTES];

	(void)state;
	frame_header_write(out, MSG_PEER_INFO, 0x010203);
	assert_int_equal(out[0], 10);
	assert_int_equal(out[1], 1);
	assert_int_equal(out[2], 2);
	assert_int_equal(out[3], 3);
}

static void an_empty_reader_waits(void **state)
{
	struct frame_reader *r = frame_reader_new();
	struct frame f;

	(void)state;
	assert_int_equal(frame_reader_next(r, &f), FRAME_MORE);
	assert_int_equal(frame_reader_feed(r, NULL, 0), 0);
	assert_int_equal(frame_reader_next(r, &f), FRAME_MORE);
	frame_reader_free(r);
	frame_reader_free(NULL);
}

static void a_frame_may_come_byte_by_byte(void **state)
{
	struct frame_reader *r = frame_reader_new();
	uint8_t data[FRAME_HEADER_BYTES + 5];
	struct frame f;

	(void)state;
	header(data, MSG_PING, 5);
	memcpy(data + FRAME_HEADER_BYTES, "abcde", 5);
	for (int round = 0; round < 3; round++) {
		for (size_t i = 0; i < sizeof data; i++) {
			assert_int_equal(frame_reader_next(r, &f), FRAME_MORE);
			assert_int_equal(frame_reader_feed(r, data + i, 1), 1);
		}
		assert_int_equal(frame_reader_next(r, &f), FRAME_OK);
		assert_int_equal(f.type, MSG_PING);
		assert_int_equal(f.len, 5);
		assert_memory_equal(f.body, "abcde", 5);
	}
	frame_reader_free(r);
}

static void a_frame_without_a_body_is_a_frame(void **state)
{
	struct frame_reader *r = frame_reader_new();
	uint8_t data[FRAME_HEADER_BYTES];
	struct frame f;

	(void)state;
	header(data, MSG_PING, 0);
	assert_int_equal(frame_reader_feed(r, data, sizeof data), sizeof data);
	assert_int_equal(frame_reader_next(r, &f), FRAME_OK);
	assert_int_equal(f.len, 0);
	assert_int_equal(frame_reader_next(r, &f), FRAME_MORE);
	frame_reader_free(r);
}

static void bytes_behind_a_frame_wait_until_it_is_pulled(void **state)
{
	struct frame_reader *r = frame_reader_new();
	uint8_t data[2 * (FRAME_HEADER_BYTES + 1)];
	struct frame f;

	(void)state;
	header(data, MSG_PING, 1);
	data[4] = 'a';
	header(data + 5, MSG_LINK, 1);
	data[9] = 'b';
	assert_int_equal(frame_reader_feed(r, data, sizeof data), 5);
	assert_int_equal(frame_reader_feed(r, data + 5, 5), 0);
	assert_int_equal(frame_reader_next(r, &f), FRAME_OK);
	assert_int_equal(f.body[0], 'a');
	assert_int_equal(frame_reader_feed(r, data + 5, 5), 5);
	assert_int_equal(frame_reader_next(r, &f), FRAME_OK);
	assert_int_equal(f.type, MSG_LINK);
	assert_int_equal(f.body[0], 'b');
	frame_reader_free(r);
}

static void a_stream_cut_at_random_yields_the_same_frames(void **state)
{
	enum {
		FRAMES = 400
	};
	struct frame_reader *r = frame_reader_new();
	struct rng rng;
	uint8_t *stream = mem_calloc(FRAMES, FRAME_HEADER_BYTES + 300);
	size_t len = 0, pos = 0, n = 0;

	(void)state;
	rng_init(&rng, 1);
	for (size_t i = 0; i < FRAMES; i++) {
		size_t body = (size_t)rng_below(&rng, 300);

		header(stream + len, TYPE_UNKNOWN, body);
		len += FRAME_HEADER_BYTES;
		memset(stream + len, (int)(i & 0xff), body);
		len += body;
	}
	while (pos < len) {
		size_t chunk = (size_t)rng_below(&rng, 700);
		struct frame f;

		if (chunk > len - pos)
			chunk = len - pos;
		pos += frame_reader_feed(r, stream + pos, chunk);
		while (frame_reader_next(r, &f) == FRAME_OK) {
			for (size_t i = 0; i < f.len; i++)
				assert_int_equal(f.body[i], n & 0xff);
			n++;
		}
	}
	assert_int_equal(n, FRAMES);
	frame_reader_free(r);
	free(stream);
}

static enum frame_verdict next_of_len(uint8_t type, size_t len)
{
	struct frame_reader *r = frame_reader_new();
	uint8_t data[FRAME_HEADER_BYTES];
	uint8_t *body = mem_calloc(1, len + 1);
	enum frame_verdict v;
	struct frame f;

	header(data, type, len);
	frame_reader_feed(r, data, sizeof data);
	v = frame_reader_next(r, &f);
	if (v == FRAME_MORE) {
		assert_int_equal(frame_reader_feed(r, body, len + 1), len);
		v = frame_reader_next(r, &f);
		assert_int_equal(v, FRAME_OK);
		assert_int_equal(f.len, len);
	}
	free(body);
	frame_reader_free(r);
	return v;
}

static void each_type_is_held_to_its_cap_by_the_header_alone(void **state)
{
	(void)state;
	for (unsigned t = 0; t <= UINT8_MAX; t++) {
		size_t max = msg_bytes_max((uint8_t)t);

		if (max == 0)
			max = FRAME_BYTES_MAX;
		assert_int_equal(next_of_len((uint8_t)t, max - 1), FRAME_OK);
		assert_int_equal(next_of_len((uint8_t)t, max), FRAME_OK);
		assert_int_equal(next_of_len((uint8_t)t, max + 1),
				 FRAME_TOO_LONG);
	}
	assert_int_equal(next_of_len(TYPE_UNKNOWN, 0xffffff), FRAME_TOO_LONG);
}

static void too_long_stays_too_long_and_takes_nothing_more(void **state)
{
	struct frame_reader *r = frame_reader_new();
	uint8_t data[64] = { 0 };
	struct frame f;

	(void)state;
	header(data, MSG_PING, FRAME_SMALL_BYTES_MAX + 1);
	assert_int_equal(frame_reader_feed(r, data, sizeof data),
			 FRAME_HEADER_BYTES);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(frame_reader_next(r, &f), FRAME_TOO_LONG);
		assert_int_equal(frame_reader_feed(r, data, sizeof data), 0);
	}
	frame_reader_free(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_header_is_a_type_and_three_bytes_of_length),
		cmocka_unit_test(an_empty_reader_waits),
		cmocka_unit_test(a_frame_may_come_byte_by_byte),
		cmocka_unit_test(a_frame_without_a_body_is_a_frame),
		cmocka_unit_test(bytes_behind_a_frame_wait_until_it_is_pulled),
		cmocka_unit_test(a_stream_cut_at_random_yields_the_same_frames),
		cmocka_unit_test(
			each_type_is_held_to_its_cap_by_the_header_alone),
		cmocka_unit_test(
			too_long_stays_too_long_and_takes_nothing_more),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
