#include "cmd/qanat/peers.h"

#include <string.h>

#include "cmd/qanat/client.h"
#include "cmd/qanat/say.h"
#include "cmd/qanat/verbs.h"

static const char peers_usage[] =
	"usage: qanat peers [--json]\n"
	"\n"
	"Every node that this one knows: how it is reached, and what it is.\n"
	"\n" OPTIONS_USAGE;

static const char links_usage[] =
	"usage: qanat links [--json]\n"
	"\n"
	"Every session with a neighbour, with what its link carries.\n"
	"\n" OPTIONS_USAGE;

const char *peer_name(const json_t *peer)
{
	const json_t *node = json_object_get(peer, "node");
	const char *configured =
		json_string_value(json_object_get(peer, "configured"));

	if (json_string_value(json_object_get(node, "name")) == NULL &&
	    configured != NULL)
		return configured;
	return node_name(node);
}

void peer_put_path(struct table *t, const json_t *peer)
{
	const char *path = member_text(peer, "path");
	const json_t *via = json_object_get(peer, "via");

	if (strcmp(path, "direct") == 0)
		table_put(t, path);
	else if (strcmp(path, "circuit") != 0)
		table_put(t, "-");
	else if (json_is_object(via))
		table_putf(t, "via %s (%lld hops)", node_name(via),
			   (long long)member_int(peer, "n_hops"));
	else
		table_put(t, "circuit");
}

void peer_put_traffic(struct table *t, const json_t *o)
{
	char rx[VALUE_MAX], tx[VALUE_MAX];

	value_bytes(rx, json_object_get(o, "rx_bytes"));
	value_bytes(tx, json_object_get(o, "tx_bytes"));
	if (strcmp(rx, "-") == 0 && strcmp(tx, "-") == 0)
		table_put(t, "-");
	else
		table_putf(t, "%s/%s", rx, tx);
}

static void print_peers(const json_t *peers)
{
	static const char *const columns[] = { "NAME",     "ID",         "PATH",
					       "RTT",      "LINKS",      "SEEN",
					       "ENDPOINT", "LAST ERROR", NULL };
	struct table *t = table_new(columns);
	char rtt[VALUE_MAX], seen[VALUE_MAX];
	const json_t *p;
	size_t i;

	json_array_foreach(peers, i, p)
	{
		const json_t *node = json_object_get(p, "node");
		const json_t *at =
			json_array_get(json_object_get(p, "endpoints"), 0);

		value_ms(rtt, json_object_get(p, "rtt_ms"));
		value_s(seen, json_object_get(p, "seen_s_ago"));
		table_put(t, peer_name(p));
		table_put(t, member_text(node, "id"));
		peer_put_path(t, p);
		table_put(t, rtt);
		table_putf(t, "%lld", (long long)member_int(p, "n_links"));
		table_put(t, seen);
		table_put(t, json_is_string(at) ? json_string_value(at) : "-");
		table_put(t, member_text(p, "last_error"));
	}
	table_print(t, stdout);
}

static void print_links(const json_t *links)
{
	static const char *const columns[] = { "NODE",   "INTERFACE", "REMOTE",
					       "STATE",  "UP",        "RTT",
					       "LOSS",   "MTU",       "RX/TX",
					       "QUEUED", "MARKED",    "DROPPED",
					       NULL };
	struct table *t = table_new(columns);
	char up[VALUE_MAX], rtt[VALUE_MAX], loss[VALUE_MAX];
	const json_t *l;
	size_t i;

	json_array_foreach(links, i, l)
	{
		value_s(up, json_object_get(l, "up_s"));
		value_ms(rtt, json_object_get(l, "rtt_ms"));
		value_percent(loss, json_object_get(l, "loss_percent"));
		table_put(t, node_name(json_object_get(l, "node")));
		table_put(t, member_text(l, "interface"));
		table_put(t, member_text(l, "remote"));
		table_put(t, member_text(l, "state"));
		table_put(t, up);
		table_put(t, rtt);
		table_put(t, loss);
		table_putf(t, "%lld", (long long)member_int(l, "mtu_bytes"));
		peer_put_traffic(t, l);
		table_putf(t, "%lld",
			   (long long)member_int(l, "queued_packets"));
		table_putf(t, "%lld",
			   (long long)member_int(l, "marked_packets"));
		table_putf(t, "%lld",
			   (long long)member_int(l, "dropped_packets"));
	}
	table_print(t, stdout);
}

static int look(int argc, char **argv, const char *usage, const char *path,
		const char *key, void (*print)(const json_t *list))
{
	struct options o = { .json = false };
	json_t *body;
	int rv = options_parse(&o, argc, argv, 0, 0, 0, usage);

	if (rv >= 0)
		return rv;
	rv = client_get(&o, path, &body);
	if (rv != EXIT_DONE)
		return rv;
	if (o.json)
		return client_print_json(body);
	print(json_object_get(body, key));
	json_decref(body);
	return EXIT_DONE;
}

int cmd_peers(int argc, char **argv)
{
	return look(argc, argv, peers_usage, "/v1/peers", "peers", print_peers);
}

int cmd_links(int argc, char **argv)
{
	return look(argc, argv, links_usage, "/v1/links", "links", print_links);
}
