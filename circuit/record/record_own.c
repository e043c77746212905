/* Our own record: when it is made and sent to its replicas.  protocol.md 11.2
 */
#include <stdlib.h>
#include <string.h>

#include "circuit/core.h"
#include "circuit/record/record_office.h"
#include "circuit/record/record_table.h"
#include "circuit/tree/tree.h"

/* A cost that differs by so much is a change. */
#define COST_HYSTERESIS 4
/* So far ahead stores may be of their spacing. */
#define RECORD_AHEAD_NS ((RECORD_STORES_BURST - 1) * RECORD_SPACING_NS)

struct stored_record *record_own(const struct router *r)
{
	return r->records.own;
}

/* ---- in office --------------------------------------------------------- */

/* All owners store at a new root within this time: they are not to do it at
 * once. */
static nsec spread(struct router *r, nsec now)
{
	return time_min(trees_n_nodes(r, now) * RECORD_SPREAD_PER_NODE_NS,
			RECORD_SPREAD_MAX_NS);
}

static void note_offices(struct router *r, nsec now)
{
	for (unsigned i = 0; i < TREES; i++) {
		nsec *since = &r->records.root_since[i];

		if (!tree_is_root(r, i)) {
			*since = 0;
			office_close(r, i);
		} else if (*since == 0) {
			*since = now;
		}
	}
}

bool records_are_settled(struct router *r, unsigned tree, nsec now)
{
	note_offices(r, now);
	return tree_is_root(r, tree) &&
	       now - r->records.root_since[tree] >=
		       RECORD_SETTLE_NS + spread(r, now);
}

/* A root keeps three of four records, two roots in one node keep all. */
uint32_t records_n_nodes(const struct router *r)
{
	uint32_t n = (uint32_t)records_n_kept(r);
	unsigned n_roots = 0;

	for (unsigned i = 0; i < TREES; i++) {
		uint32_t n_handed = office_n_records(r, i);

		n_roots += tree_is_root(r, i);
		n = n_handed > n ? n_handed : n;
	}
	if (n_roots == 0)
		return 0;
	return n_roots == 1
		       ? (n * TREES + RECORD_REPLICAS - 1) / RECORD_REPLICAS
		       : n;
}

/* ---- when -------------------------------------------------------------- */

static bool cost_differs(const struct coord *a, const struct coord *b)
{
	int ca = a->hop[a->n - 1].cost, cb = b->hop[b->n - 1].cost;

	return abs(ca - cb) * COST_HYSTERESIS > ca;
}

static bool coord_differs(const struct coord *a, const struct coord *b)
{
	if (a->n != b->n)
		return true;
	for (size_t i = 0; i < a->n; i++)
		if (!id_equal(&a->hop[i].id, &b->hop[i].id))
			return true;
	return a->n > 0 && cost_differs(a, b);
}

static bool root_differs(const struct coord *a, const struct coord *b)
{
	return b->n > 0 &&
	       (a->n == 0 || !id_equal(&a->hop[0].id, &b->hop[0].id));
}

enum change {
	CHANGE_NONE,
	CHANGE_PATH,
	CHANGE_ROOT,
};

static enum change change_since(const struct locator *was,
				const struct locator *is)
{
	enum change c = CHANGE_NONE;

	for (unsigned i = 0; i < TREES; i++) {
		if (root_differs(&was->tree[i], &is->tree[i]))
			return CHANGE_ROOT;
		if (coord_differs(&was->tree[i], &is->tree[i]))
			c = CHANGE_PATH;
	}
	return c;
}

static bool is_placed(const struct locator *l)
{
	for (unsigned i = 0; i < TREES; i++)
		if (l->tree[i].n > 0)
			return true;
	return false;
}

static nsec later(nsec a, nsec b)
{
	return a > b ? a : b;
}

/* When the trees have been quiet for a moment, or will not be. */
static nsec due(const struct records *rs, nsec now)
{
	nsec when = time_min(now + RECORD_QUIET_NS,
			     rs->moved_since + RECORD_QUIET_MAX_NS);

	when = later(when, rs->spread_until);
	if (rs->paid_until > RECORD_AHEAD_NS)
		when = later(when, rs->paid_until - RECORD_AHEAD_NS);
	return when;
}

static enum change change_now(struct router *r)
{
	struct record was;

	if (r->records.own == NULL)
		return CHANGE_ROOT;
	stored_read(r->records.own, &was);
	return change_since(&was.at, trees_locator(r));
}

void records_moved(struct router *r, nsec now)
{
	struct records *rs = &r->records;
	enum change change;

	note_offices(r, now);
	change = change_now(r);
	if (!is_placed(trees_locator(r)) || change == CHANGE_NONE)
		return;
	if (rs->moved_since == 0)
		rs->moved_since = now;
	if (change == CHANGE_ROOT && rs->spread_until <= now)
		rs->spread_until = now + rng_below(&r->rng, spread(r, now));
	timers_set(&r->timers, &rs->timer,
		   time_min(due(rs, now), rs->next_store));
}

/* ---- making and sending ------------------------------------------------ */

static void make(struct router *r, struct record *rec, nsec now)
{
	uint64_t wall = core_wall(r, now);

	if (wall <= r->records.own_issued_ms)
		wall = r->records.own_issued_ms + 1;
	r->records.own_issued_ms = wall;
	rec->id = r->config.self.id;
	rec->issued_ms = wall;
	rec->life_s = RECORD_LIFE_S;
	rec->flags = r->config.transit ? RECORD_FLAG_VOLUNTEER : 0;
	rec->at = *trees_locator(r);
	record_seal(rec);
	core_sign(r, rec->sig, SIGN_RECORD, rec->body, rec->body_len);
	rec->chain_len = r->config.chain_len;
	if (rec->chain_len > 0)
		memcpy(rec->chain, r->config.chain, rec->chain_len);
	stored_set(r, &r->records.own, rec, now);
}

/* Those that a change causes are RECORD_SPACING_NS apart in the long run. */
static void count_early(struct records *rs, nsec now)
{
	if (now < rs->next_store)
		rs->paid_until = later(rs->paid_until, now) + RECORD_SPACING_NS;
}

void record_store_own(struct router *r, nsec now)
{
	struct records *rs = &r->records;
	struct record rec;

	if (!is_placed(trees_locator(r)))
		return;
	make(r, &rec, now);
	count_early(rs, now);
	rs->moved_since = 0;
	/* A tenth apart, so that what began together does not stay so. */
	rs->next_store = now + RECORD_STORE_NS -
			 rng_below(&r->rng, RECORD_STORE_NS / 10);
	timers_set(&r->timers, &rs->timer, rs->next_store);
	store_start(r, &rec, now);
}
