#include "circuit/record/record_table.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "circuit/core.h"
#include "proto/base/mem.h"

struct stored_record *stored_find(const struct router *r,
				  struct stored_record *table,
				  const struct node_id *id)
{
	struct stored_record *s;

	TABLE_FIND(&r->table_key, hh, table, id, sizeof *id, s);
	return s;
}

static nsec expiry(const struct router *r, const struct record *rec, nsec now)
{
	uint64_t wall = core_wall(r, now);
	uint64_t end = rec->issued_ms + rec->life_s * UINT64_C(1000);

	return end > wall ? now + (end - wall) * NS_PER_MS : now;
}

struct stored_record *stored_set(struct router *r, struct stored_record **table,
				 const struct record *rec, nsec now)
{
	struct stored_record *s = stored_find(r, *table, &rec->id);
	uint8_t bytes[RECORD_BYTES_MAX];
	size_t len = record_write(bytes, sizeof bytes, rec);

	assert(len > 0);
	if (s != NULL)
		stored_remove(table, s);
	s = mem_calloc(1, sizeof *s + len);
	s->id = rec->id;
	s->issued_ms = rec->issued_ms;
	s->came = now;
	s->expires = expiry(r, rec, now);
	s->len = len;
	memcpy(s->bytes, bytes, len);
	TABLE_ADD(&r->table_key, hh, *table, id, sizeof s->id, s);
	return s;
}

void stored_remove(struct stored_record **table, struct stored_record *s)
{
	HASH_DEL(*table, s);
	free(s);
}

void stored_renew(struct router *r, struct stored_record **table,
		  struct stored_record *s)
{
	HASH_DEL(*table, s);
	TABLE_ADD(&r->table_key, hh, *table, id, sizeof s->id, s);
}

void stored_expire(struct stored_record **table, nsec now)
{
	while (*table != NULL && (*table)->expires <= now)
		stored_remove(table, *table);
}

void stored_deinit(struct stored_record **table)
{
	while (*table != NULL)
		stored_remove(table, *table);
}

bool stored_is(const struct stored_record *s, const struct record *rec)
{
	uint8_t bytes[RECORD_BYTES_MAX];
	size_t len;

	if (s->issued_ms != rec->issued_ms)
		return false;
	len = record_write(bytes, sizeof bytes, rec);
	return len == s->len && memcmp(bytes, s->bytes, len) == 0;
}

/* They were written from a record that had been parsed. */
void stored_read(const struct stored_record *s, struct record *out)
{
	bool is_good = record_parse(out, s->bytes, s->len);

	assert(is_good);
	(void)is_good;
}
