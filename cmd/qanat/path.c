#include <stdio.h>
#include <string.h>

#include "cmd/qanat/client.h"
#include "cmd/qanat/print.h"
#include "cmd/qanat/say.h"
#include "cmd/qanat/verbs.h"

static const char path_usage[] =
	"usage: qanat path [--json]\n"
	"       qanat path pin|avoid|auto DST [--json]\n"
	"\n"
	"Which circuits carry to the nodes that traffic goes to, with their\n"
	"spares.\n"
	"\n"
	"  pin DST    stay on the circuit that carries to DST, while it "
	"stands\n"
	"  avoid DST  no new path of ours crosses DST\n"
	"  auto DST   undo either\n" OPTIONS_USAGE;

static const char trees_usage[] =
	"usage: qanat trees [--json]\n"
	"\n"
	"The place of this node in each beacon tree.\n"
	"\n" OPTIONS_USAGE;

/* ---- path ---- */

static void put_circuit(struct table *t, const json_t *path, const char *key)
{
	if (json_is_integer(json_object_get(path, key)))
		table_putf(t, "%lld", (long long)member_int(path, key));
	else
		table_put(t, "-");
}

static void put_blamed(struct table *t, const json_t *blamed)
{
	char age[VALUE_MAX];

	if (!json_is_object(blamed)) {
		table_put(t, "-");
		return;
	}
	value_s(age, json_object_get(blamed, "s_ago"));
	table_putf(t, "%s > %s (%s ago)",
		   node_name(json_object_get(blamed, "from")),
		   node_name(json_object_get(blamed, "to")), age);
}

static void print_paths(const json_t *paths)
{
	static const char *const columns[] = {
		"TARGET",    "CARRIES", "RTT",        "LOSS", "SPARE",
		"SPARE RTT", "PINNED",  "LOSSY LINK", NULL
	};
	struct table *t = table_new(columns);
	char rtt[VALUE_MAX], spare[VALUE_MAX], loss[VALUE_MAX];
	const json_t *p;
	size_t i;

	json_array_foreach(paths, i, p)
	{
		value_ms(rtt, json_object_get(p, "rtt_ms"));
		value_ms(spare, json_object_get(p, "spare_rtt_ms"));
		value_percent(loss, json_object_get(p, "loss_percent"));
		table_put(t, node_name(json_object_get(p, "target")));
		put_circuit(t, p, "carries");
		table_put(t, rtt);
		table_put(t, loss);
		put_circuit(t, p, "spare");
		table_put(t, spare);
		table_put(t, json_is_true(json_object_get(p, "is_pinned"))
				     ? "yes"
				     : "no");
		put_blamed(t, json_object_get(p, "blamed"));
	}
	table_print(t, stdout);
}

static int steer(const struct options *o)
{
	json_t *reply;
	int rv = client_post(
		o, "/v1/path",
		json_pack("{s:s, s:s}", "rule", o->arg[0], "dst", o->arg[1]),
		&reply);

	if (rv != EXIT_DONE)
		return rv;
	if (o->json)
		return client_print_json(reply);
	printf("%s: %s\n", node_name(json_object_get(reply, "node")),
	       member_text(reply, "rule"));
	json_decref(reply);
	return EXIT_DONE;
}

int cmd_path(int argc, char **argv)
{
	struct options o = { .json = false };
	json_t *body;
	int rv = options_parse(&o, argc, argv, 0, 2, 0, path_usage);

	if (rv >= 0)
		return rv;
	if (o.n == 1)
		return say_error(EXIT_WRONG_USE,
				 "which node? See: qanat path --help");
	if (o.n == 2)
		return steer(&o);
	rv = client_get(&o, "/v1/paths", &body);
	if (rv != EXIT_DONE)
		return rv;
	if (o.json)
		return client_print_json(body);
	print_paths(json_object_get(body, "paths"));
	json_decref(body);
	return EXIT_DONE;
}

/* ---- trees ---- */

static void print_trees(const json_t *trees)
{
	static const char *const columns[] = { "TREE", "ROOT", "PARENT",
					       "HOPS", "COST", "ROOT HEARD",
					       NULL };
	struct table *t = table_new(columns);
	char cost[VALUE_MAX], heard[VALUE_MAX];
	const json_t *tree;
	size_t i;

	json_array_foreach(trees, i, tree)
	{
		size_t n = json_array_size(json_object_get(tree, "path"));

		value_ms(cost, json_object_get(tree, "cost_ms"));
		value_s(heard, json_object_get(tree, "root_heard_s_ago"));
		table_putf(t, "%lld", (long long)member_int(tree, "tree"));
		table_put(t, node_name(json_object_get(tree, "root")));
		table_put(t,
			  json_is_true(json_object_get(tree, "is_root"))
				  ? "(this node)"
				  : node_name(json_object_get(tree, "parent")));
		table_putf(t, "%zu", n > 0 ? n - 1 : 0);
		table_put(t, cost);
		table_put(t, heard);
	}
	table_print(t, stdout);
}

int cmd_trees(int argc, char **argv)
{
	struct options o = { .json = false };
	json_t *body;
	int rv = options_parse(&o, argc, argv, 0, 0, 0, trees_usage);

	if (rv >= 0)
		return rv;
	rv = client_get(&o, "/v1/trees", &body);
	if (rv != EXIT_DONE)
		return rv;
	if (o.json)
		return client_print_json(body);
	if (member_int(body, "n_nodes") > 0)
		printf("about %lld nodes\n",
		       (long long)member_int(body, "n_nodes"));
	print_trees(json_object_get(body, "trees"));
	json_decref(body);
	return EXIT_DONE;
}
