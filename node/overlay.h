/* The overlay proper: sessions, router, destinations and channels, joined.
 *
 * It needs a loop and credentials, no disk, device or configuration: node.c
 * puts those around it, and tests run several in one loop.  The data path runs
 * through here: a circuit packet goes from its session to the next one, or to
 * its channel.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "circuit/router.h"
#include "node/channel/channel.h"
#include "node/channel/dest.h"
#include "node/io/loop.h"
#include "node/session/session.h"
#include "node/api/trace.h"
#include "proto/cert.h"

struct overlay_events {
	/* A session is ready; false: close it.  The chain is borrowed. */
	bool (*session_up)(void *ctx, const struct session_info *s,
			   const uint8_t *chain, size_t chain_len);
	void (*session_down)(void *ctx, const struct session_info *s);
	/* What the router wants kept, or no more. */
	void (*route_added)(void *ctx, const struct route_proof *route);
	void (*route_gone)(void *ctx, const struct route_proof *route);
	void (*identity)(void *ctx, const struct identity *who,
			 const uint8_t *chain, size_t chain_len);
	void (*record)(void *ctx, const struct record *record);
};

struct overlay_config {
	const struct credentials *credentials; /* borrowed */
	const struct protect *protect;         /* borrowed */
	const char *display_name;
	size_t memory; /* bytes: the limit of the windows */
	bool transit;
	bool direct; /* packets of channels to neighbours past the session */
	enum seal_use sealed; /* circuit packets past QUIC */
	uint32_t flood_below; /* as in router_config */
};

/* The parts, for those who look in (status) and for who joins them further. */
struct overlay {
	struct loop *loop;
	const struct credentials *credentials;
	struct quic_tls *tls;
	struct router *router;
	struct sessions *sessions;
	struct dests *dests;
	struct channels *channels;
	struct trace_set traces;
	const struct overlay_events *events;
	void *ctx;
	struct timer router_timer;
	struct timer tidy; /* some time after sessions began */
};

/* NULL: GnuTLS does not take the certificate or the key. */
struct overlay *overlay_new(struct loop *l, const struct overlay_config *c,
			    const struct overlay_events *ev, void *ctx);
/* Closes what is open; the events of that still come. */
void overlay_free(struct overlay *o); /* NULL is allowed */

/* One round at the end of a turn: pulls the router's outputs, lets channels and
 * sessions write; true if anything was done, so that another is due. */
bool overlay_flush(struct overlay *o);
/* After the last round. */
void overlay_set_timer(struct overlay *o);

/* No more transit: neighbours are told to go elsewhere (SIGTERM). */
void overlay_drain(struct overlay *o);
