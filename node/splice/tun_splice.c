#include "node/splice/tun_splice.h"

#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include <utlist.h>

#include "discovery/keyed_hash.h"
#include "proto/base/be.h"
#include "proto/base/mem.h"
#include "proto/limits.h"

enum {
	IP6_BYTES = 40, /* RFC 8200 3 */
	IP6_LENGTH_AT = 4,
	IP6_NEXT_AT = 6,
	IP6_HOP_LIMIT_AT = 7,
	IP6_SRC_AT = 8,
	IP6_DST_AT = 24,
	IP6_ADDR_BYTES = 16,
	TCP_AT = IP6_BYTES,
	TCP_BYTES = 20, /* RFC 9293 3.1 */
	TCP_SEQ_AT = 4,
	TCP_ACK_AT = 8,
	TCP_OFFSET_AT = 12,
	TCP_FLAGS_AT = 13,
	TCP_SUM_AT = 16,
	TCP_FIN = 0x01,
	TCP_SYN = 0x02,
	TCP_RST = 0x04,
	TCP_ACK = 0x10,
	OPTION_END = 0,
	OPTION_NOTHING = 1,
	OPTION_MD5 = 19, /* RFC 2385, RFC 5925: sign the addresses */
	OPTION_AO = 29,
	HOP_LIMIT = 64,
	PORT_TRIES = 64,
	PORT_MIN = 1024,
};

/* Of a conversation of our kernel, as it sees it. */
struct key {
	struct node_id peer;
	uint16_t our_port, their_port;
};

enum side {
	OUTER,
	INNER,
	SIDES
};

struct half {
	struct key key;
	UT_hash_handle hh;
	struct tun_splice_flow *flow;
	enum side side;
	bool has_ended; /* it has sent FIN */
};

struct share {
	struct node_id peer;
	size_t n; /* flows that are not over */
	UT_hash_handle hh;
};

struct tun_splice_flow {
	struct tun_splice_flow *prev, *next; /* once its owner has left */
	struct half half[SIDES];
	struct share *share; /* NULL: over */
	bool is_joined;
	bool has_owner;
	bool has_reset;
	nsec used;
	size_t n_syn; /* 0: it was not held */
	uint8_t syn[TUN_SPLICE_SYN_MAX];
};

struct tun_splice {
	struct half *halves;
	struct share *shares;
	struct tun_splice_flow *left; /* the kernel still delivers */
	struct tun_splice_flow *over; /* have ended; oldest first */
	uint16_t next_port;
	struct tun_splice_counts counts;
	uint8_t hash_key[HASH_KEY_BYTES];
};

/* ---- packets ---- */

/* The whole TCP header is there, directly behind that of IPv6. */
static bool is_tcp(const uint8_t *packet, size_t len)
{
	size_t n;

	if (len < TCP_AT + TCP_BYTES || packet[IP6_NEXT_AT] != IPPROTO_TCP)
		return false;
	n = (size_t)(packet[TCP_AT + TCP_OFFSET_AT] >> 4) * 4;
	return n >= TCP_BYTES && TCP_AT + n <= len;
}

static uint8_t flags_of(const uint8_t *packet)
{
	return packet[TCP_AT + TCP_FLAGS_AT] &
	       (TCP_FIN | TCP_SYN | TCP_RST | TCP_ACK);
}

/* Options that sign what is rewritten; malformed ones count as such. */
static bool has_signature(const uint8_t *packet, size_t len)
{
	size_t at = TCP_AT + TCP_BYTES;

	while (at < len && packet[at] != OPTION_END) {
		size_t n = 1;

		if (packet[at] == OPTION_MD5 || packet[at] == OPTION_AO)
			return true;
		if (packet[at] != OPTION_NOTHING) {
			n = at + 1 < len ? packet[at + 1] : 0;
			if (n < 2 || n > len - at)
				return true;
		}
		at += n;
	}
	return false;
}

/* A SYN with data (RFC 7413) goes as a packet: our socket would not take it. */
static bool can_begin(const uint8_t *packet, size_t len)
{
	size_t n = (size_t)(packet[TCP_AT + TCP_OFFSET_AT] >> 4) * 4;

	return flags_of(packet) == TCP_SYN && TCP_AT + n == len &&
	       len <= TUN_SPLICE_SYN_MAX && !has_signature(packet, len);
}

