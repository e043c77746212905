/* Whole nodes without disk or device, three in one loop on the loopback: A - B
 * - C in a line, with B as the relay. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
#include <sodium.h>
#include <cmocka.h>

#include "node/overlay.h"
#include "node/quic.h"
#include "node/quic_table.h"
#include "proto/base/mem.h"
#include "proto/base/rng.h"
#include "tests/support/certs.h"

enum {
	PATIENCE_S = 20,
	NODES = 3,
	BULK = 3 << 20,
};

struct end {
	struct lab *lab;
	struct test_cert cert;
	struct credentials credentials;
	struct overlay *overlay;
	union endpoint at;
	int n_sessions, n_routes, n_identities, n_requests;
	struct stream *asked; /* the last request that came in */
	uint8_t *held;        /* what the echo could not write yet */
	size_t n_held;
	bool is_end_due;
	enum stream_error refuse; /* STREAM_OK: accept */
	bool is_echo;
	size_t n_packets, last_packet_len;
	struct node_id last_packet_from;
	int n_unblocked, n_unreachable;
};

struct lab {
	struct loop *loop;
	struct test_cert ca;
	struct end n[NODES];
	uv_timer_t guard;
	bool (*done)(struct lab *lab);
	bool is_late;
};

/* What the asking side saw. */
struct seen {
	struct stream *stream;
	bool is_opened, is_ended, is_closed;
	enum stream_error why;
	size_t n_bytes, n_written, n_datagrams;
	crypto_hash_sha256_state hash;
	uint8_t *data; /* what is written */
	bool is_consuming;
};

/* ---- nodes ---- */

static bool session_up(void *ctx, const struct session_info *s,
		       const uint8_t *chain, size_t chain_len)
{
	struct end *e = ctx;

	(void)s;
	(void)chain;
	(void)chain_len;
	e->n_sessions++;
	return true;
}

static void session_down(void *ctx, const struct session_info *s)
{
	struct end *e = ctx;

	if (s->is_up)
		e->n_sessions--;
}

static void route_event(void *ctx, const struct route_proof *route)
{
	struct end *e = ctx;

	(void)route;
	e->n_routes++;
}

static void identity(void *ctx, const struct identity *who,
		     const uint8_t *chain, size_t chain_len)
{
	struct end *e = ctx;

	(void)who;
	(void)chain;
	(void)chain_len;
	e->n_identities++;
}

static const struct overlay_events events = {
	.session_up = session_up,
	.session_down = session_down,
	.route_added = route_event,
	.route_gone = route_event,
	.identity = identity,
};

static void packet(void *ctx, const struct node_id *peer, const uint8_t *data,
		   size_t len)
{
	struct end *e = ctx;

	(void)data;
	e->n_packets++;
	e->last_packet_len = len;
	e->last_packet_from = *peer;
}

static void unreachable(void *ctx, const uint8_t *data, size_t len)
{
	struct end *e = ctx;

	(void)data;
	(void)len;
	e->n_unreachable++;
}

static void unblocked(void *ctx)
{
	struct end *e = ctx;

	e->n_unblocked++;
}

static const struct dest_packet_events packet_events = {
	.packet = packet,
	.unreachable = unreachable,
	.unblocked = unblocked,
};

/* ---- the asked side: echoes ---- */

static void echo_push(void *ctx)
{
	struct end *e = ctx;
	size_t n = stream_write(e->asked, e->held, e->n_held);

	stream_consumed(e->asked, n);
	e->n_held -= n;
	memmove(e->held, e->held + n, e->n_held);
	if (e->is_end_due && e->n_held == 0)
		stream_end(e->asked);
}

static void echo_data(void *ctx, const uint8_t *data, size_t len)
{
	struct end *e = ctx;

	if (stream_kind(e->asked) == STREAM_UDP) {
		stream_write(e->asked, data, len);
		return;
	}
	e->held = mem_realloc(e->held, 1, e->n_held + len);
	memcpy(e->held + e->n_held, data, len);
	e->n_held += len;
	echo_push(e);
}

static void echo_ended(void *ctx)
{
	struct end *e = ctx;

	e->is_end_due = true;
	echo_push(e);
}

static void echo_closed(void *ctx, enum stream_error why)
{
	struct end *e = ctx;

	(void)why;
	e->asked = NULL;
}

static void nothing(void *ctx)
{
	(void)ctx;
}

