#include <net/if.h>
#include <stdio.h>
#include <string.h>

#include "discovery/peers.h"
#include "node/api/api_body.h"
#include "node/api/api_parts.h"
#include "proto/base/mem.h"

static const struct identity *identity_of(const struct node *n,
					  const struct node_id *id)
{
	const struct peer *p;

	if (id_equal(id, &n->credentials.self.id))
		return &n->credentials.self;
	p = peers_find(neighbours_peers(n->neighbours), id);
	if (p != NULL && p->is_identified)
		return &p->who;
	return router_identity_find(n->overlay->router, id);
}

static json_t *node_object(const struct node *n, const struct node_id *id,
			   const char *name)
{
	struct addr a = addr_of(&n->credentials.net, id);
	char text[ADDR_TEXT_MAX], id_text[NAME_ID_TEXT_MAX];

	addr_text(text, &a);
	name_of_id(id_text, id);
	return json_pack("{s:s?, s:s, s:s}", "name", name, "id", id_text,
			 "address", text);
}

json_t *api_identity(const struct node *n, const struct identity *who)
{
	return node_object(n, &who->id,
			   who->n_names > 0 ? who->names[0] : NULL);
}

json_t *api_node(const struct node *n, const struct node_id *id)
{
	const struct identity *who = identity_of(n, id);

	return who != NULL ? api_identity(n, who) : node_object(n, id, NULL);
}

json_t *api_ms(nsec t)
{
	if (t == TIME_NEVER)
		return json_null();
	return json_real((double)(t / NS_PER_US) / 1000);
}

json_t *api_s(nsec t)
{
	return json_integer((json_int_t)(t / NS_PER_S));
}

json_t *api_endpoint(const union endpoint *e)
{
	char text[ENDPOINT_TEXT_MAX];

	if (e->sa.sa_family == AF_UNSPEC)
		return json_null();
	endpoint_text(text, e);
	return json_string(text);
}

json_t *api_interface(unsigned ifindex)
{
	char name[IF_NAMESIZE];

	if (ifindex == 0 || if_indextoname(ifindex, name) == NULL)
		return json_null();
	return json_string(name);
}

json_t *api_hop(const struct node *n, const struct hop *h)
{
	json_t *o = json_object();

	json_object_set_new(o, "node", api_node(n, &h->id));
	json_object_set_new(o, "cost_ms", json_real(h->cost_100us / 10.0));
	json_object_set_new(o, "mtu_bytes", json_integer(h->mtu));
	json_object_set_new(o, "loss_percent",
			    json_real((double)(h->loss * 1000 / 255) / 10));
	json_object_set_new(o, "rate_kbps",
			    h->rate > 0 && h->rate < 63
				    ? json_integer((json_int_t)1 << h->rate)
				    : json_null());
	return o;
}

json_t *api_hops(const struct node *n, const struct hop_list *hops)
{
	json_t *a = json_array();

	for (size_t i = 0; i < hops->n; i++)
		json_array_append_new(a, api_hop(n, &hops->hop[i]));
	return a;
}

/* ---- who is meant ---- */

static bool refuse(json_t **error, int *status, int code, const char *word,
		   const char *text, const char *reason, const char *hint)
{
	char message[320];

	snprintf(message, sizeof message, "\"%.128s\" %s", text, reason);
	*error = api_error(word, message, hint);
	*status = code;
	return false;
}

static bool short_name_find(const struct node *n, const char *name,
			    struct node_id *out)
{
	const struct peers *peers = neighbours_peers(n->neighbours);
	const struct identity *who;

	for (size_t i = 0; i < n->credentials.self.n_names; i++) {
		if (strcmp(n->credentials.self.names[i], name) == 0) {
			*out = n->credentials.self.id;
			return true;
		}
	}
	for (const struct peer *p = peers_next(peers, NULL); p != NULL;
	     p = peers_next(peers, p)) {
		for (size_t i = 0; p->is_identified && i < p->who.n_names;
		     i++) {
			if (strcmp(p->who.names[i], name) == 0) {
				*out = p->who.id;
				return true;
			}
		}
	}
	who = router_identity_by_name(n->overlay->router, name);
	if (who != NULL)
		*out = who->id;
	return who != NULL;
}

bool api_target(const struct node *n, const char *text, struct node_id *out,
		json_t **error, int *status)
{
	char full[NAME_BYTES_MAX + 16];
	struct name name;
	struct addr a;
	int len;

	if (addr_parse(&a, text)) {
		if (!addr_in_net(&a, &n->credentials.net))
			return refuse(error, status, 400, "other-cluster", text,
				      "is not an address of this cluster",
				      NULL);
		*out = addr_id(&a);
		return true;
	}
	len = snprintf(full, sizeof full, "%s%s", text,
		       strchr(text, '.') == NULL ? ".fuse" : "");
	if (len < 0 || (size_t)len >= sizeof full ||
	    name_parse(&name, full, (size_t)len) != NAME_OK)
		return refuse(error, status, 400, "bad-name", text,
			      "is neither a name, an id nor an address",
			      "try: qanat peers");
	if (name.kind != NAME_SHORT) {
		*out = name.id;
		return true;
	}
	if (!short_name_find(n, name.shortname, out))
		return refuse(error, status, 404, "unknown-name", text,
			      "is the name of no node that is known here",
			      "give its id, or see: qanat peers");
	return true;
}
