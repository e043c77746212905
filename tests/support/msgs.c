#include "tests/support/msgs.h"

#include <string.h>

#include "proto/packet.h"

/* [min, max], the ends more often than chance would have it. */
static uint64_t draw(struct rng *r, uint64_t min, uint64_t max)
{
	switch (rng_below(r, 4)) {
	case 0:
		return min;
	case 1:
		return max;
	default:
		return min + rng_below(r, max - min + 1);
	}
}

static bool draw_bool(struct rng *r)
{
	return rng_below(r, 2) == 1;
}

static void hops_random(struct hop_list *out, size_t n, struct rng *r)
{
	out->n = n;
	for (size_t i = 0; i < n; i++) {
		struct hop *h = &out->hop[i];

		rng_fill(r, h->id.b, ID_LEN);
		h->cost_100us = (uint16_t)draw(r, 0, LINK_COST_MAX_100US);
		h->mtu = (uint16_t)draw(r, 1, UINT16_MAX);
		h->loss = (uint8_t)draw(r, 0, UINT8_MAX);
		h->rate = (uint8_t)draw(r, 0, UINT8_MAX);
	}
}

void route_random(struct route_proof *out, size_t n_hops, struct rng *r)
{
	rng_fill(r, out->origin.b, ID_LEN);
	rng_fill(r, out->nonce.b, NONCE_LEN);
	rng_fill(r, out->probe_hash, HASH_LEN);
	out->expiry_ms = draw(r, 0, UINT64_MAX - 1);
	hops_random(&out->hops, n_hops, r);
	out->target = out->hops.hop[n_hops - 1].id;
	rng_fill(r, out->sig_target, SIG_LEN);
	out->first_sig = (size_t)draw(r, 0, n_hops - 1);
	rng_fill(r, out->sigs, sizeof out->sigs);
	route_proof_seal(out);
}

static void hello_random(struct msg_hello *m, struct rng *r)
{
	static const char *const names[] = {
		"",
		"alice",
		"K\xc3\xbc"
		"che",
		"\xe2\x9c\x88 \xf0\x9f\x9a\x80",
		"a2345678901234567890123456789012345678901234567890123456789012"
		"3",
	};

	*m = (struct msg_hello){ .version = 1,
				 .transit = draw_bool(r),
				 .port = (uint16_t)draw(r, 0, UINT16_MAX),
				 .instance = rng_u64(r) };
	strcpy(m->name, names[rng_below(r, 5)]);
}

static void probe_random(struct msg_probe *m, struct rng *r)
{
	m->flags = (uint8_t)draw(r, 0, UINT8_MAX);
	m->ttl = (uint8_t)draw(r, 1, HOPS_MAX);
	rng_fill(r, m->origin.b, ID_LEN);
	rng_fill(r, m->target.b, ID_LEN);
	rng_fill(r, m->nonce.b, NONCE_LEN);
	m->issued_ms = draw(r, 0, UINT64_MAX - 1);
	m->valid_ms = (uint32_t)draw(r, 0, PROBE_VALID_MS);
	rng_fill(r, m->sig_origin, SIG_LEN);
	m->deadline_ms = (uint32_t)draw(r, 0, PROBE_DEADLINE_MAX_MS);
	hops_random(&m->hops, (size_t)draw(r, 0, m->ttl - 1U), r);
	msg_probe_seal(m);
}

static void open_random(struct msg_open *m, struct rng *r)
{
	route_random(&m->route, (size_t)draw(r, 1, HOPS_MAX), r);
	m->route.first_sig = 0;
	rng_fill(r, m->open_id.b, NONCE_LEN);
	m->issued_ms = draw(r, 0, UINT64_MAX - 1);
	rng_fill(r, m->sig_origin, SIG_LEN);
	m->label = (uint32_t)draw(r, 0, LABEL_MASK);
	m->mtu = (uint16_t)draw(r, 1, UINT16_MAX);
	msg_open_seal(m);
}

static void close_random(struct msg_close *m, struct rng *r)
{
	if (draw_bool(r))
		rng_fill(r, m->open_id.b, NONCE_LEN);
	m->label = (uint32_t)draw(r, 0, LABEL_MASK);
	m->reason = (enum close_reason)draw(r, 1, CLOSE_REASONS - 1);
	rng_fill(r, m->reporter.b, ID_LEN);
}

