/* A locator, and then what routing asks of its paths. */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "proto/locator.h"
#include "tests/support/check.h"
#include "tests/support/msgs.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void compare(const struct coord *a, const struct coord *b)
{
	struct coord_ref x = coord_ref(a), y = coord_ref(b);
	uint32_t d = coord_distance(x, y);
	uint32_t links = coord_links(x, y);

	check(d == coord_distance(y, x) && links == coord_links(y, x));
	check((d == COORD_DISTANCE_NONE) == (links == COORD_DISTANCE_NONE));
	check(d == COORD_DISTANCE_NONE || d <= 2 * COORD_COST_MAX);
	check(d == COORD_DISTANCE_NONE || links <= 2 * (TREE_PATH_MAX - 1));
	if (a->n != 0 && coord_equal(x, y))
		check(d == 0 && links == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static uint8_t out[LOCATOR_BYTES_MAX];
	static struct locator l;
	struct view v = view_of(data, len);
	struct buf b = buf_of(out, sizeof out);

	if (!locator_read(&l, &v))
		return 0;
	check(locator_fault(&l) == NULL);
	locator_write(&b, &l);
	/* There is but one way to write a locator. */
	check(!b.bad && b.len == len - view_left(&v));
	check(memcmp(out, data, b.len) == 0);
	for (size_t i = 0; i < TREES; i++)
		for (size_t k = 0; k < TREES; k++)
			compare(&l.tree[i], &l.tree[k]);
	return 0;
}
