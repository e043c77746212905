/* Circuit packets past QUIC, and when they go so. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sodium.h>
#include <cmocka.h>

#include "tests/support/session_lab.h"

enum {
	MANY = 2000,
	TURN = 50,
};

static struct session_lab *lab_of(enum seal_use a, enum seal_use b)
{
	struct session_lab *lab = session_lab_of_two();

	sessions_set_seal(lab->a.sessions, a);
	sessions_set_seal(lab->b.sessions, b);
	session_lab_connect(lab);
	return lab;
}

static struct session_info info_of(const struct session_end *e)
{
	struct session_info s;

	assert_true(sessions_get(e->sessions, e->last, &s));
	return s;
}

static int wanted;

static bool wanted_came(struct session_lab *lab)
{
	return lab->b.n_packets >= wanted;
}

/* As many as may be, in turns with the receiver. */
static void send_many(struct session_lab *lab, int n, size_t len)
{
	for (int i = 0; i < n; i += TURN) {
		for (int k = 0; k < TURN; k++)
			assert_int_not_equal(session_lab_send(&lab->a, 77, len),
					     SESSION_TOO_BIG);
		wanted += TURN;
		session_lab_run_until(lab, wanted_came);
	}
}

static void packets_of_every_size_pass(void **state)
{
	struct session_lab *lab = lab_of(SEAL_ALWAYS, SEAL_ALWAYS);
	const size_t sizes[] = { 1, CIRCUIT_MTU_MAX - 1, CIRCUIT_MTU_MAX };

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		wanted = (int)i + 1;
		assert_int_equal(session_lab_send(&lab->a, 77, sizes[i]),
				 SESSION_SENT);
		session_lab_run_until(lab, wanted_came);
		assert_int_equal(lab->b.last_len, LABEL_BYTES + sizes[i]);
	}
	assert_int_equal(session_lab_send(&lab->a, 77, CIRCUIT_MTU_MAX + 1),
			 SESSION_TOO_BIG);
	assert_int_equal(info_of(&lab->a).n_sealed_out, 3);
	assert_int_equal(info_of(&lab->b).n_sealed_in, 3);
	assert_int_equal(info_of(&lab->b).n_packets_in, 3);
	assert_true(info_of(&lab->a).is_sealing);
	session_lab_free(lab);
}

/* QUIC has one in 33 or fewer, so that the link is measured. */
static void quic_has_a_sample_of_them(void **state)
{
	struct session_lab *lab = lab_of(SEAL_ALWAYS, SEAL_ALWAYS);
	uint64_t n_sealed;

	(void)state;
	wanted = 0;
	send_many(lab, MANY, 1000);
	n_sealed = info_of(&lab->b).n_sealed_in;
	assert_int_equal(info_of(&lab->a).n_sealed_out, n_sealed);
	assert_in_range(n_sealed, MANY * 32 / 33 - 1, MANY - 1);
	assert_int_equal(lab->b.n_packets, MANY);
	session_lab_free(lab);
}

static void none_goes_so_unless_both_ends_want_it(void **state)
{
	const struct {
		enum seal_use a, b;
	} cases[] = { { SEAL_OFF, SEAL_ALWAYS }, { SEAL_ALWAYS, SEAL_OFF } };

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		struct session_lab *lab = lab_of(cases[i].a, cases[i].b);

		wanted = 0;
		send_many(lab, TURN, 500);
		assert_int_equal(info_of(&lab->a).n_sealed_out, 0);
		assert_int_equal(info_of(&lab->b).n_sealed_in, 0);
		assert_false(info_of(&lab->a).is_sealing);
		session_lab_free(lab);
	}
}

static void a_link_that_carries_little_keeps_to_quic(void **state)
{
	struct session_lab *lab = lab_of(SEAL_AUTO, SEAL_AUTO);

	(void)state;
	wanted = 0;
	for (int i = 0; i < 20; i++) {
		session_lab_send(&lab->a, 77, 500);
		wanted++;
		session_lab_run_until(lab, wanted_came);
	}
	assert_int_equal(info_of(&lab->a).n_sealed_out, 0);
	session_lab_free(lab);
}

/* Whoever is on the wire. */
static void inject(struct session_lab *lab, const uint8_t *packet, size_t len)
{
	struct udp_path path;
	unsigned mtu;

	assert_int_equal(udp_route(sessions_udp(lab->a.sessions), &lab->b.at,
				   &path, &mtu),
			 0);
	udp_send(sessions_udp(lab->a.sessions), &path, 0, packet, len);
}

static bool bad_counted(struct session_lab *lab)
{
	return sessions_counters(lab->b.sessions)->n_seal_bad > 0;
}

static bool unknown_counted(struct session_lab *lab)
{
	return sessions_counters(lab->b.sessions)->n_seal_unknown > 0;
}

static void forged_ones_are_counted_and_nothing_else(void **state)
{
	struct session_lab *lab = lab_of(SEAL_ALWAYS, SEAL_ALWAYS);
	uint8_t packet[200] = { SEAL_TYPE };

	(void)state;
	packet[4] = (uint8_t)lab->b.last;
	inject(lab, packet, sizeof packet);
	session_lab_run_until(lab, bad_counted);
	packet[4] ^= 0x40; /* there is no such session */
	inject(lab, packet, sizeof packet);
	session_lab_run_until(lab, unknown_counted);
	assert_int_equal(lab->b.n_packets, 0);
	/* The true ones still come. */
	wanted = 0;
	send_many(lab, TURN, 100);
	assert_int_equal(lab->b.n_down, 0);
	session_lab_free(lab);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(packets_of_every_size_pass),
		cmocka_unit_test(quic_has_a_sample_of_them),
		cmocka_unit_test(none_goes_so_unless_both_ends_want_it),
		cmocka_unit_test(a_link_that_carries_little_keeps_to_quic),
		cmocka_unit_test(forged_ones_are_counted_and_nothing_else),
	};

	if (sodium_init() < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
