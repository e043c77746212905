#include "discovery/dialer.h"

#include "tests/unit/discovery/peer_help.h"

static struct dial next_dial(struct dialer *d, nsec now)
{
	struct dial out = { 0 };

	assert_true(dialer_next(d, now, &out));
	return out;
}

static void assert_idle(struct dialer *d, nsec now)
{
	struct dial out;

	assert_false(dialer_next(d, now, &out));
	assert_true(dialer_deadline(d) > now);
}

static void a_static_peer_is_dialled_at_once_whoever_it_is(void **state)
{
	struct peers *p = make_peers(1);
	struct dialer *d = dialer_new(p, START);
	struct dial out;

	(void)state;
	assert_idle(d, START);
	assert_true(dialer_deadline(d) == TIME_NEVER);
	make_static(p, "bravo", "10.0.0.7", START);
	out = next_dial(d, START);
	assert_int_equal(out.type, DIAL_START);
	assert_int_equal(out.at.in.sin_addr.s_addr,
			 make_at4(7).in.sin_addr.s_addr);
	assert_false(out.has_id);
	assert_int_equal(out.peer, peers_next(p, NULL)->no);
	assert_idle(d, START);
	dialer_free(d);
	peers_free(p);
}

static void a_hint_is_dialled_for_its_id_over_its_interface(void **state)
{
	struct peers *p = make_peers(1);
	struct dialer *d = dialer_new(p, START);
	struct identity who = make_who(2007);
	struct dial out;

	(void)state;
	make_hint(p, 2007, make_at4(7), 5, true, START);
	out = next_dial(d, START);
	assert_true(out.has_id);
	assert_true(id_equal(&out.id, &who.id));
	assert_int_equal(out.ifindex, 5);
	dialer_free(d);
	peers_free(p);
}

static void failures_back_off_and_never_end_for_a_static_peer(void **state)
{
	struct peers *p = make_peers(1);
	struct dialer *d = dialer_new(p, START);
	nsec now = START, last = START;

	(void)state;
	make_static(p, "bravo", "10.0.0.7", START);
	for (uint32_t i = 0; i < 200; i++) {
		struct dial out = next_dial(d, now);
		nsec want = backoff_nominal(i);

		if (i > 0)
			assert_in_range(now - last, want * 4 / 5, want * 6 / 5);
		last = now;
		dialer_handle_failed(d, out.no, PEER_ERROR_REFUSED, now);
		assert_idle(d, now);
		now = dialer_deadline(d);
	}
	dialer_free(d);
	peers_free(p);
}

