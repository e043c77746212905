#include "discovery/dialer.h"

#include <stdlib.h>
#include <string.h>

#include "proto/base/bucket.h"
#include "proto/base/mem.h"
#include "proto/base/text.h"

/* A dial, or a name's resolution, that is not over. */
struct flight {
	uint32_t no; /* 0: free */
	peer_no peer;
	union endpoint at;
	uint32_t ifindex;
	uint32_t address; /* of a resolution */
	nsec guard;
};

struct dialer {
	struct peers *peers;
	struct bucket bucket;
	uint32_t last_no;
	struct flight dials[DIALS_MAX];
	struct flight resolves[DIAL_RESOLVES_MAX];
	uint64_t revision; /* of the peers, when we looked last */
	bool is_moved;     /* something of our own happened since */
	nsec deadline;
	struct dialer_counters counters;
};

struct dialer *dialer_new(struct peers *peers, nsec now)
{
	struct dialer *d = mem_new(d);

	d->peers = peers;
	d->is_moved = true;
	bucket_init(&d->bucket, DIALS_PER_S, DIALS_BURST, now);
	return d;
}

void dialer_free(struct dialer *d)
{
	free(d);
}

/* ---- what is under way ---- */

static struct flight *flight_find(struct flight *list, size_t n, uint32_t no)
{
	for (size_t i = 0; i < n; i++)
		if (list[i].no == no)
			return &list[i];
	return NULL;
}

static void flight_end(struct dialer *d, struct flight *f)
{
	*f = (struct flight){ 0 };
	d->is_moved = true;
}

static bool is_dialling(const struct dialer *d, const union endpoint *at)
{
	for (size_t i = 0; i < DIALS_MAX; i++)
		if (d->dials[i].no != 0 && endpoint_equal(&d->dials[i].at, at))
			return true;
	return false;
}

static bool is_dialling_peer(const struct dialer *d, const struct peer *peer,
			     nsec now)
{
	/* Most have not been dialled lately: spare them the search. */
	if (peer->last_dial == 0 || now - peer->last_dial > DIAL_GUARD_NS)
		return false;
	for (size_t i = 0; i < DIALS_MAX; i++)
		if (d->dials[i].no != 0 && d->dials[i].peer == peer->no)
			return true;
	return false;
}

static bool is_resolving(const struct dialer *d, uint32_t address)
{
	for (size_t i = 0; i < DIAL_RESOLVES_MAX; i++)
		if (d->resolves[i].no != 0 && d->resolves[i].address == address)
			return true;
	return false;
}

void dialer_handle_up(struct dialer *d, uint32_t no)
{
	struct flight *f = flight_find(d->dials, DIALS_MAX, no);

	if (no == 0 || f == NULL)
		d->counters.n_stale++;
	else
		flight_end(d, f);
}

void dialer_handle_failed(struct dialer *d, uint32_t no, peer_error error,
			  nsec now)
{
	struct flight *f = flight_find(d->dials, DIALS_MAX, no);

	if (no == 0 || f == NULL) {
		d->counters.n_stale++;
		return;
	}
	peers_handle_dial_failed(d->peers, f->peer, &f->at, error, now);
	flight_end(d, f);
}

void dialer_handle_resolved(struct dialer *d, uint32_t no,
			    const union endpoint *list, size_t n, nsec now)
{
	struct flight *f = flight_find(d->resolves, DIAL_RESOLVES_MAX, no);

	if (no == 0 || f == NULL) {
		d->counters.n_stale++;
		return;
	}
	peers_handle_resolved(d->peers, f->peer, f->address, list, n, now);
	flight_end(d, f);
}

/* A dial whose peer is gone, or was reached on the same link meanwhile. */
static bool is_needless(const struct dialer *d, const struct flight *f)
{
	const struct peer *peer = peers_find_no(d->peers, f->peer);

	return peer == NULL || peer_link_is_taken(peer, f->ifindex);
}

