/* The echo of a node: what comes on a UDP flow to ECHO_HOST goes back.  Open to
 * the whole cluster; it is what `qanat ping` measures.  protocol.md 7. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "proto/base/time.h"

#define ECHO_HOST "echo.qanat" /* no node and no service has a dot in it */
#define ECHO_PORT 7

#define ECHO_FLOWS_MAX 256
#define ECHO_PEER_MAX  16 /* flows of one peer */
#define ECHO_IDLE_NS   (60 * NS_PER_S)

struct echo;
struct loop;
struct stream;

struct echo *echo_new(struct loop *l);
void echo_free(struct echo *e); /* ends all flows; NULL is allowed */

/* Takes the stream if it is meant for the echo. */
bool echo_take(struct echo *e, struct stream *s);

struct echo_counters {
	uint64_t n_flows, n_refused, n_echoed, n_dropped;
};
const struct echo_counters *echo_counters(const struct echo *e);
