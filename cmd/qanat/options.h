/* What the verbs that speak to the daemon have in common on their command
 * line. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define POSITIONALS_MAX 2

struct options {
	bool json;
	const char *socket;                      /* NULL: see client_socket() */
	const char *config;                      /* NULL: none was named */
	uint64_t count, interval_ms, timeout_ms; /* ping */
	size_t n;
	const char *arg[POSITIONALS_MAX];
};

enum {
	OPTIONS_PING = 1, /* --count, --interval, --timeout too */
};

/* Takes `min` to `max` positionals; -1: go on; else the exit code. */
int options_parse(struct options *out, int argc, char **argv, size_t min,
		  size_t max, int flags, const char *usage);

#define OPTIONS_USAGE                                                          \
	"  --json             what the daemon answers, as JSON\n"              \
	"  --socket PATH      of the daemon (default: $QANAT_SOCKET, or\n"     \
	"                     /run/qanat/qanat.sock)\n"                        \
	"  --config FILE      find the socket in this configuration\n"