static bool next_cancel(struct dialer *d, nsec now, struct dial *out)
{
	for (size_t i = 0; i < DIALS_MAX; i++) {
		struct flight *f = &d->dials[i];
		bool is_late = f->guard <= now;

		if (f->no == 0 || (!is_late && !is_needless(d, f)))
			continue;
		*out = (struct dial){ .type = DIAL_CANCEL,
				      .no = f->no,
				      .peer = f->peer,
				      .at = f->at };
		d->counters.n_cancelled++;
		if (is_late) {
			d->counters.n_unanswered++;
			dialer_handle_failed(d, f->no, PEER_ERROR_TIMEOUT, now);
		} else {
			flight_end(d, f);
		}
		return true;
	}
	return false;
}

static void end_late_resolves(struct dialer *d, nsec now)
{
	for (size_t i = 0; i < DIAL_RESOLVES_MAX; i++) {
		struct flight *f = &d->resolves[i];

		if (f->no == 0 || f->guard > now)
			continue;
		d->counters.n_unanswered++;
		dialer_handle_resolved(d, f->no, NULL, 0, now);
	}
}

/* ---- the choice ---- */

/* What a look over all peers found. */
struct choice {
	const struct peer *peer;
	const struct peer_endpoint *endpoint;
	nsec rank;    /* of the endpoint: the smallest is dialled */
	nsec next_at; /* when the first of those that are not due is */
};

static bool is_wanted(const struct dialer *d, const struct peer *peer)
{
	return peer->statics != NULL || peer->n_links > 0 ||
	       peers_connected(d->peers) < DIAL_LEARNT_MAX;
}

/* Whether `a` should be dialled before `b`, both being due. */
static bool is_better(const struct peer *peer, bool is_second,
		      const struct peer_endpoint *a,
		      const struct peer_endpoint *b, nsec now)
{
	int fa = a->at.sa.sa_family, fb = b->at.sa.sa_family;
	uint32_t sa = score_at(&a->score, now), sb = score_at(&b->score, now);

	/* While one family is being tried the other has its turn. */
	if (is_second && fa != fb)
		return fa != peer->last_dial_family;
	if (sa != sb)
		return sa > sb;
	return fa == AF_INET6 && fb != AF_INET6;
}

/* The rank among those that are due: who waits longest, with an allowance for
 * those whom the configuration names, and then for those whom we have met. */
static nsec rank_of(const struct peer *peer, nsec due)
{
	if (peer->statics != NULL)
		return due;
	return due + (peer->is_identified ? 1 : 3) * NS_PER_S;
}

static void consider_peer(const struct dialer *d, const struct peer *peer,
			  nsec now, struct choice *c)
{
	const struct peer_endpoint *best = NULL;
	bool is_second = is_dialling_peer(d, peer, now);
	nsec not_before = is_second ? peer->last_dial + DIAL_STAGGER_NS : 0;
	nsec rank = TIME_NEVER;

	for (size_t i = 0; i < peer->n_endpoints; i++) {
		const struct peer_endpoint *ep = &peer->endpoints[i];
		nsec due = ep->backoff.retry_at;

		if (due < not_before)
			due = not_before;
		if (due == TIME_NEVER || peer_link_is_taken(peer, ep->ifindex))
			continue;
		if (due > now) {
			c->next_at = time_min(c->next_at, due);
			continue;
		}
		if (is_dialling(d, &ep->at))
			continue;
		rank = time_min(rank, rank_of(peer, due));
		if (best == NULL || is_better(peer, is_second, ep, best, now))
			best = ep;
	}
	if (best != NULL && rank < c->rank) {
		c->peer = peer;
		c->endpoint = best;
		c->rank = rank;
	}
}

static struct choice choose(const struct dialer *d, nsec now)
{
	struct choice c = { .rank = TIME_NEVER, .next_at = TIME_NEVER };
	const struct peer *peer = NULL;

	while ((peer = peers_next(d->peers, peer)) != NULL)
		if (is_wanted(d, peer))
			consider_peer(d, peer, now, &c);
	return c;
}

static uint32_t new_no(struct dialer *d)
{
	return ++d->last_no != 0 ? d->last_no : ++d->last_no;
}

