/* What a misbehaving member of the cluster has in hand: alterations of what it
 * sends, and messages signed with keys of its choice. */
#pragma once

#include "tests/support/mesh.h"

/* A node that alters the messages of one type which it sends, and keeps the
 * last one as it was. */
struct forger {
	struct mesh *m;
	size_t node;
	enum msg_type type;
	void (*alter)(struct forger *f, struct msg *m); /* NULL: only keep */
	struct msg kept;
	bool has_kept;
	unsigned n;
};

/* Becomes the mesh's filter; free() it after the mesh. */
struct forger *forger_new(struct mesh *m, size_t node, enum msg_type type,
			  void (*alter)(struct forger *f, struct msg *m));

struct node_id forge_id(const struct mesh *m, size_t node);
struct hop forge_hop(const struct mesh *m, size_t node);

/* A fresh probe with ttl 8 that names this origin, signed by `by`. */
struct msg forge_probe(const struct mesh *m, size_t by, size_t origin,
		       size_t target, uint8_t number);
/* Seals and signs it anew after a change. */
void forge_probe_sign(const struct mesh *m, size_t by, struct msg_probe *p);

/* A fresh OPEN of this route, signed by node 0. */
struct msg forge_open(const struct mesh *m, const struct route_proof *p,
		      unsigned number);
