/* Circuit packets over a session, and what waits for it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sodium.h>
#include <cmocka.h>

#include "tests/support/session_lab.h"

static bool packet_came(struct session_lab *lab)
{
	return lab->b.n_packets >= 3;
}

static enum session_verdict send_one(struct session_end *from, size_t len)
{
	return session_lab_send(from, 77, len);
}

static void packets_of_every_size_up_to_the_mtu_pass(void **state)
{
	struct session_lab *lab = session_lab_of_two();

	(void)state;
	session_lab_connect(lab);
	assert_int_equal(send_one(&lab->a, 1), SESSION_SENT);
	assert_int_equal(send_one(&lab->a, CIRCUIT_MTU_MAX - 1), SESSION_SENT);
	assert_int_equal(send_one(&lab->a, CIRCUIT_MTU_MAX), SESSION_SENT);
	assert_int_equal(send_one(&lab->a, CIRCUIT_MTU_MAX + 1),
			 SESSION_TOO_BIG);
	assert_int_equal(send_one(&lab->a, 4000), SESSION_TOO_BIG);
	session_lab_run_until(lab, packet_came);
	assert_int_equal(lab->b.n_packets, 3);
	assert_int_equal(lab->b.other_at, 0);
	assert_int_equal(lab->b.last_len, LABEL_BYTES + CIRCUIT_MTU_MAX);
	assert_int_equal(sessions_counters(lab->a.sessions)->n_too_big, 2);
	session_lab_free(lab);
}

static bool many_came(struct session_lab *lab)
{
	return lab->b.n_packets >= 100;
}

/* Where the kernel refuses to segment, packets go out one by one. */
static void packets_pass_without_segmentation_offload(void **state)
{
	struct session_lab *lab = session_lab_of_two();

	(void)state;
	udp_disable_offload(sessions_udp(lab->a.sessions));
	session_lab_connect(lab);
	for (int i = 0; i < 100; i++)
		assert_true(send_one(&lab->a, 1000) <= SESSION_QUEUED);
	session_lab_run_until(lab, many_came);
	assert_false(udp_counters(sessions_udp(lab->a.sessions))->has_gso);
	assert_int_equal(udp_counters(sessions_udp(lab->a.sessions))->n_errors,
			 0);
	session_lab_free(lab);
}

static bool writable_again(struct session_lab *lab)
{
	return lab->a.n_writable > 0;
}

static bool queue_is_empty(struct session_lab *lab)
{
	struct session_info s;

	return sessions_get(lab->a.sessions, lab->a.last, &s) &&
	       s.n_queued == 0;
}

static void a_full_queue_drops_and_says_when_there_is_room(void **state)
{
	struct session_lab *lab = session_lab_of_two();
	size_t n_sent = 0, n_queued = 0;
	struct session_info s;

	(void)state;
	session_lab_connect(lab);
	for (int i = 0; i < 4000; i++) {
		if (send_one(&lab->a, 1400) == SESSION_SENT)
			n_sent++;
		else
			n_queued++;
	}
	assert_true(n_sent > 0);
	assert_true(n_queued > RELAY_QUEUE_MAX);
	assert_true(sessions_get(lab->a.sessions, lab->a.last, &s));
	assert_int_equal(s.n_queued, RELAY_QUEUE_MAX);
	assert_int_equal(s.n_dropped, n_queued - RELAY_QUEUE_MAX);
	assert_int_equal(sessions_counters(lab->a.sessions)->n_queue_full,
			 s.n_dropped);
	assert_false(sessions_has_room(lab->a.sessions, lab->a.last, 77));
	session_lab_run_until(lab, writable_again);
	assert_true(sessions_has_room(lab->a.sessions, lab->a.last, 77));
	session_lab_run_until(lab, queue_is_empty);
	assert_int_equal(lab->a.n_writable, 1);
	/* What the session has counted stays when it is gone. */
	sessions_close(lab->a.sessions, lab->a.last, "enough");
	session_lab_run_until(lab, session_lab_a_down);
	assert_int_equal(sessions_counters(lab->a.sessions)->n_queue_full,
			 s.n_dropped);
	session_lab_free(lab);
}

static bool all_came(struct session_lab *lab)
{
	return queue_is_empty(lab) && lab->b.other_at > 0;
}

static void a_full_circuit_blocks_no_other_of_the_session(void **state)
{
	struct session_lab *lab = session_lab_of_two();

	(void)state;
	session_lab_connect(lab);
	while (sessions_has_room(lab->a.sessions, lab->a.last, 77))
		send_one(&lab->a, 1400);
	assert_true(sessions_has_room(lab->a.sessions, lab->a.last, 78));
	assert_int_equal(session_lab_send(&lab->a, 78, 60), SESSION_QUEUED);
	session_lab_run_until(lab, all_came);
	/* It went before most of those which had waited longer. */
	assert_true(lab->b.n_packets > lab->b.other_at + RELAY_QUEUE_MAX / 4);
	session_lab_free(lab);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(packets_of_every_size_up_to_the_mtu_pass),
		cmocka_unit_test(packets_pass_without_segmentation_offload),
		cmocka_unit_test(
			a_full_queue_drops_and_says_when_there_is_room),
		cmocka_unit_test(a_full_circuit_blocks_no_other_of_the_session),
	};

	if (sodium_init() < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
