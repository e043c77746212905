#include "tests/support/session_lab.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <cmocka.h>

#include "proto/base/mem.h"
#include "tests/support/local_io.h"

/* ---- events ---- */

static void up(void *ctx, const struct session_info *s, const uint8_t *chain,
	       size_t chain_len, const struct msg_link *link)
{
	struct session_end *e = ctx;

	assert_true(chain_len > 0 && chain != NULL);
	assert_true(link->mtu >= CIRCUIT_MTU_MIN - SESSION_OVERHEAD);
	e->n_up++;
	e->last = s->no;
	e->last_peer = s->peer.id;
}

static void measured(void *ctx, session_no s, const struct msg_link *link)
{
	(void)ctx;
	(void)s;
	(void)link;
}

static void down(void *ctx, const struct session_info *s)
{
	struct session_end *e = ctx;

	e->n_down++;
	e->last_error = s->error;
}

static enum msg_verdict message(void *ctx, session_no s, const struct msg *m)
{
	struct session_end *e = ctx;

	(void)s;
	assert_int_equal(m->type, MSG_LINK);
	e->last_link = m->link;
	e->n_messages++;
	return e->answer;
}

static void packet(void *ctx, session_no s, const struct packet *p,
		   const uint8_t *raw, size_t len)
{
	struct session_end *e = ctx;

	(void)s;
	(void)raw;
	e->last_len = len;
	e->n_packets++;
	e->n_marked += p->is_marked;
	if (p->label != 77)
		e->other_at = e->n_packets;
}

static void writable(void *ctx, session_no s)
{
	struct session_end *e = ctx;

	(void)s;
	e->n_writable++;
}

static const struct session_events events = {
	.up = up,
	.measured = measured,
	.down = down,
	.message = message,
	.packet = packet,
	.writable = writable,
};

/* ---- the lab ---- */

static void turn_end(void *ctx)
{
	struct session_lab *lab = ctx;
	bool did;

	do {
		did = lab->a.sessions != NULL &&
		      sessions_flush(lab->a.sessions);
		if (lab->b.sessions != NULL && sessions_flush(lab->b.sessions))
			did = true;
	} while (did);
	if (lab->done != NULL && lab->done(lab))
		loop_stop(lab->loop);
}

void session_lab_open(struct session_end *e, struct session_lab *lab,
		      const struct test_cert *ca, const struct test_spec *spec)
{
	static const uint8_t reset_key[32] = { 1, 2, 3 };

	memset(e, 0, sizeof *e);
	e->loop = lab->loop;
	test_cert_make(&e->cert, ca, spec);
	test_credentials(&e->credentials, ca, &e->cert, NULL);
	/* All trust the lab's CA, whoever signed them. */
	trust_free(e->credentials.trust);
	e->credentials.trust = test_trust(&lab->ca);
	e->tls = quic_tls_new(&e->credentials, lab->protect);
	assert_non_null(e->tls);
	e->sessions = sessions_new(e->loop, e->tls, reset_key, spec->cn, true,
				   &events, e);
	e->at = local_udp_free();
	assert_int_equal(udp_listen(sessions_udp(e->sessions), &e->at), 0);
}

static void close_end(struct session_end *e)
{
	sessions_free(e->sessions);
	e->sessions = NULL;
	quic_tls_free(e->tls);
	credentials_deinit(&e->credentials);
	test_cert_free(&e->cert);
}

struct test_spec session_lab_spec(const char *name)
{
	return (struct test_spec){ .cn = name, .around_s = time(NULL) };
}

struct session_lab *session_lab_new(void)
{
	struct session_lab *lab = mem_new(lab);
	struct test_spec ca = { .cn = "lab",
				.role = TEST_CA,
				.around_s = time(NULL) };

	char why[256];

	assert_int_equal(
		protect_new(&lab->protect, PROTECT_AUTO, why, sizeof why), 0);
	lab->loop = loop_new();
	test_cert_make(&lab->ca, NULL, &ca);
	loop_on_turn_end(lab->loop, turn_end, lab);
	return lab;
}

struct session_lab *session_lab_of_two(void)
{
	struct session_lab *lab = session_lab_new();
	struct test_spec a = session_lab_spec("alpha"),
			 b = session_lab_spec("bravo");

	session_lab_open(&lab->a, lab, &lab->ca, &a);
	session_lab_open(&lab->b, lab, &lab->ca, &b);
	return lab;
}

void session_lab_free(struct session_lab *lab)
{
	close_end(&lab->a);
	close_end(&lab->b);
	test_cert_free(&lab->ca);
	protect_free(lab->protect);
	loop_free(lab->loop);
	free(lab);
}

void session_lab_run_until(struct session_lab *lab,
			   bool (*done)(struct session_lab *lab))
{
	lab->done = done;
	assert_true(local_run(lab->loop));
	lab->done = NULL;
}

uint8_t session_lab_dial(struct session_end *from, const struct session_end *to,
			 const struct node_id *expect)
{
	struct session_dial d = { .remote = to->at, .no = 5, .peer = 9 };

	if (expect != NULL) {
		d.has_id = true;
		d.id = *expect;
	}
	return sessions_dial(from->sessions, &d);
}

static bool both_up(struct session_lab *lab)
{
	return lab->a.n_up > 0 && lab->b.n_up > 0;
}

bool session_lab_a_down(struct session_lab *lab)
{
	return lab->a.n_down > 0;
}

void session_lab_connect(struct session_lab *lab)
{
	assert_int_equal(
		session_lab_dial(&lab->a, &lab->b, &lab->b.credentials.self.id),
		0);
	session_lab_run_until(lab, both_up);
}

enum session_verdict session_lab_send(struct session_end *from, uint8_t label,
				      size_t len)
{
	const uint8_t header[LABEL_BYTES] = { 0, 0, 0, label };
	static const uint8_t payload[4096];
	const struct session_packet p = { .label = label,
					  .is_own = true,
					  .header = header,
					  .header_len = sizeof header,
					  .payload = payload,
					  .len = len };

	return sessions_send_packet(from->sessions, from->last, &p);
}