static void start_dial(struct dialer *d, struct flight *f,
		       const struct choice *c, nsec now, struct dial *out)
{
	const struct peer *peer = c->peer;

	*f = (struct flight){ .no = new_no(d),
			      .peer = peer->no,
			      .at = c->endpoint->at,
			      .ifindex = c->endpoint->ifindex,
			      .guard = now + DIAL_GUARD_NS };
	*out = (struct dial){
		.type = DIAL_START,
		.no = f->no,
		.peer = f->peer,
		.at = f->at,
		.ifindex = f->ifindex,
		/* Whoever the configuration's address belongs to is meant. */
		.has_id =
			peer->has_id && c->endpoint->source != ENDPOINT_STATIC,
		.id = peer->who.id,
	};
	d->counters.n_dials++;
	peers_handle_dial(d->peers, peer->no, &f->at, now);
}

static bool next_dial(struct dialer *d, nsec now, struct dial *out)
{
	struct flight *f = flight_find(d->dials, DIALS_MAX, 0);
	struct choice c = choose(d, now);

	d->deadline = time_min(d->deadline, c.next_at);
	/* Without a free place the end of a dial makes us look again. */
	if (c.peer == NULL || f == NULL)
		return false;
	if (!bucket_take(&d->bucket, now)) {
		d->deadline =
			time_min(d->deadline, now + NS_PER_S / DIALS_PER_S);
		return false;
	}
	start_dial(d, f, &c, now, out);
	return true;
}

/* ---- names ---- */

static const struct peer_address *due_name(struct dialer *d,
					   const struct peer *peer, nsec now)
{
	for (const struct peer_static *s = peer->statics; s != NULL;
	     s = s->next) {
		for (size_t i = 0; i < s->n_addresses; i++) {
			const struct peer_address *a = &s->addresses[i];

			if (!a->is_name || is_resolving(d, a->no))
				continue;
			if (a->backoff.retry_at <= now)
				return a;
			d->deadline =
				time_min(d->deadline, a->backoff.retry_at);
		}
	}
	return NULL;
}

static bool next_resolve(struct dialer *d, nsec now, struct dial *out)
{
	struct flight *f = flight_find(d->resolves, DIAL_RESOLVES_MAX, 0);
	const struct peer *peer = NULL;

	while (f != NULL && (peer = peers_next(d->peers, peer)) != NULL) {
		const struct peer_address *a =
			peer->n_links == 0 ? due_name(d, peer, now) : NULL;

		if (a == NULL)
			continue;
		*f = (struct flight){ .no = new_no(d),
				      .peer = peer->no,
				      .address = a->no,
				      .guard = now + DIAL_RESOLVE_GUARD_NS };
		*out = (struct dial){ .type = DIAL_RESOLVE,
				      .no = f->no,
				      .peer = f->peer,
				      .port = a->port };
		text_copy(out->host, sizeof out->host, a->host);
		d->counters.n_resolves++;
		return true;
	}
	return false;
}

/* ---- the caller's side ---- */

static nsec first_guard(const struct dialer *d)
{
	nsec at = TIME_NEVER;

	for (size_t i = 0; i < DIALS_MAX; i++)
		if (d->dials[i].no != 0)
			at = time_min(at, d->dials[i].guard);
	for (size_t i = 0; i < DIAL_RESOLVES_MAX; i++)
		if (d->resolves[i].no != 0)
			at = time_min(at, d->resolves[i].guard);
	return at;
}

bool dialer_next(struct dialer *d, nsec now, struct dial *out)
{
	if (!d->is_moved && d->revision == peers_revision(d->peers) &&
	    now < d->deadline)
		return false;
	d->is_moved = true;
	end_late_resolves(d, now);
	if (next_cancel(d, now, out))
		return true;
	d->deadline = TIME_NEVER;
	if (next_resolve(d, now, out) || next_dial(d, now, out))
		return true;
	d->deadline = time_min(d->deadline, first_guard(d));
	d->revision = peers_revision(d->peers);
	d->is_moved = false;
	return false;
}

nsec dialer_deadline(const struct dialer *d)
{
	return d->deadline;
}

const struct dialer_counters *dialer_counters(const struct dialer *d)
{
	return &d->counters;
}
