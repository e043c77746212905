/* qanatd: the node daemon.  Arguments and exit codes; the rest is node/. */
#include <errno.h>
#include <gnutls/gnutls.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "node/config/config.h"
#include "node/node.h"
#include "proto/base/log.h"
#include "proto/base/mem.h"
#include "proto/base/version.h"

enum {
	EXIT_WRONG_USE = 2
};

#define DEFAULT_CONFIG "/etc/qanat/qanat.conf"

static const char usage[] =
	"usage: qanatd [--config FILE] [--check [FILE]] [--print-config] "
	"[--version]\n"
	"  --config FILE   configuration (default " DEFAULT_CONFIG
	" if it exists)\n"
	"  --check [FILE]  read the configuration and say what is wrong with "
	"it\n"
	"  --print-config  print what is in force, defaults included\n";

enum action {
	ACTION_RUN,
	ACTION_CHECK,
	ACTION_PRINT,
};

struct arguments {
	enum action action;
	const char *config;
};

static int wrong_use(const char *what, const char *arg)
{
	fprintf(stderr, "qanatd: %s: %s\n%s", what, arg, usage);
	return EXIT_WRONG_USE;
}

/* -1: go on; else the exit code. */
static int parse_arguments(struct arguments *out, int argc, char **argv)
{
	for (int i = 1; i < argc; i++) {
		const char *a = argv[i];

		if (strcmp(a, "--config") == 0 || strcmp(a, "-c") == 0) {
			if (++i == argc)
				return wrong_use("a file name must follow", a);
			out->config = argv[i];
		} else if (strcmp(a, "--check") == 0) {
			out->action = ACTION_CHECK;
			if (i + 1 < argc && argv[i + 1][0] != '-')
				out->config = argv[++i];
		} else if (strcmp(a, "--print-config") == 0) {
			out->action = ACTION_PRINT;
		} else if (strcmp(a, "--version") == 0) {
			printf("qanatd %s\n", qanat_version);
			return EXIT_SUCCESS;
		} else if (strcmp(a, "--help") == 0 || strcmp(a, "-h") == 0) {
			fputs(usage, stdout);
			return EXIT_SUCCESS;
		} else {
			return wrong_use("unknown argument", a);
		}
	}
	if (out->config == NULL && access(DEFAULT_CONFIG, F_OK) == 0)
		out->config = DEFAULT_CONFIG;
	return -1;
}

/* Keys must not end in a core file; and the limits that a daemon wants. */
static void set_limits(void)
{
	const struct rlimit none = { 0, 0 };
	struct rlimit files;

	setrlimit(RLIMIT_CORE, &none);
	prctl(PR_SET_DUMPABLE, 0);
	umask(0077);
	/* A SOCKS connection is a descriptor: the soft limit is mostly 1024. */
	if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
		files.rlim_cur = files.rlim_max;
		setrlimit(RLIMIT_NOFILE, &files);
	}
}

static int run(const struct config *config, const char *path)
{
	struct node *n;
	char why[512];

	set_limits();
	if (node_new(&n, config, path, why, sizeof why) < 0) {
		log_error("%s", why);
		return EXIT_FAILURE;
	}
	node_run(n);
	node_free(n);
	log_info("stopped");
	return EXIT_SUCCESS;
}

int main(int argc, char **argv)
{
	struct arguments args = { .action = ACTION_RUN };
	struct config *config = mem_new(config);
	char why[512];
	int rv = parse_arguments(&args, argc, argv);

	if (rv >= 0) {
		free(config);
		return rv;
	}
	if (sodium_init() < 0 || gnutls_global_init() < 0) {
		fputs("qanatd: the crypto libraries do not start\n", stderr);
		free(config);
		return EXIT_FAILURE;
	}
	config_defaults(config);
	if (args.config != NULL &&
	    config_load(config, args.config, why, sizeof why) < 0) {
		fprintf(stderr, "%s\n", why);
		free(config);
		return EXIT_FAILURE;
	}
	log_set_level(config->node.log);
	rv = EXIT_SUCCESS;
	if (args.action == ACTION_PRINT)
		config_print(stdout, config);
	else if (args.action == ACTION_CHECK)
		printf("%s: ok\n",
		       args.config != NULL ? args.config : "defaults");
	else
		rv = run(config, args.config);
	free(config);
	return rv;
}