static const struct stream_events echo_events = {
	.opened = nothing,
	.data = echo_data,
	.ended = echo_ended,
	.writable = echo_push,
	.closed = echo_closed,
};

static void request(void *ctx, struct stream *s)
{
	struct end *e = ctx;

	e->n_requests++;
	if (e->refuse != STREAM_OK) {
		stream_refuse(s, e->refuse);
		return;
	}
	e->asked = s;
	stream_set_events(s, &echo_events, e);
	stream_accept(s);
}

/* ---- the lab ---- */

static void turn_end(void *ctx)
{
	struct lab *lab = ctx;
	bool did;

	do {
		did = false;
		for (size_t i = 0; i < NODES; i++) {
			if (lab->n[i].overlay != NULL)
				did |= overlay_flush(lab->n[i].overlay);
		}
	} while (did);
	for (size_t i = 0; i < NODES; i++) {
		if (lab->n[i].overlay != NULL)
			overlay_set_timer(lab->n[i].overlay);
	}
	if (lab->done != NULL && lab->done(lab))
		loop_stop(lab->loop);
}

static void open_end(struct lab *lab, size_t i, const char *name)
{
	struct end *e = &lab->n[i];
	struct test_spec spec = { .cn = name, .around_s = time(NULL) };
	socklen_t len = sizeof e->at;
	int fd = socket(AF_INET, SOCK_DGRAM, 0);

	e->lab = lab;
	test_cert_make(&e->cert, &lab->ca, &spec);
	test_credentials(&e->credentials, &lab->ca, &e->cert, NULL);
	e->overlay =
		overlay_new(lab->loop, &e->credentials, name, true, &events, e);
	assert_non_null(e->overlay);
	dests_set_requests(e->overlay->dests, request, e);
	dest_set_packet_events(e->overlay->dests, &packet_events, e);
	/* The system picks a port; a probe socket tells us one. */
	assert_true(endpoint_parse(&e->at, "127.0.0.1", 1));
	e->at.in.sin_port = 0;
	assert_int_equal(bind(fd, &e->at.sa, sizeof e->at.in), 0);
	getsockname(fd, &e->at.sa, &len);
	close(fd);
	assert_int_equal(udp_listen(sessions_udp(e->overlay->sessions), &e->at),
			 0);
}

static void too_late(uv_timer_t *t)
{
	struct lab *lab = t->data;

	lab->is_late = true;
	loop_stop(lab->loop);
}

static void run_until(struct lab *lab, bool (*done)(struct lab *lab))
{
	lab->done = done;
	lab->is_late = false;
	uv_timer_init(loop_uv(lab->loop), &lab->guard);
	lab->guard.data = lab;
	uv_timer_start(&lab->guard, too_late, PATIENCE_S * 1000, 0);
	loop_run(lab->loop);
	uv_close((uv_handle_t *)&lab->guard, NULL);
	uv_run(loop_uv(lab->loop), UV_RUN_NOWAIT);
	lab->done = NULL;
	assert_false(lab->is_late);
	loop_turn(lab->loop);
}

static void join(struct lab *lab, size_t i, size_t j)
{
	const struct session_dial d = { .remote = lab->n[j].at, .no = 1 };

	assert_int_equal(sessions_dial(lab->n[i].overlay->sessions, &d), 0);
}

static bool line_is_up(struct lab *lab)
{
	return lab->n[0].n_sessions == 1 && lab->n[1].n_sessions == 2 &&
	       lab->n[2].n_sessions == 1;
}

static struct lab *lab_new(void)
{
	static const char *const names[] = { "alpha", "bravo", "carol" };
	struct lab *lab = mem_new(lab);
	struct test_spec ca = { .cn = "lab",
				.role = TEST_CA,
				.around_s = time(NULL) };

	lab->loop = loop_new();
	test_cert_make(&lab->ca, NULL, &ca);
	loop_on_turn_end(lab->loop, turn_end, lab);
	for (size_t i = 0; i < NODES; i++)
		open_end(lab, i, names[i]);
	join(lab, 0, 1);
	join(lab, 1, 2);
	run_until(lab, line_is_up);
	return lab;
}

static void close_end(struct end *e)
{
	overlay_free(e->overlay);
	e->overlay = NULL;
	free(e->held);
	credentials_deinit(&e->credentials);
	test_cert_free(&e->cert);
}

static void lab_free(struct lab *lab)
{
	for (size_t i = 0; i < NODES; i++)
		close_end(&lab->n[i]);
	test_cert_free(&lab->ca);
	loop_free(lab->loop);
	free(lab);
}

