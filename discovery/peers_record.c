#include "discovery/peers_record.h"

#include <string.h>
#include <utlist.h>

#include "discovery/peers_table.h"
#include "proto/base/buf.h"
#include "proto/base/text.h"
#include "proto/base/view.h"

/* protocol.md 8.4: version(8) error(8) saved_ms(64) first_seen_ms(64)
 * last_seen_ms(64) score(32) name_len(8) name chain_len(16) chain
 * n_endpoints(8), and for each: wire_len(8) wire source(8) score(32)
 * last_heard_ms(64) last_success_ms(64) last_failure_ms(64) */

static bool is_kept(const struct peer_endpoint *ep)
{
	const union endpoint *at = &ep->at;

	if (at->sa.sa_family == AF_INET6 &&
	    IN6_IS_ADDR_LINKLOCAL(&at->in6.sin6_addr))
		return false;
	return ep->source != ENDPOINT_STATIC || ep->last_success_ms != 0;
}

static void write_endpoint(struct buf *b, const struct peer_endpoint *ep,
			   nsec now)
{
	uint8_t wire[ENDPOINT_WIRE_MAX];
	size_t len = endpoint_write(wire, &ep->at);

	buf_u8(b, (uint8_t)len);
	buf_bytes(b, wire, len);
	/* What the configuration named has then shown to be right. */
	buf_u8(b, ep->source == ENDPOINT_STATIC ? ENDPOINT_SEEN
						: (uint8_t)ep->source);
	buf_be32(b, score_at(&ep->score, now));
	buf_be64(b, ep->last_heard_ms);
	buf_be64(b, ep->last_success_ms);
	buf_be64(b, ep->last_failure_ms);
}

size_t peers_record_write(const struct peers *p, const struct peer *peer,
			  uint8_t *out, size_t cap, nsec now)
{
	struct buf b = buf_of(out, cap);
	const char *name = peer->statics != NULL ? peer->statics->name : "";
	uint8_t *n;

	if (!peer->is_identified)
		return 0;
	buf_u8(&b, PEER_RECORD_VERSION);
	buf_u8(&b, peer->last_error);
	buf_be64(&b, peers_wall_ms(p, now));
	buf_be64(&b, peer->first_seen_ms);
	buf_be64(&b, peer->last_seen_ms);
	buf_be32(&b, score_at(&peer->score, now));
	buf_u8(&b, (uint8_t)strlen(name));
	buf_bytes(&b, name, strlen(name));
	buf_be16(&b, (uint16_t)peer->chain_len);
	buf_bytes(&b, peer->chain, peer->chain_len);
	n = buf_reserve(&b, 1);
	if (n == NULL)
		return 0;
	*n = 0;
	for (size_t i = 0; i < peer->n_endpoints; i++) {
		if (!is_kept(&peer->endpoints[i]))
			continue;
		write_endpoint(&b, &peer->endpoints[i], now);
		++*n;
	}
	return b.bad ? 0 : b.len;
}

static bool parse_endpoint(struct peer_record *r, size_t i, struct view *v)
{
	size_t len = view_u8(v);
	const uint8_t *wire = view_bytes(v, len);
	uint8_t source = view_u8(v);

	r->endpoints[i].score = view_be32(v);
	r->endpoints[i].last_heard_ms = view_be64(v);
	r->endpoints[i].last_success_ms = view_be64(v);
	r->endpoints[i].last_failure_ms = view_be64(v);
	if (v->bad || source >= ENDPOINT_SOURCES || source == ENDPOINT_STATIC)
		return false;
	r->endpoints[i].source = (enum endpoint_source)source;
	return endpoint_read(&r->endpoints[i].at, wire, len);
}

static bool parse_name(struct peer_record *r, struct view *v)
{
	size_t len = view_u8(v);

	if (len > NAME_BYTES_MAX)
		return false;
	view_copy(v, r->name, len);
	r->name[len] = '\0';
	return strlen(r->name) == len;
}

bool peers_record_parse(struct peer_record *out, const uint8_t *data,
			size_t len)
{
	struct view v = view_of(data, len);
	struct peer_record r = { 0 };

	if (view_u8(&v) != PEER_RECORD_VERSION)
		return false;
	r.last_error = view_u8(&v);
	r.saved_ms = view_be64(&v);
	r.first_seen_ms = view_be64(&v);
	r.last_seen_ms = view_be64(&v);
	r.score = view_be32(&v);
	if (!parse_name(&r, &v))
		return false;
	r.chain_len = view_be16(&v);
	r.chain = view_bytes(&v, r.chain_len);
	r.n_endpoints = view_u8(&v);
	if (v.bad || r.chain_len == 0 || r.chain_len > CHAIN_BYTES_MAX ||
	    r.n_endpoints > ENDPOINTS_PER_PEER_MAX)
		return false;
	for (size_t i = 0; i < r.n_endpoints; i++)
		if (!parse_endpoint(&r, i, &v))
			return false;
	if (view_left(&v) != 0)
		return false;
	*out = r;
	return true;
}

/* ---- loading ---- */

/* The section that this peer had is most likely its own again; if not, the
 * first session to its address corrects it. */
static void claim_section(struct peers *p, const char *name, struct entry *to,
			  nsec now)
{
	struct entry *e, *tmp;

	HASH_ITER (hh_no, p->by_no, e, tmp) {
		struct peer_static *s = e->peer.statics;

		if (e->peer.has_id || s == NULL || strcmp(s->name, name) != 0)
			continue;
		static_move(p, e, s, to, now);
		return;
	}
}

static void load_endpoint(struct peers *p, struct entry *e,
			  const struct peer_record *r, size_t i, nsec age,
			  nsec now)
{
	struct peer_endpoint *ep = entry_endpoint_add(
		p, e, &r->endpoints[i].at, r->endpoints[i].source, now);

	if (ep == NULL)
		return;
	score_restore(&ep->score, r->endpoints[i].score, age, now);
	ep->last_heard_ms = r->endpoints[i].last_heard_ms;
	ep->last_success_ms = r->endpoints[i].last_success_ms;
	ep->last_failure_ms = r->endpoints[i].last_failure_ms;
}

enum peers_verdict peers_load(struct peers *p, const struct peer_record *r,
			      const struct identity *who, nsec now)
{
	uint64_t now_ms = peers_wall_ms(p, now);
	uint64_t age_ms = now_ms > r->saved_ms ? now_ms - r->saved_ms : 0;
	nsec age = age_ms < TIME_NEVER / NS_PER_MS ? age_ms * NS_PER_MS
						   : TIME_NEVER;
	enum peers_verdict v =
		peers_handle_identity(p, who, r->chain, r->chain_len, now);
	struct entry *e = entry_find(p, &who->id);

	if (v != PEERS_OK)
		return v;
	score_restore(&e->peer.score, r->score, age, now);
	e->peer.last_error = r->last_error;
	e->peer.first_seen_ms = r->first_seen_ms;
	e->peer.last_seen_ms = r->last_seen_ms;
	if (r->name[0] != '\0')
		claim_section(p, r->name, e, now);
	for (size_t i = 0; i < r->n_endpoints; i++)
		load_endpoint(p, e, r, i, age, now);
	/* It came from the database: nothing to write. */
	entry_saved(p, e);
	return PEERS_OK;
}
