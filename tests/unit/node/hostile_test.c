/* Members of the cluster that break the protocol, layer by layer: the victim
 * closes or ignores what is wrong, counts it, and serves the others.  Looks
 * into sessions and channels to write what an honest node never would. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "node/channel/channel_conn.h"
#include "node/quic/quic_conn.h"
#include "node/session/session_conn.h"
#include "proto/base/mem.h"
#include "proto/base/rng.h"
#include "tests/support/overlay_lab.h"

/* ---- the control stream ---- */

static struct session *session_of(struct lab *lab, size_t i)
{
	struct sessions *set = lab->n[i].overlay->sessions;

	for (size_t j = 0; j < SESSIONS_MAX; j++) {
		if (set->slots[j] != NULL)
			return set->slots[j];
	}
	return NULL;
}

/* Puts raw bytes on A's control stream to B. */
static void write_raw(struct lab *lab, const void *data, size_t len)
{
	struct session *s = session_of(lab, 0);
	struct chunk *k = mem_calloc(1, sizeof *k + len);

	assert_non_null(s);
	k->len = len;
	memcpy(k->data, data, len);
	*s->chunks_tail = k;
	s->chunks_tail = &k->next;
	s->n_chunk_bytes += len;
	if (s->unsent == NULL) {
		s->unsent = k;
		s->unsent_offset = 0;
	}
	session_mark(s);
}

static bool is_cut(struct lab *lab)
{
	return lab->n[0].n_sessions == 0;
}

static bool c_answers(struct lab *lab)
{
	(void)lab;
	return seen.is_closed;
}

/* B still serves C: a request from C's side needs no A. */
static void b_serves_c(struct lab *lab)
{
	lab->n[1].refuse = STREAM_NOT_ALLOWED;
	lab_ask_from(lab, 2, lab_id(lab, 1), STREAM_TCP);
	lab_run_until(lab, c_answers);
	assert_int_equal(seen.why, STREAM_NOT_ALLOWED);
}

static void garbage_on_the_control_stream_ends_that_session_only(void **state)
{
	static const struct {
		const char *why;
		uint8_t data[24];
		size_t len;
	} cases[] = {
		{ "a frame longer than any",
		  { MSG_PROBE, 0xff, 0xff, 0xff },
		  4 },
		{ "a probe that is not protobuf",
		  { MSG_PROBE, 0, 0, 4, 0xff, 0xff, 0xff, 0xff },
		  8 },
		{ "an empty answer", { MSG_ANSWER, 0, 0, 0 }, 4 },
		{ "a second HELLO", { MSG_HELLO, 0, 0, 2, 0x08, 1 }, 6 },
		{ "a label of more than 30 bits",
		  { MSG_OPENED, 0, 0, 2, 0x10, 1 },
		  6 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct lab *lab = lab_new();

		write_raw(lab, cases[i].data, cases[i].len);
		lab_run_until(lab, is_cut);
		assert_int_equal(lab->n[1].n_sessions, 1);
		b_serves_c(lab);
		lab_free(lab);
	}
}

static bool unknown_counted(struct lab *lab)
{
	return sessions_counters(lab->n[1].overlay->sessions)
		       ->n_msg[MSG_UNKNOWN] == 3;
}

static void unknown_messages_are_ignored(void **state)
{
	static const uint8_t frame[] = { 200, 0, 0, 3, 1, 2, 3 };
	struct lab *lab = lab_new();

	(void)state;
	for (int i = 0; i < 3; i++)
		write_raw(lab, frame, sizeof frame);
	lab_run_until(lab, unknown_counted);
	assert_int_equal(lab->n[1].n_sessions, 2);
	lab_free(lab);
}

static void random_bytes_on_the_control_stream_never_hurt(void **state)
{
	struct rng rng;

	(void)state;
	rng_init(&rng, 11);
	for (int i = 0; i < 10; i++) {
		struct lab *lab = lab_new();
		uint8_t noise[3000];

		rng_fill(&rng, noise, sizeof noise);
		/* A known type, so that it is not only ignored. */
		noise[0] = (uint8_t)(MSG_LINK + rng_below(&rng, 9));
		noise[1] = 0;
		noise[2] = 0;
		write_raw(lab, noise, sizeof noise);
		lab_run_until(lab, is_cut);
		b_serves_c(lab);
		lab_free(lab);
	}
}

/* ---- HTTP/3 ---- */

static struct {
	uint8_t data[64];
	size_t len;
	int64_t id; /* -1: a new request stream */
	bool is_done;
} dirt;

static ngtcp2_ssize next_dirt(void *ctx, int64_t *id, int *is_last,
			      ngtcp2_vec *vec, size_t cap)
{
	struct channel *c = ctx;

	(void)cap;
	*is_last = 0;
	*id = -1;
	if (dirt.is_done)
		return 0;
	if (dirt.id < 0)
		dirt.id = quic_open_bidi(c->quic);
	*id = dirt.id;
	vec->base = dirt.data;
	vec->len = dirt.len;
	return 1;
}

static void wrote_dirt(void *ctx, int64_t id, size_t len)
{
	(void)ctx;
	(void)id;
	(void)len;
	dirt.is_done = true;
}

static void ignore_stream(void *ctx, int64_t id)
{
	(void)ctx;
	(void)id;
	dirt.is_done = true;
}

static void ignore_acked(void *ctx, int64_t id, size_t len)
{
	(void)ctx;
	(void)id;
	(void)len;
}

static void garbage_in_http3_ends_that_channel_only(void **state)
{
	static const struct {
		const char *why;
		uint8_t data[24];
		size_t len;
		int64_t id;
	} cases[] = {
		{ "DATA before HEADERS", { 0x00, 0x03, 'a', 'b', 'c' }, 5, -1 },
		{ "SETTINGS on a request stream", { 0x04, 0x00 }, 2, -1 },
		{ "a field section that QPACK cannot read",
		  { 0x01, 0x06, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff },
		  8,
		  -1 },
		{ "a second SETTINGS on the control stream",
		  { 0x04, 0x00 },
		  2,
		  2 },
		{ "a frame of HTTP/2 on the control stream",
		  { 0x02, 0x00 },
		  2,
		  2 },
		{ "an instruction that the QPACK encoder has not",
		  { 0x3f, 0xff, 0xff, 0xff, 0xff, 0x7f },
		  6,
		  6 },
	};
	struct quic_events events = channel_quic_events;

	(void)state;
	events.next_data = next_dirt;
	events.wrote = wrote_dirt;
	events.blocked = ignore_stream;
	events.shut = ignore_stream;
	events.stream_acked = ignore_acked;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct lab *lab = lab_new();
		struct channel *c;

		print_message("%s\n", cases[i].why);
		lab_ask(lab, lab_id(lab, 2), STREAM_TCP);
		lab_run_until(lab, lab_is_opened);
		c = dest_channel(lab->n[0].overlay->dests, lab_id(lab, 2));
		assert_non_null(c);
		memcpy(dirt.data, cases[i].data, cases[i].len);
		dirt.len = cases[i].len;
		dirt.id = cases[i].id;
		dirt.is_done = false;
		c->quic->config.events = &events;
		channel_mark(c);
		lab_run_until(lab, lab_is_closed);
		assert_int_equal(seen.why, STREAM_RESET);
		assert_int_equal(channels_counters(lab->n[2].overlay->channels)
					 ->n_h3_errors,
				 1);
		/* The same node may come again, in order. */
		lab->n[2].refuse = STREAM_NOT_ALLOWED;
		lab_ask(lab, lab_id(lab, 2), STREAM_TCP);
		lab_run_until(lab, lab_is_closed);
		assert_int_equal(seen.why, STREAM_NOT_ALLOWED);
		lab_free(lab);
	}
}

