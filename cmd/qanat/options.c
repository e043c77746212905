#include "cmd/qanat/options.h"

#include <getopt.h>
#include <stdio.h>

#include "cmd/qanat/say.h"
#include "proto/base/text.h"

enum {
	OPT_JSON = 1,
	OPT_SOCKET,
	OPT_CONFIG,
	OPT_TIMEOUT,
};

static const struct option common[] = {
	{ "json", no_argument, NULL, OPT_JSON },
	{ "socket", required_argument, NULL, OPT_SOCKET },
	{ "config", required_argument, NULL, OPT_CONFIG },
	{ "help", no_argument, NULL, 'h' },
	{ "count", required_argument, NULL, 'c' },
	{ "interval", required_argument, NULL, 'i' },
	{ "timeout", required_argument, NULL, OPT_TIMEOUT },
	{ 0 },
};
/* Without those of ping. */
static const struct option plain[] = {
	{ "json", no_argument, NULL, OPT_JSON },
	{ "socket", required_argument, NULL, OPT_SOCKET },
	{ "config", required_argument, NULL, OPT_CONFIG },
	{ "help", no_argument, NULL, 'h' },
	{ 0 },
};

static int number(uint64_t *out, const char *text, uint64_t min, uint64_t max,
		  const char *what)
{
	if (text_u64(out, text, min, max))
		return -1;
	return say_error(EXIT_WRONG_USE, "%s: \"%s\" is not in %lu..%lu", what,
			 text, (unsigned long)min, (unsigned long)max);
}

static int take(struct options *o, int c, const char *usage)
{
	switch (c) {
	case OPT_JSON:
		o->json = true;
		return -1;
	case OPT_SOCKET:
		o->socket = optarg;
		return -1;
	case OPT_CONFIG:
		o->config = optarg;
		return -1;
	case 'c':
		return number(&o->count, optarg, 1, 100, "--count");
	case 'i':
		return number(&o->interval_ms, optarg, 10, 10000, "--interval");
	case OPT_TIMEOUT:
		return number(&o->timeout_ms, optarg, 10, 60000, "--timeout");
	case 'h':
		return fputs(usage, stdout) < 0;
	default:
		return EXIT_WRONG_USE;
	}
}

int options_parse(struct options *out, int argc, char **argv, size_t min,
		  size_t max, int flags, const char *usage)
{
	bool is_ping = flags & OPTIONS_PING;
	char name[64];
	int c, rv;

	/* getopt's messages begin with it. */
	snprintf(name, sizeof name, "qanat %s", argv[0]);
	argv[0] = name;
	optind = 0;
	while ((c = getopt_long(argc, argv, is_ping ? "hc:i:" : "h",
				is_ping ? common : plain, NULL)) != -1) {
		rv = take(out, c, usage);
		if (rv >= 0)
			return rv;
	}
	if (argc - optind < (int)min || argc - optind > (int)max) {
		fputs(usage, stderr);
		return EXIT_WRONG_USE;
	}
	while (optind < argc)
		out->arg[out->n++] = argv[optind++];
	return -1;
}
