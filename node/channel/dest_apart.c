/* Requests of different users to one node: each has a channel of its own. */
#include <sodium.h>
#include <stdlib.h>

#include "node/channel/dest_wait.h"
#include "proto/base/mem.h"

static bool tag_equal(const struct dest_tag *a, const struct dest_tag *b)
{
	return sodium_memcmp(a, b, sizeof *a) == 0;
}

struct dest *dest_with_tag(struct dest *t, const struct dest_tag *tag)
{
	while (t != NULL && !tag_equal(&t->tag, tag))
		t = t->apart;
	return t;
}

static bool is_unused(const struct dest *t)
{
	return t->streams == NULL &&
	       (t->client == NULL || channel_is_unused(t->client));
}

static void drop_apart(struct dest *main, struct dest *t)
{
	struct dest **p = &main->apart;

	if (t->client != NULL)
		channel_close(t->client, "its user is gone");
	while (*p != t)
		p = &(*p)->apart;
	*p = t->apart;
	t->is_connecting = false;
	loop_timer_set(t->dests->loop, &t->retry, TIME_NEVER);
	/* Someone up the stack may be on its way through the list. */
	loop_defer(t->dests->loop, free, t);
}

/* False: so many users are at it. */
static bool make_room(struct dest *main)
{
	struct dest *unused = NULL;
	size_t n = 0;

	for (struct dest *t = main->apart; t != NULL; t = t->apart) {
		n++;
		if (is_unused(t))
			unused = t; /* the oldest comes last */
	}
	if (n < DEST_TAGS_MAX)
		return true;
	if (unused == NULL) {
		main->dests->counters.n_tags_over++;
		return false;
	}
	drop_apart(main, unused);
	return true;
}

struct dest *dest_get_apart(struct dest *main, const struct dest_tag *tag)
{
	struct dest *t = dest_with_tag(main, tag);

	if (t != NULL)
		return t;
	if (!make_room(main))
		return NULL;
	t = dest_new(main->dests, &main->id);
	t->tag = *tag;
	t->apart = main->apart;
	main->apart = t;
	return t;
}
