/* Attempts whose timers are handled late: the process had no time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "circuit/core.h"
#include "tests/support/small_mesh.h"

static const struct node_id nobody = { .b = { 1, 2, 3 } };

/* Probes that wait to be sent, none of which may ask for more time than there
 * is; the last of them in `last`. */
static unsigned probes_out(struct router *r, struct msg_probe *last)
{
	struct router_send out;
	unsigned n = 0;

	while (router_next_send(r, &out)) {
		if (out.msg->type != MSG_PROBE)
			continue;
		assert_in_range(out.msg->probe.deadline_ms, 1,
				PROBE_DEADLINE_MAX_MS);
		*last = out.msg->probe;
		n++;
	}
	return n;
}

static bool is_unreachable(struct router *r)
{
	struct router_event ev;
	bool is = false;

	while (router_next_event(r, &ev))
		is |= ev.type == ROUTER_UNREACHABLE;
	return is;
}

/* A reply that is handled after the deadline, before the timer. */
static void no_ring_begins_after_the_deadline(void **state)
{
	struct mesh *m = small_line(3);
	struct router *r = mesh_router(m, 0);
	struct msg nak = { .type = MSG_NAK };
	struct msg_probe p = { 0 };
	nsec now;

	(void)state;
	small_pass(m, NS_PER_S);
	now = mesh_now(m);
	router_connect(r, &nobody, 0, now);
	assert_true(probes_out(r, &p) > 0);
	nak.nak = (struct msg_nak){ .origin = p.origin,
				    .nonce = p.nonce,
				    .tree = TREE_FLOOD,
				    .code = NAK_TTL };
	now += PROBE_DEADLINE_MAX_MS * NS_PER_MS + NS_PER_MS;
	router_handle_message(r, mesh_session(m, 0, 0), &nak, now);
	assert_int_equal(probes_out(r, &p), 0);
	assert_true(is_unreachable(r));
	mesh_free(m);
}

static void no_timer_that_is_late_begins_a_ring(void **state)
{
	struct mesh *m = small_line(3);
	struct router *r = mesh_router(m, 0);
	struct msg_probe p;

	(void)state;
	small_pass(m, NS_PER_S);
	router_connect(r, &nobody, 0, mesh_now(m));
	assert_true(probes_out(r, &p) > 0);
	router_handle_timeout(r, mesh_now(m) + 60 * NS_PER_S);
	assert_int_equal(probes_out(r, &p), 0);
	assert_true(is_unreachable(r));
	mesh_free(m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(no_ring_begins_after_the_deadline),
		cmocka_unit_test(no_timer_that_is_late_begins_a_ring),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
