/* C goes on with a channel that A has ended while there was no path between
 * them to say so (overlay_lab.h). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "proto/base/mem.h"
#include "tests/support/overlay_lab.h"

enum {
	A,
	B,
	C,
};

static struct router *router_of(struct lab *lab, size_t i)
{
	return lab->n[i].overlay->router;
}

static uint64_t n_opened(struct lab *lab, size_t i)
{
	return router_counters(router_of(lab, i))->n_circuits_opened;
}

static uint64_t n_connected(struct lab *lab, size_t i)
{
	return channels_counters(lab->n[i].overlay->channels)->n_connected;
}

static enum dest_packet_verdict send_packet(struct lab *lab, size_t from,
					    size_t to)
{
	static const uint8_t data[100] = { 0x60 };
	size_t mtu;

	return dest_packet(lab->n[from].overlay->dests, lab_id(lab, to), data,
			   sizeof data, &mtu);
}

static bool c_has_packet(struct lab *lab)
{
	return lab->n[C].n_packets > 0;
}

static bool a_has_packet(struct lab *lab)
{
	return lab->n[A].n_packets > 0;
}

static struct channel *own_channel(struct lab *lab)
{
	return dest_channel(lab->n[A].overlay->dests, lab_id(lab, C));
}

/* A's channel, as C sees it. */
static struct channel *far_channel(struct lab *lab)
{
	struct channel *c;
	size_t i = 0;

	while (channels_next(lab->n[C].overlay->channels, &i, &c))
		if (channel_carries_ip(c) && !channel_is_client(c))
			return c;
	return NULL;
}

static bool is_cut(struct lab *lab)
{
	return lab->n[C].n_sessions == 0 &&
	       channel_circuit(own_channel(lab)) == 0 &&
	       channel_circuit(far_channel(lab)) == 0;
}

static bool is_whole(struct lab *lab)
{
	return lab->n[B].n_sessions == 2 && lab->n[C].n_sessions == 1;
}

/* A's channel ends, and C has not heard of it. */
static void end_unheard(struct lab *lab)
{
	struct session_info s = { 0 };

	assert_true(sessions_next(lab->n[C].overlay->sessions, 0, &s));
	sessions_close(lab->n[C].overlay->sessions, s.no, "test");
	lab_run_until(lab, is_cut);
	channel_close(own_channel(lab), "test");
	lab_join(lab, B, C);
	lab_run_until(lab, is_whole);
}

static uint64_t n_opened_before;

/* As long as it is known to be unreachable there is no attempt. */
static bool a_has_opened(struct lab *lab)
{
	if (n_opened(lab, A) > n_opened_before)
		return true;
	router_connect(router_of(lab, A), lab_id(lab, C), 0,
		       loop_now(lab->loop));
	return false;
}

static bool has_no_circuits(struct lab *lab)
{
	struct circuit_info c;

	return !router_circuit_next(router_of(lab, A), 0, &c) &&
	       !router_circuit_next(router_of(lab, C), 0, &c);
}

/* The search for a path that went on when the channel was ended: what it finds
 * must not give C's end a way to nobody. */
static void a_circuit_that_nobody_needs_any_more_is_closed(void **state)
{
	struct lab *lab = lab_new();

	(void)state;
	send_packet(lab, A, C);
	lab_run_until(lab, c_has_packet);
	end_unheard(lab);
	n_opened_before = n_opened(lab, A);
	lab_run_until(lab, a_has_opened);
	lab_run_until(lab, has_no_circuits);
	assert_int_equal(send_packet(lab, C, A), DEST_SENT);
	lab_run_until(lab, a_has_packet);
	assert_int_equal(n_connected(lab, C), 1);
	lab_free(lab);
}

static void nothing(void *ctx)
{
	(void)ctx;
}

static void no_data(void *ctx, const uint8_t *data, size_t len)
{
	(void)ctx;
	(void)data;
	(void)len;
}

static bool is_other_open, is_other_closed;

static void other_opened(void *ctx)
{
	(void)ctx;
	is_other_open = true;
}

static void other_closed(void *ctx, enum stream_error why)
{
	(void)ctx;
	(void)why;
	is_other_closed = true;
}

static const struct stream_events other_events = {
	.opened = other_opened,
	.data = no_data,
	.ended = nothing,
	.writable = nothing,
	.closed = other_closed,
};

static bool other_is_open(struct lab *lab)
{
	(void)lab;
	return is_other_open;
}

static bool is_led_astray(struct lab *lab)
{
	return channel_circuit(far_channel(lab)) != 0;
}

struct sender {
	struct timer timer;
	struct lab *lab;
};

static void send_again(struct timer *t)
{
	struct sender *s = container_of(t, struct sender, timer);

	send_packet(s->lab, C, A);
	loop_timer_set(s->lab->loop, t,
		       loop_now(s->lab->loop) + 50 * NS_PER_MS);
}

static bool is_answered(struct lab *lab)
{
	return channel_silence(far_channel(lab)) == 0;
}

/* Another user's channel needs the circuit that C's end of the dead one takes
 * as well. */
static void a_server_that_nobody_answers_asks_for_a_channel(void **state)
{
	const struct dest_tag user = { .b = { 1 } };
	struct lab *lab = lab_new();
	struct sender s = { .timer.fire = send_again, .lab = lab };
	struct stream *other;

	(void)state;
	is_other_open = is_other_closed = false;
	send_packet(lab, A, C);
	lab_run_until(lab, c_has_packet);
	send_packet(lab, C, A);
	lab_run_until(lab, a_has_packet);
	lab_run_until(lab, is_answered);
	other = dest_stream_apart(lab->n[A].overlay->dests, &user,
				  lab_id(lab, C), STREAM_TCP, "carol", 80,
				  &other_events, NULL);
	lab_run_until(lab, other_is_open);
	end_unheard(lab);
	lab_run_until(lab, is_led_astray);
	lab->n[A].n_packets = 0;
	loop_timer_set(lab->loop, &s.timer, loop_now(lab->loop));
	lab_run_until(lab, a_has_packet);
	loop_timer_set(lab->loop, &s.timer, TIME_NEVER);
	assert_int_equal(n_connected(lab, C), 1);
	assert_false(is_other_closed);
	stream_close(other, STREAM_RESET);
	lab_free(lab);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(
			a_circuit_that_nobody_needs_any_more_is_closed),
		cmocka_unit_test(
			a_server_that_nobody_answers_asks_for_a_channel),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
