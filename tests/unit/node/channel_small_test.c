/* Small packets that leave together. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/support/overlay_lab.h"

enum {
	MANY = 200,
	SMALL = 100,
	LARGE = 1300,
};

static bool c_has_one(struct lab *lab)
{
	return lab->n[2].n_packets == 1;
}

static bool c_has_many(struct lab *lab)
{
	return lab->n[2].n_packets == MANY;
}

static enum dest_packet_verdict send_marked(struct lab *lab, size_t len,
					    uint8_t mark)
{
	uint8_t data[LARGE] = { 0x60, mark };
	size_t mtu;

	return dest_packet(lab->n[0].overlay->dests, lab_id(lab, 2), data, len,
			   &mtu);
}

static struct lab *lab_with_channel(void)
{
	struct lab *lab = lab_new();

	assert_int_equal(send_marked(lab, SMALL, 0), DEST_SENT);
	lab_run_until(lab, c_has_one);
	lab->n[2].n_packets = 0;
	return lab;
}

static uint64_t n_out(struct lab *lab)
{
	struct session_info s;

	assert_true(sessions_next(lab->n[0].overlay->sessions, 0, &s));
	return s.n_packets_out;
}

/* Until all are sent: the window may close in between. */
static bool send_all(struct lab *lab)
{
	static size_t n;

	while (n < MANY) {
		size_t len = n % 50 == 49 ? LARGE : SMALL + n % 7;

		if (send_marked(lab, len, (uint8_t)n) != DEST_SENT)
			return false;
		n++;
	}
	return true;
}

static void they_share_packets_and_keep_their_order(void **state)
{
	struct lab *lab = lab_with_channel();
	uint64_t before = n_out(lab);

	(void)state;
	lab_run_until(lab, send_all);
	lab_run_until(lab, c_has_many);
	for (size_t i = 0; i < MANY; i++)
		assert_int_equal(lab->n[2].marks[i], i);
	/* Those of the way back are acknowledged as well. */
	assert_true(n_out(lab) - before < MANY / 2);
	lab_free(lab);
}

static void a_lone_one_goes_at_once_and_as_it_is(void **state)
{
	struct lab *lab = lab_with_channel();

	(void)state;
	assert_int_equal(send_marked(lab, 1, 7), DEST_SENT);
	lab_run_until(lab, c_has_one);
	assert_int_equal(lab->n[2].last_packet_len, 1);
	lab_free(lab);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(they_share_packets_and_keep_their_order),
		cmocka_unit_test(a_lone_one_goes_at_once_and_as_it_is),
	};

	if (sodium_init() < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
