#include "tests/support/protect_count.h"

#include <string.h>

static struct protect_key *count_key(const struct protect *p,
				     enum protect_use use, const uint8_t *key,
				     size_t len)
{
	struct counted_protect *c = (struct counted_protect *)(uintptr_t)p;

	c->n_keys[use]++;
	return c->real->ops->key_new(c->real, use, key, len);
}

void protect_count(struct counted_protect *c, const struct protect *real)
{
	memset(c, 0, sizeof *c);
	c->real = real;
	c->ops = *real->ops;
	c->ops.key_new = count_key;
	c->protect.ops = &c->ops;
}
