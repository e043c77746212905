#include "tests/support/record_lab.h"

#include <assert.h>
#include <string.h>

#include "circuit/core.h"
#include "circuit/record/record_table.h"
#include "circuit/tree/tree.h"
#include "tests/support/small_mesh.h"

#define LAB_NODES 24
#define LAB_LINKS 3

/* Each node has links to so many before it. */
static struct mesh *grow(uint32_t directory_from)
{
	struct mesh *m = mesh_new_with(
		1, &(struct mesh_options){ .flood_below = UINT32_MAX,
					   .directory_from = directory_from });
	struct rng rng;

	for (size_t i = 0; i < LAB_NODES; i++)
		mesh_add_node(m, true);

	rng_init(&rng, 7);
	for (size_t i = 1; i < LAB_NODES; i++)
		for (size_t k = 0; k < LAB_LINKS && k < i; k++)
			mesh_add_link(m, i,
				      (i - 1 + k * rng_below(&rng, i)) % i,
				      &small_link);
	return m;
}

static size_t root_of(const struct mesh *m, unsigned tree)
{
	return mesh_find(m, tree_root(mesh_router(m, 0), tree));
}

static bool is_on_the_way(const struct record_lab *lab, size_t node)
{
	size_t at = lab->asker;

	while (at != lab->replica[0]) {
		if (at == node)
			return true;
		at = mesh_find(lab->m, &tree_parent(mesh_router(lab->m, at),
						    lab->tree[0])
						->id);
	}
	return false;
}

static uint16_t way_up(const struct record_lab *lab, unsigned k)
{
	const struct coord *at = &trees_locator(mesh_router(lab->m, lab->asker))
					  ->tree[lab->tree[k]];

	return at->hop[at->n - 1].cost;
}

/* The asker's replicas are tried from the nearest on. */
static bool are_in_order(const struct record_lab *lab)
{
	return way_up(lab, 0) <= way_up(lab, 1) &&
	       way_up(lab, 1) <= way_up(lab, 2);
}

static bool has_parts(const struct record_lab *lab)
{
	for (unsigned k = 0; k < RECORD_REPLICAS; k++)
		if (lab->replica[k] == lab->target ||
		    lab->replica[k] == lab->asker ||
		    is_on_the_way(lab, lab->replica[k]) ||
		    lab->replica[k] == lab->replica[(k + 1) % RECORD_REPLICAS])
			return false;
	return lab->relay != lab->replica[0] && lab->asker != lab->target &&
	       !is_on_the_way(lab, lab->target) && are_in_order(lab);
}

static bool cast(struct record_lab *lab, size_t target, size_t asker)
{
	struct node_id id = mesh_identity(lab->m, target)->id;
	const struct neighbour *up;

	lab->target = target;
	lab->asker = asker;
	for (unsigned k = 0; k < RECORD_REPLICAS; k++) {
		lab->tree[k] = record_tree(&id, k);
		lab->replica[k] = root_of(lab->m, lab->tree[k]);
	}
	up = tree_parent(mesh_router(lab->m, asker), lab->tree[0]);
	if (up == NULL)
		return false;
	lab->relay = mesh_find(lab->m, &up->id);
	return has_parts(lab);
}

static struct record_lab lab_new(uint32_t directory_from, nsec time)
{
	struct record_lab lab = { .m = grow(directory_from) };

	small_pass(lab.m, time);
	for (size_t t = 0; t < LAB_NODES; t++)
		for (size_t a = 0; a < LAB_NODES; a++)
			if (cast(&lab, t, a))
				return lab;
	assert(!"the mesh is too small");
	return lab;
}

struct record_lab record_lab_new(void)
{
	return lab_new(0, 30 * NS_PER_S);
}

/* Two stores of all, and then members know what is not there. */
struct record_lab record_lab_new_large(void)
{
	return lab_new(LAB_NODES / 2,
		       2 * RECORD_STORE_NS + PART_SETTLE_NS + 60 * NS_PER_S);
}

bool record_lab_looks_up(struct record_lab *lab, size_t node,
			 const struct node_id *id)
{
	struct router *r = mesh_router(lab->m, node);

	lookup_start(r, id, mesh_now(lab->m));
	mesh_pump(lab->m, node);
	small_pass(lab->m, 10 * NS_PER_S);
	return record_cached(r, id, mesh_now(lab->m)) != NULL;
}

uint16_t record_lab_cost_now(const struct record_lab *lab, size_t node)
{
	const struct router *r = mesh_router(lab->m, node);
	const struct coord *at = &trees_locator(r)->tree[lab->tree[0]];

	return at->hop[at->n - 1].cost;
}

/* Past the trees, which would have to find another path. */
void record_lab_cost(struct record_lab *lab, size_t node, uint16_t cost)
{
	struct router *r = mesh_router(lab->m, node);
	struct coord *at = &r->trees.at.tree[lab->tree[0]];

	at->hop[at->n - 1].cost = cost;
	records_moved(r, mesh_now(lab->m));
	mesh_pump(lab->m, node);
}

/* What it stored last says otherwise in any case. */
void record_lab_move(struct record_lab *lab, size_t node)
{
	record_lab_cost(lab, node,
			record_lab_cost_now(lab, node) > 1000 ? 100 : 3000);
}

struct node_id record_lab_nobody(const struct record_lab *lab)
{
	struct node_id id = { .b = "nobody" };

	while (record_tree(&id, 0) != lab->tree[0])
		id.b[ID_LEN - 1]++;
	return id;
}

void record_lab_sign(const struct record_lab *lab, size_t by,
		     struct record *rec)
{
	record_seal(rec);
	key_sign(rec->sig, mesh_key(lab->m, by), SIGN_RECORD, mesh_ca(lab->m),
		 rec->body, rec->body_len);
}

struct record record_lab_record(const struct record_lab *lab, size_t node)
{
	struct record rec = { .id = mesh_identity(lab->m, node)->id,
			      .issued_ms = mesh_wall(lab->m),
			      .life_s = RECORD_LIFE_S,
			      .chain_len = KEY_LEN };

	rec.at = *trees_locator(mesh_router(lab->m, node));
	memcpy(rec.chain, mesh_identity(lab->m, node)->key.b, KEY_LEN);
	record_lab_sign(lab, node, &rec);
	return rec;
}

const struct node_id *record_lab_id(const struct record_lab *lab, size_t node)
{
	return &mesh_identity(lab->m, node)->id;
}

bool record_lab_finds_target(struct record_lab *lab)
{
	return record_lab_looks_up(lab, lab->asker,
				   record_lab_id(lab, lab->target));
}

const struct router_counters *record_lab_asker_counts(struct record_lab *lab)
{
	return small_counters(lab->m, lab->asker);
}

bool record_lab_loses(void *ctx, size_t from, size_t to, struct msg *m)
{
	(void)from;
	(void)to;
	return m->type != *(enum msg_type *)ctx;
}

size_t record_lab_link(struct mesh *m, size_t a, size_t b)
{
	size_t end[2];

	for (size_t i = 0; i < mesh_n_links(m); i++) {
		mesh_link_ends(m, i, &end[0], &end[1]);
		if ((end[0] == a && end[1] == b) ||
		    (end[0] == b && end[1] == a))
			return i;
	}
	assert(!"there is such a link");
	return 0;
}
