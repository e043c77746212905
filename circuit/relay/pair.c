#include "circuit/relay/pair.h"

#include <stdlib.h>

#include "circuit/core.h"
#include "proto/base/mem.h"

static struct circuit_pair *find(struct router *r, const struct pair_key *key)
{
	struct circuit_pair *p;

	TABLE_FIND(&r->table_key, hh, r->circuits.pairs, key, sizeof *key, p);
	return p;
}

static struct pair_key key_of(const struct session *asker,
			      const struct session *next)
{
	return (struct pair_key){ .asker = asker->peer->id,
				  .next = next->peer->id };
}

bool pair_is_full(struct router *r, const struct session *asker,
		  const struct session *next)
{
	struct pair_key key;
	const struct circuit_pair *p;

	if (asker == NULL || next == NULL)
		return false;
	key = key_of(asker, next);
	p = find(r, &key);
	return p != NULL && p->n >= CIRCUITS_PER_PAIR_MAX;
}

struct circuit_pair *pair_join(struct router *r, const struct session *asker,
			       const struct session *next)
{
	struct pair_key key;
	struct circuit_pair *p;

	if (asker == NULL || next == NULL)
		return NULL;
	key = key_of(asker, next);
	p = find(r, &key);
	if (p == NULL) {
		p = mem_new(p);
		p->key = key;
		TABLE_ADD(&r->table_key, hh, r->circuits.pairs, key,
			  sizeof p->key, p);
	}
	p->n++;
	return p;
}

void pair_leave(struct router *r, struct circuit_pair *p)
{
	if (p == NULL || --p->n > 0)
		return;
	HASH_DEL(r->circuits.pairs, p);
	free(p);
}
