/* Sessions over real sockets on the loopback: two nodes in one loop. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
#include <sodium.h>
#include <cmocka.h>

#include "discovery/peer.h"
#include "node/session.h"
#include "proto/base/mem.h"
#include "tests/support/certs.h"

enum {
	PATIENCE_S = 20
};

struct end {
	struct loop *loop;
	struct test_cert cert;
	struct credentials credentials;
	struct quic_tls *tls;
	struct sessions *sessions;
	union endpoint at;
	int n_up, n_down, n_messages, n_packets, n_writable;
	session_no last;
	uint8_t last_error;
	struct node_id last_peer;
	struct msg_link last_link;
	size_t last_len;
	enum msg_verdict answer;
};

struct lab {
	struct loop *loop;
	struct test_cert ca;
	struct end a, b;
	uv_timer_t guard;
	bool (*done)(struct lab *lab);
	bool is_late;
};

/* ---- events ---- */

static void up(void *ctx, const struct session_info *s, const uint8_t *chain,
	       size_t chain_len, const struct msg_link *link)
{
	struct end *e = ctx;

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
	struct end *e = ctx;

	e->n_down++;
	e->last_error = s->error;
}

static enum msg_verdict message(void *ctx, session_no s, const struct msg *m)
{
	struct end *e = ctx;

	(void)s;
	assert_int_equal(m->type, MSG_LINK);
	e->last_link = m->link;
	e->n_messages++;
	return e->answer;
}

static void packet(void *ctx, session_no s, const struct packet *p,
		   const uint8_t *raw, size_t len)
{
	struct end *e = ctx;

	(void)s;
	(void)raw;
	assert_int_equal(p->label, 77);
	e->last_len = len;
	e->n_packets++;
}

