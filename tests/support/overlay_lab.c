#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>

#include "node/quic/protect.h"
#include "node/quic/window.h"
#include "proto/base/mem.h"
#include "tests/support/local_io.h"
#include "tests/support/overlay_lab.h"

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

static void record(void *ctx, const struct record *record)
{
	struct end *e = ctx;

	(void)record;
	e->n_records++;
}

static const struct overlay_events events = {
	.session_up = session_up,
	.session_down = session_down,
	.route_added = route_event,
	.route_gone = route_event,
	.identity = identity,
	.record = record,
};

static void packet(void *ctx, const struct node_id *peer, const uint8_t *data,
		   size_t len, bool is_marked)
{
	struct end *e = ctx;

	if (len > 1 && e->n_packets < sizeof e->marks)
		e->marks[e->n_packets] = data[1];
	e->n_packets++;
	e->n_marked += is_marked;
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

static void too_big(void *ctx, const uint8_t *data, size_t len, size_t mtu)
{
	struct end *e = ctx;

	(void)data;
	(void)len;
	(void)mtu;
	e->n_too_big++;
}

static const struct dest_packet_events packet_events = {
	.packet = packet,
	.too_big = too_big,
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
	e->n_held = 0;
	e->is_end_due = false;
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

static void open_end(struct lab *lab, size_t i, const char *name, bool direct)
{
	struct end *e = &lab->n[i];
	struct test_spec spec = { .cn = name, .around_s = time(NULL) };

	e->lab = lab;
	test_cert_make(&e->cert, &lab->ca, &spec);
	test_credentials(&e->credentials, &lab->ca, &e->cert, NULL);
	e->overlay = overlay_new(
		lab->loop,
		&(struct overlay_config){ .credentials = &e->credentials,
					  .protect = lab->protect,
					  .memory = WINDOW_POOL_BYTES,
					  .display_name = name,
					  .transit = true,
					  .direct = direct,
					  .flood_below = FLOOD_BELOW },
		&events, e);
	assert_non_null(e->overlay);
	dests_set_requests(e->overlay->dests, request, e);
	dest_set_packet_events(e->overlay->dests, &packet_events, e);
	e->at = local_udp_free();
	assert_int_equal(udp_listen(sessions_udp(e->overlay->sessions), &e->at),
			 0);
}

void lab_run_until(struct lab *lab, bool (*done)(struct lab *lab))
{
	lab->done = done;
	assert_true(local_run(lab->loop));
	lab->done = NULL;
}

void lab_dial(struct lab *lab, size_t i, const union endpoint *at)
{
	const struct session_dial d = { .remote = *at, .no = 1 };

	assert_int_equal(sessions_dial(lab->n[i].overlay->sessions, &d), 0);
}

void lab_join(struct lab *lab, size_t i, size_t j)
{
	lab_dial(lab, i, &lab->n[j].at);
}

static bool line_is_up(struct lab *lab)
{
	return lab->n[0].n_sessions == 1 && lab->n[1].n_sessions == 2 &&
	       lab->n[2].n_sessions == 1;
}

struct lab *lab_new_apart(const bool direct[NODES])
{
	static const char *const names[] = { "alpha", "bravo", "carol" };
	char why[256];
	struct lab *lab = mem_new(lab);
	struct test_spec ca = { .cn = "lab",
				.role = TEST_CA,
				.around_s = time(NULL) };

	assert_int_equal(
		protect_new(&lab->protect, PROTECT_AUTO, why, sizeof why), 0);
	lab->loop = loop_new();
	test_cert_make(&lab->ca, NULL, &ca);
	loop_on_turn_end(lab->loop, turn_end, lab);
	for (size_t i = 0; i < NODES; i++)
		open_end(lab, i, names[i], direct == NULL || direct[i]);
	return lab;
}

struct lab *lab_new(void)
{
	struct lab *lab = lab_new_apart(NULL);

	lab_join(lab, 0, 1);
	lab_join(lab, 1, 2);
	lab_run_until(lab, line_is_up);
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

void lab_free(struct lab *lab)
{
	for (size_t i = 0; i < NODES; i++)
		close_end(&lab->n[i]);
	test_cert_free(&lab->ca);
	protect_free(lab->protect);
	loop_free(lab->loop);
	free(lab);
}

/* ---- the asking side ---- */

struct seen seen;

void lab_push(struct seen *s)
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
	lab_push(s);
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
	lab_push(ctx);
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

void lab_ask_from(struct lab *lab, size_t from, const struct node_id *id,
		  enum stream_kind kind)
{
	uint8_t *data = seen.data;

	seen = (struct seen){ .is_consuming = true, .data = data };
	crypto_hash_sha256_init(&seen.hash);
	seen.stream = dest_stream(lab->n[from].overlay->dests, id, kind,
				  "carol", 80, &asked_events, &seen);
}

void lab_ask(struct lab *lab, const struct node_id *id, enum stream_kind kind)
{
	lab_ask_from(lab, 0, id, kind);
}

void lab_ask_key(struct lab *lab, const struct node_id *id,
		 const struct node_hash *key_hash)
{
	lab_ask_from(lab, 0, id, STREAM_TCP);
	stream_expect(seen.stream, key_hash);
}

const struct node_id *lab_id(const struct lab *lab, size_t i)
{
	return &lab->n[i].credentials.self.id;
}

bool lab_is_closed(struct lab *lab)
{
	(void)lab;
	return seen.is_closed;
}

bool lab_is_opened(struct lab *lab)
{
	(void)lab;
	return seen.is_opened;
}
