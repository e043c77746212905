#include "circuit/core.h"

#include <sodium.h>

#include "proto/key.h"

const struct router_crypto core_ed25519 = {
	.sign = key_sign,
	.verify = key_verify,
};

static void derive(const struct router *r, uint8_t *out, size_t len,
		   uint64_t purpose)
{
	crypto_generichash(out, len, (const uint8_t *)&purpose, sizeof purpose,
			   r->secret, sizeof r->secret);
}

void core_init_secrets(struct router *r)
{
	struct rng rng = r->config.rng;
	uint8_t seed[32];

	rng_fill(&rng, r->secret, sizeof r->secret);
	derive(r, r->table_key.b, sizeof r->table_key.b, ++r->n_nonces);
	derive(r, seed, sizeof seed, ++r->n_nonces);
	rng_init_bytes(&r->rng, seed);
}

struct nonce core_nonce(struct router *r)
{
	struct nonce n;

	derive(r, n.b, sizeof n.b, ++r->n_nonces);
	return n;
}

uint64_t core_wall(const struct router *r, nsec now)
{
	nsec since = now > r->wall_at ? now - r->wall_at : 0;

	return r->wall_ms + since / NS_PER_MS;
}

bool core_is_self(const struct router *r, const struct node_id *id)
{
	return id_equal(id, &r->config.self.id);
}

bool core_is_fresh(const struct router *r, uint64_t issued_ms, nsec now)
{
	uint64_t wall = core_wall(r, now);
	uint64_t apart = wall > issued_ms ? wall - issued_ms : issued_ms - wall;

	return apart < CLOCK_SKEW_MS;
}

bool core_take_verify(struct router *r, nsec now)
{
	struct verify_quota *v =
		r->charged != NULL ? &r->charged->verify : &r->own_verify;

	if (bucket_take(&v->own, now))
		return true;
	if (!bucket_take(&v->share, now)) {
		r->n.n_verify_rate_peer++;
		return false;
	}
	if (bucket_take(&r->verify, now))
		return true;
	r->n.n_verify_rate++;
	return false;
}

enum signed_verdict core_verify(struct router *r, const uint8_t sig[SIG_LEN],
				const struct node_id *who,
				enum sign_purpose purpose, const void *payload,
				size_t len, nsec now)
{
	const struct identity *id = keyring_find(r, who, now);

	if (id == NULL)
		return SIGNED_BAD;
	if (!core_take_verify(r, now))
		return SIGNED_RATE;
	r->n.n_verify++;
	return r->config.crypto->verify(sig, &id->key, purpose, &r->config.ca,
					payload, len)
		       ? SIGNED_OK
		       : SIGNED_BAD;
}

enum signed_verdict core_verify_route(struct router *r,
				      const struct route_proof *p, size_t first,
				      nsec now)
{
	uint8_t digest[HASH_LEN];
	enum signed_verdict v;

	v = core_verify(r, p->sig_target, &p->target, SIGN_ANSWER_TARGET,
			p->body, p->body_len, now);
	route_proof_digest(digest, p);
	for (size_t i = first; v == SIGNED_OK && i + 1 < p->hops.n; i++)
		v = core_verify(r, p->sigs[i], &p->hops.hop[i].id,
				SIGN_ANSWER_HOP, digest, sizeof digest, now);
	return v;
}

void core_sign(const struct router *r, uint8_t sig[SIG_LEN],
	       enum sign_purpose purpose, const void *payload, size_t len)
{
	r->config.crypto->sign(sig, r->config.key, purpose, &r->config.ca,
			       payload, len);
}

struct msg *core_send(struct router *r, session_no s, enum msg_type type)
{
	r->n.n_sent[type]++;
	return outbox_add(&r->out, s, type);
}

struct msg_nak *core_send_nak(struct router *r, session_no s,
			      const struct node_id *origin,
			      const struct nonce *nonce, uint8_t tree,
			      enum nak_code code)
{
	struct msg_nak *n = &core_send(r, s, MSG_NAK)->nak;

	*n = (struct msg_nak){
		.origin = *origin,
		.nonce = *nonce,
		.tree = tree,
		.code = code,
	};
	return n;
}
