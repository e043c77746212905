#include "circuit/record/record_office.h"

#include <stdlib.h>
#include <string.h>

#include "circuit/core.h"
#include "circuit/tree/tree.h"
#include "proto/base/mem.h"

struct volunteer {
	struct node_id id;
	nsec expires;
	unsigned n_failed;
	size_t n;
	struct coord_hop *hop;
	UT_hash_handle hh; /* the one that registered first comes first */
};

/* Of one part. */
struct seat {
	bool is_taken;
	struct node_id member;
	unsigned weight;    /* the least one takes it */
	uint64_t issued_ms; /* of the appointment; 0: not signed */
	uint8_t body[APPOINTMENT_BODY_BYTES];
	uint8_t sig[SIG_LEN];
	bool is_counted;
	uint32_t n_kept;
};

struct office {
	struct volunteer *volunteers;
	bool is_open;
	struct seat seat[RECORD_PARTS];
};

static void volunteer_remove(struct office *o, struct volunteer *v)
{
	for (unsigned i = 0; i < RECORD_PARTS; i++)
		if (o->seat[i].is_taken && id_equal(&o->seat[i].member, &v->id))
			o->seat[i] = (struct seat){ 0 };
	HASH_DEL(o->volunteers, v);
	free(v->hop);
	free(v);
}

void office_close(struct router *r, unsigned tree)
{
	struct office *o = r->records.office[tree];

	if (o == NULL)
		return;
	while (o->volunteers != NULL)
		volunteer_remove(o, o->volunteers);
	free(o);
	r->records.office[tree] = NULL;
}

void offices_deinit(struct router *r)
{
	for (unsigned i = 0; i < TREES; i++)
		office_close(r, i);
}

/* ---- volunteers -------------------------------------------------------- */

bool office_wants(const struct node_id *id, unsigned tree, uint32_t n_nodes)
{
	uint8_t data[10 + ID_LEN] = "volunteer";
	struct node_hash h;
	uint32_t lot;

	data[9] = (uint8_t)tree;
	memcpy(data + 10, id->b, ID_LEN);
	h = hash_of(data, sizeof data);
	lot = (uint32_t)h.b[0] << 24 | (uint32_t)h.b[1] << 16 |
	      (uint32_t)h.b[2] << 8 | h.b[3];
	return (uint64_t)lot * n_nodes < (uint64_t)DIRECTORY_WANT << 32;
}

static struct volunteer *volunteer_find(struct router *r, struct office *o,
					const struct node_id *id)
{
	struct volunteer *v;

	TABLE_FIND(&r->table_key, hh, o->volunteers, id, sizeof *id, v);
	return v;
}

static void expire(struct office *o, nsec now)
{
	struct volunteer *v, *next;

	HASH_ITER (hh, o->volunteers, v, next)
		if (v->expires <= now)
			volunteer_remove(o, v);
}

void offices_sweep(struct router *r, nsec now)
{
	for (unsigned i = 0; i < TREES; i++)
		if (r->records.office[i] != NULL)
			expire(r->records.office[i], now);
}

static unsigned weight_of(const struct router *r, const struct node_id *id,
			  unsigned tree, uint8_t part)
{
	uint8_t data[2 + ID_LEN] = { (uint8_t)tree, part };

	memcpy(data + 2, id->b, ID_LEN);
	return table_hash(&r->table_key, data, sizeof data);
}

static void offer(const struct router *r, struct seat *s,
		  const struct volunteer *v, unsigned tree, uint8_t part)
{
	unsigned weight = weight_of(r, &v->id, tree, part);

	if (s->is_taken && s->weight <= weight)
		return;
	*s = (struct seat){ .is_taken = true,
			    .member = v->id,
			    .weight = weight };
}

static struct volunteer *volunteer_add(struct router *r, struct office *o,
				       unsigned tree, const struct node_id *id)
{
	struct volunteer *v = mem_new(v);

	v->id = *id;
	TABLE_ADD(&r->table_key, hh, o->volunteers, id, sizeof v->id, v);
	for (unsigned i = 0; i < RECORD_PARTS; i++)
		if (o->seat[i].is_taken)
			offer(r, &o->seat[i], v, tree, (uint8_t)i);
	return v;
}

bool office_register(struct router *r, unsigned tree, const struct record *rec,
		     nsec now)
{
	const struct coord *at = &rec->at.tree[tree];
	struct office *o = r->records.office[tree];
	struct volunteer *v;

	if ((rec->flags & RECORD_FLAG_VOLUNTEER) == 0 || at->n < 2 ||
	    !core_is_self(r, &at->hop[0].id))
		return false;
	if (o == NULL)
		o = r->records.office[tree] = mem_new(o);
	v = volunteer_find(r, o, &rec->id);
	if (v == NULL && HASH_COUNT(o->volunteers) >= DIRECTORY_MAX) {
		r->n.n_record_full++;
		return false;
	}
	if (v == NULL)
		v = volunteer_add(r, o, tree, &rec->id);
	v->expires = now + RECORD_LIFE_S * NS_PER_S;
	v->n_failed = 0;
	v->n = at->n;
	v->hop = mem_realloc(v->hop, v->n, sizeof *v->hop);
	memcpy(v->hop, at->hop, v->n * sizeof *v->hop);
	return true;
}

