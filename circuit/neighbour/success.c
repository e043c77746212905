#include "circuit/neighbour/success.h"

#include <stdlib.h>

#include "circuit/core.h"
#include "proto/base/mem.h"

/* Below this share (of SUCCESS_FULL) a neighbour is penalised. */
#define SUCCESS_GOOD (SUCCESS_FULL / 10 * 7)
/* With no success at all the score counts so often more, and this in 100 µs. */
#define PENALTY_FACTOR 6
#define PENALTY_100US  1000

/* An avoided node counts thrice, and 60 ms. */
#define AVOID_FACTOR 3
#define AVOID_100US  600

/* ---- success ----------------------------------------------------------- */

void success_note(struct neighbour *n, enum outcome what)
{
	uint32_t s = n->success;

	switch (what) {
	case OUTCOME_ANSWERED:
		s += (SUCCESS_FULL - s) * 3 / 10;
		break;
	case OUTCOME_SILENT:
		s = s * 6 / 10;
		break;
	case OUTCOME_BEYOND:
		s = s * 98 / 100;
		break;
	}
	n->success = (uint16_t)s;
}

uint32_t success_weigh(const struct neighbour *n, uint32_t cost)
{
	uint64_t lack = SUCCESS_GOOD - (uint64_t)n->success;

	if (n->success >= SUCCESS_GOOD)
		return cost;
	return (uint32_t)(cost + lack *
					 (PENALTY_FACTOR * (uint64_t)cost +
					  PENALTY_100US) /
					 SUCCESS_GOOD);
}

/* No padding: nothing else is in the key. */
struct kept_score {
	struct node_id id;
	uint16_t score;
	UT_hash_handle hh;
};

static void kept_free(struct router *r, struct kept_score *k)
{
	HASH_DEL(r->scores.kept, k);
	free(k);
}

void scores_deinit(struct router *r)
{
	while (r->scores.kept != NULL)
		kept_free(r, r->scores.kept);
}

static struct kept_score *kept_find(const struct router *r,
				    const struct node_id *id)
{
	struct kept_score *k;

	TABLE_FIND(&r->table_key, hh, r->scores.kept, id, sizeof *id, k);
	return k;
}

void success_load(struct router *r, struct neighbour *n)
{
	struct kept_score *k = kept_find(r, &n->id);

	n->success = SUCCESS_FULL;
	if (k == NULL)
		return;
	n->success = k->score;
	kept_free(r, k);
}

void success_keep(struct router *r, const struct node_id *id, uint16_t score)
{
	struct kept_score *k = kept_find(r, id);

	if (k != NULL)
		kept_free(r, k);
	if (score == SUCCESS_FULL)
		return;
	if (HASH_COUNT(r->scores.kept) >= SCORES_KEPT_MAX)
		kept_free(r, r->scores.kept);
	k = mem_new(k);
	k->id = *id;
	k->score = score;
	TABLE_ADD(&r->table_key, hh, r->scores.kept, id, sizeof k->id, k);
}

void router_score_set(struct router *r, const struct node_id *id,
		      uint16_t score, nsec now)
{
	struct neighbour *n = neighbour_find(r, id);

	(void)now;
	if (n != NULL)
		n->success = score;
	else
		success_keep(r, id, score);
}

uint16_t router_score_get(const struct router *r, const struct node_id *id)
{
	const struct kept_score *k = kept_find(r, id);
	const struct neighbour *n;

	TABLE_FIND(&r->table_key, hh, r->neighbours.all, id, sizeof *id, n);
	if (n != NULL)
		return n->success;
	return k != NULL ? k->score : SUCCESS_FULL;
}

/* ---- blame ------------------------------------------------------------- */

/* One blame; less than half of it is none. */
#define BLAME_ONE 256
#define BLAME_TOP (64 * BLAME_ONE)

struct blamed {
	struct node_id id;
	uint32_t level; /* at `at` */
	nsec at;
	UT_hash_handle hh;
};

static void blamed_free(struct router *r, struct blamed *b)
{
	HASH_DEL(r->blames.all, b);
	free(b);
}

void blames_deinit(struct router *r)
{
	while (r->blames.all != NULL)
		blamed_free(r, r->blames.all);
}

static struct blamed *blamed_find(const struct router *r,
				  const struct node_id *id)
{
	struct blamed *b;

	TABLE_FIND(&r->table_key, hh, r->blames.all, id, sizeof *id, b);
	return b;
}

/* Between two halvings it falls in a straight line. */
static uint32_t faded(const struct blamed *b, nsec now)
{
	nsec passed = now > b->at ? now - b->at : 0;
	nsec halves = passed / BLAME_HALF_NS;
	uint64_t level;

	if (halves >= 31)
		return 0;
	level = b->level >> halves;
	return (uint32_t)(level - level * (passed % BLAME_HALF_NS) /
					  (2 * BLAME_HALF_NS));
}

/* Moved to the end: those at the head were blamed longest ago. */
void blame_add(struct router *r, const struct node_id *id, nsec now)
{
	struct blamed *b = blamed_find(r, id);
	uint32_t level = BLAME_ONE;

	if (b != NULL) {
		level += faded(b, now);
		blamed_free(r, b);
	}
	if (HASH_COUNT(r->blames.all) >= BLAMED_MAX)
		blamed_free(r, r->blames.all);
	b = mem_new(b);
	b->id = *id;
	b->level = level < BLAME_TOP ? level : BLAME_TOP;
	b->at = now;
	TABLE_ADD(&r->table_key, hh, r->blames.all, id, sizeof b->id, b);
}

static unsigned blame_in(const struct blamed *b, nsec now)
{
	return (faded(b, now) + BLAME_ONE / 2) / BLAME_ONE;
}

unsigned blame_of(const struct router *r, const struct node_id *id, nsec now)
{
	const struct blamed *b = blamed_find(r, id);

	return b != NULL ? blame_in(b, now) : 0;
}

void blame_relieve(struct router *r, const struct node_id *id, nsec now)
{
	struct blamed *b = blamed_find(r, id);

	if (b == NULL)
		return;
	b->level = faded(b, now) / 2;
	b->at = now;
	if (blame_in(b, now) == 0)
		blamed_free(r, b);
}

size_t blames_list(const struct router *r, struct node_id *out, size_t max,
		   nsec now)
{
	const struct blamed *b = r->blames.all;
	size_t n = 0;

	if (b != NULL)
		b = ELMT_FROM_HH(b->hh.tbl, b->hh.tbl->tail);
	for (; b != NULL && n < max; b = b->hh.prev)
		if (blame_in(b, now) > 0)
			out[n++] = b->id;
	return n;
}

uint32_t blame_weigh(uint32_t cost)
{
	return cost * AVOID_FACTOR + AVOID_100US;
}