/* ---- the asking side ---- */

static struct seen seen;

static void push(struct seen *s)
{
	while (s->data != NULL && s->n_written < BULK) {
		size_t n = stream_write(s->stream, s->data + s->n_written,
					BULK - s->n_written);

		if (n == 0)
			return;
		s->n_written += n;
	}
	if (s->data != NULL)
		stream_end(s->stream);
}

static void asked_opened(void *ctx)
{
	struct seen *s = ctx;

	s->is_opened = true;
	push(s);
}

static void asked_data(void *ctx, const uint8_t *data, size_t len)
{
	struct seen *s = ctx;

	s->n_bytes += len;
	s->n_datagrams++;
	crypto_hash_sha256_update(&s->hash, data, len);
	if (s->is_consuming)
		stream_consumed(s->stream, len);
}

static void asked_ended(void *ctx)
{
	struct seen *s = ctx;

	s->is_ended = true;
}

static void asked_writable(void *ctx)
{
	push(ctx);
}

static void asked_closed(void *ctx, enum stream_error why)
{
	struct seen *s = ctx;

	s->is_closed = true;
	s->why = why;
}

static const struct stream_events asked_events = {
	.opened = asked_opened,
	.data = asked_data,
	.ended = asked_ended,
	.writable = asked_writable,
	.closed = asked_closed,
};

static void ask(struct lab *lab, const struct node_id *id,
		enum stream_kind kind)
{
	uint8_t *data = seen.data;

	seen = (struct seen){ .is_consuming = true, .data = data };
	crypto_hash_sha256_init(&seen.hash);
	seen.stream = dest_stream(lab->n[0].overlay->dests, id, kind, "carol",
				  80, &asked_events, &seen);
}

static const struct node_id *id_of(const struct lab *lab, size_t i)
{
	return &lab->n[i].credentials.self.id;
}

static bool is_closed(struct lab *lab)
{
	(void)lab;
	return seen.is_closed;
}

static bool is_opened(struct lab *lab)
{
	(void)lab;
	return seen.is_opened;
}

/* ---- tests ---- */

static void a_stream_over_a_relay_echoes_all_and_closes_cleanly(void **state)
{
	struct lab *lab = lab_new();
	uint8_t want[32], have[32];
	struct rng rng;

	(void)state;
	rng_init(&rng, 7);
	seen.data = mem_calloc(1, BULK);
	rng_fill(&rng, seen.data, BULK);
	crypto_hash_sha256(want, seen.data, BULK);
	ask(lab, id_of(lab, 1), STREAM_TCP);
	run_until(lab, is_closed);
	assert_int_equal(seen.why, STREAM_OK);
	assert_true(seen.is_ended);
	assert_int_equal(seen.n_bytes, BULK);
	crypto_hash_sha256_final(&seen.hash, have);
	assert_memory_equal(want, have, sizeof want);
	free(seen.data);
	seen.data = NULL;
	lab_free(lab);
}

static void a_refusal_comes_back_with_its_reason(void **state)
{
	static const enum stream_error reasons[] = {
		STREAM_NOT_ALLOWED,  STREAM_REFUSED,         STREAM_TIMED_OUT,
		STREAM_HOST_UNKNOWN, STREAM_NET_UNREACHABLE, STREAM_LIMIT,
	};
	struct lab *lab = lab_new();

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(reasons); i++) {
		lab->n[2].refuse = reasons[i];
		ask(lab, id_of(lab, 2), STREAM_TCP);
		run_until(lab, is_closed);
		assert_false(seen.is_opened);
		assert_int_equal(seen.why, reasons[i]);
	}
	/* All over one channel. */
	assert_int_equal(
		channels_counters(lab->n[2].overlay->channels)->n_accepted, 1);
	lab_free(lab);
}

static void a_node_that_is_not_there_is_unreachable(void **state)
{
	struct lab *lab = lab_new();
	const struct node_id nobody = { { 1, 2, 3 } };
	nsec began = loop_now(lab->loop);

	(void)state;
	ask(lab, &nobody, STREAM_TCP);
	run_until(lab, is_closed);
	assert_int_equal(seen.why, STREAM_UNREACHABLE);
	assert_true(loop_now(lab->loop) - began < 8 * NS_PER_S);
	lab_free(lab);
}

