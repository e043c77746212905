#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#include "discovery/peers_table.h"
#include "proto/base/mem.h"
#include "proto/base/text.h"

static bool has_address(const struct peer_static *s, uint32_t address)
{
	for (size_t i = 0; i < s->n_addresses; i++)
		if (s->addresses[i].no == address)
			return true;
	return false;
}

struct peer_static *static_of(const struct peer *peer,
			      const struct peer_endpoint *ep)
{
	struct peer_static *s;

	if (ep->source != ENDPOINT_STATIC)
		return NULL;
	LL_FOREACH (peer->statics, s) {
		if (has_address(s, ep->address))
			return s;
	}
	return NULL;
}

/* The configuration, or a name's resolution, does not give it any more: where
 * the peer was met it may be met again, else it is forgotten. */
static bool endpoint_demote(struct peer_endpoint *ep)
{
	ep->source = ENDPOINT_SEEN;
	ep->address = 0;
	return ep->last_success_ms != 0;
}

static struct peer_endpoint *add_static(struct peers *p, struct entry *e,
					const union endpoint *at,
					uint32_t address, nsec now)
{
	struct peer_endpoint *ep =
		entry_endpoint_add(p, e, at, ENDPOINT_STATIC, now);

	if (ep == NULL)
		return NULL;
	/* One that was given up on as a hint is tried again. */
	if (ep->source != ENDPOINT_STATIC && ep->backoff.n_failures > 0)
		backoff_reset(&ep->backoff, now);
	ep->source = ENDPOINT_STATIC;
	ep->address = address;
	return ep;
}

void static_move(struct peers *p, struct entry *from, struct peer_static *s,
		 struct entry *to, nsec now)
{
	LL_DELETE(from->peer.statics, s);
	s->next = NULL;
	LL_APPEND(to->peer.statics, s);
	for (size_t i = 0; i < from->peer.n_endpoints;) {
		struct peer_endpoint *ep = &from->peer.endpoints[i];
		struct peer_endpoint *copy;

		if (!has_address(s, ep->address)) {
			i++;
			continue;
		}
		copy = add_static(p, to, &ep->at, ep->address, now);
		if (copy != NULL && copy->last_success_ms == 0)
			*copy = *ep;
		entry_endpoint_remove(from, ep);
	}
	entry_changed(p, to);
	entry_changed(p, from);
	if (!from->peer.has_id && from->peer.statics == NULL)
		entry_remove(p, from);
}

static void static_drop(struct peers *p, struct entry *e, struct peer_static *s)
{
	LL_DELETE(e->peer.statics, s);
	for (size_t i = 0; i < e->peer.n_endpoints;) {
		struct peer_endpoint *ep = &e->peer.endpoints[i];

		if (ep->source == ENDPOINT_STATIC &&
		    static_of(&e->peer, ep) == NULL && !endpoint_demote(ep))
			entry_endpoint_remove(e, ep);
		else
			i++;
	}
	free(s);
	entry_changed(p, e);
	if (!e->peer.has_id && e->peer.statics == NULL)
		entry_remove(p, e);
}

/* ---- the list of the configuration ---- */

static bool address_parse(struct peer_address *out, union endpoint *at,
			  const char *text)
{
	*out = (struct peer_address){ .is_name = false };
	if (endpoint_parse(at, text, QANAT_PORT))
		return text_copy(out->host, sizeof out->host, text);
	out->is_name = true;
	return endpoint_split(out->host, &out->port, text, QANAT_PORT);
}

static struct peer_address *same_address(struct peer_static *s,
					 const struct peer_address *a)
{
	for (size_t i = 0; s != NULL && i < s->n_addresses; i++) {
		struct peer_address *b = &s->addresses[i];

		if (a->is_name == b->is_name && a->port == b->port &&
		    strcmp(a->host, b->host) == 0)
			return b;
	}
	return NULL;
}

/* A section as the configuration has it now, with the numbers and back-offs of
 * those addresses that it had before. */
static struct peer_static *static_new(struct peers *p, struct entry *e,
				      struct peer_static *old,
				      const struct peer_config *c,
				      size_t *n_left_out, nsec now)
{
	struct peer_static *s = mem_new(s);

	text_copy(s->name, sizeof s->name, c->name);
	for (size_t i = 0; i < c->n_addresses; i++) {
		struct peer_address a, *same;
		union endpoint at;

		if (s->n_addresses == PEER_ADDRESSES_MAX ||
		    !address_parse(&a, &at, c->addresses[i])) {
			++*n_left_out;
			continue;
		}
		same = same_address(old, &a);
		if (same != NULL)
			a = *same;
		else
			a.no = ++p->last_address;
		if (!a.is_name && add_static(p, e, &at, a.no, now) == NULL) {
			++*n_left_out;
			continue;
		}
		s->addresses[s->n_addresses++] = a;
	}
	return s;
}

