/* All of discovery together: nodes on one wire, in virtual time. */
#include "discovery/beacon.h"
#include "discovery/dialer.h"
#include "tests/unit/discovery/peer_help.h"

#define NODES      12
#define STEP_NS    (10 * NS_PER_MS)
#define SILENCE_NS (2 * NS_PER_S) /* until a dead session is noticed */
#define WIRE       2

struct node {
	bool is_alive;
	struct sign_key key;
	struct identity who;
	union endpoint at[2]; /* IPv6, IPv4 */
	struct rng rng;
	struct peers *peers;
	struct dialer *dialer;
	struct beacon_clock clock;
	struct beacon_receiver *receiver;
	/* By the other's number: the session, and as which peer. */
	uint32_t session[NODES];
	peer_no peer[NODES];
	nsec dead_at[NODES]; /* noticed then; 0: alive */
	size_t n_dials, n_duplicates, n_beacon_bytes;
};

struct wire {
	nsec now;
	struct node_hash ca;
	struct node nodes[NODES];
	uint32_t last_session;
};

static void node_start(struct wire *w, uint32_t i, uint64_t seed)
{
	struct node *n = &w->nodes[i];
	uint8_t key_seed[32] = { 7, (uint8_t)i };

	memset(n, 0, sizeof *n);
	n->is_alive = true;
	sign_key_from_seed(&n->key, key_seed);
	n->who.hash = hash_of_key(&n->key.public);
	n->who.id = id_of_hash(&n->who.hash);
	n->who.key = n->key.public;
	n->at[0] = make_at6(i + 1, WIRE);
	n->at[1] = make_at4(i + 1);
	rng_init(&n->rng, seed * 1000 + i);
	n->peers = peers_new(&n->who.id, &n->rng, WALL_MS, START);
	n->dialer = dialer_new(n->peers, w->now);
	beacon_clock_init(&n->clock, &n->rng, w->now);
	n->receiver = beacon_receiver_new(&w->ca, &n->who.id, &n->rng, w->now);
}

static void node_stop(struct wire *w, uint32_t i)
{
	struct node *n = &w->nodes[i];

	n->is_alive = false;
	beacon_receiver_free(n->receiver);
	dialer_free(n->dialer);
	peers_free(n->peers);
	for (uint32_t j = 0; j < NODES; j++)
		if (w->nodes[j].session[i] != 0)
			w->nodes[j].dead_at[i] = w->now + SILENCE_NS;
}

static void hear(struct wire *w, struct node *n, const uint8_t *data,
		 const union endpoint *from)
{
	uint64_t wall_ms = WALL_MS + (w->now - START) / NS_PER_MS;
	struct beacon_hint hint;

	if (beacon_receive(n->receiver, data, BEACON_BYTES, from, wall_ms,
			   w->now, &hint) == BEACON_OK)
		peers_handle_hint(n->peers, &hint.id, &hint.at, WIRE,
				  hint.is_fresh, w->now);
}

static void send_beacons(struct wire *w, struct node *n, bool is_fresh)
{
	for (size_t family = 0; family < 2; family++) {
		struct beacon b = { .is_fresh = is_fresh,
				    .port = QANAT_PORT,
				    .issued_ms = WALL_MS +
						 (w->now - START) / NS_PER_MS };
		uint8_t data[BEACON_BYTES];

		rng_fill(&n->rng, &b.nonce, sizeof b.nonce);
		beacon_write(data, &b, &n->key, &w->ca);
		n->n_beacon_bytes += sizeof data + (family == 0 ? 48 : 28);
		for (uint32_t j = 0; j < NODES; j++)
			if (w->nodes[j].is_alive)
				hear(w, &w->nodes[j], data, &n->at[family]);
	}
}

static uint32_t node_at(const struct wire *w, const union endpoint *at)
{
	for (uint32_t j = 0; j < NODES; j++)
		if (endpoint_equal(at, &w->nodes[j].at[0]) ||
		    endpoint_equal(at, &w->nodes[j].at[1]))
			return j;
	fail_msg("nobody lives there");
	return 0;
}

static void session_end(struct wire *w, uint32_t i, uint32_t j,
			peer_error error)
{
	struct node *n = &w->nodes[i];

	peers_handle_session_down(n->peers, n->peer[j], n->session[j], error,
				  w->now);
	n->session[j] = 0;
	n->dead_at[j] = 0;
}

static void session_begin(struct wire *w, uint32_t i, uint32_t j,
			  peer_no dialled, const union endpoint *remote)
{
	struct node *n = &w->nodes[i];
	struct peer_session up = { .session = w->last_session,
				   .dialled = dialled,
				   .who = &w->nodes[j].who,
				   .chain = test_chain,
				   .chain_len = sizeof test_chain,
				   .remote = *remote,
				   .ifindex = WIRE };

	assert_int_equal(
		peers_handle_session_up(n->peers, &up, w->now, &n->peer[j]),
		PEERS_OK);
	n->session[j] = w->last_session;
}

/* The handshake takes no time; a session that stands makes a new one a
 * duplicate, and the old one stays, unless its other end was started anew. */
