/* Held destinations in networks whose nodes move. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "circuit/core.h"
#include "tests/support/steer_lab.h"

/* 0 - 1 - 2: there is no spare, and the attempts to find one pause for longer
 * each time. */
static void a_search_for_a_spare_hurries_when_nothing_else_is_left(void **state)
{
	struct steer_lab *l = steer_line(3);
	const struct mesh_event *up;
	nsec cut;

	(void)state;
	mesh_hold(l->m, 0, 2);
	small_pass(l->m, 4 * NS_PER_S);
	assert_true(seeks_n(mesh_router(l->m, 0)) > 0);
	cut = mesh_now(l->m);
	mesh_cut(l->m, 1);
	small_pass(l->m, 400 * NS_PER_MS);
	mesh_heal(l->m, 1);
	small_pass(l->m, 1500 * NS_PER_MS);
	up = mesh_opened(l->m, 0, 2, cut);
	assert_non_null(up);
	assert_null(mesh_fault(l->m));
	steer_lab_free(l);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(
			a_search_for_a_spare_hurries_when_nothing_else_is_left),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
