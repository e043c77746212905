/* Sessions: handshakes, control messages, garbage. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <arpa/inet.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
#include <sodium.h>
#include <cmocka.h>

#include "discovery/peer.h"
#include "node/session/session_conn.h"
#include "proto/base/mem.h"
#include "tests/support/session_lab.h"

static void two_nodes_meet_and_know_each_other(void **state)
{
	struct session_lab *lab = session_lab_of_two();
	struct session_info s;

	(void)state;
	session_lab_connect(lab);
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
	session_lab_free(lab);
}

static void sessions_stay_while_their_interface_is_up(void **state)
{
	struct session_lab *lab = session_lab_of_two();
	struct session_info s;
	struct udp *udp;

	(void)state;
	session_lab_connect(lab);
	udp = sessions_udp(lab->a.sessions);
	sessions_network_changed(lab->a.sessions);
	assert_true(sessions_get(lab->a.sessions, lab->a.last, &s));
	assert_int_not_equal(s.path.ifindex, 0);
	assert_true(udp_interface_is_up(udp, s.path.ifindex));
	assert_false(udp_interface_is_up(udp, 1 << 30));
	assert_int_equal(sessions_counters(lab->a.sessions)->n_cut, 0);
	session_lab_free(lab);
}

/* The loopback's address cannot be the source of what leaves the machine. */
static void a_datagram_without_a_way_is_reported(void **state)
{
	struct session_lab *lab = session_lab_of_two();
	struct udp *udp = sessions_udp(lab->a.sessions);
	struct udp_batch *b = udp_batch_get(udp);
	struct session_info s;
	struct udp_path path;

	(void)state;
	session_lab_connect(lab);
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
	session_lab_free(lab);
}

static bool message_each(struct session_lab *lab)
{
	return lab->a.n_messages >= 2 && lab->b.n_messages >= 2;
}

static void control_messages_go_both_ways_in_order(void **state)
{
	struct session_lab *lab = session_lab_of_two();
	struct msg m = { .type = MSG_LINK };

	(void)state;
	session_lab_connect(lab);
	for (uint16_t i = 1; i <= 2; i++) {
		m.link = (struct msg_link){ .cost_100us = 100, .mtu = i };
		sessions_send(lab->a.sessions, lab->a.last, &m);
		sessions_send(lab->b.sessions, lab->b.last, &m);
	}
	session_lab_run_until(lab, message_each);
	assert_int_equal(lab->a.last_link.mtu, 2);
	assert_int_equal(lab->b.last_link.mtu, 2);
	session_lab_free(lab);
}

static void a_message_that_is_a_violation_closes_the_session(void **state)
{
	struct session_lab *lab = session_lab_of_two();
	struct msg m = { .type = MSG_LINK,
			 .link = { .cost_100us = 100, .mtu = 1 } };

	(void)state;
	session_lab_connect(lab);
	lab->b.answer = MSG_INVALID;
	sessions_send(lab->a.sessions, lab->a.last, &m);
	session_lab_run_until(lab, session_lab_a_down);
	assert_int_equal(sessions_counters(lab->b.sessions)->n_msg[MSG_INVALID],
			 1);
	session_lab_free(lab);
}

static void a_certificate_of_another_ca_is_refused_by_both(void **state)
{
	struct session_lab *lab = session_lab_new();
	struct test_spec other = {
		.cn = "lab", .role = TEST_CA, .seed = 99, .around_s = time(NULL)
	};
	struct test_spec a = session_lab_spec("alpha"),
			 b = session_lab_spec("bravo");
	struct test_cert foreign;

	(void)state;
	test_cert_make(&foreign, NULL, &other);
	session_lab_open(&lab->a, lab, &lab->ca, &a);
	session_lab_open(&lab->b, lab, &foreign, &b);
	assert_int_equal(session_lab_dial(&lab->a, &lab->b, NULL), 0);
	session_lab_run_until(lab, session_lab_a_down);
	assert_int_equal(lab->a.last_error,
			 PEER_ERROR_CERTIFICATE + CERT_NOT_OURS);
	assert_int_equal(lab->a.n_up + lab->b.n_up, 0);

	/* The other way round the client is told by an alert. */
	lab->b.n_down = lab->a.n_down = 0;
	assert_int_equal(session_lab_dial(&lab->b, &lab->a, NULL), 0);
	session_lab_run_until(lab, session_lab_a_down);
	assert_int_equal(lab->a.n_up + lab->b.n_up, 0);
	test_cert_free(&foreign);
	session_lab_free(lab);
}

static void an_expired_certificate_is_refused(void **state)
{
	struct session_lab *lab = session_lab_new();
	struct test_spec a = session_lab_spec("alpha"),
			 b = session_lab_spec("bravo");

	(void)state;
	b.from_day = -30;
	b.until_day = -1;
	session_lab_open(&lab->a, lab, &lab->ca, &a);
	session_lab_open(&lab->b, lab, &lab->ca, &b);
	assert_int_equal(session_lab_dial(&lab->a, &lab->b, NULL), 0);
	session_lab_run_until(lab, session_lab_a_down);
	assert_int_equal(lab->a.last_error,
			 PEER_ERROR_CERTIFICATE + CERT_EXPIRED);
	session_lab_free(lab);
}

