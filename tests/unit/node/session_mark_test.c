/* Marks of the IP header on what carries circuit packets: a full router between
 * two nodes (udp_middle.h). */
#include <ngtcp2/ngtcp2.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sodium.h>
#include <cmocka.h>

#include "proto/base/mem.h"
#include "tests/support/session_lab.h"
#include "tests/support/udp_middle.h"

enum {
	N = 100,
	LABEL = 77,
};

struct wire {
	struct session_lab *lab;
	struct udp_middle *middle;
	int n_sealed[4]; /* by their marks */
};

static bool look(void *ctx, bool is_forth, const uint8_t *data, size_t len)
{
	struct wire *w = ctx;

	if (is_forth && seal_is(data, len))
		w->n_sealed[udp_middle_ecn(w->middle)]++;
	return true;
}

static bool are_up(struct session_lab *lab)
{
	return lab->a.n_up == 1 && lab->b.n_up == 1;
}

static void wire_open(struct wire *w, enum seal_use use)
{
	struct session_end by_middle;

	*w = (struct wire){ .lab = session_lab_of_two() };
	sessions_set_seal(w->lab->a.sessions, use);
	sessions_set_seal(w->lab->b.sessions, use);
	w->middle = udp_middle_new(w->lab->loop, &w->lab->b.at);
	udp_middle_watch(w->middle, look, w);
	by_middle = w->lab->b;
	by_middle.at = *udp_middle_at(w->middle);
	assert_int_equal(session_lab_dial(&w->lab->a, &by_middle, NULL), 0);
	session_lab_run_until(w->lab, are_up);
}

static void wire_end(struct wire *w)
{
	udp_middle_free(w->middle);
	session_lab_free(w->lab);
}

static int n_awaited;

static bool have_come(struct session_lab *lab)
{
	return lab->b.n_packets >= n_awaited;
}

static void send_some(struct wire *w)
{
	n_awaited = w->lab->b.n_packets;
	for (int i = 0; i < N; i++) {
		assert_int_not_equal(session_lab_send(&w->lab->a, LABEL, 1000),
				     SESSION_TOO_BIG);
		n_awaited++;
		session_lab_run_until(w->lab, have_come);
	}
}

static void packets_are_marked_by_a_full_router(void **state)
{
	const enum seal_use uses[] = { SEAL_OFF, SEAL_ALWAYS };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(uses); i++) {
		struct wire w;

		wire_open(&w, uses[i]);
		send_some(&w);
		assert_int_equal(w.lab->b.n_marked, 0);
		udp_middle_congest(w.middle, true);
		send_some(&w);
		assert_int_equal(w.lab->b.n_marked, N);
		udp_middle_congest(w.middle, false);
		send_some(&w);
		assert_int_equal(w.lab->b.n_marked, N);
		assert_int_equal(w.lab->b.n_packets, 3 * N);
		wire_end(&w);
	}
}

/* So a router marks them in place of dropping them. */
static void sealed_packets_leave_as_those_of_quic(void **state)
{
	struct wire w;

	(void)state;
	wire_open(&w, SEAL_ALWAYS);
	send_some(&w);
	assert_true(w.n_sealed[NGTCP2_ECN_ECT_0] > N / 2);
	assert_int_equal(w.n_sealed[NGTCP2_ECN_NOT_ECT], 0);
	wire_end(&w);
}

static void send_part(struct wire *w)
{
	uint8_t header[PACKET_HEADER_MAX];
	const uint8_t payload[100] = { 0 };
	size_t n = packet_header_write(header, PACKET_FIRST, LABEL, 1);

	sessions_send_packet(w->lab->a.sessions, w->lab->a.last,
			     &(struct session_packet){ .label = LABEL,
						       .is_own = true,
						       .header = header,
						       .header_len = n,
						       .payload = payload,
						       .len = sizeof payload });
}

static bool one_is_dropped(struct session_lab *lab)
{
	return sessions_counters(lab->b.sessions)->n_seal_unmarkable == 1;
}

static void a_sealed_part_is_dropped_instead(void **state)
{
	struct wire w;

	(void)state;
	wire_open(&w, SEAL_ALWAYS);
	n_awaited = 1;
	send_part(&w);
	session_lab_run_until(w.lab, have_come);
	udp_middle_congest(w.middle, true);
	send_part(&w);
	session_lab_run_until(w.lab, one_is_dropped);
	assert_int_equal(w.lab->b.n_packets, 1);
	assert_int_equal(w.lab->b.n_marked, 0);
	wire_end(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(packets_are_marked_by_a_full_router),
		cmocka_unit_test(sealed_packets_leave_as_those_of_quic),
		cmocka_unit_test(a_sealed_part_is_dropped_instead),
	};

	if (sodium_init() < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
