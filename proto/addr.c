#include "proto/addr.h"

#include <arpa/inet.h>
#include <assert.h>
#include <string.h>

struct overlay_net addr_net(const struct node_hash *ca)
{
	return (struct overlay_net){ .prefix = { 0xfd, 0xcc, ca->b[0], ca->b[1],
						 ca->b[2], ca->b[3] } };
}

struct addr addr_of(const struct overlay_net *net, const struct node_id *id)
{
	struct addr a;

	_Static_assert(sizeof net->prefix + sizeof id->b == sizeof a.b,
		       "prefix and id fill an address");
	memcpy(a.b, net->prefix, sizeof net->prefix);
	memcpy(a.b + sizeof net->prefix, id->b, sizeof id->b);
	return a;
}

bool addr_in_net(const struct addr *a, const struct overlay_net *net)
{
	return memcmp(a->b, net->prefix, sizeof net->prefix) == 0;
}

struct node_id addr_id(const struct addr *a)
{
	struct node_id id;

	memcpy(id.b, a->b + sizeof a->b - sizeof id.b, sizeof id.b);
	return id;
}

bool addr_equal(const struct addr *a, const struct addr *b)
{
	return memcmp(a->b, b->b, sizeof a->b) == 0;
}

void addr_text(char *out, const struct addr *a)
{
	const char *text = inet_ntop(AF_INET6, a->b, out, ADDR_TEXT_MAX);

	assert(text != NULL);
}

void addr_net_text(char *out, const struct overlay_net *net)
{
	struct addr a = { { 0 } };

	memcpy(a.b, net->prefix, sizeof net->prefix);
	addr_text(out, &a);
	/* Ten zero bytes always end as "::", so this fits. */
	memcpy(out + strlen(out), "/48", 4);
}

bool addr_parse(struct addr *out, const char *text)
{
	struct addr a;

	if (inet_pton(AF_INET6, text, a.b) != 1)
		return false;
	*out = a;
	return true;
}