static bool got_datagram(struct lab *lab)
{
	(void)lab;
	if (seen.is_opened && seen.n_datagrams == 0)
		stream_write(seen.stream, (const uint8_t *)"hello", 5);
	return seen.n_datagrams > 0;
}

static void datagrams_echo(void **state)
{
	struct lab *lab = lab_new();

	(void)state;
	ask(lab, id_of(lab, 2), STREAM_UDP);
	run_until(lab, is_opened);
	run_until(lab, got_datagram);
	assert_int_equal(seen.n_bytes % 5, 0);
	/* One that does not fit is not taken. */
	assert_int_equal(
		stream_write(seen.stream, (const uint8_t[2000]){ 0 }, 2000), 0);
	stream_close(seen.stream, STREAM_OK);
	lab_free(lab);
}

static bool c_has_packet(struct lab *lab)
{
	return lab->n[2].n_packets > 0;
}

static bool a_has_packet(struct lab *lab)
{
	return lab->n[0].n_packets > 0;
}

static enum dest_packet_verdict send_packet(struct lab *lab, size_t from,
					    const struct node_id *to,
					    size_t len, size_t *mtu)
{
	static const uint8_t data[2000] = { 0x60 };

	return dest_packet(lab->n[from].overlay->dests, to, data, len, mtu);
}

static void packets_go_there_and_back_over_one_channel(void **state)
{
	struct lab *lab = lab_new();
	size_t mtu = 0;

	(void)state;
	/* It waits for the path, then goes. */
	assert_int_equal(send_packet(lab, 0, id_of(lab, 2), 100, &mtu),
			 DEST_SENT);
	run_until(lab, c_has_packet);
	assert_int_equal(lab->n[2].last_packet_len, 100);
	assert_true(id_equal(&lab->n[2].last_packet_from, id_of(lab, 0)));
	/* The answer takes the way that is there: no probe of its own. */
	assert_int_equal(send_packet(lab, 2, id_of(lab, 0), 60, &mtu),
			 DEST_SENT);
	run_until(lab, a_has_packet);
	assert_int_equal(
		channels_counters(lab->n[2].overlay->channels)->n_connected, 0);
	/* One byte over what fits is told, and what fits passes. */
	assert_int_equal(send_packet(lab, 0, id_of(lab, 2), 1500, &mtu),
			 DEST_TOO_BIG);
	assert_int_equal(mtu, CIRCUIT_MTU_MAX - CHANNEL_OVERHEAD);
	lab->n[2].n_packets = 0;
	assert_int_equal(send_packet(lab, 0, id_of(lab, 2), mtu, &mtu),
			 DEST_SENT);
	run_until(lab, c_has_packet);
	assert_int_equal(lab->n[2].last_packet_len, mtu);
	lab_free(lab);
}

static bool a_is_told(struct lab *lab)
{
	return lab->n[0].n_unreachable == 2;
}

static void packets_to_nobody_are_told_as_unreachable(void **state)
{
	struct lab *lab = lab_new();
	const struct node_id nobody = { { 9 } };
	size_t mtu;

	(void)state;
	assert_int_equal(send_packet(lab, 0, &nobody, 100, &mtu), DEST_SENT);
	assert_int_equal(send_packet(lab, 0, &nobody, 100, &mtu), DEST_SENT);
	run_until(lab, a_is_told);
	/* It is remembered for a moment. */
	assert_int_equal(send_packet(lab, 0, &nobody, 100, &mtu),
			 DEST_UNREACHABLE);
	lab_free(lab);
}

static bool is_blocked(struct lab *lab)
{
	size_t mtu;

	for (int i = 0; i < 5000; i++) {
		if (send_packet(lab, 0, id_of(lab, 2), 1300, &mtu) ==
		    DEST_BLOCKED)
			return true;
	}
	return false;
}

static bool is_unblocked(struct lab *lab)
{
	return lab->n[0].n_unblocked > 0;
}

static void too_many_packets_block_and_unblock(void **state)
{
	struct lab *lab = lab_new();
	size_t mtu;

	(void)state;
	send_packet(lab, 0, id_of(lab, 2), 100, &mtu);
	run_until(lab, c_has_packet);
	run_until(lab, is_blocked);
	run_until(lab, is_unblocked);
	/* Nothing was dropped at the origin. */
	assert_int_equal(
		sessions_counters(lab->n[0].overlay->sessions)->n_queue_full,
		0);
	lab_free(lab);
}

