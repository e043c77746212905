/* Random valid messages. */
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
				 .instance = rng_u64(r),
				 .direct = draw_bool(r),
				 .sealed = (uint32_t)draw(r, 0, UINT32_MAX) };
	strcpy(m->name, names[rng_below(r, 5)]);
}

static void coord_random(struct coord *out, size_t n,
			 const struct node_id *leaf, struct rng *r)
{
	uint16_t cost = 0;

	out->n = n;
	for (size_t i = 0; i < n; i++) {
		rng_fill(r, out->hop[i].id.b, ID_LEN);
		out->hop[i].cost = cost;
		cost = (uint16_t)draw(r, cost, COORD_COST_MAX);
	}
	if (n != 0)
		out->hop[n - 1].id = *leaf;
}

void locator_random(struct locator *out, const struct node_id *leaf,
		    struct rng *r)
{
	for (size_t i = 0; i < TREES; i++)
		coord_random(&out->tree[i], (size_t)draw(r, 0, TREE_PATH_MAX),
			     leaf, r);
}

void record_random(struct record *out, struct rng *r)
{
	rng_fill(r, out->id.b, ID_LEN);
	out->issued_ms = draw(r, 0, UINT64_MAX - 1);
	out->life_s = (uint16_t)draw(r, 0, RECORD_LIFE_S);
	out->flags = (uint8_t)draw(r, 0, UINT8_MAX);
	locator_random(&out->at, &out->id, r);
	rng_fill(r, out->sig, SIG_LEN);
	out->chain_len = (size_t)draw(r, 1, CHAIN_BYTES_MAX);
	rng_fill(r, out->chain, out->chain_len);
	record_seal(out);
}

static void root_random(struct tree_root *t, struct rng *r)
{
	t->tree = (uint8_t)draw(r, 0, TREES - 1);
	rng_fill(r, t->root.b, ID_LEN);
	t->issued_ms = draw(r, 0, UINT64_MAX - 1);
	t->n_nodes = (uint32_t)draw(r, 0, UINT32_MAX);
	rng_fill(r, t->sig, SIG_LEN);
	tree_root_seal(t);
}

static void beacon_random(struct msg_beacon *m, struct rng *r)
{
	root_random(&m->root, r);
	m->n = (size_t)draw(r, 1, TREE_PATH_MAX);
	for (size_t i = 0; i < m->n; i++) {
		rng_fill(r, m->hop[i].id.b, ID_LEN);
		m->hop[i].cost = (uint16_t)draw(r, 0, UINT16_MAX);
		rng_fill(r, m->hop[i].sig, SIG_LEN);
	}
	m->hop[0].id = m->root.root;
}

/* Half of the time there is none. */
static bool appointment_random(struct appointment *a, struct rng *r)
{
	if (draw(r, 0, 1) == 0)
		return false;
	a->tree = (uint8_t)draw(r, 0, TREES - 1);
	a->part = (uint8_t)draw(r, 0, UINT8_MAX);
	a->issued_ms = draw(r, 0, UINT64_MAX - 1);
	rng_fill(r, a->sig, SIG_LEN);
	rng_fill(r, a->member.b, ID_LEN);
	coord_random(&a->at, (size_t)draw(r, 1, TREE_PATH_MAX), &a->member, r);
	a->root = a->at.hop[0].id;
	appointment_seal(a);
	return true;
}

static void no_record_random(struct msg_no_record *m, struct rng *r)
{
	rng_fill(r, m->nonce.b, NONCE_LEN);
	m->code = (enum no_record_code)draw(r, 1, NO_RECORD_CODES - 1);
	if (m->code != NO_RECORD_ABSENT)
		return;
	rng_fill(r, m->id.b, ID_LEN);
	m->tree = (uint8_t)draw(r, 0, TREES - 1);
	m->issued_ms = draw(r, 0, UINT64_MAX - 1);
	rng_fill(r, m->replica.b, ID_LEN);
	rng_fill(r, m->sig, SIG_LEN);
	m->has_appointment = appointment_random(&m->appointment, r);
	if (m->has_appointment) {
		m->tree = m->appointment.tree;
		m->replica = m->appointment.member;
		m->chain_len = (size_t)draw(r, 1, CHAIN_BYTES_MAX);
		rng_fill(r, m->chain, m->chain_len);
	}
	msg_no_record_seal(m);
}

static void receipt_random(struct msg_receipt *m, struct rng *r)
{
	rng_fill(r, m->open_id.b, NONCE_LEN);
	m->token = draw(r, 0, UINT64_MAX - 1);
	m->hop = (uint8_t)draw(r, 1, HOPS_MAX);
	rng_fill(r, m->node.b, ID_LEN);
	m->n_forth = draw(r, 0, UINT64_MAX - 1);
	m->n_back = draw(r, 0, UINT64_MAX - 1);
	rng_fill(r, m->sig, SIG_LEN);
	msg_receipt_seal(m);
}

static void steering_random(struct msg_probe *m, struct rng *r)
{
	m->tree = (uint8_t)draw(r, 0, TREE_ANY);
	m->round = (uint8_t)draw(r, 0, ROUNDS_MAX - 1);
	m->budget = (uint16_t)draw(r, 0, PROBE_BUDGET_MAX);
	locator_random(&m->to, &m->target, r);
	m->n_avoid = (size_t)draw(r, 0, AVOID_MAX);
	for (size_t i = 0; i < m->n_avoid; i++)
		m->avoid[i] = (uint32_t)rng_u64(r);
	m->chain_len = (size_t)draw(r, 0, CHAIN_BYTES_MAX);
	rng_fill(r, m->chain, m->chain_len);
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
	if (m->flags & PROBE_FLAG_FLOOD)
		m->tree = TREE_FLOOD;
	else
		steering_random(m, r);
}