static void another_node_than_the_dialled_one_is_refused(void **state)
{
	struct session_lab *lab = session_lab_of_two();

	(void)state;
	assert_int_equal(
		session_lab_dial(&lab->a, &lab->b, &lab->a.credentials.self.id),
		0);
	session_lab_run_until(lab, session_lab_a_down);
	assert_int_equal(lab->a.last_error, PEER_ERROR_IDENTITY);
	assert_int_equal(lab->a.n_up, 0);
	session_lab_free(lab);
}

static bool one_each(struct session_lab *lab)
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
	struct session_lab *lab = session_lab_of_two();

	(void)state;
	assert_int_equal(session_lab_dial(&lab->a, &lab->b, NULL), 0);
	assert_int_equal(session_lab_dial(&lab->b, &lab->a, NULL), 0);
	session_lab_run_until(lab, one_each);
	assert_int_equal(count_sessions(lab->a.sessions), 1);
	assert_int_equal(count_sessions(lab->b.sessions), 1);
	session_lab_free(lab);
}

static void throw(const struct session_end *to, const void *data, size_t len)
{
	int fd = socket(AF_INET, SOCK_DGRAM, 0);

	assert_int_equal(sendto(fd, data, len, 0, &to->at.sa, sizeof to->at.in),
			 len);
	close(fd);
}

static bool garbage_counted(struct session_lab *lab)
{
	const struct session_counters *b = sessions_counters(lab->b.sessions);

	return b->n_udp_garbage >= 3 && b->n_udp_unknown >= 1 &&
	       b->n_version >= 1 && lab->b.n_packets > 0;
}

static void garbage_is_counted_and_the_session_lives(void **state)
{
	struct session_lab *lab = session_lab_of_two();
	uint8_t noise[1200];

	(void)state;
	session_lab_connect(lab);
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
	assert_int_equal(session_lab_send(&lab->a, 77, 100), SESSION_SENT);
	session_lab_run_until(lab, garbage_counted);
	assert_int_equal(lab->b.n_down, 0);
	/* Who has lost its state is told so: RFC 9000 10.3. */
	assert_int_equal(sessions_counters(lab->b.sessions)->n_reset_sent, 1);
	session_lab_free(lab);
}

static bool all_answered(struct session_lab *lab)
{
	return (size_t)(lab->a.n_up + lab->a.n_down) >= 1 &&
	       sessions_counters(lab->b.sessions)->n_retry > 0 &&
	       sessions_counters(lab->b.sessions)->n_accepted > 70;
}

static void many_handshakes_at_once_are_asked_to_retry(void **state)
{
	struct session_lab *lab = session_lab_of_two();

	(void)state;
	for (int i = 0; i < 80; i++)
		assert_int_equal(session_lab_dial(&lab->a, &lab->b, NULL), 0);
	session_lab_run_until(lab, all_answered);
	assert_int_equal(sessions_counters(lab->b.sessions)->n_token_invalid,
			 0);
	session_lab_free(lab);
}

static const struct session_counters *far_counts;
static uint64_t n_before;

static bool judged(struct session_lab *lab)
{
	(void)lab;
	return far_counts->n_accepted + far_counts->n_half_open_limit >
	       n_before;
}

/* As if so many handshakes were under way already. */
static void handshakes_are_limited(void **state)
{
	static const struct {
		size_t n_half_open;
		unsigned n_retry, n_accepted, n_limit;
	} cases[] = {
		{ HALF_OPEN_RETRY - 1, 0, 1, 0 },
		{ HALF_OPEN_RETRY, 1, 1, 0 },
		{ HALF_OPEN_RETRY + 1, 1, 1, 0 },
		{ HALF_OPEN_MAX - 1, 1, 1, 0 },
		{ HALF_OPEN_MAX, 0, 0, 1 },
		{ HALF_OPEN_MAX + 1, 0, 0, 1 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct session_lab *lab = session_lab_of_two();
		struct sessions *far = lab->b.sessions;

		far_counts = sessions_counters(far);
		n_before = 0;
		far->n_half_open = cases[i].n_half_open;
		assert_int_equal(session_lab_dial(&lab->a, &lab->b, NULL), 0);
		session_lab_run_until(lab, judged);
		assert_int_equal(far_counts->n_retry, cases[i].n_retry);
		assert_int_equal(far_counts->n_accepted, cases[i].n_accepted);
		assert_int_equal(far_counts->n_half_open_limit,
				 cases[i].n_limit);
		/* What was under way for show. */
		far->n_half_open -= cases[i].n_half_open;
		session_lab_free(lab);
	}
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
		cmocka_unit_test(
			a_certificate_of_another_ca_is_refused_by_both),
		cmocka_unit_test(an_expired_certificate_is_refused),
		cmocka_unit_test(another_node_than_the_dialled_one_is_refused),
		cmocka_unit_test(of_two_that_dial_each_other_one_session_stays),
		cmocka_unit_test(garbage_is_counted_and_the_session_lives),
		cmocka_unit_test(many_handshakes_at_once_are_asked_to_retry),
		cmocka_unit_test(handshakes_are_limited),
	};

	if (sodium_init() < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
