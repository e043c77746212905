/* What the small programs of the bench share. */
#pragma once

#include <netinet/in.h>
#include <stdint.h>

#define BENCH_NS_PER_S INT64_C(1000000000)

/* CLOCK_MONOTONIC. */
int64_t bench_now_ns(void);
/* Says what failed and errno, if it is set, and exits with 1. */
_Noreturn void bench_die(const char *what);
/* An IPv6 or IPv4 (then mapped) address; exits with 2 if it is none. */
struct sockaddr_in6 bench_address(const char *text, const char *port);
