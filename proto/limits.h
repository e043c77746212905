/* Every number of the protocol and every cap on what a peer can cause, with
 * its section in docs/protocol.md.  `*_MAX` is inclusive.
 */
#pragma once

#include "proto/base/time.h"

/* Identity, protocol.md 1 */
#define ID_LEN            10
#define HASH_LEN          32
#define KEY_LEN           32
#define SIG_LEN           64
#define NONCE_LEN         16
#define CHAIN_CERTS_MAX   2
#define CHAIN_BYTES_MAX   4096
#define CERT_NAMES_MAX    4
#define NAME_BYTES_MAX    63
#define CLOCK_SKEW_MS     30000
#define CERT_CLOCK_SKEW_S 60

/* Control stream, protocol.md 3 */
#define FRAME_HEADER_BYTES 4
#define FRAME_BYTES_MAX    16384
#define FRAME_ROUTING_BYTES_MAX                                                \
	12288 /* a path of 64 hops carries 64 signatures */
#define PROBE_BYTES_MAX       4096
#define PEER_QUERY_BYTES_MAX  1024
#define PEER_INFO_BYTES_MAX   4608
#define FRAME_SMALL_BYTES_MAX 256 /* every other message */
#define UNKNOWN_FIELDS_MAX    8

/* Paths, protocol.md 5 */
#define HOPS_MAX       64
#define HOP_WIRE_BYTES 16
/* 10 ms: no node can make itself attractive by lying about its links. */
#define LINK_COST_FLOOR_100US 100
#define LINK_COST_MAX_100US   65535
#define PROBE_VALID_MS        30000
#define PROBE_COPIES_MAX      2 /* forwarded per (origin, nonce) in flood mode */
#define PROBE_ANSWERS_VIA_MAX 2 /* through one last relay */
#define PROBE_ANSWERS_MAX     8
#define PROBE_SEEN_NS         (60 * NS_PER_S)
#define PROBE_DEADLINE_MIN_MS 500
#define PROBE_DEADLINE_MAX_MS 8000
#define ROUTE_LIFETIME_MS     600000
#define ROUTE_FADES_MS        60000 /* older than another to the same target */
#define ROUTES_PER_TARGET_MAX 8
#define ROUTES_MAX            4096
#define UNREACHABLE_MEMORY_NS (2 * NS_PER_S)
/* An attempt that nobody replied to at all ends sooner. */
#define PROBE_SILENT_MS 4000
/* Remembered probes: in all, and of those one neighbour brought first. */
#define PROBES_SEEN_MAX          32768
#define PROBES_SEEN_PER_PEER_MAX 4096
/* Probes offered to one new neighbour, and times that one probe is offered. */
#define PROBE_OFFERS_MAX   256
#define PROBE_REOFFERS_MAX 4
/* Attempts of our own that run or are remembered, and their rings. */
#define SEEKS_MAX 1024
#define RINGS_MAX 4096
/* Origins with token buckets of their own, per neighbour. */
#define ORIGINS_PER_PEER_MAX 256
/* Identities kept, identities asked for, messages that wait for one. */
#define IDENTITIES_MAX      4096
#define ASKED_MAX           2048
#define ASKED_PER_PEER_MAX  256
#define ASKED_WAITING_MAX   4 /* others that wait for the same */
#define PARKED_MAX          256
#define PARKED_PROBES_MAX   128 /* of these, PROBEs */
#define PARKED_PER_PEER_MAX 64
#define PARKED_NS           (500 * NS_PER_MS) /* and 4 RTT */
#define PARKED_MAX_NS       (2 * NS_PER_S)

/* Trees, records and steered probes, protocol.md 10 to 12 */
#define TREES             4
#define TREE_ANY          TREES       /* a probe that is pinned to no tree */
#define TREE_FLOOD        (TREES + 1) /* a copy of a flood */
#define TREE_PATH_MAX     64   /* nodes from root to node, both included */
#define TREE_LIFE_S       3600 /* a signed path from a root is good */
#define TREE_BEAT_NS      (60 * NS_PER_S)
#define TREE_ROOT_DEAD_MS 180000 /* three beats missed */
#define TREE_REFRESH_NS   (900 * NS_PER_S)
#define TREE_ROOT_WAIT_NS NS_PER_S /* times the fraction that a hash is */
#define TREE_HOLD_MIN_NS  (200 * NS_PER_MS) /* then 1 s, 2 s, 4 s ... */
#define TREE_HOLD_MAX_NS  (60 * NS_PER_S)
#define TREE_SAMPLE       16 /* one in so many unused beacons is verified */
#define RECORD_LIFE_S     900
#define RECORD_STORE_NS   (600 * NS_PER_S)
/* Stores that a change causes: their spacing, and how many at once; how long
 * the trees must have been quiet, and at most; how far apart the owners are
 * after a root has changed; how long a root then knows what is not there. */
