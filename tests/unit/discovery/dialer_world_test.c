/* The dialler in a world of random events: its bounds hold, and a seed is a
 * replay. */
#include "discovery/dialer.h"

#include "tests/unit/discovery/peer_help.h"

#define N_STATIC 60
#define N_RANDOM 400
#define SECONDS  900
#define FLIGHTS  (DIALS_MAX + DIAL_RESOLVES_MAX)
#define IFACES   3

struct world {
	struct rng rng;
	struct peers *p;
	struct dialer *d;
	struct dial flights[FLIGHTS];
	nsec flight_ends[FLIGHTS];
	size_t n_flights, n_starts;
	nsec starts[SECONDS * DIALS_PER_S + DIALS_BURST + 1];
	struct {
		peer_no no;
		uint32_t session;
	} sessions[1000];
	size_t n_sessions;
	uint32_t last_session;
	struct {
		nsec last; /* dial */
		size_t n;
	} statics[N_STATIC]; /* the unreachable ones, by their address */
};

static struct dial *flight_of(struct world *w, uint32_t no)
{
	for (size_t i = 0; i < w->n_flights; i++)
		if (w->flights[i].no == no)
			return &w->flights[i];
	return NULL;
}

static void forget_flight(struct world *w, struct dial *f)
{
	size_t i = (size_t)(f - w->flights);

	w->flights[i] = w->flights[--w->n_flights];
	w->flight_ends[i] = w->flight_ends[w->n_flights];
}

/* Even numbers of static peers answer, odd ones never do; the host part of a
 * static address is its number, that of others 1000 and more. */
static uint32_t node_at(const union endpoint *at)
{
	return at->sa.sa_family == AF_INET
		       ? ntohl(at->in.sin_addr.s_addr) & 0xffffff
		       : 0;
}

static void note_start(struct world *w, const struct dial *f, nsec now)
{
	const struct peer *peer = peers_find_no(w->p, f->peer);
	uint32_t node = node_at(&f->at);

	assert_non_null(peer);
	assert_false(peer_link_is_taken(peer, f->ifindex));
	assert_true(w->n_starts < ARRAY_LEN(w->starts));
	w->starts[w->n_starts++] = now;
	if (node == 0 || node >= N_STATIC || node % 2 == 0)
		return;
	if (w->statics[node].n > 0)
		assert_true(now - w->statics[node].last >= 400 * NS_PER_MS);
	w->statics[node].n++;
	w->statics[node].last = now;
}

static void pull(struct world *w, nsec now)
{
	struct dial out;
	size_t n = 0;

	while (dialer_next(w->d, now, &out)) {
		assert_true(++n < 1000);
		if (out.type == DIAL_CANCEL) {
			struct dial *f = flight_of(w, out.no);

			assert_non_null(f);
			forget_flight(w, f);
			continue;
		}
		assert_null(flight_of(w, out.no));
		assert_true(w->n_flights < FLIGHTS);
		if (out.type == DIAL_START)
			note_start(w, &out, now);
		w->flights[w->n_flights] = out;
		w->flight_ends[w->n_flights++] =
			now + rng_below(&w->rng, 5 * NS_PER_S);
	}
}

static void end_flight(struct world *w, struct dial *f, nsec now)
{
	struct dial was = *f;
	uint32_t node = node_at(&was.at);
	union endpoint list[2] = { make_at4(5), make_at6(5, 0) };
	peer_no no;

	forget_flight(w, f);
	if (was.type == DIAL_RESOLVE) {
		dialer_handle_resolved(w->d, was.no, list,
				       rng_below(&w->rng, 3), now);
		return;
	}
	if ((node < N_STATIC && node % 2 == 1) || rng_below(&w->rng, 3) == 0 ||
	    w->n_sessions == ARRAY_LEN(w->sessions)) {
		dialer_handle_failed(w->d, was.no, PEER_ERROR_TIMEOUT, now);
		return;
	}
	dialer_handle_up(w->d, was.no);
	if (make_up(w->p, ++w->last_session, was.peer, node != 0 ? node : 500,
		    was.at, was.ifindex, now, &no) != PEERS_OK)
		return;
	w->sessions[w->n_sessions].no = no;
	w->sessions[w->n_sessions++].session = w->last_session;
}