void msg_random(struct msg *out, enum msg_type type, struct rng *r)
{
	memset(out, 0, sizeof *out);
	out->type = type;
	switch (type) {
	case MSG_HELLO:
		hello_random(&out->hello, r);
		break;
	case MSG_LINK:
		out->link.cost_100us = (uint16_t)draw(r, 0, UINT16_MAX);
		out->link.mtu = (uint16_t)draw(r, 1, UINT16_MAX);
		out->link.loss = (uint8_t)draw(r, 0, UINT8_MAX);
		out->link.rate = (uint8_t)draw(r, 0, UINT8_MAX);
		break;
	case MSG_PROBE:
		probe_random(&out->probe, r);
		break;
	case MSG_ANSWER:
		route_random(&out->answer.route, (size_t)draw(r, 1, HOPS_MAX),
			     r);
		break;
	case MSG_NAK:
		rng_fill(r, out->nak.origin.b, ID_LEN);
		rng_fill(r, out->nak.nonce.b, NONCE_LEN);
		out->nak.code = (enum nak_code)draw(r, 1, NAK_CODES - 1);
		break;
	case MSG_OPEN:
		open_random(&out->open, r);
		break;
	case MSG_OPENED:
		rng_fill(r, out->opened.open_id.b, NONCE_LEN);
		out->opened.label = (uint32_t)draw(r, 0, LABEL_MASK);
		out->opened.mtu = (uint16_t)draw(r, 1, UINT16_MAX);
		break;
	case MSG_CLOSE:
		close_random(&out->close, r);
		break;
	case MSG_PEER_QUERY:
		out->peer_query.n = (size_t)draw(r, 1, PEER_QUERY_IDS_MAX);
		rng_fill(r, out->peer_query.ids, out->peer_query.n * ID_LEN);
		break;
	case MSG_PEER_INFO:
		rng_fill(r, out->peer_info.id.b, ID_LEN);
		out->peer_info.chain_len = (size_t)draw(r, 0, CHAIN_BYTES_MAX);
		rng_fill(r, out->peer_info.chain, out->peer_info.chain_len);
		break;
	case MSG_PING:
		out->ping.token = draw(r, 0, UINT64_MAX - 1);
		out->ping.is_reply = draw_bool(r);
		break;
	case MSG_TYPES:
		break;
	}
}

static bool same_id(const struct node_id *a, const struct node_id *b)
{
	return memcmp(a->b, b->b, ID_LEN) == 0;
}

static const char *hops_fault(const struct hop_list *l,
			      const struct node_id *origin)
{
	if (l->n > HOPS_MAX)
		return "more hops than allowed";
	for (size_t i = 0; i < l->n; i++) {
		if (l->hop[i].mtu == 0)
			return "a hop without an MTU";
		if (same_id(&l->hop[i].id, origin))
			return "the origin is a hop";
		for (size_t k = 0; k < i; k++)
			if (same_id(&l->hop[i].id, &l->hop[k].id))
				return "a hop occurs twice";
	}
	return NULL;
}

const char *route_fault(const struct route_proof *r)
{
	struct route_proof copy = *r;

	if (r->hops.n == 0)
		return "a route without hops";
	if (r->first_sig > r->hops.n - 1)
		return "first_sig is behind the relays";
	if (!same_id(&r->hops.hop[r->hops.n - 1].id, &r->target))
		return "the last hop is not the target";
	route_proof_seal(&copy);
	if (copy.body_len != r->body_len ||
	    memcmp(copy.body, r->body, r->body_len) != 0)
		return "the route's body does not say what its values say";
	return hops_fault(&r->hops, &r->origin);
}

static const char *probe_fault(const struct msg_probe *m)
{
	struct msg_probe copy = *m;

	msg_probe_seal(&copy);
	if (memcmp(copy.body, m->body, sizeof m->body) != 0)
		return "the probe's body does not say what its values say";
	if (m->ttl < 1 || m->ttl > HOPS_MAX)
		return "ttl out of range";
	if (m->hops.n >= m->ttl)
		return "more relays than the ttl allows";
	if (m->valid_ms > PROBE_VALID_MS)
		return "valid for too long";
	if (m->deadline_ms > PROBE_DEADLINE_MAX_MS)
		return "deadline too far";
	if (same_id(&m->origin, &m->target))
		return "a probe for oneself";
	for (size_t i = 0; i < m->hops.n; i++)
		if (same_id(&m->hops.hop[i].id, &m->target))
			return "the target is a relay";
	return hops_fault(&m->hops, &m->origin);
}

static const char *open_fault(const struct msg_open *m)
{
	struct msg_open copy = *m;

	msg_open_seal(&copy);
	if (memcmp(copy.body, m->body, sizeof m->body) != 0)
		return "the body of OPEN is about another route";
	if (m->route.first_sig != 0)
		return "an OPEN without all signatures";
	if (m->label > LABEL_MASK || m->mtu == 0)
		return "label or MTU out of range";
	return route_fault(&m->route);
}

static const char *hello_fault(const struct msg_hello *m)
{
	if (m->version != 1)
		return "a version that we do not speak";
	if (memchr(m->name, '\0', sizeof m->name) == NULL)
		return "a name without an end";
	for (const char *p = m->name; *p != '\0'; p++)
		if ((unsigned char)*p < 0x20 || *p == 0x7f)
			return "a control character in a name";
	return NULL;
}

