#include "tests/sim/report/figures.h"

#include <stdlib.h>
#include <string.h>

#include "proto/base/mem.h"
#include "tests/sim/report/flow.h"
#include "tests/sim/report/lab.h"

#define SETTLE_NS (120 * NS_PER_S)
#define PERIOD_NS (200 * NS_PER_MS)
#define WARM_NS   (10 * NS_PER_S)
#define LIMIT_NS  (10 * NS_PER_S)

static size_t n_nodes(const struct plan *p)
{
	return p->is_quick ? 300 : 1000;
}

static size_t n_pairs(const struct plan *p)
{
	return p->is_quick ? 50 : 150;
}

static struct lab *settled(const struct plan *p)
{
	struct lab *l = lab_new(NET_BA, n_nodes(p), p->seed,
				&(struct lab_options){ .flood_below = 0 });

	lab_run(l, SETTLE_NS);
	return l;
}

/* New circuits of nodes that are not in `not` (may be NULL), begun within ten
 * seconds: how many are up ten seconds after they were asked for, in %. */
static double set_ups(struct lab *l, size_t n, const bool * not )
{
	double part;

	while (l->n_asks < n) {
		size_t from, to;

		lab_pick_pair(l, &from, &to);
		if (not != NULL && (not [from] || not [to]))
			continue;
		lab_ask(l, from, to);
		lab_run(l, 10 * NS_PER_S / n);
	}
	lab_await(l, LIMIT_NS);
	part = 100.0 * (double)lab_n_up(l) / (double)n;
	lab_asks_clear(l);
	return part;
}

/* ---- all roots die ----------------------------------------------------- */

static bool agree_on_living_roots(const struct lab *l)
{
	size_t first = 0;

	while (l->dead[first])
		first++;
	for (unsigned t = 0; t < TREES; t++) {
		size_t root = lab_root(l, first, t), n = 0, n_agree = 0;

		if (root == SIZE_MAX || l->dead[root])
			return false;
		for (size_t i = 0; i < l->net.n; i++) {
			n += !l->dead[i];
			n_agree += !l->dead[i] && lab_root(l, i, t) == root;
		}
		if (n_agree * 100 < n * 99)
			return false;
	}
	return true;
}

static void roots_die(struct plan *p)
{
	struct lab *l = settled(p);
	size_t n_works = 0, n = 0;
	double took = 0;
	nsec killed;

	while (l->n_flows < n_pairs(p)) {
		size_t from, to;

		lab_pick_pair(l, &from, &to);
		flow_add(l, from, to, PERIOD_NS);
	}
	flows_run(l, WARM_NS);
	killed = mesh_now(l->mesh);
	for (unsigned t = 0; t < TREES; t++) {
		size_t root = lab_root(l, 0, t);

		if (root != SIZE_MAX && !l->dead[root])
			lab_kill(l, root);
	}
	flows_run(l, LIMIT_NS);
	for (size_t i = 0; i < l->n_flows; i++) {
		const struct flow *f = &l->flows[i];

		if (l->dead[f->from] || l->dead[f->to])
			continue;
		n++;
		n_works += flow_works(f, killed);
	}
	table_add(&p->table, 100.0 * (double)n_works / (double)n, "%",
		  WANT_AT_LEAST, 99, p->seed,
		  "all four roots killed at once: pairs with traffic whose "
		  "packets arrive within 10 s");
	table_add(&p->table, set_ups(l, n_pairs(p), NULL), "%", WANT_AT_LEAST,
		  95, p->seed,
		  "all four roots killed at once: new circuits asked for 10 to "
		  "20 s later");
	for (took = 20; took < 400 && !agree_on_living_roots(l); took += 5)
		lab_run(l, 5 * NS_PER_S);
	table_add(&p->table, took, "s", WANT_AT_MOST, 200, p->seed,
		  "all four roots killed at once: 99 %% of nodes agree on new "
		  "ones (looked at every 5 s)");
	lab_free(l);
}

/* ---- lies -------------------------------------------------------------- */

struct liar {
	struct lab *l;
	size_t node;
	uint32_t size; /* that it tells; 0: the true one */
	unsigned n_replies, n_sizes;
};

static void sign(const struct liar *x, uint8_t *sig, enum sign_purpose purpose,
		 const void *payload, size_t len)
{
	mesh_cheap_crypto.sign(sig, mesh_key(x->l->mesh, x->node), purpose,
			       mesh_ca(x->l->mesh), payload, len);
}

/* "There is no such node", signed, of whatever it is asked for. */
static void deny(const struct liar *x, struct msg *m)
{
	struct msg_no_record no = {
		.nonce = m->found.nonce,
		.code = NO_RECORD_ABSENT,
		.id = m->found.record.id,
		.issued_ms = mesh_wall(x->l->mesh),
		.replica = mesh_identity(x->l->mesh, x->node)->id,
	};

	for (unsigned t = 0; t < TREES; t++)
		if (lab_root(x->l, x->node, t) == x->node)
			no.tree = (uint8_t)t;
	msg_no_record_seal(&no);
	sign(x, no.sig, SIGN_NO_RECORD, no.body, sizeof no.body);
	*m = (struct msg){ .type = MSG_NO_RECORD, .no_record = no };
}

/* Of one node: who believes it floods.  Of billions: who believes it looks for
 * members that there are not, and waits for long. */
static void tell_size(struct liar *x, struct tree_root *root)
{
	root->n_nodes = x->size;
	x->n_sizes++;
	tree_root_seal(root);
	sign(x, root->sig, SIGN_TREE_ROOT, root->body, sizeof root->body);
}