#define RECORD_SPACING_NS         (5 * NS_PER_S)
#define RECORD_STORES_BURST       3
#define RECORD_QUIET_NS           (200 * NS_PER_MS)
#define RECORD_QUIET_MAX_NS       (2 * NS_PER_S)
#define RECORD_SPREAD_PER_NODE_NS (5 * NS_PER_MS)
#define RECORD_SPREAD_MAX_NS      (60 * NS_PER_S)
#define RECORD_SETTLE_NS          (5 * NS_PER_S)
/* In large networks volunteers keep them: from so many nodes on; parts that the
 * records of a tree fall into; volunteers that are to register with a root, may
 * at most, and must at least; times that one may fail. */
#define DIRECTORY_FROM    16000
#define RECORD_PARTS      256
#define DIRECTORY_WANT    512
#define DIRECTORY_STAY    16 /* times as many, if they have before */
#define DIRECTORY_MAX     1024
#define DIRECTORY_MIN     16
#define DIRECTORY_STRIKES 3
/* How long an appointment is good, and when it is signed anew; how long a
 * member may not be asked for and still serves; how long it must have served to
 * know what is not there: the old one was asked for that long, and then all
 * owners have stored once more. */
#define APPOINTMENT_LIFE_MS  300000
#define APPOINTMENT_RENEW_MS 100000
#define PART_GAP_NS          (600 * NS_PER_S)
#define PART_SETTLE_NS       (900 * NS_PER_S)
/* One that is not acknowledged is sent again. */
#define STORE_RETRY_NS        NS_PER_S
#define STORE_RETRY_MAX_NS    (60 * NS_PER_S)
#define RECORD_REPLICAS       3
#define RECORDS_MAX           16384 /* stored for others */
#define RECORDS_CACHED_MAX    1024
#define RECORD_CACHE_NS       (60 * NS_PER_S)
#define RECORD_BYTES_MAX      8192
#define REQUEST_BYTES_MAX     9216 /* body of STORE and FOUND */
#define REPLY_BYTES_MAX       6144 /* of LOOKUP, STORED and NO_RECORD */
#define BEACON_MSG_BYTES_MAX  8192
#define STEER_PROBE_BYTES_MAX 9216 /* four paths of 64 nodes and a chain */
#define REQUESTS_PENDING_MAX  8192 /* LOOKUP and STORE that we pass on */
#define REQUESTS_PER_PEER_MAX 1024 /* of these, of one neighbour */
#define REQUEST_HOPS_MAX      64
/* A reply is awaited for twice the cost of the way and this, and at most. */
#define REQUEST_SLACK_NS    (200 * NS_PER_MS)
#define REQUEST_WAIT_MAX_NS (3 * NS_PER_S)
/* One that comes later is still of use; relays wait as long. */
#define REQUEST_LATE_NS   (3 * NS_PER_S)
#define AVOID_MAX         32
#define ROUNDS_MAX        7
#define STEER_COPIES_MAX  3 /* forwarded per (origin, nonce) */
#define PROBE_BUDGET_MAX  512
#define FLOOD_BELOW       64 /* nodes: floods instead of steered probes */
#define BEACON_TREE_RATE  4  /* per neighbour, a second */
#define BEACON_TREE_BURST 64
#define STORE_PEER_RATE   50
#define STORE_PEER_BURST  400
#define LOOKUP_PEER_RATE  50
#define LOOKUP_PEER_BURST 200
#define FLOOD_PEER_RATE   50
#define FLOOD_PEER_BURST  200
/* Of an origin through a neighbour, where floods are the last resort. */
#define FLOOD_ORIGIN_NS    (10 * NS_PER_S)
#define FLOOD_ORIGIN_BURST 2
/* TEST and RECEIPT.  One that a quota drops looks like a silent node, so we
 * stay well below it ourselves. */
#define TEST_PEER_RATE  400
#define TEST_PEER_BURST 800
#define TEST_OWN_RATE   100
#define TEST_OWN_BURST  200
#define HOLDS_MAX       4096 /* destinations that carry traffic */
#define AVOIDED_MAX     64   /* nodes that are avoided by hand */

