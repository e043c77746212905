#include <stdio.h>
#include <string.h>

#include "cmd/qanat/say.h"
#include "cmd/qanat/verbs.h"
#include "proto/base/mem.h"

static const struct {
	const char *name;
	int (*run)(int argc, char **argv);
	const char *help;
} verbs[] = {
	{ "status", cmd_status, "this node, and every node that it knows" },
	{ "peers", cmd_peers, "the nodes that are known" },
	{ "links", cmd_links, "the sessions with neighbours" },
	{ "routes", cmd_routes, "the proven paths: [DST]" },
	{ "circuits", cmd_circuits, "the circuits that begin, end or pass" },
	{ "trees", cmd_trees, "this node's place in the beacon trees" },
	{ "path", cmd_path, "which way traffic goes: pin|avoid|auto DST" },
	{ "ping", cmd_ping, "the way to DST and back" },
	{ "trace", cmd_trace, "each hop of the circuit to DST" },
	{ "check", cmd_check, "check the configuration and certificates" },
	{ "reload", cmd_reload, "read the configuration again" },
	{ "version", cmd_version, "of the command and the daemon" },
	{ "ca", cmd_ca, "make a cluster's CA, sign certificates" },
	{ "keygen", cmd_keygen, "make a node's key" },
	{ "cert", cmd_cert, "show a node's certificate" },
};

static void print_usage(FILE *f)
{
	fputs("usage: qanat VERB …\n\n", f);
	for (size_t i = 0; i < ARRAY_LEN(verbs); i++)
		fprintf(f, "  %-10s %s\n", verbs[i].name, verbs[i].help);
}

int main(int argc, char **argv)
{
	if (argc < 2) {
		print_usage(stderr);
		return EXIT_WRONG_USE;
	}
	for (size_t i = 0; i < ARRAY_LEN(verbs); i++) {
		if (strcmp(argv[1], verbs[i].name) == 0)
			return verbs[i].run(argc - 1, argv + 1);
	}
	if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0) {
		print_usage(stdout);
		return EXIT_DONE;
	}
	return say_error(EXIT_WRONG_USE, "no verb \"%s\". See: qanat --help",
			 argv[1]);
}