static void random_event(struct world *w, nsec now)
{
	uint32_t node = 1001 + (uint32_t)rng_below(&w->rng, N_RANDOM);
	uint32_t iface = 1 + (uint32_t)rng_below(&w->rng, IFACES);
	struct identity who = make_who(node);
	peer_no no;

	switch (rng_below(&w->rng, 20)) {
	case 0:
		if (rng_below(&w->rng, 100) == 0)
			peers_handle_network_changed(w->p, now);
		break;
	case 1:
		peers_handle_identity(w->p, &who, test_chain, 5, now);
		break;
	case 2:
	case 3:
		if (w->n_sessions == ARRAY_LEN(w->sessions) ||
		    make_up(w->p, ++w->last_session, 0, node, make_at4(node),
			    iface, now, &no) != PEERS_OK)
			break;
		w->sessions[w->n_sessions].no = no;
		w->sessions[w->n_sessions++].session = w->last_session;
		break;
	case 4:
	case 5:
	case 6:
	case 7:
		if (w->n_sessions > 0) {
			size_t i = rng_below(&w->rng, w->n_sessions);

			peers_handle_session_down(
				w->p, w->sessions[i].no, w->sessions[i].session,
				(peer_error)rng_below(&w->rng, PEER_ERRORS),
				now);
			w->sessions[i] = w->sessions[--w->n_sessions];
		}
		break;
	default:
		make_hint(w->p, node,
			  rng_below(&w->rng, 2) != 0 ? make_at4(node)
						     : make_at6(node, iface),
			  iface, rng_below(&w->rng, 4) == 0, now);
		break;
	}
}

static void check_bounds(struct world *w)
{
	const struct peer *peer = NULL;
	size_t n = 0, n_connected = 0, n_hints = 0;

	while ((peer = peers_next(w->p, peer)) != NULL) {
		n++;
		n_connected += peer->n_links > 0;
		n_hints += peer->has_id && !peer->is_identified;
		assert_true(peer->n_endpoints <= ENDPOINTS_PER_PEER_MAX);
		assert_true(peer->n_links <= PEER_LINKS_MAX);
	}
	assert_int_equal(n, peers_count(w->p));
	assert_int_equal(n_connected, peers_connected(w->p));
	assert_true(n <= PEERS_KNOWN_MAX && n_hints <= PEERS_HINTS_MAX);
}

static void set_up_world(struct world *w, uint64_t seed)
{
	struct peer_config list[N_STATIC];
	char name[N_STATIC][8], text[N_STATIC][24];
	const char *addresses[N_STATIC];

	memset(w, 0, sizeof *w);
	rng_init(&w->rng, seed);
	w->p = make_peers(seed);
	w->d = dialer_new(w->p, START);
	for (uint32_t i = 0; i < N_STATIC; i++) {
		snprintf(name[i], sizeof name[i], "s%u", i);
		snprintf(text[i], sizeof text[i],
			 i == 0 ? "b.example" : "10.0.0.%u", i);
		addresses[i] = text[i];
		list[i] = (struct peer_config){ name[i], &addresses[i], 1 };
	}
	assert_int_equal(peers_set_statics(w->p, list, N_STATIC, START), 0);
}

static void run_world(struct world *w)
{
	const nsec end = START + SECONDS * NS_PER_S;
	nsec now = START, next_event = START;

	while (now < end) {
		struct peers_event ev;
		nsec next;

		if (now >= next_event) {
			random_event(w, now);
			next_event = now + rng_below(&w->rng, 400 * NS_PER_MS);
		}
		for (size_t i = w->n_flights; i-- > 0;)
			if (w->flight_ends[i] <= now)
				end_flight(w, &w->flights[i], now);
		pull(w, now);
		while (peers_next_event(w->p, &ev))
			continue;
		next = time_min(next_event, dialer_deadline(w->d));
		assert_true(dialer_deadline(w->d) > now);
		for (size_t i = 0; i < w->n_flights; i++)
			next = time_min(next, w->flight_ends[i]);
		now = next > now ? next : now + 1;
	}
}

static void check_rate(const struct world *w)
{
	for (size_t i = 0; i < w->n_starts; i++) {
		size_t j = i;

		while (j < w->n_starts &&
		       w->starts[j] - w->starts[i] < 10 * NS_PER_S)
			j++;
		assert_true(j - i <= 10 * DIALS_PER_S + DIALS_BURST);
	}
}

static void in_a_world_of_random_events_the_bounds_hold(void **state)
{
	struct world *w = mem_new(w);

	(void)state;
	for (uint64_t seed = 1; seed <= 3; seed++) {
		nsec end = START + SECONDS * NS_PER_S;

		set_up_world(w, seed);
		run_world(w);
		check_bounds(w);
		check_rate(w);
		for (uint32_t i = 1; i < N_STATIC; i += 2) {
			assert_true(w->statics[i].n >= SECONDS / 90);
			assert_true(end - w->statics[i].last <= 90 * NS_PER_S);
		}
		dialer_free(w->d);
		peers_free(w->p);
	}
	free(w);
}

/* The same seed, the same story. */
static void a_seed_is_a_replay(void **state)
{
	struct world *a = mem_new(a), *b = mem_new(b);

	(void)state;
	set_up_world(a, 42);
	set_up_world(b, 42);
	run_world(a);
	run_world(b);
	assert_int_equal(a->n_starts, b->n_starts);
	assert_memory_equal(a->starts, b->starts,
			    a->n_starts * sizeof a->starts[0]);
	dialer_free(a->d);
	dialer_free(b->d);
	peers_free(a->p);
	peers_free(b->p);
	free(a);
	free(b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(in_a_world_of_random_events_the_bounds_hold),
		cmocka_unit_test(a_seed_is_a_replay),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
