/* The inside of a router: what its modules share.  Only circuit/ includes it.
 *
 * Each module keeps its part in its own struct and says in its header which
 * entries it has; router.c is the facade which dispatches messages, timers and
 * sessions to them.
 */
#pragma once

#include "circuit/neighbour/asking.h"
#include "circuit/relay/circuit.h"
#include "circuit/probe/flood.h"
#include "circuit/hold/hold.h"
#include "circuit/neighbour/keyring.h"
#include "circuit/relay/label.h"
#include "circuit/neighbour/neighbour.h"
#include "circuit/relay/open.h"
#include "circuit/outbox.h"
#include "circuit/record/record.h"
#include "circuit/record/request.h"
#include "circuit/search/ring.h"
#include "circuit/relay/route.h"
#include "circuit/router.h"
#include "circuit/search/seek.h"
#include "circuit/neighbour/success.h"
#include "circuit/table.h"
#include "circuit/neighbour/telling.h"
#include "circuit/timer.h"
#include "circuit/hold/trace.h"
#include "circuit/tree/tree.h"
#include "proto/base/bucket.h"

/* Whether a message comes from the wire or waited for an identity: its tokens
 * were taken then. */
enum arrival {
	ARRIVAL_FRESH,
	ARRIVAL_RESUMED,
};

enum signed_verdict {
	SIGNED_OK,
	SIGNED_BAD,
	SIGNED_RATE, /* over VERIFY_RATE: nothing is known */
};

#define CORE_SECRET_BYTES 32

struct router {
	struct router_config config;
	uint8_t secret[CORE_SECRET_BYTES];
	uint64_t n_nonces;
	struct rng rng;   /* for what may be guessed: pauses, generations */
	uint64_t wall_ms; /* at `wall_at` */
	nsec wall_at;
	struct table_key table_key;
	struct timers timers;
	struct outbox out;
	struct router_counters n;
	struct bucket verify;           /* what there is for all */
	struct verify_quota own_verify; /* ours */
	/* Whose message is being handled, and who pays for what it makes us
	 * check; NULL: we do. */
	struct neighbour *charged;
	struct label_table *labels;
	struct keyring keyring;
	struct asking asking;
	struct id_ring learnt;
	struct neighbours neighbours;
	struct floods floods;
	struct rings rings;
	struct seeks seeks;
	struct routes routes;
	struct scores scores;
	struct blames blames;
	struct circuits circuits;
	struct open_ids open_ids;
	struct records records;
	struct requests requests;
	struct trees trees;
	struct holds holds;
	struct traces traces;
};

/* Draws the secret from the configured numbers, and from it all else that is
 * random here.  Whoever sees nonces learns neither the next ones nor the key of
 * the tables: the generator itself could be run backwards. */
void core_init_secrets(struct router *r);
struct nonce core_nonce(struct router *r);

/* Milliseconds since 1970. */
uint64_t core_wall(const struct router *r, nsec now);

bool core_is_self(const struct router *r, const struct node_id *id);

/* Whether a thing issued at this wall time is within CLOCK_SKEW_MS. */
bool core_is_fresh(const struct router *r, uint64_t issued_ms, nsec now);

/* Whether one more signature may be checked for whoever is charged. */
bool core_take_verify(struct router *r, nsec now);

/* Checks a signature of a node whose identity is known, if it may. */
enum signed_verdict core_verify(struct router *r, const uint8_t sig[SIG_LEN],
				const struct node_id *who,
				enum sign_purpose purpose, const void *payload,
				size_t len, nsec now);
/* Of a whole proof: the target's signature, then those of the relays from
 * `first` on. */
enum signed_verdict core_verify_route(struct router *r,
				      const struct route_proof *p, size_t first,
				      nsec now);

/* What a router without a `crypto` of its own uses. */
extern const struct router_crypto core_ed25519;

void core_sign(const struct router *r, uint8_t sig[SIG_LEN],
	       enum sign_purpose purpose, const void *payload, size_t len);

/* Queues a message to a session and counts it. */
struct msg *core_send(struct router *r, session_no s, enum msg_type type);
struct msg_nak *core_send_nak(struct router *r, session_no s,
			      const struct node_id *origin,
			      const struct nonce *nonce, uint8_t tree,
			      enum nak_code code);

/* Handles a message that was parked, or gives it up. */
void core_resume(struct router *r, struct session *s, const struct msg *m,
		 nsec now);
void core_give_up(struct router *r, struct session *s, const struct msg *m,
		  nsec now);
