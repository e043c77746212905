#include "tests/support/small_mesh.h"

#include <assert.h>
#include <stdlib.h>

#include "proto/base/mem.h"

const struct mesh_link small_link = {
	.delay = 5 * NS_PER_MS,
	.mtu = 1440,
	.notice = 300 * NS_PER_MS,
};

struct mesh *small_nodes(size_t n)
{
	struct mesh *m = mesh_new(1);

	for (size_t i = 0; i < n; i++)
		mesh_add_node(m, true);
	return m;
}

struct mesh *small_line(size_t n)
{
	struct mesh *m = small_nodes(n);

	for (size_t i = 0; i + 1 < n; i++)
		mesh_add_link(m, i, i + 1, &small_link);
	small_pass(m, NS_PER_S);
	return m;
}

void small_pass(struct mesh *m, nsec time)
{
	mesh_run(m, mesh_now(m) + time);
}

circuit_no small_connect(struct mesh *m, size_t from, size_t to)
{
	return small_connect_avoiding(m, from, to, 0);
}

circuit_no small_connect_avoiding(struct mesh *m, size_t from, size_t to,
				  circuit_no avoid)
{
	nsec start = mesh_now(m);
	const struct mesh_event *e;

	mesh_connect(m, from, to, avoid);
	small_pass(m, 9 * NS_PER_S);
	e = mesh_opened(m, from, to, start);
	return e != NULL ? e->event.circuit : 0;
}

const struct router_counters *small_counters(const struct mesh *m, size_t node)
{
	return router_counters(mesh_router(m, node));
}

struct circuit_info small_info(const struct mesh *m, size_t node, circuit_no c)
{
	struct circuit_info info;
	bool ok = router_circuit_get(mesh_router(m, node), c, &info);

	assert(ok);
	return info;
}

size_t small_first(const struct mesh *m, size_t node, circuit_no c)
{
	struct circuit_info info = small_info(m, node, c);

	return mesh_find(m, &info.hops.hop[0].id);
}

bool small_has_route(const struct mesh *m, size_t node)
{
	struct route_proof *p = mem_new(p);
	bool has = router_route_get(mesh_router(m, node), 0, p);

	free(p);
	return has;
}
