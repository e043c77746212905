/* Names of static peers to endpoints, by the system's resolver on libuv's
 * threads, so that the loop never waits.
 *
 * An answer is kept for a minute, a failure for as long as its back-off; those
 * who ask for a name meanwhile get that.  Numeric hosts need no thread.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "node/io/loop.h"
#include "proto/endpoint.h"
#include "proto/limits.h"

#define RESOLVE_KEEP_NS   (60 * NS_PER_S)
#define RESOLVE_NAMES_MAX 1024 /* kept */

struct resolve;
struct resolve_ask;

/* The addresses in the system's order of preference, at most
 * ENDPOINTS_PER_PEER_MAX, with the port asked for; none on failure.  Comes from
 * the loop, never from inside resolve_ask(). */
typedef void resolve_done(void *ctx, const union endpoint *list, size_t n);

struct resolve *resolve_new(struct loop *l);
/* No callback follows; not to be called from inside one.  Returns how many
 * lookups are still on a thread and cannot be taken back: unless it is 0, let
 * the loop run until they end before loop_free(), or leave without it. */
size_t resolve_free(struct resolve *r);

struct resolve_ask *resolve_ask(struct resolve *r, const char *host,
				uint16_t port, resolve_done *done, void *ctx);
/* Before its callback, or inside another's: none follows. */
void resolve_cancel(struct resolve_ask *a);

struct resolve_counters {
	uint64_t n_asked, n_from_memory, n_lookups, n_failed;
};
const struct resolve_counters *resolve_counters(const struct resolve *r);
