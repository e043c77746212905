/* Neighbours that are gone, and what ICMP is worth. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "discovery/peer.h"
#include "node/quic/quic_conn.h"
#include "node/session/session_conn.h"
#include "node/io/udp_error.h"
#include "tests/support/local_io.h"
#include "tests/support/session_lab.h"

enum {
	FDS = 256,
};

/* As if its process had been killed: the node says no goodbye. */
static void lose_socket(const struct session_end *e)
{
	int null = open("/dev/null", O_RDWR), n = 0;

	for (int fd = 0; fd < FDS; fd++) {
		union endpoint at = { 0 };
		socklen_t len = sizeof at;

		if (getsockname(fd, &at.sa, &len) < 0 ||
		    !endpoint_equal(&at, &e->at))
			continue;
		assert_int_equal(dup2(null, fd), fd);
		n++;
	}
	assert_int_equal(n, 1);
	close(null);
}

static struct session *session_of(const struct session_end *e)
{
	return e->sessions->slots[e->last % SESSIONS_MAX];
}

static const struct session_counters *counters(const struct session_end *e)
{
	return sessions_counters(e->sessions);
}

static void a_neighbour_whose_socket_is_closed_is_gone(void **state)
{
	struct session_lab *lab = session_lab_of_two();

	(void)state;
	session_lab_connect(lab);
	lose_socket(&lab->b);
	assert_int_equal(session_lab_send(&lab->a, 77, 100), SESSION_SENT);
	session_lab_run_until(lab, session_lab_a_down);
	assert_int_equal(lab->a.last_error, PEER_ERROR_UNREACHABLE);
	assert_int_equal(counters(&lab->a)->n_gone, 1);
	assert_int_equal(counters(&lab->a)->n_dead, 0);
	session_lab_free(lab);
}

/* An error about a packet to the other node, as ICMP would bring it. */
static struct udp_error error_about(const struct session *s)
{
	const ngtcp2_cid *id = ngtcp2_conn_get_dcid(s->quic->conn);
	struct udp_error e = { .remote = s->path.remote,
			       .error = ECONNREFUSED,
			       .quote = { 0x40 },
			       .len = UDP_QUOTE_BYTES };

	memcpy(e.quote + 1, id->data, id->datalen);
	return e;
}

static bool a_is_not_refused(struct session_lab *lab)
{
	return session_of(&lab->a)->refused == 0;
}

static void what_answers_outlives_a_forged_error(void **state)
{
	struct session_lab *lab = session_lab_of_two();
	struct session *s;
	struct udp_error e;

	(void)state;
	session_lab_connect(lab);
	s = session_of(&lab->a);
	e = error_about(s);
	for (int i = 0; i < 20; i++) {
		session_failed(lab->a.sessions, &e);
		assert_true(s->refused != 0);
		session_lab_run_until(lab, a_is_not_refused);
		assert_int_equal(lab->a.n_down, 0);
	}
	assert_int_equal(counters(&lab->a)->n_icmp, 20);
	assert_int_equal(counters(&lab->a)->n_gone, 0);
	session_lab_free(lab);
}

static void an_error_that_quotes_no_packet_of_ours_is_dropped(void **state)
{
	struct session_lab *lab = session_lab_of_two();
	struct udp_error good, e;
	struct session *s;

	(void)state;
	session_lab_connect(lab);
	s = session_of(&lab->a);
	good = error_about(s);
	e = good;
	e.quote[4] ^= 1; /* another connection id */
	session_failed(lab->a.sessions, &e);
	e = good;
	e.quote[0] = 0xc0; /* a long header */
	session_failed(lab->a.sessions, &e);
	e = good;
	e.len = SESSION_CID_BYTES; /* cut within the id */
	session_failed(lab->a.sessions, &e);
	e = good;
	e.remote.in.sin_port ^= 1;
	session_failed(lab->a.sessions, &e);
	assert_int_equal(counters(&lab->a)->n_icmp_strange, 4);
	assert_int_equal(counters(&lab->a)->n_icmp, 0);
	assert_false(s->is_doubted);
	e = good;
	e.len = 1 + SESSION_CID_BYTES;
	session_failed(lab->a.sessions, &e);
	assert_int_equal(counters(&lab->a)->n_icmp, 1);
	assert_true(s->is_doubted);
	session_lab_free(lab);
}

static bool b_has_a_packet(struct session_lab *lab)
{
	return lab->b.n_packets > 0;
}

/* The kernel tells the error of one datagram at the next, to whomever. */
static void an_error_of_one_loses_no_packet_of_another(void **state)
{
	struct session_lab *lab = session_lab_of_two();
	struct udp *udp = sessions_udp(lab->a.sessions);
	struct udp_path path;

	(void)state;
	session_lab_connect(lab);
	path = session_of(&lab->a)->path;
	path.remote = local_udp_free();
	for (int i = 0; i < 10; i++) {
		uint64_t failed = udp_counters(udp)->n_errors;

		udp_send(udp, &path, 0, (const uint8_t *)"x", 1);
		lab->b.n_packets = 0;
		assert_int_equal(session_lab_send(&lab->a, 77, 100),
				 SESSION_SENT);
		session_lab_run_until(lab, b_has_a_packet);
		assert_int_equal(udp_counters(udp)->n_errors, failed);
	}
	session_lab_free(lab);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_neighbour_whose_socket_is_closed_is_gone),
		cmocka_unit_test(what_answers_outlives_a_forged_error),
		cmocka_unit_test(
			an_error_that_quotes_no_packet_of_ours_is_dropped),
		cmocka_unit_test(an_error_of_one_loses_no_packet_of_another),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
