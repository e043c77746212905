/* Two nodes with nothing but sessions, over real sockets on the loopback, in
 * one loop. */
#pragma once

#include "node/quic/protect.h"
#include "node/session/session.h"
#include "tests/support/certs.h"

struct session_end { /* a node, and what it was told */
	struct loop *loop;
	struct test_cert cert;
	struct credentials credentials;
	struct quic_tls *tls;
	struct sessions *sessions;
	union endpoint at;
	int n_up, n_down, n_messages, n_packets, n_writable;
	int n_marked; /* of the packets */
	session_no last;
	uint8_t last_error;
	struct node_id last_peer;
	struct msg_link last_link;
	size_t last_len;
	int other_at; /* the last packet not of circuit 77 */
	enum msg_verdict answer;
};

struct session_lab {
	struct loop *loop;
	struct protect *protect;
	struct test_cert ca;
	struct session_end a, b;
	bool (*done)(struct session_lab *lab);
};

struct session_lab *session_lab_new(void); /* without its nodes */
struct session_lab *session_lab_of_two(void);
void session_lab_free(struct session_lab *lab);
struct test_spec session_lab_spec(const char *name);
/* A node whose certificate `ca` has signed. */
void session_lab_open(struct session_end *e, struct session_lab *lab,
		      const struct test_cert *ca, const struct test_spec *spec);

/* Fails the test if it takes longer than 20 s. */
void session_lab_run_until(struct session_lab *lab,
			   bool (*done)(struct session_lab *lab));
bool session_lab_a_down(struct session_lab *lab);

/* `expect` may be NULL. */
uint8_t session_lab_dial(struct session_end *from, const struct session_end *to,
			 const struct node_id *expect);
/* a dials b, until both are up. */
void session_lab_connect(struct session_lab *lab);

/* A packet of a circuit of a's own, with `len` bytes behind the label. */
enum session_verdict session_lab_send(struct session_end *from, uint8_t label,
				      size_t len);
