/* What must hold for any message that was parsed. */
#include <string.h>

#include "proto/packet.h"
#include "tests/support/msgs.h"

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

const char *locator_fault(const struct locator *l)
{
	for (size_t t = 0; t < TREES; t++) {
		const struct coord *c = &l->tree[t];

		if (c->n > TREE_PATH_MAX)
			return "a path in a tree that is too long";
		if (c->n != 0 && c->hop[0].cost != 0)
			return "a root with a cost";
		for (size_t i = 1; i < c->n; i++) {
			if (c->hop[i].cost < c->hop[i - 1].cost)
				return "a cost that falls";
			for (size_t k = 0; k < i; k++)
				if (same_id(&c->hop[i].id, &c->hop[k].id))
					return "a path in a tree with a loop";
		}
	}
	return NULL;
}

static const char *locator_of_fault(const struct locator *l,
				    const struct node_id *id)
{
	for (size_t t = 0; t < TREES; t++) {
		const struct coord *c = &l->tree[t];

		if (c->n != 0 && !same_id(&c->hop[c->n - 1].id, id))
			return "a locator of another node";
	}
	return locator_fault(l);
}

const char *record_fault(const struct record *r)
{
	struct record copy = *r;

	record_seal(&copy);
	if (copy.body_len != r->body_len ||
	    memcmp(copy.body, r->body, r->body_len) != 0)
		return "the record's body does not say what its values say";
	if (r->life_s > RECORD_LIFE_S)
		return "a record that lives too long";
	if (r->chain_len == 0 || r->chain_len > CHAIN_BYTES_MAX)
		return "a record without a chain, or with a long one";
	return locator_of_fault(&r->at, &r->id);
}

static const char *root_fault(const struct tree_root *t)
{
	struct tree_root copy = *t;

	tree_root_seal(&copy);
	if (memcmp(copy.body, t->body, sizeof t->body) != 0)
		return "the root's body does not say what its values say";
	return t->tree < TREES ? NULL : "no such tree";
}

static const char *beacon_fault(const struct msg_beacon *m)
{
	if (m->n == 0 || m->n > TREE_PATH_MAX)
		return "a beacon without a path, or with a long one";
	if (!same_id(&m->hop[0].id, &m->root.root))
		return "a path that does not begin at the root";
	for (size_t i = 1; i < m->n; i++)
		for (size_t k = 0; k < i; k++)
			if (same_id(&m->hop[i].id, &m->hop[k].id))
				return "a beacon with a loop";
	return root_fault(&m->root);
}

static const char *way_fault(uint8_t tree, uint8_t hops_left)
{
	return tree < TREES && hops_left <= REQUEST_HOPS_MAX
		       ? NULL
		       : "a request's tree or hops out of range";
}

static const char *appointment_fault(bool has, const struct appointment *a)
{
	struct appointment copy = *a;

	if (!has)
		return NULL;
	appointment_seal(&copy);
	if (memcmp(copy.body, a->body, sizeof a->body) != 0)
		return "an appointment's body does not say what its values say";
	if (a->tree >= TREES || a->at.n < 1 || a->at.n > TREE_PATH_MAX)
		return "an appointment nowhere";
	return id_equal(&a->at.hop[a->at.n - 1].id, &a->member)
		       ? NULL
		       : "the place of another node than the member";
}

static const char *store_fault(const struct msg_store *m)
{
	const char *fault = way_fault(m->tree, m->hops_left);

	if (fault == NULL)
		fault = appointment_fault(m->has_appointment, &m->appointment);
	if (fault == NULL && m->registers && m->has_appointment)
		fault = "a volunteer is handed over";
	return fault != NULL ? fault : record_fault(&m->record);
}

static const char *stored_fault(const struct msg_stored *m)
{
	if (m->n_kept != 0 && !m->has_appointment)
		return "a number of records without a member";
	return appointment_fault(m->has_appointment, &m->appointment);
}

static const char *lookup_fault(const struct msg_lookup *m)
{
	const char *fault = way_fault(m->tree, m->hops_left);

	return fault != NULL
		       ? fault
		       : appointment_fault(m->has_appointment, &m->appointment);
}

static const char *found_fault(const struct msg_found *m)
{
	const char *fault = record_fault(&m->record);

	return fault != NULL
		       ? fault
		       : appointment_fault(m->has_appointment, &m->appointment);
}

