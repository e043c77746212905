#include "tests/support/bench_tool.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

int64_t bench_now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * BENCH_NS_PER_S + t.tv_nsec;
}

void bench_die(const char *what)
{
	if (errno != 0)
		fprintf(stderr, "%s: %s: %s\n", program_invocation_short_name,
			what, strerror(errno));
	else
		fprintf(stderr, "%s: %s\n", program_invocation_short_name,
			what);
	exit(1);
}

struct sockaddr_in6 bench_address(const char *text, const char *port)
{
	struct sockaddr_in6 a = { .sin6_family = AF_INET6 };
	char mapped[64];

	snprintf(mapped, sizeof mapped, "%s%s",
		 strchr(text, ':') != NULL ? "" : "::ffff:", text);
	if (inet_pton(AF_INET6, mapped, &a.sin6_addr) != 1) {
		fprintf(stderr, "%s: %s is no address\n",
			program_invocation_short_name, text);
		exit(2);
	}
	a.sin6_port = htons((uint16_t)atoi(port));
	return a;
}
