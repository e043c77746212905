/* Small meshes of equal links, and the steps that many tests share. */
#pragma once

#include "tests/support/mesh.h"

/* 5 ms one way, 1440 bytes; a cut is noticed within 300 ms. */
extern const struct mesh_link small_link;

/* Without links: routers start with the first one. */
struct mesh *small_nodes(size_t n);
/* Nodes 0 to n - 1 in a line; link i joins i and i + 1. */
struct mesh *small_line(size_t n);

void small_pass(struct mesh *m, nsec time);

/* Waits until the attempt must have ended; 0: no circuit came of it. */
circuit_no small_connect(struct mesh *m, size_t from, size_t to);
circuit_no small_connect_avoiding(struct mesh *m, size_t from, size_t to,
				  circuit_no avoid);

const struct router_counters *small_counters(const struct mesh *m, size_t node);
/* The circuit must exist. */
struct circuit_info small_info(const struct mesh *m, size_t node, circuit_no c);
/* The node that a circuit of `node` goes to first. */
size_t small_first(const struct mesh *m, size_t node, circuit_no c);
bool small_has_route(const struct mesh *m, size_t node);
