#include "circuit/neighbour/keyring.h"

#include <stdlib.h>
#include <string.h>

#include "circuit/core.h"
#include "proto/base/mem.h"

struct known {
	struct identity who;
	uint8_t *chain;
	size_t chain_len;
	UT_hash_handle hh; /* by who.id */
};

static void known_free(struct router *r, struct known *k)
{
	HASH_DEL(r->keyring.known, k);
	free(k->chain);
	free(k);
}

void keyring_deinit(struct router *r)
{
	struct known *k, *next;

	HASH_ITER (hh, r->keyring.known, k, next)
		known_free(r, k);
}

size_t keyring_n_known(const struct router *r)
{
	return HASH_COUNT(r->keyring.known);
}

static struct known *known_find(const struct router *r,
				const struct node_id *id)
{
	struct known *k;

	TABLE_FIND(&r->table_key, hh, r->keyring.known, id, sizeof *id, k);
	return k;
}

const struct identity *keyring_peek(const struct router *r,
				    const struct node_id *id)
{
	struct known *k = known_find(r, id);

	return k != NULL ? &k->who : NULL;
}

const uint8_t *keyring_chain(const struct router *r, const struct node_id *id,
			     size_t *len)
{
	struct known *k = known_find(r, id);

	if (core_is_self(r, id)) {
		*len = r->config.chain_len;
		return r->config.chain;
	}
	*len = k != NULL ? k->chain_len : 0;
	return k != NULL ? k->chain : NULL;
}

static bool is_valid_now(const struct router *r, const struct identity *who,
			 nsec now)
{
	int64_t wall_s = (int64_t)(core_wall(r, now) / 1000);

	return wall_s <= who->not_after_s + CERT_CLOCK_SKEW_S;
}

const struct identity *keyring_find(struct router *r, const struct node_id *id,
				    nsec now)
{
	struct known *k = known_find(r, id);

	if (core_is_self(r, id))
		return &r->config.self;
	if (k == NULL || !is_valid_now(r, &k->who, now))
		return NULL;
	/* Last in the order of insertion: evicted last. */
	HASH_DEL(r->keyring.known, k);
	TABLE_ADD(&r->table_key, hh, r->keyring.known, who.id, sizeof k->who.id,
		  k);
	return &k->who;
}

static bool has_name(const struct identity *who, const char *shortname)
{
	for (size_t i = 0; i < who->n_names; i++)
		if (strcmp(who->names[i], shortname) == 0)
			return true;
	return false;
}

const struct identity *keyring_by_name(const struct router *r,
				       const char *shortname)
{
	struct known *k, *next;

	if (has_name(&r->config.self, shortname))
		return &r->config.self;
	HASH_ITER (hh, r->keyring.known, k, next)
		if (has_name(&k->who, shortname))
			return &k->who;
	return NULL;
}

bool keyring_add(struct router *r, const struct identity *who,
		 const uint8_t *chain, size_t chain_len)
{
	struct known *k = known_find(r, &who->id);

	if (core_is_self(r, &who->id) || chain_len > CHAIN_BYTES_MAX ||
	    (k != NULL && !hash_equal(&k->who.hash, &who->hash)))
		return false;
	if (k != NULL)
		known_free(r, k);
	else if (HASH_COUNT(r->keyring.known) >= IDENTITIES_MAX) {
		known_free(r, r->keyring.known);
		r->n.n_identities_evicted++;
	}
	k = mem_new(k);
	k->who = *who;
	k->chain = mem_calloc(chain_len > 0 ? chain_len : 1, 1);
	memcpy(k->chain, chain, chain_len);
	k->chain_len = chain_len;
	TABLE_ADD(&r->table_key, hh, r->keyring.known, who.id, sizeof k->who.id,
		  k);
	asking_learnt(r, &who->id);
	return true;
}
