#include <stdio.h>
#include <string.h>

#include "cmd/qanat/client.h"
#include "cmd/qanat/peers.h"
#include "cmd/qanat/print.h"
#include "cmd/qanat/say.h"
#include "cmd/qanat/verbs.h"

static const char usage[] =
	"usage: qanat status [--json]\n"
	"\n"
	"This node at a glance, and every node that it knows.\n"
	"\n" OPTIONS_USAGE;

static void print_head(const json_t *s)
{
	const json_t *node = json_object_get(s, "node");
	const json_t *peers = json_object_get(s, "peers");
	const json_t *circuits = json_object_get(s, "circuits");
	const json_t *tun = json_object_get(s, "tun");
	const json_t *store = json_object_get(s, "store");
	char up[VALUE_MAX], cert[VALUE_MAX];

	value_s(up, json_object_get(s, "uptime_s"));
	value_s(cert, json_object_get(json_object_get(s, "certificate"),
				      "expires_in_s"));
	printf("%s   %s   %s   up %s\n", node_name(node),
	       member_text(node, "address"), member_text(node, "id"), up);
	printf("peers %lld/%lld up   circuits %lld (transit %lld)   "
	       "routes %lld   tun %s   splice %s   cert %s   database %s   "
	       "packets by %s\n",
	       (long long)member_int(peers, "connected"),
	       (long long)member_int(peers, "known"),
	       (long long)member_int(circuits, "ours"),
	       (long long)member_int(circuits, "transit"),
	       (long long)member_int(s, "routes"),
	       json_is_true(json_object_get(tun, "up"))
		       ? member_text(tun, "name")
		       : "off",
	       json_is_true(json_object_get(tun, "splice")) ? "on" : "off",
	       cert, member_text(store, "state"),
	       member_text(s, "packet_protection"));
	if (strcmp(member_text(store, "state"), "ok") != 0)
		printf("database: %s\n", member_text(store, "text"));
}

static void print_nodes(const json_t *peers)
{
	static const char *const columns[] = { "NAME", "ADDRESS", "PATH",
					       "RTT",  "RX/TX",   "LAST ERROR",
					       NULL };
	struct table *t = table_new(columns);
	char rtt[VALUE_MAX];
	const json_t *p;
	size_t i;

	json_array_foreach(peers, i, p)
	{
		const json_t *node = json_object_get(p, "node");

		value_ms(rtt, json_object_get(p, "rtt_ms"));
		table_put(t, peer_name(p));
		table_put(t, member_text(node, "address"));
		peer_put_path(t, p);
		table_put(t, rtt);
		peer_put_traffic(t, p);
		table_put(t, member_text(p, "last_error"));
	}
	table_print(t, stdout);
}

int cmd_status(int argc, char **argv)
{
	struct options o = { .json = false };
	json_t *status, *peers;
	int rv = options_parse(&o, argc, argv, 0, 0, 0, usage);

	if (rv >= 0)
		return rv;
	rv = client_get(&o, "/v1/status", &status);
	if (rv != EXIT_DONE)
		return rv;
	if (o.json)
		return client_print_json(status);
	print_head(status);
	json_decref(status);
	rv = client_get(&o, "/v1/peers", &peers);
	if (rv != EXIT_DONE)
		return rv;
	if (json_array_size(json_object_get(peers, "peers")) > 0) {
		putchar('\n');
		print_nodes(json_object_get(peers, "peers"));
	}
	json_decref(peers);
	return EXIT_DONE;
}
