#include <stdio.h>
#include <string.h>

#include "cmd/qanat/client.h"
#include "cmd/qanat/print.h"
#include "cmd/qanat/say.h"
#include "cmd/qanat/verbs.h"

static const char routes_usage[] =
	"usage: qanat routes [DST] [--json]\n"
	"\n"
	"The proven paths that are kept: to DST (a name, an id or an\n"
	"address), or all.\n"
	"\n" OPTIONS_USAGE;

static const char circuits_usage[] =
	"usage: qanat circuits [--json]\n"
	"\n"
	"The circuits that begin here, end here or pass through.\n"
	"\n" OPTIONS_USAGE;

/* "bravo > carol"; long ones are cut. */
static void path_text(char *out, size_t cap, const char *first,
		      const json_t *hops)
{
	size_t len = (size_t)snprintf(out, cap, "%s", first);
	const json_t *h;
	size_t i;

	json_array_foreach(hops, i, h)
	{
		int n;

		if (len >= cap)
			return;
		n = snprintf(out + len, cap - len, "%s%s", len > 0 ? " > " : "",
			     node_name(json_object_get(h, "node")));
		len += n > 0 ? (size_t)n : 0;
	}
}

static void print_routes(const json_t *routes)
{
	static const char *const columns[] = { "TARGET",  "HOPS", "COST",
					       "EXPIRES", "PATH", NULL };
	struct table *t = table_new(columns);
	char cost[VALUE_MAX], expires[VALUE_MAX], path[TABLE_CELL_MAX];
	const json_t *r;
	size_t i;

	json_array_foreach(routes, i, r)
	{
		const json_t *hops = json_object_get(r, "hops");

		value_ms(cost, json_object_get(r, "cost_ms"));
		value_s(expires, json_object_get(r, "expires_in_s"));
		path_text(path, sizeof path, "", hops);
		table_put(t, node_name(json_object_get(r, "target")));
		table_putf(t, "%zu", json_array_size(hops));
		table_put(t, cost);
		table_put(t, expires);
		table_put(t, path);
	}
	table_print(t, stdout);
}

static void put_traffic(struct table *t, const json_t *c)
{
	bool is_origin = strcmp(member_text(c, "role"), "origin") == 0;
	const json_t *in = json_object_get(c, is_origin ? "toward_origin"
							: "toward_target");
	const json_t *out = json_object_get(c, is_origin ? "toward_target"
							 : "toward_origin");
	char rx[VALUE_MAX], tx[VALUE_MAX];

	value_bytes(rx, json_object_get(in, "bytes"));
	value_bytes(tx, json_object_get(out, "bytes"));
	table_putf(t, "%s/%s", rx, tx);
}

static void print_circuits(const json_t *circuits)
{
	static const char *const columns[] = { "CIRCUIT", "ROLE",  "STATE",
					       "MTU",     "RTT",   "AGE",
					       "IDLE",    "RX/TX", "PATH",
					       NULL };
	struct table *t = table_new(columns);
	char rtt[VALUE_MAX], age[VALUE_MAX], idle[VALUE_MAX];
	char path[TABLE_CELL_MAX];
	const json_t *c;
	size_t i;

	json_array_foreach(circuits, i, c)
	{
		const json_t *channel = json_object_get(c, "channel");

		value_ms(rtt, json_object_get(channel, "rtt_ms"));
		value_s(age, json_object_get(c, "opened_s_ago"));
		value_s(idle, json_object_get(c, "idle_s"));
		path_text(path, sizeof path,
			  node_name(json_object_get(c, "origin")),
			  json_object_get(c, "hops"));
		table_putf(t, "%lld", (long long)member_int(c, "circuit"));
		table_put(t, member_text(c, "role"));
		table_put(t, member_text(c, "state"));
		table_putf(t, "%lld", (long long)member_int(c, "mtu_bytes"));
		table_put(t, rtt);
		table_put(t, age);
		table_put(t, idle);
		put_traffic(t, c);
		table_put(t, path);
	}
	table_print(t, stdout);
}

int cmd_routes(int argc, char **argv)
{
	struct options o = { .json = false };
	json_t *body;
	int rv = options_parse(&o, argc, argv, 0, 1, 0, routes_usage);

	if (rv >= 0)
		return rv;
	rv = client_get_with(&o, "/v1/routes", "dst", o.arg[0], &body);
	if (rv != EXIT_DONE)
		return rv;
	if (o.json)
		return client_print_json(body);
	print_routes(json_object_get(body, "routes"));
	json_decref(body);
	return EXIT_DONE;
}

int cmd_circuits(int argc, char **argv)
{
	struct options o = { .json = false };
	json_t *body;
	int rv = options_parse(&o, argc, argv, 0, 0, 0, circuits_usage);

	if (rv >= 0)
		return rv;
	rv = client_get(&o, "/v1/circuits", &body);
	if (rv != EXIT_DONE)
		return rv;
	if (o.json)
		return client_print_json(body);
	print_circuits(json_object_get(body, "circuits"));
	json_decref(body);
	return EXIT_DONE;
}