const char *msg_fault(const struct msg *m)
{
	switch (m->type) {
	case MSG_HELLO:
		return hello_fault(&m->hello);
	case MSG_LINK:
		return m->link.mtu != 0 ? NULL : "a link without an MTU";
	case MSG_PROBE:
		return probe_fault(&m->probe);
	case MSG_ANSWER:
		return route_fault(&m->answer.route);
	case MSG_NAK:
		return m->nak.code >= 1 && m->nak.code < NAK_CODES
			       ? NULL
			       : "an unknown code";
	case MSG_OPEN:
		return open_fault(&m->open);
	case MSG_OPENED:
		return m->opened.label <= LABEL_MASK && m->opened.mtu != 0
			       ? NULL
			       : "label or MTU out of range";
	case MSG_CLOSE:
		return m->close.label <= LABEL_MASK && m->close.reason >= 1 &&
				       m->close.reason < CLOSE_REASONS
			       ? NULL
			       : "label or reason out of range";
	case MSG_PEER_QUERY:
		return m->peer_query.n >= 1 &&
				       m->peer_query.n <= PEER_QUERY_IDS_MAX
			       ? NULL
			       : "number of ids out of range";
	case MSG_PEER_INFO:
		return m->peer_info.chain_len <= CHAIN_BYTES_MAX
			       ? NULL
			       : "a chain that is too long";
	case MSG_PING:
		return NULL;
	case MSG_TYPES:
		break;
	}
	return "no such type";
}

static bool hops_equal(const struct hop_list *a, const struct hop_list *b)
{
	for (size_t i = 0; i < a->n && a->n == b->n; i++) {
		const struct hop *x = &a->hop[i], *y = &b->hop[i];

		if (!same_id(&x->id, &y->id) ||
		    x->cost_100us != y->cost_100us || x->mtu != y->mtu ||
		    x->loss != y->loss || x->rate != y->rate)
			return false;
	}
	return a->n == b->n;
}

#define SAME(field) (memcmp(&a->field, &b->field, sizeof a->field) == 0)

bool route_equal(const struct route_proof *a, const struct route_proof *b)
{
	return SAME(origin) && SAME(target) && SAME(nonce) &&
	       SAME(probe_hash) && SAME(expiry_ms) && SAME(sig_target) &&
	       SAME(first_sig) && SAME(body_len) &&
	       hops_equal(&a->hops, &b->hops) &&
	       memcmp(a->body, b->body, a->body_len) == 0 &&
	       memcmp(a->sigs[a->first_sig], b->sigs[b->first_sig],
		      (a->hops.n - 1 - a->first_sig) * SIG_LEN) == 0;
}

static bool probe_equal(const struct msg_probe *a, const struct msg_probe *b)
{
	return SAME(body) && SAME(flags) && SAME(ttl) && SAME(origin) &&
	       SAME(target) && SAME(nonce) && SAME(issued_ms) &&
	       SAME(valid_ms) && SAME(sig_origin) && SAME(deadline_ms) &&
	       hops_equal(&a->hops, &b->hops);
}

bool msg_equal(const struct msg *a, const struct msg *b)
{
	if (a->type != b->type)
		return false;
	switch (a->type) {
	case MSG_HELLO:
		return SAME(hello.version) && SAME(hello.transit) &&
		       SAME(hello.port) && SAME(hello.instance) &&
		       strcmp(a->hello.name, b->hello.name) == 0;
	case MSG_LINK:
		return SAME(link.cost_100us) && SAME(link.mtu) &&
		       SAME(link.loss) && SAME(link.rate);
	case MSG_PROBE:
		return probe_equal(&a->probe, &b->probe);
	case MSG_ANSWER:
		return route_equal(&a->answer.route, &b->answer.route);
	case MSG_NAK:
		return SAME(nak.origin) && SAME(nak.nonce) && SAME(nak.code);
	case MSG_OPEN:
		return SAME(open.body) && SAME(open.open_id) &&
		       SAME(open.issued_ms) && SAME(open.sig_origin) &&
		       SAME(open.label) && SAME(open.mtu) &&
		       route_equal(&a->open.route, &b->open.route);
	case MSG_OPENED:
		return SAME(opened.open_id) && SAME(opened.label) &&
		       SAME(opened.mtu);
	case MSG_CLOSE:
		return SAME(close.open_id) && SAME(close.label) &&
		       SAME(close.reason) && SAME(close.reporter);
	case MSG_PEER_QUERY:
		return SAME(peer_query.n) &&
		       memcmp(a->peer_query.ids, b->peer_query.ids,
			      a->peer_query.n * ID_LEN) == 0;
	case MSG_PEER_INFO:
		return SAME(peer_info.id) && SAME(peer_info.chain_len) &&
		       memcmp(a->peer_info.chain, b->peer_info.chain,
			      a->peer_info.chain_len) == 0;
	case MSG_PING:
		return SAME(ping.token) && SAME(ping.is_reply);
	case MSG_TYPES:
		break;
	}
	return false;
}
