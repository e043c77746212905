/* What must hold in every run.  Each check returns NULL, or what is wrong. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "tests/support/mesh.h"

/* Nodes that `from` can reach now: over links that are up, through nodes that
 * relay.  `out` has room for all nodes. */
void check_reach(const struct mesh *m, const bool *transit, size_t from,
		 bool *out);

/* Whether there is a way from one to the other that shares no link (pair of
 * neighbours) with this path of `from`. */
bool check_reach_apart(const struct mesh *m, const bool *transit, size_t from,
		       size_t to, const struct hop_list *path);

/* One circuit from end to end: every hop has it, labels agree at both ends of
 * every link, no node occurs twice, the list of hops is the same everywhere,
 * the MTU is the least of its links. */
const char *check_circuit(struct mesh *m, size_t from, circuit_no c,
			  circuit_no *far);

/* Every circuit at every node is part of a whole one. */
const char *check_no_remains(struct mesh *m);

/* Accounts against caps, at every node. */
const char *check_caps(struct mesh *m);

/* After a long quiet nothing is left that waits. */
const char *check_baseline(struct mesh *m);
