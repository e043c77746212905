/* Beacon trees of a mesh, seen from outside: what they should be like by the
 * graph of links, and what the routers believe. */
#pragma once

#include "tests/support/mesh.h"

/* The living node with the lowest hash among those that `node` can reach. */
size_t look_root(const struct mesh *m, size_t node, unsigned tree);

/* Why the place of a living node in a tree is not right: another root, a path
 * that is no path of living links, wrong costs.  NULL: it is right. */
const char *look_fault(const struct mesh *m, size_t node, unsigned tree);

/* Of all living nodes that have a link, in all trees. */
bool look_all_right(const struct mesh *m);
/* Runs until all is right or the time has passed; how long it took, TIME_NEVER
 * if it is not right then. */
nsec look_settle(struct mesh *m, nsec most);

/* SIZE_MAX: none. */
size_t look_parent(const struct mesh *m, size_t node, unsigned tree);
struct tree_info look_tree(const struct mesh *m, size_t node, unsigned tree);

/* Sums over all living routers. */
uint64_t look_beacons_sent(const struct mesh *m);
uint64_t look_parent_changes(const struct mesh *m);

/* Without links; signatures that cost little. */
struct mesh *look_nodes(uint64_t seed, size_t n);
/* n × n nodes; links of small_link. */
struct mesh *look_grid(size_t n);
struct mesh *look_ring(size_t n);
/* Connected, `n_more` links besides a random tree, 1 to 40 ms. */
struct mesh *look_random(uint64_t seed, size_t n, size_t n_more);