static const char *no_record_fault(const struct msg_no_record *m)
{
	struct msg_no_record copy = *m;

	if (m->code < 1 || m->code >= NO_RECORD_CODES)
		return "an unknown code";
	if (m->code != NO_RECORD_ABSENT)
		return NULL;
	msg_no_record_seal(&copy);
	if (memcmp(copy.body, m->body, sizeof m->body) != 0)
		return "NO_RECORD's body does not say what its values say";
	if (m->tree >= TREES)
		return "no such tree";
	if (m->has_appointment != (m->chain_len > 0) ||
	    m->chain_len > CHAIN_BYTES_MAX)
		return "an appointment without a chain, or a chain without one";
	return appointment_fault(m->has_appointment, &m->appointment);
}

static const char *receipt_fault(const struct msg_receipt *m)
{
	struct msg_receipt copy = *m;

	msg_receipt_seal(&copy);
	if (memcmp(copy.body, m->body, sizeof m->body) != 0)
		return "the receipt's body does not say what its values say";
	return m->hop >= 1 && m->hop <= HOPS_MAX ? NULL : "no such hop";
}

static const char *nak_fault(const struct msg_nak *m)
{
	struct msg_nak copy = *m;

	if (m->code < 1 || m->code >= NAK_CODES)
		return "an unknown code";
	if (m->tree > TREE_FLOOD)
		return "no such tree";
	if (!m->has_blame)
		return NULL;
	msg_nak_seal(&copy);
	if (memcmp(copy.body, m->body, sizeof m->body) != 0)
		return "the blame's body does not say what its values say";
	return !same_id(&m->reporter, &m->next) ? NULL
						: "a link to oneself is blamed";
}

static const char *close_fault(const struct msg_close *m)
{
	struct msg_close copy = *m;

	if (m->label > LABEL_MASK || m->reason < 1 ||
	    m->reason >= CLOSE_REASONS)
		return "label or reason out of range";
	if (!m->is_signed)
		return id_is_zero(&m->next) ? NULL : "`next` is not signed";
	msg_close_seal(&copy);
	if (memcmp(copy.body, m->body, sizeof m->body) != 0)
		return "the body of CLOSE does not say what its values say";
	for (size_t i = 0; i < NONCE_LEN; i++)
		if (m->open_id.b[i] != 0)
			return NULL;
	return "a signed CLOSE that names no circuit";
}

static const char *steering_fault(const struct msg_probe *m)
{
	if (m->flags & PROBE_FLAG_FLOOD)
		return m->tree == TREE_FLOOD && m->round == 0 &&
				       m->budget == 0 && m->n_avoid == 0 &&
				       m->chain_len == 0
			       ? NULL
			       : "a flood that is steered";
	if (m->tree > TREE_ANY || m->round >= ROUNDS_MAX ||
	    m->budget > PROBE_BUDGET_MAX)
		return "tree, round or budget out of range";
	if (m->n_avoid > AVOID_MAX || m->chain_len > CHAIN_BYTES_MAX)
		return "too much to avoid, or a chain that is too long";
	return locator_of_fault(&m->to, &m->target);
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
	if (steering_fault(m) != NULL)
		return steering_fault(m);
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
		return nak_fault(&m->nak);
	case MSG_OPEN:
		return open_fault(&m->open);
	case MSG_OPENED:
		return m->opened.label <= LABEL_MASK && m->opened.mtu != 0
			       ? NULL
			       : "label or MTU out of range";
	case MSG_CLOSE:
		return close_fault(&m->close);
	case MSG_PEER_QUERY:
		return m->peer_query.n >= 1 &&
				       m->peer_query.n <= PEER_QUERY_IDS_MAX
			       ? NULL
			       : "number of ids out of range";
	case MSG_PEER_INFO:
		return m->peer_info.chain_len <= CHAIN_BYTES_MAX
			       ? NULL
			       : "a chain that is too long";
	case MSG_BEACON:
		return beacon_fault(&m->beacon);
	case MSG_BEAT:
		return root_fault(&m->beat.root);
	case MSG_STORE:
		return store_fault(&m->store);
	case MSG_LOOKUP:
		return lookup_fault(&m->lookup);
	case MSG_STORED:
		return stored_fault(&m->stored);
	case MSG_FOUND:
		return found_fault(&m->found);
	case MSG_NO_RECORD:
		return no_record_fault(&m->no_record);
	case MSG_TEST:
		return m->test.hop >= 1 && m->test.hop <= HOPS_MAX
			       ? NULL
			       : "no such hop";
	case MSG_RECEIPT:
		return receipt_fault(&m->receipt);
	case MSG_PING:
		return NULL;
	case MSG_TYPES:
		break;
	}
	return "no such type";
}