/* Circuits, protocol.md 6 */
#define CIRCUIT_PENDING_NS    (10 * NS_PER_S)
#define CIRCUIT_IDLE_NS       (120 * NS_PER_S)
#define CIRCUITS_PER_PEER_MAX 4096
#define CIRCUITS_PER_PAIR_MAX 2048 /* from one neighbour on to another */
#define CIRCUITS_PENDING_MAX  256
#define LABEL_REUSE_NS        (600 * NS_PER_S)
#define CIRCUITS_MAX          65536
/* open_ids remembered against replay, per neighbour. */
#define OPEN_SEEN_NS            (60 * NS_PER_S)
#define OPENS_SEEN_PER_PEER_MAX 4096
/* CLOSE for an unknown label, per neighbour. */
#define CLOSE_UNKNOWN_RATE  10
#define CLOSE_UNKNOWN_BURST 20

/* Per-neighbour and per-origin token buckets (rate a second, burst) */
#define LINK_PEER_RATE     10
#define LINK_PEER_BURST    40
#define PROBE_PEER_RATE    200
#define PROBE_PEER_BURST   400
#define PROBE_ORIGIN_RATE  10
#define PROBE_ORIGIN_BURST 90
#define OPEN_PEER_RATE     200
#define OPEN_PEER_BURST    400
#define OPEN_ORIGIN_RATE   10
#define OPEN_ORIGIN_BURST  90
#define VERIFY_RATE        1000
#define VERIFY_BURST       2000
/* What a neighbour has for itself of signatures checked, and what it may take
 * of the common ones besides. */
#define VERIFY_PEER_RATE   20
#define VERIFY_PEER_BURST  200
#define VERIFY_SHARE_RATE  500
#define VERIFY_SHARE_BURST 1000
#define PEER_QUERY_RATE    50
#define PEER_QUERY_BURST   200
#define PEER_QUERY_IDS_MAX 64
/* Certificates told unasked: for each probe that a neighbour was sent, in
 * stock, and those remembered as told, or new. */
#define TELL_PER_PROBE    8
#define TELL_MAX          64
#define TELL_REMEMBER_MAX 64

/* Packets, protocol.md 4 */
#define LABEL_BYTES       4
#define PART_NUMBER_BYTES 2
#define SESSION_CID_BYTES 4
#define CHANNEL_CID_BYTES 4
#define SESSION_OVERHEAD  32   /* a session packet around a circuit payload */
#define CHANNEL_OVERHEAD  30   /* a channel packet around an IP packet */
#define CIRCUIT_MTU_MIN   1168 /* what QUIC carries at least: 1200 */
#define CIRCUIT_MTU_MAX   1440
#define TUN_MTU_MIN       1280
#define PARTS_PENDING_MAX 16   /* of one circuit */
#define PARTS_ALL_MAX     4096 /* of all circuits that end at a node */
#define PARTS_PENDING_NS  (500 * NS_PER_MS)

/* Sessions, protocol.md 2 */
#define PEERS_MAX               256
#define SESSIONS_MAX            512
#define HALF_OPEN_MAX           256
#define HALF_OPEN_RETRY         64 /* from here on a Retry is asked for */
#define HANDSHAKE_OUTER_NS      (5 * NS_PER_S)
#define HANDSHAKE_INNER_NS      (10 * NS_PER_S)
#define CRYPTO_BYTES_MAX        16384
#define RELAY_QUEUE_MAX         128  /* of one circuit */
#define RELAY_SESSION_MAX       1024 /* of all circuits of a session */
#define RELAY_ALL_MAX           8192 /* of all sessions */
#define RELAY_TARGET_NS         (5 * NS_PER_MS)
#define RELAY_INTERVAL_NS       (100 * NS_PER_MS)
#define CHANNELS_PER_PEER_MAX   16
#define STREAMS_PER_CHANNEL_MAX 1024

/* TCP flows that end here, protocol.md 7.10: in all, and with one node */
#define SPLICE_FLOWS_MAX    4096
#define SPLICE_PER_PEER_MAX 1024

/* Discovery, protocol.md 8 */
#define BEACON_PORT            4434
#define BEACON_BYTES_MAX       512
#define BEACON_PERIOD_NS       (30 * NS_PER_S)
#define ENDPOINTS_PER_PEER_MAX 8
#define PEERS_KNOWN_MAX        4096
#define DIALS_PER_S            10

#define QANAT_PORT 4433
