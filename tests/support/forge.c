#include "tests/support/forge.h"

#include <string.h>

#include "proto/base/mem.h"

static bool alter(void *ctx, size_t from, size_t to, struct msg *m)
{
	struct forger *f = ctx;

	(void)to;
	if (from != f->node || m->type != f->type)
		return true;
	f->kept = *m;
	f->has_kept = true;
	f->n++;
	if (f->alter != NULL)
		f->alter(f, m);
	return true;
}

struct forger *forger_new(struct mesh *m, size_t node, enum msg_type type,
			  void (*change)(struct forger *f, struct msg *m))
{
	struct forger *f = mem_new(f);

	f->m = m;
	f->node = node;
	f->type = type;
	f->alter = change;
	mesh_set_filter(m, alter, f);
	return f;
}

struct node_id forge_id(const struct mesh *m, size_t node)
{
	return mesh_identity(m, node)->id;
}

struct hop forge_hop(const struct mesh *m, size_t node)
{
	return (struct hop){ .id = forge_id(m, node),
			     .cost_100us = 100,
			     .mtu = 1440 };
}

void forge_probe_sign(const struct mesh *m, size_t by, struct msg_probe *p)
{
	msg_probe_seal(p);
	key_sign(p->sig_origin, mesh_key(m, by), SIGN_PROBE_ORIGIN, mesh_ca(m),
		 p->body, sizeof p->body);
}

struct msg forge_probe(const struct mesh *m, size_t by, size_t origin,
		       size_t target, uint8_t number)
{
	struct msg x = { .type = MSG_PROBE };

	x.probe = (struct msg_probe){
		.flags = PROBE_FLAG_FLOOD,
		.ttl = 8,
		.origin = forge_id(m, origin),
		.target = forge_id(m, target),
		.nonce = { { number, 1, 2, 3 } },
		.issued_ms = mesh_wall(m),
		.valid_ms = PROBE_VALID_MS,
		.deadline_ms = 1000,
	};
	forge_probe_sign(m, by, &x.probe);
	return x;
}

struct msg forge_open(const struct mesh *m, const struct route_proof *p,
		      unsigned number)
{
	struct msg x = { .type = MSG_OPEN };
	struct msg_open *o = &x.open;

	*o = (struct msg_open){ .route = *p,
				.issued_ms = mesh_wall(m),
				.label = 5000 + number,
				.mtu = 1440 };
	memcpy(o->open_id.b, &number, sizeof number);
	o->open_id.b[15] = 1;
	msg_open_seal(o);
	key_sign(o->sig_origin, mesh_key(m, 0), SIGN_OPEN_ORIGIN, mesh_ca(m),
		 o->body, sizeof o->body);
	return x;
}