static bool path_is_back(struct lab *lab)
{
	return lab->n[0].n_sessions == 2 && seen.n_bytes > 100000;
}

static void a_stream_survives_the_death_of_its_path(void **state)
{
	struct lab *lab = lab_new();
	uint8_t want[32], have[32];
	struct session_info s;

	(void)state;
	seen.data = mem_calloc(1, BULK);
	memset(seen.data, 0x5a, BULK);
	crypto_hash_sha256(want, seen.data, BULK);
	ask(lab, id_of(lab, 2), STREAM_TCP);
	run_until(lab, is_opened);
	/* A second way, without B; then the first one goes. */
	join(lab, 0, 2);
	run_until(lab, path_is_back);
	assert_true(sessions_next(lab->n[1].overlay->sessions, 0, &s));
	sessions_close(lab->n[1].overlay->sessions, s.no, "test");
	run_until(lab, is_closed);
	assert_int_equal(seen.why, STREAM_OK);
	assert_int_equal(seen.n_bytes, BULK);
	crypto_hash_sha256_final(&seen.hash, have);
	assert_memory_equal(want, have, sizeof want);
	assert_true(channels_counters(lab->n[0].overlay->channels)->n_switched >
		    0);
	free(seen.data);
	seen.data = NULL;
	lab_free(lab);
}

static bool c_counts_label(struct lab *lab)
{
	return router_counters(lab->n[1].overlay->router)->n_label_unknown > 0;
}

static void a_label_that_was_not_given_out_is_counted(void **state)
{
	struct lab *lab = lab_new();
	static const uint8_t header[LABEL_BYTES] = { 0, 0, 0, 9 };
	static const uint8_t payload[100];
	struct session_info s;

	(void)state;
	assert_true(sessions_next(lab->n[0].overlay->sessions, 0, &s));
	assert_int_equal(sessions_send_packet(lab->n[0].overlay->sessions, s.no,
					      header, sizeof header, payload,
					      sizeof payload),
			 SESSION_SENT);
	run_until(lab, c_counts_label);
	assert_int_equal(lab->n[1].n_sessions, 2);
	lab_free(lab);
}

/* A member that speaks QUIC well and HTTP/3 not at all: whatever it writes on
 * the circuit, the other end counts it and lives. */
static void garbage_on_a_circuit_is_counted(void **state)
{
	struct lab *lab = lab_new();
	struct overlay *a;
	struct circuit_info c = { 0 };
	struct relay_hop hop;
	uint8_t noise[200], header[PACKET_HEADER_MAX];
	struct rng rng;

	(void)state;
	a = lab->n[0].overlay;
	rng_init(&rng, 3);
	ask(lab, id_of(lab, 2), STREAM_TCP);
	run_until(lab, is_opened);
	assert_true(router_circuit_next(a->router, 0, &c));
	for (int i = 0; i < 60; i++) {
		size_t n;

		rng_fill(&rng, noise, sizeof noise);
		assert_true(router_circuit_out(a->router, c.circuit,
					       sizeof noise,
					       loop_now(lab->loop), &hop));
		n = packet_header_write(header, (enum packet_part)(i % 3),
					hop.label, (uint16_t)i);
		sessions_send_packet(a->sessions, hop.session, header, n, noise,
				     sizeof noise);
	}
	/* The stream beside it goes on. */
	seen.data = mem_calloc(1, BULK);
	push(&seen);
	run_until(lab, is_closed);
	assert_int_equal(seen.why, STREAM_OK);
	assert_int_equal(seen.n_bytes, BULK);
	assert_true(channels_counters(lab->n[2].overlay->channels)->n_unknown >
		    0);
	free(seen.data);
	seen.data = NULL;
	lab_free(lab);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(
			a_stream_over_a_relay_echoes_all_and_closes_cleanly),
		cmocka_unit_test(a_refusal_comes_back_with_its_reason),
		cmocka_unit_test(a_node_that_is_not_there_is_unreachable),
		cmocka_unit_test(datagrams_echo),
		cmocka_unit_test(packets_go_there_and_back_over_one_channel),
		cmocka_unit_test(packets_to_nobody_are_told_as_unreachable),
		cmocka_unit_test(too_many_packets_block_and_unblock),
		cmocka_unit_test(a_stream_survives_the_death_of_its_path),
		cmocka_unit_test(a_label_that_was_not_given_out_is_counted),
		cmocka_unit_test(garbage_on_a_circuit_is_counted),
	};

	if (sodium_init() < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
