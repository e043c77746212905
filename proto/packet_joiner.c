#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/mem.h"
#include "proto/packet.h"

/* A part travels in one datagram of an Ethernet link. */
#define PART_BYTES_MAX 1500

struct part {
	bool used;
	enum packet_part part;
	uint16_t number;
	uint32_t label;
	nsec since;
	size_t len;
	uint8_t data[PART_BYTES_MAX];
};

struct joiner {
	uint64_t n_lost;
	struct part parts[PARTS_PENDING_MAX];
	uint8_t whole[2 * PART_BYTES_MAX];
};

struct joiner *joiner_new(void)
{
	struct joiner *j = mem_new(j);

	return j;
}

void joiner_free(struct joiner *j)
{
	free(j);
}

uint64_t joiner_n_lost(const struct joiner *j)
{
	return j->n_lost;
}

static void part_lose(struct joiner *j, struct part *e)
{
	e->used = false;
	j->n_lost++;
}

static void expire(struct joiner *j, nsec now)
{
	for (size_t i = 0; i < ARRAY_LEN(j->parts); i++) {
		struct part *e = &j->parts[i];

		if (e->used && now >= e->since + PARTS_PENDING_NS)
			part_lose(j, e);
	}
}

static struct part *find(struct joiner *j, const struct packet *p)
{
	for (size_t i = 0; i < ARRAY_LEN(j->parts); i++) {
		struct part *e = &j->parts[i];

		if (e->used && e->label == p->label && e->number == p->number)
			return e;
	}
	return NULL;
}

/* A free place, or that of the part which has waited longest. */
static struct part *make_room(struct joiner *j)
{
	struct part *oldest = &j->parts[0];

	for (size_t i = 0; i < ARRAY_LEN(j->parts); i++) {
		struct part *e = &j->parts[i];

		if (!e->used)
			return e;
		if (e->since < oldest->since)
			oldest = e;
	}
	part_lose(j, oldest);
	return oldest;
}

static void store(struct part *e, const struct packet *p, nsec now)
{
	e->used = true;
	e->part = p->part;
	e->number = p->number;
	e->label = p->label;
	e->since = now;
	e->len = p->len;
	memcpy(e->data, p->payload, p->len);
}

static const uint8_t *join(struct joiner *j, struct part *e,
			   const struct packet *p, size_t *len)
{
	bool is_first = e->part == PACKET_FIRST;

	memcpy(j->whole + (is_first ? 0 : p->len), e->data, e->len);
	memcpy(j->whole + (is_first ? e->len : 0), p->payload, p->len);
	*len = e->len + p->len;
	e->used = false;
	return j->whole;
}

const uint8_t *joiner_handle(struct joiner *j, const struct packet *p, nsec now,
			     size_t *len)
{
	struct part *e;

	if (p->part == PACKET_WHOLE) {
		*len = p->len;
		return p->payload;
	}
	expire(j, now);
	if (p->len > PART_BYTES_MAX) {
		j->n_lost++;
		return NULL;
	}
	e = find(j, p);
	if (e != NULL && e->part != p->part)
		return join(j, e, p, len);
	if (e == NULL) {
		e = make_room(j);
	} else if (e->len != p->len ||
		   memcmp(e->data, p->payload, p->len) != 0) {
		/* The number came round again before the other half did. */
		part_lose(j, e);
	}
	store(e, p, now);
	return NULL;
}