static struct peer_static *find_by_name(const struct peer *peer,
					const char *name)
{
	struct peer_static *s;

	LL_FOREACH (peer->statics, s) {
		if (strcmp(s->name, name) == 0)
			return s;
	}
	return NULL;
}

static bool is_listed(const struct peer_config *list, size_t n,
		      const char *name)
{
	for (size_t i = 0; i < n; i++)
		if (strcmp(list[i].name, name) == 0)
			return true;
	return false;
}

static void drop_unlisted(struct peers *p, const struct peer_config *list,
			  size_t n)
{
	struct entry *e, *tmp;

	HASH_ITER (hh_no, p->by_no, e, tmp) {
		struct peer_static *s = e->peer.statics;

		while (s != NULL) {
			struct peer_static *next = s->next;

			if (!is_listed(list, n, s->name))
				static_drop(p, e, s); /* may free `e` last */
			s = next;
		}
	}
}

static struct entry *holder_of(struct peers *p, const char *name,
			       struct peer_static **s)
{
	struct entry *e, *tmp;

	*s = NULL;
	HASH_ITER (hh_no, p->by_no, e, tmp) {
		*s = find_by_name(&e->peer, name);
		if (*s != NULL)
			return e;
	}
	return NULL;
}

size_t peers_set_statics(struct peers *p, const struct peer_config *list,
			 size_t n, nsec now)
{
	size_t n_left_out = 0;

	drop_unlisted(p, list, n);
	for (size_t i = 0; i < n; i++) {
		struct peer_static *old, *s;
		struct entry *e = holder_of(p, list[i].name, &old);

		if (e == NULL)
			e = entry_add(p, ENTRY_STATIC, NULL, now);
		if (e == NULL) {
			n_left_out += list[i].n_addresses;
			continue;
		}
		s = static_new(p, e, old, &list[i], &n_left_out, now);
		LL_APPEND(e->peer.statics, s);
		if (old != NULL)
			static_drop(p, e, old);
		p->revision++;
	}
	return n_left_out;
}

/* ---- names ---- */

static bool is_in(const union endpoint *at, const union endpoint *list,
		  size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (endpoint_equal(at, &list[i]))
			return true;
	return false;
}

static struct peer_address *address_find(struct entry *e, uint32_t no)
{
	struct peer_static *s;

	LL_FOREACH (e->peer.statics, s) {
		for (size_t i = 0; i < s->n_addresses; i++)
			if (s->addresses[i].no == no)
				return &s->addresses[i];
	}
	return NULL;
}

static void replace_endpoints(struct peers *p, struct entry *e,
			      const struct peer_address *a,
			      const union endpoint *list, size_t n, nsec now)
{
	for (size_t i = 0; i < e->peer.n_endpoints;) {
		struct peer_endpoint *ep = &e->peer.endpoints[i];

		if (ep->address == a->no && !is_in(&ep->at, list, n) &&
		    !endpoint_demote(ep))
			entry_endpoint_remove(e, ep);
		else
			i++;
	}
	for (size_t i = 0; i < n; i++) {
		struct peer_endpoint *ep = entry_endpoint(e, &list[i]);

		/* What another address gives already stays its own. */
		if (ep == NULL || ep->source != ENDPOINT_STATIC)
			add_static(p, e, &list[i], a->no, now);
	}
}

void peers_handle_resolved(struct peers *p, peer_no no, uint32_t address,
			   const union endpoint *list, size_t n, nsec now)
{
	struct entry *e = entry_find_no(p, no);
	struct peer_address *a = e != NULL ? address_find(e, address) : NULL;

	if (a == NULL)
		return;
	p->revision++;
	if (n == 0) {
		/* The endpoints of last time may well be good still. */
		if (e->peer.n_endpoints == 0)
			e->peer.last_error = PEER_ERROR_NAME;
		backoff_failed(&a->backoff, &p->rng, now);
		return;
	}
	a->backoff = (struct backoff){
		.retry_at = now + backoff_jitter(&p->rng, BACKOFF_MAX_NS)
	};
	replace_endpoints(p, e, a, list, n, now);
}
