#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>
#include <uthash.h>

#include "circuit/relay/label.h"
#include "proto/base/mem.h"
#include "proto/limits.h"
#include "proto/packet.h"

static const struct label_use use = { .session = 4, .side = 1 };

static void a_label_works_on_its_session_only(void **state)
{
	struct rng rng;
	struct label_table *t;
	uint32_t label;

	(void)state;
	rng_init(&rng, 1);
	t = label_table_new(&rng);
	label = label_add(t, &use, 0);
	assert_int_not_equal(label, 0);
	assert_int_equal(label & ~LABEL_MASK, 0);
	assert_non_null(label_find(t, 4, label));
	assert_int_equal(label_find(t, 4, label)->side, 1);
	assert_null(label_find(t, 5, label));
	assert_null(label_find(t, 0, label));
	assert_null(label_find(t, 4, label + 1));
	assert_null(label_find(t, 4, label ^ 1u << 20));
	assert_null(label_find(t, 4, 0));
	assert_null(label_find(t, 4, UINT32_MAX));
	label_table_free(t);
}

static void a_removed_label_is_unknown(void **state)
{
	struct rng rng;
	struct label_table *t;
	uint32_t label, again;

	(void)state;
	rng_init(&rng, 1);
	t = label_table_new(&rng);
	label = label_add(t, &use, 0);
	label_remove(t, label, NS_PER_S);
	assert_null(label_find(t, 4, label));
	assert_int_equal(label_n_used(t), 0);
	/* The slot rests, then comes back with another generation. */
	again = label_add(t, &use, NS_PER_S);
	assert_int_not_equal(again & LABEL_INDEX, label & LABEL_INDEX);
	again = label_add(t, &use, 3 * NS_PER_S);
	assert_int_equal(again & LABEL_INDEX, label & LABEL_INDEX);
	assert_int_not_equal(again, label);
	assert_null(label_find(t, 4, label));
	label_table_free(t);
}

struct given {
	uint32_t label;
	nsec at;
	UT_hash_handle hh;
};

/* As fast as slots can be re-used, over three times LABEL_REUSE_NS. */
static void no_label_comes_back_within_the_reuse_time(void **state)
{
	struct given *all = NULL, *g, *next;
	struct label_table *t;
	struct rng rng;
	nsec now = 0;

	(void)state;
	rng_init(&rng, 2);
	t = label_table_new(&rng);
	for (int i = 0; i < 20000; i++) {
		uint32_t label = label_add(t, &use, now);

		assert_int_not_equal(label, 0);
		HASH_FIND(hh, all, &label, sizeof label, g);
		if (g == NULL) {
			g = mem_new(g);
			g->label = label;
			HASH_ADD(hh, all, label, sizeof g->label, g);
		} else {
			assert_true(now - g->at >= LABEL_REUSE_NS);
		}
		g->at = now;
		label_remove(t, label, now);
		now += 3 * LABEL_REUSE_NS / 20000;
	}
	HASH_ITER (hh, all, g, next) {
		HASH_DEL(all, g);
		free(g);
	}
	label_table_free(t);
}

static void the_table_is_full_at_the_end_of_the_index(void **state)
{
	struct label_table *t;
	struct rng rng;
	uint32_t label = 0;

	(void)state;
	rng_init(&rng, 2);
	t = label_table_new(&rng);
	for (uint32_t i = 0; i < LABEL_INDEX; i++)
		label = label_add(t, &use, 0);
	assert_int_equal(label & LABEL_INDEX, LABEL_INDEX);
	assert_int_equal(label_add(t, &use, 0), 0);
	label_remove(t, label, 0);
	assert_int_equal(label_add(t, &use, 0), 0);
	assert_int_not_equal(label_add(t, &use, NS_PER_S), 0);
	label_table_free(t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_label_works_on_its_session_only),
		cmocka_unit_test(a_removed_label_is_unknown),
		cmocka_unit_test(no_label_comes_back_within_the_reuse_time),
		cmocka_unit_test(the_table_is_full_at_the_end_of_the_index),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
