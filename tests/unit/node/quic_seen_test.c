#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "node/quic/quic_seen.h"
#include "proto/base/mem.h"
#include "proto/base/rng.h"
#include "proto/limits.h"

static void each_number_is_new_once(void **state)
{
	struct quic_seen w = { 0 };

	(void)state;
	for (uint64_t n = 0; n < 5000; n++) {
		/* In pairs, the second one first. */
		assert_true(quic_seen_add(&w, n ^ 1));
		assert_false(quic_seen_add(&w, n ^ 1));
	}
	assert_false(quic_seen_add(&w, 5000 - QUIC_SEEN_PACKETS));
	assert_false(quic_seen_add(&w, 0));
}

static void a_late_one_is_new_as_far_as_the_window_goes(void **state)
{
	struct quic_seen w = { 0 };
	const uint64_t top = 100000;

	(void)state;
	assert_true(quic_seen_add(&w, 7));
	assert_true(quic_seen_add(&w, top));
	assert_true(quic_seen_add(&w, top + 1 - QUIC_SEEN_PACKETS));
	assert_false(quic_seen_add(&w, top + 1 - QUIC_SEEN_PACKETS));
	assert_false(quic_seen_add(&w, top - QUIC_SEEN_PACKETS));
	assert_false(quic_seen_add(&w, 7));
	assert_true(quic_seen_add(&w, top - 1));
	/* One more takes the last one's place. */
	assert_true(quic_seen_add(&w, top + 1));
	assert_false(quic_seen_add(&w, top + 1 - QUIC_SEEN_PACKETS));
}

/* A short header with a number of `len` bytes under `mask`. */
static void write_packet(uint8_t *out, uint64_t number, size_t len,
			 const uint8_t mask[QUIC_MASK_BYTES])
{
	out[0] = (uint8_t)((0x40 | (len - 1)) ^ (mask[0] & 0x1f));
	memset(out + 1, 0xcc, SESSION_CID_BYTES);
	for (size_t i = 0; i < len; i++)
		out[1 + SESSION_CID_BYTES + i] =
			(uint8_t)(number >> 8 * (len - 1 - i)) ^ mask[1 + i];
}

static void numbers_are_told_from_their_last_bytes(void **state)
{
	/* RFC 9000 A.3, and its edges. */
	static const struct {
		uint64_t next, number;
		size_t len;
	} rows[] = {
		{ 0, 0, 1 },
		{ 0, 127, 1 },
		{ 1, 0, 4 },
		{ 0xa82f30eb, 0xa82f9b32, 2 },
		{ 0x1fe, 0x201, 1 },   /* into the next 256 */
		{ 0x201, 0x1fe, 1 },   /* back from it */
		{ 0x8000, 0x7f90, 1 }, /* at most half of them behind */
		{ 0x8000, 0x807f, 1 },
		{ 0xfffffff0, 0x100000005, 4 },
		{ 0x100000005, 0xfffffff0, 4 },
		{ 0xfffff0, 0x1000005, 3 },
	};
	struct rng rng;

	(void)state;
	rng_init(&rng, 5);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const struct quic_seen w = { .next = rows[i].next };
		uint8_t mask[QUIC_MASK_BYTES], packet[16];

		rng_fill(&rng, mask, sizeof mask);
		write_packet(packet, rows[i].number, rows[i].len, mask);
		assert_int_equal(quic_seen_number(&w, packet, mask),
				 rows[i].number);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_number_is_new_once),
		cmocka_unit_test(a_late_one_is_new_as_far_as_the_window_goes),
		cmocka_unit_test(numbers_are_told_from_their_last_bytes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