static struct key key_of(const struct node_id *peer, uint16_t our_port,
			 uint16_t their_port)
{
	return (struct key){ .peer = *peer,
			     .our_port = our_port,
			     .their_port = their_port };
}

static void swap_addresses(uint8_t *packet)
{
	uint8_t src[IP6_ADDR_BYTES];

	memcpy(src, packet + IP6_SRC_AT, sizeof src);
	memcpy(packet + IP6_SRC_AT, packet + IP6_DST_AT, sizeof src);
	memcpy(packet + IP6_DST_AT, src, sizeof src);
}

/* RFC 1624.  The addresses that change places leave the sum as it is. */
static void mend_checksum(uint8_t *tcp, uint16_t src, uint16_t dst)
{
	uint32_t sum = (uint16_t)~be16_get(tcp + TCP_SUM_AT);

	sum += (uint16_t)~be16_get(tcp) +
	       (uint32_t)(uint16_t)~be16_get(tcp + 2);
	sum += (uint32_t)src + dst;
	while (sum > UINT16_MAX)
		sum = (sum & UINT16_MAX) + (sum >> 16);
	be16_put(tcp + TCP_SUM_AT, ~sum & UINT16_MAX);
}

/* As if the far node had sent it to the conversation `to`. */
static void rewrite(uint8_t *packet, const struct key *to, bool is_partial)
{
	uint8_t *tcp = packet + TCP_AT;

	swap_addresses(packet);
	if (!is_partial)
		mend_checksum(tcp, to->their_port, to->our_port);
	be16_put(tcp, to->their_port);
	be16_put(tcp + 2, to->our_port);
}

/* ---- the table ---- */

static struct half *half_find(const struct tun_splice *t, const struct key *key)
{
	const uint8_t *hash_key = t->hash_key;
	struct half *h;

	HASH_FIND(hh, t->halves, key, sizeof *key, h);
	return h;
}

static void half_add(struct tun_splice *t, struct tun_splice_flow *f,
		     enum side side, const struct key *key)
{
	const uint8_t *hash_key = t->hash_key;
	struct half *h = &f->half[side];

	h->key = *key;
	h->flow = f;
	h->side = side;
	HASH_ADD(hh, t->halves, key, sizeof h->key, h);
}

static struct share *share_take(struct tun_splice *t,
				const struct node_id *peer)
{
	const uint8_t *hash_key = t->hash_key;
	struct share *s;

	HASH_FIND(hh, t->shares, peer, sizeof *peer, s);
	if (s == NULL) {
		s = mem_new(s);
		s->peer = *peer;
		HASH_ADD(hh, t->shares, peer, sizeof s->peer, s);
	}
	if (s->n >= SPLICE_PER_PEER_MAX)
		return NULL;
	s->n++;
	return s;
}

static void share_give(struct tun_splice *t, struct tun_splice_flow *f)
{
	struct share *s = f->share;

	f->share = NULL;
	if (s == NULL || --s->n > 0)
		return;
	HASH_DEL(t->shares, s);
	free(s);
}

void tun_splice_remove(struct tun_splice *t, struct tun_splice_flow *f)
{
	HASH_DEL(t->halves, &f->half[OUTER]);
	if (f->is_joined)
		HASH_DEL(t->halves, &f->half[INNER]);
	if (!f->has_owner && f->share == NULL)
		DL_DELETE(t->over, f);
	else if (!f->has_owner)
		DL_DELETE(t->left, f);
	share_give(t, f);
	t->counts.n_flows--;
	free(f);
}

/* False: all that there are may still be needed. */
static bool make_room(struct tun_splice *t)
{
	if (t->counts.n_flows < SPLICE_FLOWS_MAX)
		return true;
	if (t->over == NULL)
		return false;
	t->counts.n_evicted++;
	tun_splice_remove(t, t->over);
	return true;
}

/* One that is over gives way to a new one between the same ports. */
static bool is_free(struct tun_splice *t, const struct key *key)
{
	struct half *h = half_find(t, key);

	if (h != NULL && !h->flow->has_owner && h->flow->share == NULL) {
		tun_splice_remove(t, h->flow);
		h = NULL;
	}
	return h == NULL;
}

