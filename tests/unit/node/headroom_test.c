/* How much of a congestion window is left free. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "node/quic/headroom.h"

enum {
	PACKET = 1000,
	CWND = 200 * PACKET,
	HALF = CWND / 2 + HEADROOM_SLACK,
};

#define RTT (20 * NS_PER_MS)

struct flow {
	struct headroom h;
	struct headroom_path p;
};

static void tell(struct flow *f)
{
	if (headroom_can_tell(&f->h, &f->p))
		headroom_told(&f->h);
}

static void look(struct flow *f)
{
	headroom_look(&f->h, &f->p);
	tell(f);
}

static bool allows(struct flow *f)
{
	if (headroom_allows(&f->h, &f->p))
		return true;
	tell(f);
	return headroom_allows(&f->h, &f->p);
}

static struct flow begin(nsec rtt)
{
	struct flow f = { .p = { .cwnd = CWND, .rtt = rtt, .rtt_min = rtt } };

	look(&f);
	return f;
}

/* Writes all that may be; how much is in flight then. */
static uint64_t fill(struct flow *f)
{
	while (f->p.in_flight < f->p.cwnd && allows(f)) {
		f->p.in_flight += PACKET;
		headroom_wrote(&f->h, f->p.in_flight - PACKET, f->p.in_flight);
	}
	return f->p.in_flight;
}

static void arrive(struct flow *f, uint64_t bytes)
{
	f->p.in_flight -= bytes;
	look(f);
}

/* What was in flight arrives, and as much follows it. */
static void pass_round(struct flow *f)
{
	for (uint64_t n = f->p.in_flight; n > 0; n -= PACKET) {
		arrive(f, PACKET);
		fill(f);
	}
}

static void a_short_path_has_all_of_it(void **state)
{
	struct flow f = begin(HEADROOM_RTT_NS - 1);

	(void)state;
	assert_int_equal(fill(&f), CWND);
	arrive(&f, PACKET);
	assert_int_equal(fill(&f), CWND);
}

static void a_short_path_on_which_packets_stand_is_crowded(void **state)
{
	const nsec rtt = NS_PER_MS;
	const nsec crowd = 2 * rtt + HEADROOM_CROWD_NS;
	struct flow f = begin(rtt);

	(void)state;
	assert_false(f.h.is_crowded);
	f.p.rtt = crowd;
	look(&f);
	assert_false(f.h.is_crowded);
	f.p.rtt = crowd + 1;
	look(&f);
	assert_true(f.h.is_crowded);
	/* Another path, as likely as not. */
	f.p.rtt = HEADROOM_FAR_NS;
	look(&f);
	assert_false(f.h.is_crowded);
	f.p.rtt = crowd + 1;
	look(&f);
	f.p.rtt_min = HEADROOM_RTT_NS;
	look(&f);
	assert_false(f.h.is_crowded);
	assert_true(f.h.is_long);
}

static void of_a_long_one_half_is_filled(void **state)
{
	struct flow f = begin(RTT);

	(void)state;
	assert_in_range(fill(&f), HALF, HALF + PACKET);
	for (int i = 0; i < 1000; i++) {
		arrive(&f, 10 * PACKET);
		assert_in_range(fill(&f), HALF - 2 * PACKET, HALF + PACKET);
	}
}

static void what_it_cannot_be_told_of_waits(void **state)
{
	struct flow f = begin(RTT);
	uint64_t n = 0, told;

	(void)state;
	fill(&f);
	arrive(&f, 20 * PACKET);
	told = f.p.in_flight / PACKET;
	/* It repairs a loss: its window is what is in flight and no more.  What
	 * it was told holds for what was in flight then. */
	for (;; n++) {
		f.p.cwnd = f.p.in_flight;
		arrive(&f, PACKET);
		f.p.cwnd = f.p.in_flight + PACKET;
		if (!allows(&f))
			break;
		fill(&f);
	}
	assert_in_range(n, told - 2, told + 2);
	/* It is done, and less than half is left. */
	f.p.cwnd = CWND;
	f.p.in_flight = CWND / 2 - PACKET;
	assert_true(allows(&f));
	/* One packet that is alone may always go. */
	headroom_paused(&f.h);
	f.p.in_flight = 0;
	assert_true(headroom_allows(&f.h, &f.p));
}

static void what_it_hears_in_a_pause_does_not_count(void **state)
{
	struct flow f = begin(RTT);

	(void)state;
	fill(&f);
	arrive(&f, 10 * PACKET);
	assert_true(headroom_allows(&f.h, &f.p));
	headroom_paused(&f.h);
	assert_false(headroom_allows(&f.h, &f.p));
	arrive(&f, 10 * PACKET);
	assert_true(headroom_allows(&f.h, &f.p));
}

static void a_short_dip_of_the_window_is_not_halved_again(void **state)
{
	struct flow f = begin(RTT);

	(void)state;
	fill(&f);
	f.p.cwnd = f.p.in_flight;
	arrive(&f, PACKET);
	assert_in_range(fill(&f), CWND / 2, HALF + PACKET);
}

static void a_queue_that_stays_gives_bbr_the_whole(void **state)
{
	struct flow f = begin(RTT);
	unsigned n = 0;

	(void)state;
	fill(&f);
	/* One that goes is nothing. */
	f.p.rtt = 3 * RTT;
	for (int i = 0; i < HEADROOM_QUEUE_ROUNDS - 2; i++)
		pass_round(&f);
	f.p.rtt = RTT;
	pass_round(&f);
	pass_round(&f);
	f.p.rtt = 3 * RTT;
	for (int i = 0; i < HEADROOM_QUEUE_ROUNDS - 2; i++) {
		pass_round(&f);
		assert_true(f.h.is_on);
	}
	for (int i = 0; i < 4; i++)
		pass_round(&f);
	assert_false(f.h.is_on);
	assert_int_equal(fill(&f), CWND);
	/* Then it is as before, with the window that came of it. */
	f.p.cwnd = CWND / 4;
	f.p.in_flight = CWND / 8;
	f.p.rtt = RTT;
	while (!f.h.is_on) {
		pass_round(&f);
		assert_in_range(n++, 0, HEADROOM_PAUSE_ROUNDS);
	}
	assert_in_range(n, HEADROOM_PAUSE_ROUNDS / 2, HEADROOM_PAUSE_ROUNDS);
	pass_round(&f);
	assert_in_range(fill(&f), CWND / 8, CWND / 8 + HEADROOM_SLACK + PACKET);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_short_path_has_all_of_it),
		cmocka_unit_test(
			a_short_path_on_which_packets_stand_is_crowded),
		cmocka_unit_test(of_a_long_one_half_is_filled),
		cmocka_unit_test(what_it_cannot_be_told_of_waits),
		cmocka_unit_test(what_it_hears_in_a_pause_does_not_count),
		cmocka_unit_test(a_short_dip_of_the_window_is_not_halved_again),
		cmocka_unit_test(a_queue_that_stays_gives_bbr_the_whole),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