/* ---- appointing -------------------------------------------------------- */

static bool is_open(struct router *r, struct office *o, nsec now)
{
	uint32_t n = trees_n_nodes(r, now), from = r->config.directory_from;
	unsigned n_volunteers = HASH_COUNT(o->volunteers);

	if (n >= from && n_volunteers >= DIRECTORY_MIN)
		o->is_open = true;
	else if (n < from / 2 || n_volunteers < DIRECTORY_MIN / 2)
		o->is_open = false;
	return o->is_open;
}

static void sign(struct router *r, struct seat *s, unsigned tree, uint8_t part,
		 nsec now)
{
	struct appointment a = { .tree = (uint8_t)tree,
				 .part = part,
				 .root = r->config.self.id,
				 .member = s->member,
				 .issued_ms = core_wall(r, now) };

	appointment_seal(&a);
	s->issued_ms = a.issued_ms;
	memcpy(s->body, a.body, sizeof s->body);
	core_sign(r, s->sig, SIGN_APPOINTMENT, s->body, sizeof s->body);
}

static void seat_read(const struct router *r, const struct seat *s,
		      const struct volunteer *v, unsigned tree, uint8_t part,
		      struct appointment *out)
{
	out->tree = (uint8_t)tree;
	out->part = part;
	out->root = r->config.self.id;
	out->member = s->member;
	out->issued_ms = s->issued_ms;
	memcpy(out->body, s->body, sizeof s->body);
	memcpy(out->sig, s->sig, sizeof s->sig);
	out->at.n = v->n;
	memcpy(out->at.hop, v->hop, v->n * sizeof *v->hop);
}

bool office_find(struct router *r, unsigned tree, uint8_t part,
		 struct appointment *out, nsec now)
{
	struct office *o = r->records.office[tree];
	struct volunteer *v;
	struct seat *s;

	if (o == NULL || !is_open(r, o, now))
		return false;
	s = &o->seat[part];
	if (!s->is_taken)
		for (v = o->volunteers; v != NULL; v = v->hh.next)
			offer(r, s, v, tree, part);
	if (s->issued_ms + APPOINTMENT_RENEW_MS < core_wall(r, now))
		sign(r, s, tree, part, now);
	seat_read(r, s, volunteer_find(r, o, &s->member), tree, part, out);
	return true;
}

/* It is left out until it registers again. */
void office_failed(struct router *r, unsigned tree, uint8_t part, nsec now)
{
	struct office *o = r->records.office[tree];
	struct volunteer *v;

	(void)now;
	if (o == NULL || !o->seat[part].is_taken)
		return;
	v = volunteer_find(r, o, &o->seat[part].member);
	if (++v->n_failed >= DIRECTORY_STRIKES)
		volunteer_remove(o, v);
}

void office_replied(struct router *r, unsigned tree, uint8_t part,
		    const struct node_id *member, uint32_t n_kept)
{
	struct office *o = r->records.office[tree];
	struct seat *s;

	if (o == NULL)
		return;
	s = &o->seat[part];
	if (!s->is_taken || !id_equal(&s->member, member))
		return;
	volunteer_find(r, o, member)->n_failed = 0;
	if (n_kept == 0)
		return;
	s->is_counted = true;
	s->n_kept = n_kept;
}

static int by_number(const void *a, const void *b)
{
	const uint32_t *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

/* What a member says counts for at most four times the middle one: a few liars
 * do not make a large network. */
uint32_t office_n_records(const struct router *r, unsigned tree)
{
	const struct office *o = r->records.office[tree];
	uint32_t n[RECORD_PARTS], most, sum = 0;
	size_t n_counts = 0;

	if (o == NULL || !o->is_open)
		return 0;
	for (unsigned i = 0; i < RECORD_PARTS; i++)
		if (o->seat[i].is_counted)
			n[n_counts++] = o->seat[i].n_kept < RECORDS_MAX
						? o->seat[i].n_kept
						: RECORDS_MAX;
	if (n_counts == 0)
		return 0;
	qsort(n, n_counts, sizeof *n, by_number);
	most = 4 * n[n_counts / 2];
	for (size_t i = 0; i < n_counts; i++)
		sum += n[i] < most ? n[i] : most;
	return sum;
}
