/* The memory of a connection, awake and asleep. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include <sys/mman.h>

#include "node/quic/quic_mem.h"
#include "proto/base/mem.h"

static void *get(struct quic_mem *m, size_t size)
{
	void *p = m->mem.malloc(size, m->mem.user_data);

	assert_non_null(p);
	return p;
}

static void give(struct quic_mem *m, void *p)
{
	m->mem.free(p, m->mem.user_data);
}

static bool is_in_place(const struct quic_mem *m, const void *p)
{
	return (const uint8_t *)p >= m->place &&
	       (const uint8_t *)p < m->place + QUIC_MEM_BYTES;
}

static bool has_only(const uint8_t *p, size_t len, uint8_t value)
{
	for (size_t i = 0; i < len; i++) {
		if (p[i] != value)
			return false;
	}
	return true;
}

static size_t n_resident(const struct quic_mem *m)
{
	unsigned char pages[QUIC_MEM_BYTES / 4096] = { 0 };
	size_t page = (size_t)sysconf(_SC_PAGESIZE), n = 0;

	assert_int_equal(mincore(m->place, QUIC_MEM_BYTES, pages), 0);
	for (size_t i = 0; i < QUIC_MEM_BYTES / page; i++)
		n += pages[i] & 1;
	return n;
}

static void pieces_are_apart_and_aligned(void **state)
{
	static const size_t sizes[] = { 9328, 1, 16, 17, 784, 3344, 64, 2048 };
	uint8_t *p[ARRAY_LEN(sizes)];
	struct quic_mem m;

	(void)state;
	quic_mem_init(&m);
	for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
		p[i] = get(&m, sizes[i]);
		assert_true(is_in_place(&m, p[i]));
		assert_int_equal((uintptr_t)p[i] % 16, 0);
		memset(p[i], (int)i + 1, sizes[i]);
	}
	for (size_t i = 0; i < ARRAY_LEN(sizes); i++)
		assert_true(has_only(p[i], sizes[i], (uint8_t)(i + 1)));
	quic_mem_deinit(&m);
}

static void what_is_given_back_is_taken_again(void **state)
{
	struct quic_mem m;
	uint8_t *a, *b, *zero;

	(void)state;
	quic_mem_init(&m);
	a = get(&m, 784);
	b = get(&m, 544);
	memset(a, 0xff, 784);
	give(&m, a);
	give(&m, b);
	give(&m, NULL);
	assert_ptr_not_equal(get(&m, 100), a);
	zero = m.mem.calloc(7, 112, &m);
	assert_ptr_equal(zero, a);
	assert_true(has_only(zero, 784, 0));
	assert_ptr_equal(get(&m, 544), b);
	assert_null(m.mem.calloc(SIZE_MAX, 2, &m));
	quic_mem_deinit(&m);
}

static void a_piece_grows(void **state)
{
	struct quic_mem m;
	uint8_t *p, *q;

	(void)state;
	quic_mem_init(&m);
	p = m.mem.realloc(NULL, 32, &m);
	memset(p, 7, 32);
	q = m.mem.realloc(p, 64, &m);
	assert_ptr_not_equal(p, q);
	assert_true(has_only(q, 32, 7));
	/* Out of the place, and on. */
	q = m.mem.realloc(q, 2 * QUIC_MEM_BYTES, &m);
	assert_false(is_in_place(&m, q));
	assert_true(has_only(q, 32, 7));
	q = m.mem.realloc(q, 3 * QUIC_MEM_BYTES, &m);
	assert_true(has_only(q, 32, 7));
	give(&m, q);
	quic_mem_deinit(&m);
}

static void what_does_not_fit_is_elsewhere(void **state)
{
	struct quic_mem m;
	void *p[200];
	size_t n_inside = 0;

	(void)state;
	quic_mem_init(&m);
	for (size_t i = 0; i < ARRAY_LEN(p); i++) {
		p[i] = get(&m, 1000);
		n_inside += is_in_place(&m, p[i]);
		memset(p[i], 1, 1000);
	}
	assert_in_range(n_inside, 40, QUIC_MEM_BYTES / 1000);
	for (size_t i = 0; i < ARRAY_LEN(p); i++)
		give(&m, p[i]);
	quic_mem_deinit(&m);
}

static void sleep_keeps_all_but_the_pages(void **state)
{
	struct quic_mem m;
	uint8_t *full, *sparse, *last;

	(void)state;
	quic_mem_init(&m);
	full = get(&m, 1000);
	sparse = get(&m, 20000);
	last = get(&m, 300);
	memset(full, 0xa5, 1000);
	memset(last, 0x5a, 300);
	sparse[0] = 1;
	sparse[12345] = 2;
	sparse[19999] = 3;
	for (int i = 0; i < 3; i++) {
		assert_true(n_resident(&m) > 0);
		quic_mem_sleep(&m);
		assert_true(quic_mem_is_asleep(&m));
		assert_int_equal(n_resident(&m), 0);
		assert_in_range(m.packed_len, 1300, 1300 + 8 * QUIC_MEM_LINE);
		quic_mem_wake(&m);
		assert_false(quic_mem_is_asleep(&m));
		assert_true(has_only(full, 1000, 0xa5));
		assert_true(has_only(last, 300, 0x5a));
		assert_int_equal(sparse[0], 1);
		assert_true(has_only(sparse + 1, 12344, 0));
		assert_int_equal(sparse[12345], 2);
		assert_int_equal(sparse[19999], 3);
		/* And it can be worked with. */
		memset(sparse, 0, 20000);
		give(&m, full);
		assert_ptr_equal(get(&m, 1000), full);
		memset(full, 0xa5, 1000);
		sparse[0] = 1;
		sparse[12345] = 2;
		sparse[19999] = 3;
	}
	quic_mem_deinit(&m);
}

static void it_may_end_asleep(void **state)
{
	struct quic_mem m;

	(void)state;
	quic_mem_init(&m);
	quic_mem_sleep(&m); /* with nothing in it */
	quic_mem_wake(&m);
	memset(get(&m, 100), 1, 100);
	quic_mem_sleep(&m);
	quic_mem_deinit(&m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(pieces_are_apart_and_aligned),
		cmocka_unit_test(what_is_given_back_is_taken_again),
		cmocka_unit_test(a_piece_grows),
		cmocka_unit_test(what_does_not_fit_is_elsewhere),
		cmocka_unit_test(sleep_keeps_all_but_the_pages),
		cmocka_unit_test(it_may_end_asleep),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
