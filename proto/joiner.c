#include "proto/joiner.h"

#include <assert.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <utlist.h>

#include "proto/base/mem.h"

/* A part travels in one datagram of an Ethernet link. */
#define PART_BYTES_MAX 1500

struct half {
	struct joiner *owner;
	struct half *prev, *next;         /* of the circuit, by age */
	struct half *prev_all, *next_all; /* of all, by age */
	nsec since;
	enum packet_part part;
	uint16_t number;
	uint16_t len;
	uint8_t data[];
};

struct joiner {
	struct joiners *all;
	struct joiner *prev, *next; /* of those that keep as many */
	struct half *halves;
	size_t n_kept;
};

struct joiners {
	uint64_t n_lost;
	size_t n_kept;
	struct half *oldest;
	/* By how many halves they keep: whoever keeps the most is found
	 * without a search.  Those which keep none are in no list. */
	struct joiner *keeping[PARTS_PENDING_MAX + 1];
	uint8_t whole[2 * PART_BYTES_MAX];
};

struct joiners *joiners_new(void)
{
	struct joiners *all = mem_new(all);

	return all;
}

void joiners_free(struct joiners *all)
{
	assert(all == NULL || all->n_kept == 0);
	free(all);
}

uint64_t joiners_n_lost(const struct joiners *all)
{
	return all->n_lost;
}

size_t joiners_n_kept(const struct joiners *all)
{
	return all->n_kept;
}

struct joiner *joiner_new(struct joiners *all)
{
	struct joiner *j = mem_new(j);

	j->all = all;
	return j;
}

static void set_n_kept(struct joiner *j, size_t n)
{
	struct joiner **lists = j->all->keeping;

	if (j->n_kept > 0)
		DL_DELETE(lists[j->n_kept], j);
	j->n_kept = n;
	if (n > 0)
		DL_APPEND(lists[n], j);
}

static void half_free(struct half *h)
{
	struct joiner *j = h->owner;

	DL_DELETE(j->halves, h);
	DL_DELETE2(j->all->oldest, h, prev_all, next_all);
	j->all->n_kept--;
	set_n_kept(j, j->n_kept - 1);
	free(h);
}

static void half_lose(struct half *h)
{
	h->owner->all->n_lost++;
	half_free(h);
}

void joiner_free(struct joiner *j)
{
	if (j == NULL)
		return;
	while (j->halves != NULL)
		half_lose(j->halves);
	free(j);
}

static void expire(struct joiners *all, nsec now)
{
	while (all->oldest != NULL &&
	       now >= all->oldest->since + PARTS_PENDING_NS)
		half_lose(all->oldest);
}

static struct half *find(const struct joiner *j, uint16_t number)
{
	struct half *h;

	DL_SEARCH_SCALAR(j->halves, h, number, number);
	return h;
}

static struct joiner *greediest(const struct joiners *all)
{
	size_t n = PARTS_PENDING_MAX;

	while (n > 0 && all->keeping[n] == NULL)
		n--;
	return all->keeping[n];
}

/* With the new half counted as kept already, so that whoever keeps as many as
 * the greediest one pays for it himself. */
static void make_room(struct joiner *j)
{
	const struct joiner *loser;

	if (j->n_kept == PARTS_PENDING_MAX) {
		half_lose(j->halves);
		return;
	}
	if (j->all->n_kept < PARTS_ALL_MAX)
		return;
	loser = greediest(j->all);
	if (j->n_kept > 0 && j->n_kept + 1 >= loser->n_kept)
		loser = j;
	half_lose(loser->halves);
}

static void keep(struct joiner *j, const struct packet *p, nsec now)
{
	struct half *h;

	make_room(j);
	h = mem_calloc(1, sizeof *h + p->len);
	h->owner = j;
	h->since = now;
	h->part = p->part;
	h->number = p->number;
	h->len = (uint16_t)p->len;
	memcpy(h->data, p->payload, p->len);
	DL_APPEND(j->halves, h);
	DL_APPEND2(j->all->oldest, h, prev_all, next_all);
	j->all->n_kept++;
	set_n_kept(j, j->n_kept + 1);
}

static const uint8_t *join(struct half *h, const struct packet *p, size_t *len)
{
	bool is_first = h->part == PACKET_FIRST;
	uint8_t *whole = h->owner->all->whole;

	memcpy(whole + (is_first ? 0 : p->len), h->data, h->len);
	memcpy(whole + (is_first ? h->len : 0), p->payload, p->len);
	*len = h->len + p->len;
	half_free(h);
	return whole;
}

const uint8_t *joiner_handle(struct joiner *j, const struct packet *p, nsec now,
			     size_t *len)
{
	struct half *h;

	if (p->part == PACKET_WHOLE) {
		*len = p->len;
		return p->payload;
	}
	expire(j->all, now);
	if (p->len > PART_BYTES_MAX) {
		j->all->n_lost++;
		return NULL;
	}
	h = find(j, p->number);
	if (h != NULL && h->part != p->part)
		return join(h, p, len);
	if (h != NULL && h->len == p->len &&
	    memcmp(h->data, p->payload, p->len) == 0)
		return NULL; /* a duplicate */
	if (h != NULL)
		half_lose(h); /* its number has come round */
	keep(j, p, now);
	return NULL;
}