static void dial(struct wire *w, uint32_t i, const struct dial *d)
{
	struct node *n = &w->nodes[i];
	uint32_t j = node_at(w, &d->at);
	size_t family = d->at.sa.sa_family == AF_INET6 ? 0 : 1;

	n->n_dials++;
	if (!w->nodes[j].is_alive) {
		dialer_handle_failed(n->dialer, d->no, PEER_ERROR_REFUSED,
				     w->now);
		return;
	}
	assert_true(!d->has_id || id_equal(&d->id, &w->nodes[j].who.id));
	dialer_handle_up(n->dialer, d->no);
	if (n->session[j] != 0 && n->session[j] == w->nodes[j].session[i]) {
		n->n_duplicates++;
		return;
	}
	w->last_session++;
	if (n->session[j] != 0)
		session_end(w, i, j, PEER_ERROR_NONE);
	if (w->nodes[j].session[i] != 0)
		session_end(w, j, i, PEER_ERROR_NONE);
	session_begin(w, i, j, d->peer, &d->at);
	session_begin(w, j, i, 0, &n->at[family]);
}

static void node_turn(struct wire *w, uint32_t i)
{
	struct node *n = &w->nodes[i];
	bool is_fresh;
	struct dial d;

	for (uint32_t j = 0; j < NODES; j++)
		if (n->dead_at[j] != 0 && n->dead_at[j] <= w->now)
			session_end(w, i, j, PEER_ERROR_TIMEOUT);
	if (beacon_clock_due(&n->clock, w->now, &is_fresh))
		send_beacons(w, n, is_fresh);
	while (dialer_next(n->dialer, w->now, &d))
		if (d.type == DIAL_START)
			dial(w, i, &d);
}

static void run_for(struct wire *w, nsec time)
{
	for (nsec end = w->now + time; w->now < end; w->now += STEP_NS)
		for (uint32_t i = 0; i < NODES; i++)
			if (w->nodes[i].is_alive)
				node_turn(w, i);
}

static bool is_mesh(const struct wire *w)
{
	for (uint32_t i = 0; i < NODES; i++)
		for (uint32_t j = 0; j < NODES; j++)
			if (i != j &&
			    (w->nodes[i].session[j] == 0 ||
			     w->nodes[i].session[j] != w->nodes[j].session[i]))
				return false;
	return true;
}

static struct wire *wire_new(uint64_t seed)
{
	struct wire *w = mem_new(w);

	w->now = START;
	w->ca = hash_of("a", 1);
	for (uint32_t i = 0; i < NODES; i++)
		node_start(w, i, seed);
	return w;
}

static void wire_free(struct wire *w)
{
	for (uint32_t i = 0; i < NODES; i++)
		if (w->nodes[i].is_alive)
			node_stop(w, i);
	free(w);
}

static void all_on_a_wire_meet_in_seconds_and_once(void **state)
{
	const size_t pairs = NODES * (NODES - 1) / 2;

	(void)state;
	for (uint64_t seed = 1; seed <= 5; seed++) {
		struct wire *w = wire_new(seed);
		size_t n_dials = 0, n_duplicates = 0;

		run_for(w, 4 * NS_PER_S);
		assert_true(is_mesh(w));
		for (uint32_t i = 0; i < NODES; i++) {
			n_dials += w->nodes[i].n_dials;
			n_duplicates += w->nodes[i].n_duplicates;
		}
		assert_int_equal(n_dials, pairs);
		assert_int_equal(n_duplicates, 0);
		wire_free(w);
	}
}

static void a_quiet_wire_carries_few_beacons_and_no_dial(void **state)
{
	struct wire *w = wire_new(1);

	(void)state;
	run_for(w, 10 * NS_PER_S);
	for (uint32_t i = 0; i < NODES; i++)
		w->nodes[i].n_dials = w->nodes[i].n_beacon_bytes = 0;
	run_for(w, 600 * NS_PER_S);
	assert_true(is_mesh(w));
	for (uint32_t i = 0; i < NODES; i++) {
		assert_int_equal(w->nodes[i].n_dials, 0);
		/* 12 bytes a second, a twentieth of what a link may cost. */
		assert_in_range(w->nodes[i].n_beacon_bytes, 600 * 9, 600 * 15);
	}
	wire_free(w);
}

/* Kill -9 and an immediate start: it has forgotten all, the others have not
 * noticed yet. */
static void a_node_that_restarts_is_back_in_seconds(void **state)
{
	static const nsec away[] = { 0, 1 * NS_PER_S, 90 * NS_PER_S,
				     3600 * NS_PER_S };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(away); i++) {
		struct wire *w = wire_new(i);

		run_for(w, 60 * NS_PER_S);
		node_stop(w, 3);
		run_for(w, away[i]);
		node_start(w, 3, 77 + i);
		run_for(w, 6 * NS_PER_S);
		assert_true(is_mesh(w));
		wire_free(w);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_on_a_wire_meet_in_seconds_and_once),
		cmocka_unit_test(a_quiet_wire_carries_few_beacons_and_no_dial),
		cmocka_unit_test(a_node_that_restarts_is_back_in_seconds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