static void tell_size_in_beacon(struct liar *x, struct msg_beacon *b, size_t to)
{
	uint8_t chain[HASH_LEN], payload[TREE_HOP_PAYLOAD_BYTES];

	tell_size(x, &b->root);
	tree_chain_first(chain, &b->root);
	tree_hop_payload(payload, chain, &mesh_identity(x->l->mesh, to)->id,
			 b->hop[0].cost);
	sign(x, b->hop[0].sig, SIGN_TREE_HOP, payload, sizeof payload);
}

static bool lie(void *ctx, size_t from, size_t to, struct msg *m)
{
	struct liar *x = ctx;
	const struct node_id *self = &mesh_identity(x->l->mesh, x->node)->id;

	if (from != x->node)
		return true;
	if (x->size != 0 && m->type == MSG_BEACON && m->beacon.n == 1)
		tell_size_in_beacon(x, &m->beacon, to);
	if (x->size != 0 && m->type == MSG_BEAT &&
	    id_equal(&m->beat.root.root, self))
		tell_size(x, &m->beat.root);
	if (m->type != MSG_FOUND)
		return true;
	switch (x->n_replies++ % 3) {
	case 0:
		deny(x, m);
		return true;
	case 1: /* somewhere else */
		m->found.record.at.tree[0].n = 0;
		m->found.record.body[20] ^= 1;
		return true;
	default: /* silence */
		return false;
	}
}

static void a_liar(struct plan *p, uint32_t size, const char *what)
{
	struct lab *l = settled(p);
	struct liar x = { .l = l, .node = lab_root(l, 0, 0), .size = size };

	if (x.node == SIZE_MAX) {
		lab_free(l);
		return;
	}
	mesh_set_filter(l->mesh, lie, &x);
	/* Until its next beat has told everybody. */
	lab_run(l, TREE_BEAT_NS + 10 * NS_PER_S);
	lab_meter_start(l);
	table_add(&p->table, set_ups(l, n_pairs(p), NULL), "%", WANT_AT_LEAST,
		  99, p->seed, "%s: new circuits within 10 s", what);
	table_add(&p->table, (double)lab_n_setup(l) / (double)n_pairs(p), "",
		  WANT_AT_MOST, 150, p->seed,
		  "%s (%u and %u lies): messages per new circuit", what,
		  x.n_sizes, x.n_replies);
	lab_free(l);
}

/* ---- a subtree that flaps ---------------------------------------------- */

static size_t parent_of(const struct lab *l, size_t node, unsigned tree)
{
	struct tree_info info;

	if (!router_tree_get(mesh_router(l->mesh, node), tree, &info) ||
	    !info.has_parent)
		return SIZE_MAX;
	return mesh_find(l->mesh, &info.parent);
}

/* The child of the root with most nodes below it; `below` counts them. */
static size_t largest_branch(const struct lab *l, size_t root, size_t *below)
{
	size_t *count = mem_calloc(l->net.n, sizeof *count), best = SIZE_MAX;

	for (size_t i = 0; i < l->net.n; i++) {
		size_t at = i, up = parent_of(l, i, 0), steps = 0;

		while (up != root && up != SIZE_MAX &&
		       steps++ < TREE_PATH_MAX) {
			at = up;
			up = parent_of(l, at, 0);
		}
		if (up == root)
			count[at]++;
	}
	for (size_t i = 0; i < l->net.n; i++)
		if (count[i] > 0 &&
		    (best == SIZE_MAX || count[i] > count[best]))
			best = i;
	*below = best != SIZE_MAX ? count[best] : 0;
	free(count);
	return best;
}

static size_t link_between(const struct lab *l, size_t a, size_t b)
{
	for (size_t i = l->net.first[a]; i < l->net.first[a + 1]; i++)
		if (net_far_end(&l->net, l->net.at[i], a) == b)
			return l->net.at[i];
	return SIZE_MAX;
}

static void flapping(struct plan *p)
{
	struct lab *l = settled(p);
	size_t root = lab_root(l, 0, 0), below = 0, branch, link;
	double kb_s;

	branch = root != SIZE_MAX ? largest_branch(l, root, &below) : SIZE_MAX;
	if (branch == SIZE_MAX) {
		lab_free(l);
		return;
	}
	link = link_between(l, root, branch);
	lab_meter_start(l);
	for (int i = 0; i < 30; i++) {
		mesh_cut(l->mesh, link);
		lab_run(l, NS_PER_S);
		mesh_heal(l->mesh, link);
		if (i < 20)
			lab_run(l, NS_PER_S);
		else if (i == 20)
			table_add(&p->table, set_ups(l, n_pairs(p), NULL), "%",
				  WANT_AT_LEAST, 99, p->seed,
				  "a branch of %zu of %zu nodes comes and goes "
				  "every 2 s: new circuits within 10 s",
				  below, l->net.n);
	}
	kb_s = (double)lab_n_bytes(l) / 1000 / (double)l->net.n /
	       ((double)(mesh_now(l->mesh) - l->metered_since) / NS_PER_S);
	table_add(&p->table, kb_s, "kB/s", WANT_AT_MOST, 2, p->seed,
		  "the same: control traffic per node meanwhile");
	lab_free(l);
}

void figures_attack(struct plan *p)
{
	roots_die(p);
	a_liar(p, 1,
	       "a root lies about the size of the network and about records");
	a_liar(p, UINT32_MAX,
	       "a root says there are 4 billion nodes and lies about records");
	a_liar(p, 0, "a replica denies, spoils or withholds records");
	flapping(p);
}