static bool datagrams_counted(struct lab *lab)
{
	const struct channel_counters *n =
		channels_counters(lab->n[2].overlay->channels);

	return n->n_datagram_unknown >= 2;
}

static void datagrams_for_nobody_are_counted(void **state)
{
	static const struct {
		const char *why;
		uint8_t data[8];
		size_t len;
	} cases[] = {
		{ "a context that nobody knows", { 0x00, 0x05, 1 }, 3 },
		{ "a stream that is not there", { 0x3f, 0x00, 1 }, 3 },
	};
	struct lab *lab = lab_new();
	struct channel *c;

	(void)state;
	lab_ask(lab, lab_id(lab, 2), STREAM_TCP);
	lab_run_until(lab, lab_is_opened);
	c = dest_channel(lab->n[0].overlay->dests, lab_id(lab, 2));
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		const ngtcp2_vec vec = { (uint8_t *)(uintptr_t)cases[i].data,
					 cases[i].len };

		assert_true(channel_write_datagram(c, &vec, 1));
	}
	lab_run_until(lab, datagrams_counted);
	assert_false(seen.is_closed);
	/* One that cannot be read ends the channel: RFC 9297 2.1. */
	assert_true(channel_write_datagram(
		c, &(const ngtcp2_vec){ (uint8_t[]){ 0x40 }, 1 }, 1));
	lab_run_until(lab, lab_is_closed);
	assert_int_equal(
		channels_counters(lab->n[2].overlay->channels)->n_datagram_bad,
		1);
	lab_free(lab);
}

static bool request_judged(struct lab *lab)
{
	return channels_counters(lab->n[2].overlay->channels)->n_request_bad >
	       0;
}

/* GET / : the first 2 bytes are the QPACK prefix, then static entries. */
static void a_request_that_is_no_connect_is_refused(void **state)
{
	static const uint8_t get[] = {
		0x01, 0x0b, 0x00, 0x00,           /* HEADERS, QPACK prefix */
		0xd1,                             /* :method GET */
		0xd7,                             /* :scheme https */
		0xc1,                             /* :path / */
		0x50, 0x04, 'a',  '.',  'b', 'c', /* :authority */
	};
	struct quic_events events = channel_quic_events;
	struct lab *lab = lab_new();
	struct channel *c;

	(void)state;
	events.next_data = next_dirt;
	events.wrote = wrote_dirt;
	events.blocked = ignore_stream;
	events.shut = ignore_stream;
	events.stream_acked = ignore_acked;
	lab_ask(lab, lab_id(lab, 2), STREAM_TCP);
	lab_run_until(lab, lab_is_opened);
	c = dest_channel(lab->n[0].overlay->dests, lab_id(lab, 2));
	memcpy(dirt.data, get, sizeof get);
	dirt.len = sizeof get;
	dirt.id = -1;
	dirt.is_done = false;
	c->quic->config.events = &events;
	channel_mark(c);
	lab_run_until(lab, request_judged);
	/* Its channel stands: the fault was one request's. */
	assert_int_equal(
		channels_counters(lab->n[2].overlay->channels)->n_h3_errors, 0);
	lab_free(lab);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(
			garbage_on_the_control_stream_ends_that_session_only),
		cmocka_unit_test(unknown_messages_are_ignored),
		cmocka_unit_test(random_bytes_on_the_control_stream_never_hurt),
		cmocka_unit_test(garbage_in_http3_ends_that_channel_only),
		cmocka_unit_test(datagrams_for_nobody_are_counted),
		cmocka_unit_test(a_request_that_is_no_connect_is_refused),
	};

	if (sodium_init() < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
