/* Whether two messages say the same. */
#include <string.h>

#include "tests/support/msgs.h"

static bool same_id(const struct node_id *a, const struct node_id *b)
{
	return memcmp(a->b, b->b, ID_LEN) == 0;
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

bool locator_equal(const struct locator *a, const struct locator *b)
{
	for (size_t t = 0; t < TREES; t++) {
		const struct coord *x = &a->tree[t], *y = &b->tree[t];

		if (x->n != y->n)
			return false;
		for (size_t i = 0; i < x->n; i++)
			if (!same_id(&x->hop[i].id, &y->hop[i].id) ||
			    x->hop[i].cost != y->hop[i].cost)
				return false;
	}
	return true;
}

bool record_equal(const struct record *a, const struct record *b)
{
	return SAME(id) && SAME(issued_ms) && SAME(life_s) && SAME(flags) &&
	       locator_equal(&a->at, &b->at) && SAME(sig) && SAME(body_len) &&
	       memcmp(a->body, b->body, a->body_len) == 0 && SAME(chain_len) &&
	       memcmp(a->chain, b->chain, a->chain_len) == 0;
}

static bool probe_equal(const struct msg_probe *a, const struct msg_probe *b)
{
	return SAME(body) && SAME(flags) && SAME(ttl) && SAME(origin) &&
	       SAME(target) && SAME(nonce) && SAME(issued_ms) &&
	       SAME(valid_ms) && SAME(sig_origin) && SAME(deadline_ms) &&
	       hops_equal(&a->hops, &b->hops) && SAME(tree) && SAME(round) &&
	       SAME(budget) && locator_equal(&a->to, &b->to) && SAME(n_avoid) &&
	       memcmp(a->avoid, b->avoid, a->n_avoid * sizeof *a->avoid) == 0 &&
	       SAME(chain_len) && memcmp(a->chain, b->chain, a->chain_len) == 0;
}

static bool nak_equal(const struct msg_nak *a, const struct msg_nak *b)
{
	return SAME(origin) && SAME(nonce) && SAME(tree) && SAME(code) &&
	       SAME(budget) && SAME(has_blame) && SAME(reporter) &&
	       SAME(next) && (!a->has_blame || (SAME(body) && SAME(sig)));
}

static bool close_equal(const struct msg_close *a, const struct msg_close *b)
{
	return SAME(open_id) && SAME(label) && SAME(reason) && SAME(reporter) &&
	       SAME(next) && SAME(is_signed) &&
	       (!a->is_signed || (SAME(body) && SAME(sig)));
}

static bool root_equal(const struct tree_root *a, const struct tree_root *b)
{
	return SAME(body) && SAME(tree) && SAME(root) && SAME(issued_ms) &&
	       SAME(n_nodes) && SAME(sig);
}

static bool beacon_equal(const struct msg_beacon *a, const struct msg_beacon *b)
{
	for (size_t i = 0; i < a->n && a->n == b->n; i++)
		if (!SAME(hop[i].id) || !SAME(hop[i].cost) || !SAME(hop[i].sig))
			return false;
	return a->n == b->n && root_equal(&a->root, &b->root);
}

static bool appointment_equal(bool has, const struct appointment *a,
			      const struct appointment *b)
{
	return !has || (SAME(body) && SAME(tree) && SAME(part) && SAME(root) &&
			SAME(member) && SAME(issued_ms) && SAME(sig) &&
			coord_equal(coord_ref(&a->at), coord_ref(&b->at)));
}

#define SAME_APPOINTMENT(m)                                                    \
	(SAME(m.has_appointment) &&                                            \
	 appointment_equal(a->m.has_appointment, &a->m.appointment,            \
			   &b->m.appointment))

static bool no_record_equal(const struct msg_no_record *a,
			    const struct msg_no_record *b)
{
	return SAME(nonce) && SAME(code) && SAME(id) && SAME(tree) &&
	       SAME(issued_ms) && SAME(replica) && SAME(has_appointment) &&
	       SAME(chain_len) &&
	       memcmp(a->chain, b->chain, a->chain_len) == 0 &&
	       appointment_equal(a->has_appointment, &a->appointment,
				 &b->appointment) &&
	       (a->code != NO_RECORD_ABSENT || (SAME(body) && SAME(sig)));
}

static bool receipt_equal(const struct msg_receipt *a,
			  const struct msg_receipt *b)
{
	return SAME(open_id) && SAME(token) && SAME(hop) && SAME(node) &&
	       SAME(n_forth) && SAME(n_back) && SAME(body) && SAME(sig);
}

bool msg_equal(const struct msg *a, const struct msg *b)
{
	if (a->type != b->type)
		return false;
	switch (a->type) {
	case MSG_HELLO:
		return SAME(hello.version) && SAME(hello.transit) &&
		       SAME(hello.port) && SAME(hello.instance) &&
		       SAME(hello.direct) && SAME(hello.sealed) &&
		       strcmp(a->hello.name, b->hello.name) == 0;
	case MSG_LINK:
		return SAME(link.cost_100us) && SAME(link.mtu) &&
		       SAME(link.loss) && SAME(link.rate);
	case MSG_PROBE:
		return probe_equal(&a->probe, &b->probe);
	case MSG_ANSWER:
		return route_equal(&a->answer.route, &b->answer.route);
	case MSG_NAK:
		return nak_equal(&a->nak, &b->nak);
	case MSG_OPEN:
		return SAME(open.body) && SAME(open.open_id) &&
		       SAME(open.issued_ms) && SAME(open.sig_origin) &&
		       SAME(open.label) && SAME(open.mtu) &&
		       route_equal(&a->open.route, &b->open.route);
	case MSG_OPENED:
		return SAME(opened.open_id) && SAME(opened.label) &&
		       SAME(opened.mtu);
	case MSG_CLOSE:
		return close_equal(&a->close, &b->close);
	case MSG_PEER_QUERY:
		return SAME(peer_query.n) &&
		       memcmp(a->peer_query.ids, b->peer_query.ids,
			      a->peer_query.n * ID_LEN) == 0;
	case MSG_PEER_INFO:
		return SAME(peer_info.id) && SAME(peer_info.chain_len) &&
		       memcmp(a->peer_info.chain, b->peer_info.chain,
			      a->peer_info.chain_len) == 0;
	case MSG_PING:
		return SAME(ping.token) && SAME(ping.is_reply) &&
		       SAME(ping.n_sealed);
	case MSG_BEACON:
		return beacon_equal(&a->beacon, &b->beacon);
	case MSG_BEAT:
		return root_equal(&a->beat.root, &b->beat.root);
	case MSG_STORE:
		return SAME(store.nonce) && SAME(store.tree) &&
		       SAME(store.hops_left) &&
		       record_equal(&a->store.record, &b->store.record);
	case MSG_STORED:
		return SAME(stored.nonce) && SAME(stored.n_kept) &&
		       SAME_APPOINTMENT(stored);
	case MSG_LOOKUP:
		return SAME(lookup.nonce) && SAME(lookup.tree) &&
		       SAME(lookup.hops_left) && SAME(lookup.id) &&
		       SAME(lookup.newer_than_ms) && SAME_APPOINTMENT(lookup);
	case MSG_FOUND:
		return SAME(found.nonce) && SAME_APPOINTMENT(found) &&
		       record_equal(&a->found.record, &b->found.record);
	case MSG_NO_RECORD:
		return no_record_equal(&a->no_record, &b->no_record);
	case MSG_TEST:
		return SAME(test.open_id) && SAME(test.token) && SAME(test.hop);
	case MSG_RECEIPT:
		return receipt_equal(&a->receipt, &b->receipt);
	case MSG_TYPES:
		break;
	}
	return false;
}