static struct tun_splice_flow *flow_new(struct tun_splice *t,
					const struct key *outer, nsec now)
{
	struct tun_splice_flow *f;
	struct share *share;

	if (!is_free(t, outer))
		return NULL;
	share = make_room(t) ? share_take(t, &outer->peer) : NULL;
	if (share == NULL) {
		t->counts.n_full++;
		return NULL;
	}
	f = mem_new(f);
	f->share = share;
	f->has_owner = true;
	f->used = now;
	half_add(t, f, OUTER, outer);
	t->counts.n_flows++;
	return f;
}

struct tun_splice_flow *tun_splice_hold(struct tun_splice *t,
					const struct node_id *peer,
					const uint8_t *syn, size_t len,
					nsec now)
{
	struct key key = key_of(peer, be16_get(syn + TCP_AT),
				be16_get(syn + TCP_AT + 2));
	struct tun_splice_flow *f = flow_new(t, &key, now);

	if (f == NULL)
		return NULL;
	memcpy(f->syn, syn, len);
	f->n_syn = len;
	return f;
}

struct tun_splice_flow *tun_splice_serve(struct tun_splice *t,
					 const struct node_id *peer,
					 uint16_t our_port, uint16_t their_port,
					 nsec now)
{
	struct key key = key_of(peer, our_port, their_port);

	return flow_new(t, &key, now);
}

/* Another one each time: our sockets leave conversations behind in TIME-WAIT,
 * and the kernel would not begin the same one again. */
uint16_t tun_splice_join(struct tun_splice *t, struct tun_splice_flow *f,
			 uint16_t our_port)
{
	for (int i = 0; i < PORT_TRIES; i++) {
		struct key key;

		if (++t->next_port < PORT_MIN)
			t->next_port = PORT_MIN;
		key = key_of(&f->half[OUTER].key.peer, our_port, t->next_port);
		if (!is_free(t, &key))
			continue;
		half_add(t, f, INNER, &key);
		f->is_joined = true;
		return t->next_port;
	}
	return 0;
}

static bool is_over(const struct tun_splice_flow *f)
{
	return f->has_reset || !f->is_joined ||
	       (f->half[OUTER].has_ended && f->half[INNER].has_ended);
}

static void become_over(struct tun_splice *t, struct tun_splice_flow *f)
{
	share_give(t, f);
	DL_APPEND(t->over, f);
}

void tun_splice_leave(struct tun_splice *t, struct tun_splice_flow *f, nsec now)
{
	f->has_owner = false;
	f->used = now;
	if (is_over(f))
		become_over(t, f);
	else
		DL_APPEND(t->left, f);
}

/* ---- packets of flows ---- */

static void note_end(struct tun_splice *t, struct half *h, uint8_t flags)
{
	struct tun_splice_flow *f = h->flow;

	if ((flags & (TCP_FIN | TCP_RST)) == 0)
		return;
	h->has_ended |= (flags & TCP_FIN) != 0;
	f->has_reset |= (flags & TCP_RST) != 0;
	if (!f->has_owner && f->share != NULL && is_over(f)) {
		DL_DELETE(t->left, f);
		become_over(t, f);
	}
}

static size_t let_in(const struct tun_splice_flow *f, uint8_t *packet)
{
	memcpy(packet, f->syn, f->n_syn);
	rewrite(packet, &f->half[INNER].key, false);
	return f->n_syn;
}

static enum tun_splice_verdict pass(struct tun_splice *t, struct half *h,
				    uint8_t *packet, size_t *len,
				    bool is_partial, nsec now)
{
	struct tun_splice_flow *f = h->flow;
	uint8_t flags = flags_of(packet);

	if (!f->is_joined) {
		t->counts.n_again++;
		return TUN_SPLICE_DROP;
	}
	f->used = now;
	t->counts.n_back++;
	if (h->side == INNER && flags == TCP_SYN && f->n_syn > 0) {
		*len = let_in(f, packet);
		return TUN_SPLICE_LETS_IN;
	}
	note_end(t, h, flags);
	rewrite(packet, &f->half[h->side == OUTER ? INNER : OUTER].key,
		is_partial);
	return TUN_SPLICE_BACK;
}

enum tun_splice_verdict tun_splice_out(struct tun_splice *t,
				       const struct node_id *peer,
				       uint8_t *packet, size_t *len,
				       bool is_partial, nsec now)
{
	struct half *h;
	struct key key;

	if (!is_tcp(packet, *len))
		return TUN_SPLICE_NONE;
	key = key_of(peer, be16_get(packet + TCP_AT),
		     be16_get(packet + TCP_AT + 2));
	h = half_find(t, &key);
	if (h != NULL && flags_of(packet) == TCP_SYN && is_free(t, &key))
		h = NULL;
	if (h != NULL)
		return pass(t, h, packet, len, is_partial, now);
	return can_begin(packet, *len) ? TUN_SPLICE_BEGINS : TUN_SPLICE_NONE;
}