static void writable(void *ctx, session_no s)
{
	struct end *e = ctx;

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
	struct lab *lab = ctx;
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

static void open_sessions(struct end *e, const char *name, uint16_t port)
{
	static const uint8_t reset_key[32] = { 1, 2, 3 };
	union endpoint at;

	e->sessions = sessions_new(e->loop, e->tls, reset_key, name, true,
				   &events, e);
	assert_true(endpoint_parse(&at, "127.0.0.1", 1));
	at.in.sin_port = htons(port);
	/* The system picks a port; a probe socket tells us one. */
	if (port == 0) {
		socklen_t len = sizeof at;
		int fd = socket(AF_INET, SOCK_DGRAM, 0);

		assert_int_equal(bind(fd, &at.sa, sizeof at.in), 0);
		getsockname(fd, &at.sa, &len);
		close(fd);
	}
	assert_int_equal(udp_listen(sessions_udp(e->sessions), &at), 0);
	e->at = at;
}

static void open_end(struct end *e, struct lab *lab, const struct test_cert *ca,
		     const struct test_spec *spec)
{
	memset(e, 0, sizeof *e);
	e->loop = lab->loop;
	test_cert_make(&e->cert, ca, spec);
	test_credentials(&e->credentials, ca, &e->cert, NULL);
	/* All trust the lab's CA, whoever signed them. */
	trust_free(e->credentials.trust);
	e->credentials.trust = test_trust(&lab->ca);
	e->tls = quic_tls_new(&e->credentials);
	assert_non_null(e->tls);
	open_sessions(e, spec->cn, 0);
}

static void close_end(struct end *e)
{
	sessions_free(e->sessions);
	e->sessions = NULL;
	quic_tls_free(e->tls);
	credentials_deinit(&e->credentials);
	test_cert_free(&e->cert);
}

static struct test_spec spec_of(const char *name)
{
	return (struct test_spec){ .cn = name, .around_s = time(NULL) };
}

static struct lab *lab_new(void)
{
	struct lab *lab = mem_new(lab);
	struct test_spec ca = { .cn = "lab",
				.role = TEST_CA,
				.around_s = time(NULL) };

	lab->loop = loop_new();
	test_cert_make(&lab->ca, NULL, &ca);
	loop_on_turn_end(lab->loop, turn_end, lab);
	return lab;
}

static struct lab *lab_of_two(void)
{
	struct lab *lab = lab_new();
	struct test_spec a = spec_of("alpha"), b = spec_of("bravo");

	open_end(&lab->a, lab, &lab->ca, &a);
	open_end(&lab->b, lab, &lab->ca, &b);
	return lab;
}

static void lab_free(struct lab *lab)
{
	close_end(&lab->a);
	close_end(&lab->b);
	test_cert_free(&lab->ca);
	loop_free(lab->loop);
	free(lab);
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

static uint8_t dial(struct end *from, const struct end *to,
		    const struct node_id *expect)
{
	struct session_dial d = { .remote = to->at, .no = 5, .peer = 9 };

	if (expect != NULL) {
		d.has_id = true;
		d.id = *expect;
	}
	return sessions_dial(from->sessions, &d);
}

static bool both_up(struct lab *lab)
{
	return lab->a.n_up > 0 && lab->b.n_up > 0;
}

static bool a_down(struct lab *lab)
{
	return lab->a.n_down > 0;
}

static void connect_two(struct lab *lab)
{
	assert_int_equal(dial(&lab->a, &lab->b, &lab->b.credentials.self.id),
			 0);
	run_until(lab, both_up);
}

/* ---- tests ---- */

static void two_nodes_meet_and_know_each_other(void **state)
{
	struct lab *lab = lab_of_two();
	struct session_info s;

	(void)state;
	connect_two(lab);
	assert_true(id_equal(&lab->a.last_peer, &lab->b.credentials.self.id));
	assert_true(id_equal(&lab->b.last_peer, &lab->a.credentials.self.id));
	assert_true(sessions_get(lab->a.sessions, lab->a.last, &s));
	assert_true(s.is_dialled);
	assert_true(s.is_up);
	assert_int_equal(s.dial, 5);
	assert_int_equal(s.dial_peer, 9);
	/* The loopback carries all that we would send. */
	assert_int_equal(s.claim.mtu, CIRCUIT_MTU_MAX);
	assert_true(sessions_get(lab->b.sessions, lab->b.last, &s));
	assert_false(s.is_dialled);
	lab_free(lab);
}

static void sessions_stay_while_their_interface_is_up(void **state)
{
	struct lab *lab = lab_of_two();
	struct session_info s;
	struct udp *udp;

	(void)state;
	connect_two(lab);
	udp = sessions_udp(lab->a.sessions);
	sessions_network_changed(lab->a.sessions);
	assert_true(sessions_get(lab->a.sessions, lab->a.last, &s));
	assert_int_not_equal(s.path.ifindex, 0);
	assert_true(udp_interface_is_up(udp, s.path.ifindex));
	assert_false(udp_interface_is_up(udp, 1 << 30));
	assert_int_equal(sessions_counters(lab->a.sessions)->n_cut, 0);
	lab_free(lab);
}

/* The loopback's address cannot be the source of what leaves the machine. */
static void a_datagram_without_a_way_is_reported(void **state)
{
	struct lab *lab = lab_of_two();
	struct udp *udp = sessions_udp(lab->a.sessions);
	struct udp_batch *b = udp_batch_get(udp);
	struct session_info s;
	struct udp_path path;

	(void)state;
	connect_two(lab);
	assert_true(sessions_get(lab->a.sessions, lab->a.last, &s));
	memset(udp_batch_space(b), 0, 100);
	udp_batch_add(udp, b, &s.path, 0, 100);
	assert_int_equal(udp_batch_put(udp, b), 0);
	path = s.path;
	if (path.remote.sa.sa_family == AF_INET6)
		inet_pton(AF_INET6, "2001:db8::1", &path.remote.in6.sin6_addr);
	else
		inet_pton(AF_INET, "192.0.2.1", &path.remote.in.sin_addr);
	b = udp_batch_get(udp);
	memset(udp_batch_space(b), 0, 100);
	udp_batch_add(udp, b, &path, 0, 100);
	assert_true(udp_batch_put(udp, b) < 0);
	lab_free(lab);
}

static bool message_each(struct lab *lab)
{
	return lab->a.n_messages >= 2 && lab->b.n_messages >= 2;
}

static void control_messages_go_both_ways_in_order(void **state)
{
	struct lab *lab = lab_of_two();
	struct msg m = { .type = MSG_LINK };

	(void)state;
	connect_two(lab);
	for (uint16_t i = 1; i <= 2; i++) {
		m.link = (struct msg_link){ .cost_100us = 100, .mtu = i };
		sessions_send(lab->a.sessions, lab->a.last, &m);
		sessions_send(lab->b.sessions, lab->b.last, &m);
	}
	run_until(lab, message_each);
	assert_int_equal(lab->a.last_link.mtu, 2);
	assert_int_equal(lab->b.last_link.mtu, 2);
	lab_free(lab);
}

static void a_message_that_is_a_violation_closes_the_session(void **state)
{
	struct lab *lab = lab_of_two();
	struct msg m = { .type = MSG_LINK,
			 .link = { .cost_100us = 100, .mtu = 1 } };

	(void)state;
	connect_two(lab);
	lab->b.answer = MSG_INVALID;
	sessions_send(lab->a.sessions, lab->a.last, &m);
	run_until(lab, a_down);
	assert_int_equal(sessions_counters(lab->b.sessions)->n_msg[MSG_INVALID],
			 1);
	lab_free(lab);
}

static bool packet_came(struct lab *lab)
{
	return lab->b.n_packets >= 3;
}

static enum session_verdict send_one(struct end *from, size_t len)
{
	static const uint8_t header[LABEL_BYTES] = { 0, 0, 0, 77 };
	static const uint8_t payload[4096];

	return sessions_send_packet(from->sessions, from->last, header,
				    sizeof header, payload, len);
}

static void packets_of_every_size_up_to_the_mtu_pass(void **state)
{
	struct lab *lab = lab_of_two();

	(void)state;
	connect_two(lab);
	assert_int_equal(send_one(&lab->a, 1), SESSION_SENT);
	assert_int_equal(send_one(&lab->a, CIRCUIT_MTU_MAX - 1), SESSION_SENT);
	assert_int_equal(send_one(&lab->a, CIRCUIT_MTU_MAX), SESSION_SENT);
	assert_int_equal(send_one(&lab->a, CIRCUIT_MTU_MAX + 1),
			 SESSION_TOO_BIG);
	assert_int_equal(send_one(&lab->a, 4000), SESSION_TOO_BIG);
	run_until(lab, packet_came);
	assert_int_equal(lab->b.n_packets, 3);
	assert_int_equal(lab->b.last_len, LABEL_BYTES + CIRCUIT_MTU_MAX);
	assert_int_equal(sessions_counters(lab->a.sessions)->n_too_big, 2);
	lab_free(lab);
}

static bool many_came(struct lab *lab)
{
	return lab->b.n_packets >= 100;
}

/* Where the kernel refuses to segment, packets go out one by one. */
static void packets_pass_without_segmentation_offload(void **state)
{
	struct lab *lab = lab_of_two();

	(void)state;
	udp_disable_offload(sessions_udp(lab->a.sessions));
	connect_two(lab);
	for (int i = 0; i < 100; i++)
		assert_true(send_one(&lab->a, 1000) <= SESSION_QUEUED);
	run_until(lab, many_came);
	assert_false(udp_counters(sessions_udp(lab->a.sessions))->has_gso);
	assert_int_equal(udp_counters(sessions_udp(lab->a.sessions))->n_errors,
			 0);
	lab_free(lab);
}

static bool writable_again(struct lab *lab)
{
	return lab->a.n_writable > 0;
}

static void a_full_queue_drops_and_says_when_there_is_room(void **state)
{
	struct lab *lab = lab_of_two();
	size_t n_sent = 0, n_queued = 0, n_full = 0;

	(void)state;
	connect_two(lab);
	for (int i = 0; i < 4000; i++) {
		switch (send_one(&lab->a, 1400)) {
		case SESSION_SENT:
			n_sent++;
			break;
		case SESSION_QUEUED:
			n_queued++;
			break;
		default:
			n_full++;
			break;
		}
	}
	assert_true(n_sent > 0);
	assert_int_equal(n_queued, RELAY_QUEUE_MAX);
	assert_int_equal(n_sent + n_queued + n_full, 4000);
	assert_int_equal(sessions_counters(lab->a.sessions)->n_queue_full,
			 n_full);
	assert_false(sessions_has_room(lab->a.sessions, lab->a.last));
	run_until(lab, writable_again);
	assert_true(sessions_has_room(lab->a.sessions, lab->a.last));
	lab_free(lab);
}

static void a_certificate_of_another_ca_is_refused_by_both(void **state)
{
	struct lab *lab = lab_new();
	struct test_spec other = {
		.cn = "lab", .role = TEST_CA, .seed = 99, .around_s = time(NULL)
	};
	struct test_spec a = spec_of("alpha"), b = spec_of("bravo");
	struct test_cert foreign;

	(void)state;
	test_cert_make(&foreign, NULL, &other);
	open_end(&lab->a, lab, &lab->ca, &a);
	open_end(&lab->b, lab, &foreign, &b);
	assert_int_equal(dial(&lab->a, &lab->b, NULL), 0);
	run_until(lab, a_down);
	assert_int_equal(lab->a.last_error,
			 PEER_ERROR_CERTIFICATE + CERT_NOT_OURS);
	assert_int_equal(lab->a.n_up + lab->b.n_up, 0);

	/* The other way round the client is told by an alert. */
	lab->b.n_down = lab->a.n_down = 0;
	assert_int_equal(dial(&lab->b, &lab->a, NULL), 0);
	run_until(lab, a_down);
	assert_int_equal(lab->a.n_up + lab->b.n_up, 0);
	test_cert_free(&foreign);
	lab_free(lab);
}

static void an_expired_certificate_is_refused(void **state)
{
	struct lab *lab = lab_new();
	struct test_spec a = spec_of("alpha"), b = spec_of("bravo");

	(void)state;
	b.from_day = -30;
	b.until_day = -1;
	open_end(&lab->a, lab, &lab->ca, &a);
	open_end(&lab->b, lab, &lab->ca, &b);
	assert_int_equal(dial(&lab->a, &lab->b, NULL), 0);
	run_until(lab, a_down);
	assert_int_equal(lab->a.last_error,
			 PEER_ERROR_CERTIFICATE + CERT_EXPIRED);
	lab_free(lab);
}

static void another_node_than_the_dialled_one_is_refused(void **state)
{
	struct lab *lab = lab_of_two();

	(void)state;
	assert_int_equal(dial(&lab->a, &lab->b, &lab->a.credentials.self.id),
			 0);
	run_until(lab, a_down);
	assert_int_equal(lab->a.last_error, PEER_ERROR_IDENTITY);
	assert_int_equal(lab->a.n_up, 0);
	lab_free(lab);
}

static bool one_each(struct lab *lab)
{
	const struct session_counters *a = sessions_counters(lab->a.sessions);
	const struct session_counters *b = sessions_counters(lab->b.sessions);

	return lab->a.n_up > 0 && lab->b.n_up > 0 &&
	       a->n_duplicate + b->n_duplicate > 0 && lab->a.n_down > 0 &&
	       lab->b.n_down > 0;
}

static size_t count_sessions(const struct sessions *set)
{
	struct session_info s = { 0 };
	size_t n = 0;

	while (sessions_next(set, s.no, &s))
		n++;
	return n;
}

static void of_two_that_dial_each_other_one_session_stays(void **state)
{
	struct lab *lab = lab_of_two();

	(void)state;
	assert_int_equal(dial(&lab->a, &lab->b, NULL), 0);
	assert_int_equal(dial(&lab->b, &lab->a, NULL), 0);
	run_until(lab, one_each);
	assert_int_equal(count_sessions(lab->a.sessions), 1);
	assert_int_equal(count_sessions(lab->b.sessions), 1);
	lab_free(lab);
}

static void throw(const struct end *to, const void *data, size_t len)
{
	int fd = socket(AF_INET, SOCK_DGRAM, 0);

	assert_int_equal(sendto(fd, data, len, 0, &to->at.sa, sizeof to->at.in),
			 len);
	close(fd);
}

static bool garbage_counted(struct lab *lab)
{
	const struct session_counters *b = sessions_counters(lab->b.sessions);

	return b->n_udp_garbage >= 3 && b->n_udp_unknown >= 1 &&
	       b->n_version >= 1 && lab->b.n_packets > 0;
}

static void garbage_is_counted_and_the_session_lives(void **state)
{
	struct lab *lab = lab_of_two();
	uint8_t noise[1200];

	(void)state;
	connect_two(lab);
	throw(&lab->b, "x", 1);
	throw(&lab->b, "abcd", 4);
	/* A long header with a bad length of the connection id. */
	memset(noise, 0xff, sizeof noise);
	memcpy(noise + 1, "\0\0\0\1", 4);
	throw(&lab->b, noise, sizeof noise);
	/* A short header for nobody. */
	memset(noise, 0x40, sizeof noise);
	throw(&lab->b, noise, sizeof noise);
	/* A version that nobody knows. */
	memset(noise, 0, sizeof noise);
	memcpy(noise, "\xc0\xba\xba\xba\xba\x08", 6);
	throw(&lab->b, noise, sizeof noise);
	assert_int_equal(send_one(&lab->a, 100), SESSION_SENT);
	run_until(lab, garbage_counted);
	assert_int_equal(lab->b.n_down, 0);
	/* Who has lost its state is told so: RFC 9000 10.3. */
	assert_int_equal(sessions_counters(lab->b.sessions)->n_reset_sent, 1);
	lab_free(lab);
}

static bool all_answered(struct lab *lab)
{
	return (size_t)(lab->a.n_up + lab->a.n_down) >= 1 &&
	       sessions_counters(lab->b.sessions)->n_retry > 0 &&
	       sessions_counters(lab->b.sessions)->n_accepted > 70;
}

static void many_handshakes_at_once_are_asked_to_retry(void **state)
{
	struct lab *lab = lab_of_two();

	(void)state;
	for (int i = 0; i < 80; i++)
		assert_int_equal(dial(&lab->a, &lab->b, NULL), 0);
	run_until(lab, all_answered);
	assert_int_equal(sessions_counters(lab->b.sessions)->n_token_invalid,
			 0);
	lab_free(lab);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(two_nodes_meet_and_know_each_other),
		cmocka_unit_test(sessions_stay_while_their_interface_is_up),
		cmocka_unit_test(a_datagram_without_a_way_is_reported),
		cmocka_unit_test(control_messages_go_both_ways_in_order),
		cmocka_unit_test(
			a_message_that_is_a_violation_closes_the_session),
		cmocka_unit_test(packets_of_every_size_up_to_the_mtu_pass),
		cmocka_unit_test(packets_pass_without_segmentation_offload),
		cmocka_unit_test(
			a_full_queue_drops_and_says_when_there_is_room),
		cmocka_unit_test(
			a_certificate_of_another_ca_is_refused_by_both),
		cmocka_unit_test(an_expired_certificate_is_refused),
		cmocka_unit_test(another_node_than_the_dialled_one_is_refused),
		cmocka_unit_test(of_two_that_dial_each_other_one_session_stays),
		cmocka_unit_test(garbage_is_counted_and_the_session_lives),
		cmocka_unit_test(many_handshakes_at_once_are_asked_to_retry),
	};

	if (sodium_init() < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