static void nak_random(struct msg_nak *m, struct rng *r)
{
	rng_fill(r, m->origin.b, ID_LEN);
	rng_fill(r, m->nonce.b, NONCE_LEN);
	m->tree = (uint8_t)draw(r, 0, TREE_FLOOD);
	m->code = (enum nak_code)draw(r, 1, NAK_CODES - 1);
	m->budget = (uint16_t)draw(r, 0, PROBE_BUDGET_MAX);
	m->has_blame = draw_bool(r);
	if (!m->has_blame)
		return;
	rng_fill(r, m->reporter.b, ID_LEN);
	rng_fill(r, m->next.b, ID_LEN);
	rng_fill(r, m->sig, SIG_LEN);
	msg_nak_seal(m);
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
	m->reason = (enum close_reason)draw(r, 1, CLOSE_REASONS - 1);
	rng_fill(r, m->reporter.b, ID_LEN);
	m->is_signed = draw_bool(r);
	if (m->is_signed || draw_bool(r))
		rng_fill(r, m->open_id.b, NONCE_LEN);
	if (!m->is_signed) {
		m->label = (uint32_t)draw(r, 0, LABEL_MASK);
		return;
	}
	rng_fill(r, m->next.b, ID_LEN);
	rng_fill(r, m->sig, SIG_LEN);
	msg_close_seal(m);
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
		nak_random(&out->nak, r);
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
		out->ping.n_sealed = draw(r, 0, UINT64_MAX - 1);
		break;
	case MSG_BEACON:
		beacon_random(&out->beacon, r);
		break;
	case MSG_BEAT:
		root_random(&out->beat.root, r);
		break;
	case MSG_STORE:
		rng_fill(r, out->store.nonce.b, NONCE_LEN);
		out->store.tree = (uint8_t)draw(r, 0, TREES - 1);
		out->store.hops_left = (uint8_t)draw(r, 0, REQUEST_HOPS_MAX);
		record_random(&out->store.record, r);
		out->store.has_appointment =
			appointment_random(&out->store.appointment, r);
		out->store.registers =
			!out->store.has_appointment && draw(r, 0, 1) == 0;
		break;
	case MSG_STORED:
		rng_fill(r, out->stored.nonce.b, NONCE_LEN);
		out->stored.has_appointment =
			appointment_random(&out->stored.appointment, r);
		if (out->stored.has_appointment)
			out->stored.n_kept = (uint32_t)draw(r, 0, UINT32_MAX);
		break;
	case MSG_LOOKUP:
		rng_fill(r, out->lookup.nonce.b, NONCE_LEN);
		out->lookup.tree = (uint8_t)draw(r, 0, TREES - 1);
		out->lookup.hops_left = (uint8_t)draw(r, 0, REQUEST_HOPS_MAX);
		rng_fill(r, out->lookup.id.b, ID_LEN);
		out->lookup.newer_than_ms = rng_u64(r);
		out->lookup.has_appointment =
			appointment_random(&out->lookup.appointment, r);
		break;
	case MSG_FOUND:
		rng_fill(r, out->found.nonce.b, NONCE_LEN);
		record_random(&out->found.record, r);
		out->found.has_appointment =
			appointment_random(&out->found.appointment, r);
		break;
	case MSG_NO_RECORD:
		no_record_random(&out->no_record, r);
		break;
	case MSG_TEST:
		rng_fill(r, out->test.open_id.b, NONCE_LEN);
		out->test.token = draw(r, 0, UINT64_MAX - 1);
		out->test.hop = (uint8_t)draw(r, 1, HOPS_MAX);
		break;
	case MSG_RECEIPT:
		receipt_random(&out->receipt, r);
		break;
	case MSG_TYPES:
		break;
	}
}

#define SMALL_MAX 3

/* Its end stays: that is where the path leads to. */
static void coord_shrink(struct coord *c)
{
	if (c->n <= SMALL_MAX)
		return;
	c->hop[SMALL_MAX - 1] = c->hop[c->n - 1];
	c->n = SMALL_MAX;
}

static size_t smaller(size_t n)
{
	return n < SMALL_MAX ? n : SMALL_MAX;
}

static void record_shrink(struct record *rec)
{
	for (size_t i = 0; i < TREES; i++)
		coord_shrink(&rec->at.tree[i]);
	rec->chain_len = smaller(rec->chain_len);
	record_seal(rec);
}

static void probe_shrink(struct msg_probe *m)
{
	for (size_t i = 0; i < TREES; i++)
		coord_shrink(&m->to.tree[i]);
	m->hops.n = smaller(m->hops.n);
	m->n_avoid = smaller(m->n_avoid);
	m->chain_len = smaller(m->chain_len);
}

void msg_random_small(struct msg *out, enum msg_type type, struct rng *r)
{
	msg_random(out, type, r);
	if (type == MSG_PROBE)
		probe_shrink(&out->probe);
	if (type == MSG_ANSWER)
		route_random(&out->answer.route, SMALL_MAX, r);
	if (type == MSG_OPEN) {
		route_random(&out->open.route, SMALL_MAX, r);
		out->open.route.first_sig = 0;
		msg_open_seal(&out->open);
	}
	if (type == MSG_PEER_QUERY)
		out->peer_query.n = smaller(out->peer_query.n);
	if (type == MSG_PEER_INFO)
		out->peer_info.chain_len = smaller(out->peer_info.chain_len);
	if (type == MSG_BEACON)
		out->beacon.n = smaller(out->beacon.n);
	if (type == MSG_STORE)
		record_shrink(&out->store.record);
	if (type == MSG_FOUND)
		record_shrink(&out->found.record);
}
