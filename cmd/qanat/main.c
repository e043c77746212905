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
	{ "ca", cmd_ca, "make a cluster's CA, sign certificates" },
	{ "keygen", cmd_keygen, "make a node's key" },
	{ "cert", cmd_cert, "show a node's certificate" },
	{ "check", cmd_cert, "check a node's key and certificate" },
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