static void a_hint_is_given_up_and_a_peer_that_was_met_rests(void **state)
{
	static const struct {
		bool is_identified;
		size_t per_day_min, per_day_max;
	} cases[] = {
		{ false, PEER_TRIES, PEER_TRIES },
		{ true, 80, 125 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct peers *p = make_peers(i);
		struct dialer *d = dialer_new(p, START);
		struct identity who = make_who(2007);
		size_t n = 0;

		make_hint(p, 2007, make_at4(7), 5, true, START);
		if (cases[i].is_identified)
			peers_handle_identity(p, &who, test_chain, 5, START);
		for (nsec t = START; t < START + 86400 * NS_PER_S;) {
			struct dial out;

			while (dialer_next(d, t, &out)) {
				n++;
				dialer_handle_failed(d, out.no,
						     PEER_ERROR_TIMEOUT, t);
			}
			t = dialer_deadline(d);
		}
		assert_in_range(n, cases[i].per_day_min, cases[i].per_day_max);
		dialer_free(d);
		peers_free(p);
	}
}

static void the_families_take_turns_with_a_stagger(void **state)
{
	static const char *const all[] = { "10.0.0.1", "10.0.0.2",
					   "[2001:db8::1]", "[2001:db8::2]" };
	static const int want[] = { AF_INET6, AF_INET, AF_INET6, AF_INET };
	struct peer_config c = { "bravo", all, 4 };
	struct peers *p = make_peers(1);
	struct dialer *d = dialer_new(p, START);
	nsec now = START;

	(void)state;
	peers_set_statics(p, &c, 1, START);
	for (size_t i = 0; i < 4; i++) {
		struct dial out = next_dial(d, now);

		assert_int_equal(out.at.sa.sa_family, want[i]);
		assert_idle(d, now);
		if (i < 3)
			assert_int_equal(dialer_deadline(d),
					 now + DIAL_STAGGER_NS);
		now += DIAL_STAGGER_NS;
	}
	dialer_free(d);
	peers_free(p);
}

static void the_endpoint_that_worked_comes_first(void **state)
{
	static const char *const all[] = { "[2001:db8::1]", "10.0.0.1" };
	struct peer_config c = { "bravo", all, 2 };
	struct peers *p = make_peers(1);
	struct dialer *d = dialer_new(p, START);
	nsec now = START + 60 * NS_PER_S;
	struct dial out;
	peer_no no;

	(void)state;
	peers_set_statics(p, &c, 1, START);
	make_up(p, 1, peers_next(p, NULL)->no, 7, make_at4(1), 0, START, &no);
	peers_handle_session_down(p, no, 1, PEER_ERROR_TIMEOUT, now);
	out = next_dial(d, now);
	assert_int_equal(out.at.sa.sa_family, AF_INET);
	dialer_free(d);
	peers_free(p);
}

static void reaching_a_peer_cancels_its_other_dials(void **state)
{
	struct peers *p = make_peers(1);
	struct dialer *d = dialer_new(p, START);
	nsec now = START + DIAL_STAGGER_NS;
	struct dial first, second, out;
	peer_no no;

	(void)state;
	make_hint(p, 2007, make_at6(7, 5), 5, true, START);
	make_hint(p, 2007, make_at4(7), 5, true, START);
	first = next_dial(d, START);
	assert_idle(d, START);
	second = next_dial(d, now);
	assert_int_equal(second.at.sa.sa_family, AF_INET);
	dialer_handle_up(d, first.no);
	make_up(p, 1, first.peer, 2007, first.at, 5, now, &no);
	out = next_dial(d, now);
	assert_int_equal(out.type, DIAL_CANCEL);
	assert_int_equal(out.no, second.no);
	assert_idle(d, now);
	/* What comes of it now is too late. */
	dialer_handle_failed(d, second.no, PEER_ERROR_TIMEOUT, now);
	assert_int_equal(dialer_counters(d)->n_stale, 1);
	assert_int_equal(peers_find_no(p, no)->last_error, PEER_ERROR_NONE);
	dialer_free(d);
	peers_free(p);
}

static void a_connected_peer_is_dialled_over_another_wire_only(void **state)
{
	struct peers *p = make_peers(1);
	struct dialer *d = dialer_new(p, START);
	struct dial out;
	peer_no no;

	(void)state;
	make_hint(p, 2007, make_at6(7, 5), 5, true, START);
	out = next_dial(d, START);
	dialer_handle_up(d, out.no);
	make_up(p, 1, out.peer, 2007, out.at, 5, START, &no);
	make_hint(p, 2007, make_at4(7), 5, true, START);
	assert_idle(d, START);
	make_hint(p, 2007, make_at4(8), 6, true, START);
	out = next_dial(d, START);
	assert_int_equal(out.ifindex, 6);
	dialer_handle_up(d, out.no);
	make_up(p, 2, out.peer, 2007, out.at, 6, START, &no);
	assert_idle(d, START);
	assert_int_equal(peers_find_no(p, no)->n_links, 2);
	dialer_free(d);
	peers_free(p);
}

static void a_lost_session_is_dialled_at_once_and_only_once(void **state)
{
	struct peers *p = make_peers(1);
	struct dialer *d = dialer_new(p, START);
	nsec now = START + PEER_HELD_NS;
	struct dial out;
	peer_no no;

	(void)state;
	make_static(p, "bravo", "10.0.0.7", START);
	out = next_dial(d, START);
	dialer_handle_up(d, out.no);
	make_up(p, 1, out.peer, 7, out.at, 0, START, &no);
	assert_idle(d, START);
	peers_handle_session_down(p, no, 1, PEER_ERROR_TIMEOUT, now);
	out = next_dial(d, now);
	dialer_handle_failed(d, out.no, PEER_ERROR_TIMEOUT, now);
	assert_idle(d, now);
	assert_in_range(dialer_deadline(d), now + 400 * NS_PER_MS,
			now + 600 * NS_PER_MS);
	dialer_free(d);
	peers_free(p);
}

static void an_answer_that_never_comes_is_a_failure(void **state)
{
	struct peers *p = make_peers(1);
	struct dialer *d = dialer_new(p, START);
	nsec now = START + DIAL_GUARD_NS;
	struct dial first, out;

	(void)state;
	make_static(p, "bravo", "10.0.0.7", START);
	first = next_dial(d, START);
	assert_idle(d, START);
	assert_true(dialer_deadline(d) <= now);
	out = next_dial(d, now);
	assert_int_equal(out.type, DIAL_CANCEL);
	assert_int_equal(out.no, first.no);
	assert_idle(d, now);
	assert_int_equal(dialer_counters(d)->n_unanswered, 1);
	assert_int_equal(peers_next(p, NULL)->last_error, PEER_ERROR_TIMEOUT);
	dialer_free(d);
	peers_free(p);
}

static void a_name_is_looked_up_and_then_dialled(void **state)
{
	struct peers *p = make_peers(1);
	struct dialer *d = dialer_new(p, START);
	union endpoint list[] = { make_at4(1) };
	struct dial out;
	uint32_t lookup;

	(void)state;
	make_static(p, "bravo", "b.example:4000", START);
	out = next_dial(d, START);
	assert_int_equal(out.type, DIAL_RESOLVE);
	assert_string_equal(out.host, "b.example");
	assert_int_equal(out.port, 4000);
	lookup = out.no;
	assert_idle(d, START);
	dialer_handle_resolved(d, lookup, list, 1, START);
	out = next_dial(d, START);
	assert_int_equal(out.type, DIAL_START);
	assert_true(endpoint_equal(&out.at, &list[0]));
	dialer_handle_resolved(d, lookup, list, 1, START);
	assert_int_equal(dialer_counters(d)->n_stale, 1);
	dialer_free(d);
	peers_free(p);
}

static void a_name_without_address_is_asked_for_with_back_off(void **state)
{
	struct peers *p = make_peers(1);
	struct dialer *d = dialer_new(p, START);
	nsec now = START, last = START;

	(void)state;
	make_static(p, "bravo", "b.example", START);
	for (uint32_t i = 0; i < 50; i++) {
		struct dial out = next_dial(d, now);

		assert_int_equal(out.type, DIAL_RESOLVE);
		if (i > 0)
			assert_in_range(now - last, backoff_nominal(i) * 4 / 5,
					backoff_nominal(i) * 6 / 5);
		last = now;
		dialer_handle_resolved(d, out.no, NULL, 0, now);
		assert_idle(d, now);
		now = dialer_deadline(d);
	}
	dialer_free(d);
	peers_free(p);
}

static void dials_at_the_same_time_are_limited(void **state)
{
	struct peers *p = make_peers(1);
	struct dialer *d = dialer_new(p, START);
	const nsec now = START + 60 * NS_PER_S;
	struct dial out[DIALS_MAX];
	size_t n = 0;

	(void)state;
	for (uint32_t i = 0; i < 2 * DIALS_MAX; i++)
		make_hint(p, 2000 + i, make_at4(i), 5, true, START);
	for (nsec t = now; t < now + 5 * NS_PER_S; t += 100 * NS_PER_MS)
		while (n <= DIALS_MAX && dialer_next(d, t, &out[n]))
			n++;
	assert_int_equal(n, DIALS_MAX);
	dialer_handle_failed(d, out[3].no, PEER_ERROR_REFUSED,
			     now + 5 * NS_PER_S);
	assert_int_equal(next_dial(d, now + 5 * NS_PER_S).type, DIAL_START);
	assert_idle(d, now + 5 * NS_PER_S);
	dialer_free(d);
	peers_free(p);
}

static void the_configuration_goes_before_hints(void **state)
{
	struct peers *p = make_peers(1);
	struct dialer *d = dialer_new(p, START);

	(void)state;
	for (uint32_t i = 0; i < 100; i++)
		make_hint(p, 2000 + i, make_at4(100 + i), 5, true, START);
	make_static(p, "bravo", "10.0.0.7", START + NS_PER_S);
	assert_false(next_dial(d, START + NS_PER_S).has_id);
	dialer_free(d);
	peers_free(p);
}

static void half_of_the_room_is_left_to_those_who_call(void **state)
{
	struct peers *p = make_peers(1);
	struct dialer *d = dialer_new(p, START);
	struct dial out;
	peer_no no;

	(void)state;
	for (uint32_t i = 0; i < DIAL_LEARNT_MAX; i++) {
		assert_int_equal(make_up(p, i + 1, 0, 3000 + i, make_at4(i), 5,
					 START, &no),
				 PEERS_OK);
		if (i + 2 != DIAL_LEARNT_MAX)
			continue;
		make_hint(p, 2001, make_at4(5001), 5, true, START);
		out = next_dial(d, START);
		dialer_handle_failed(d, out.no, PEER_ERROR_REFUSED, START);
	}
	make_hint(p, 2002, make_at4(5002), 5, true, START);
	assert_idle(d, START);
	make_static(p, "bravo", "10.0.0.7", START);
	assert_false(next_dial(d, START).has_id);
	dialer_free(d);
	peers_free(p);
}

static void one_endpoint_is_dialled_once_whoever_is_said_to_be_there(
	void **state)
{
	struct peers *p = make_peers(1);
	struct dialer *d = dialer_new(p, START);

	(void)state;
	make_hint(p, 2001, make_at4(7), 5, true, START);
	make_hint(p, 2002, make_at4(7), 5, true, START);
	next_dial(d, START);
	assert_idle(d, START);
	dialer_free(d);
	peers_free(p);
}

/* ---- a world of random events ---- */

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
		cmocka_unit_test(
			a_static_peer_is_dialled_at_once_whoever_it_is),
		cmocka_unit_test(
			a_hint_is_dialled_for_its_id_over_its_interface),
		cmocka_unit_test(
			failures_back_off_and_never_end_for_a_static_peer),
		cmocka_unit_test(
			a_hint_is_given_up_and_a_peer_that_was_met_rests),
		cmocka_unit_test(the_families_take_turns_with_a_stagger),
		cmocka_unit_test(the_endpoint_that_worked_comes_first),
		cmocka_unit_test(reaching_a_peer_cancels_its_other_dials),
		cmocka_unit_test(
			a_connected_peer_is_dialled_over_another_wire_only),
		cmocka_unit_test(
			a_lost_session_is_dialled_at_once_and_only_once),
		cmocka_unit_test(an_answer_that_never_comes_is_a_failure),
		cmocka_unit_test(a_name_is_looked_up_and_then_dialled),
		cmocka_unit_test(
			a_name_without_address_is_asked_for_with_back_off),
		cmocka_unit_test(dials_at_the_same_time_are_limited),
		cmocka_unit_test(the_configuration_goes_before_hints),
		cmocka_unit_test(half_of_the_room_is_left_to_those_who_call),
		cmocka_unit_test(
			one_endpoint_is_dialled_once_whoever_is_said_to_be_there),
		cmocka_unit_test(in_a_world_of_random_events_the_bounds_hold),
		cmocka_unit_test(a_seed_is_a_replay),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