bool tun_splice_claims(struct tun_splice *t, const struct node_id *peer,
		       const uint8_t *packet, size_t len)
{
	struct key key;

	if (t->halves == NULL || !is_tcp(packet, len))
		return false;
	key = key_of(peer, be16_get(packet + TCP_AT + 2),
		     be16_get(packet + TCP_AT));
	if (half_find(t, &key) == NULL)
		return false;
	t->counts.n_foreign++;
	return true;
}

bool tun_splice_turns(const struct tun_splice_flow *f, struct node_id *peer,
		      struct tun_splice_turn out[2])
{
	*peer = f->half[OUTER].key.peer;
	for (int side = OUTER; side < SIDES; side++) {
		const struct key *from = &f->half[side].key;
		const struct key *to = &f->half[!side].key;

		out[side] = (struct tun_splice_turn){
			.our_port = from->our_port,
			.their_port = from->their_port,
			.src_port = to->their_port,
			.dst_port = to->our_port,
		};
	}
	return f->is_joined;
}

/* ---- the SYN that is held ---- */

const uint8_t *tun_splice_syn(const struct tun_splice_flow *f, size_t *len)
{
	*len = f->n_syn;
	return f->syn;
}

static uint16_t checksum(const uint8_t *packet, size_t len)
{
	uint32_t sum = IPPROTO_TCP + (uint32_t)(len - TCP_AT);

	for (size_t i = IP6_SRC_AT; i + 1 < len; i += 2)
		sum += be16_get(packet + i);
	while (sum > UINT16_MAX)
		sum = (sum & UINT16_MAX) + (sum >> 16);
	return (uint16_t)~sum;
}

/* RFC 9293 3.10.7.1 */
size_t tun_splice_reset_write(uint8_t out[TUN_SPLICE_RESET_BYTES],
			      const struct tun_splice_flow *f)
{
	uint8_t *tcp = out + TCP_AT;
	uint32_t seq = be32_get(f->syn + TCP_AT + TCP_SEQ_AT);

	memset(out, 0, TUN_SPLICE_RESET_BYTES);
	memcpy(out, f->syn, TCP_AT);
	swap_addresses(out);
	be16_put(out + IP6_LENGTH_AT, TCP_BYTES);
	out[IP6_HOP_LIMIT_AT] = HOP_LIMIT;
	memcpy(tcp, f->syn + TCP_AT + 2, 2);
	memcpy(tcp + 2, f->syn + TCP_AT, 2);
	be32_put(tcp + TCP_ACK_AT, seq + 1);
	tcp[TCP_OFFSET_AT] = TCP_BYTES / 4 << 4;
	tcp[TCP_FLAGS_AT] = TCP_RST | TCP_ACK;
	be16_put(tcp + TCP_SUM_AT, checksum(out, TUN_SPLICE_RESET_BYTES));
	return TUN_SPLICE_RESET_BYTES;
}

/* ---- life ---- */

struct tun_splice *tun_splice_new(const uint8_t secret[16])
{
	struct tun_splice *t = mem_new(t);

	memcpy(t->hash_key, secret, sizeof t->hash_key);
	t->next_port = be16_get(secret);
	return t;
}

static void sweep(struct tun_splice *t, struct tun_splice_flow *list,
		  nsec patience, nsec now)
{
	struct tun_splice_flow *f, *next;

	DL_FOREACH_SAFE (list, f, next) {
		if (now - f->used >= patience)
			tun_splice_remove(t, f);
	}
}

void tun_splice_sweep(struct tun_splice *t, nsec now)
{
	sweep(t, t->over, TUN_SPLICE_OVER_NS, now);
	sweep(t, t->left, TUN_SPLICE_LEFT_NS, now);
}

void tun_splice_free(struct tun_splice *t)
{
	struct half *h;

	if (t == NULL)
		return;
	while ((h = t->halves) != NULL)
		tun_splice_remove(t, h->flow);
	free(t);
}

const struct tun_splice_counts *tun_splice_counts(const struct tun_splice *t)
{
	return &t->counts;
}
