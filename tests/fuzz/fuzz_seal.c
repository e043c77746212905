/* Packets beside QUIC, to a receiver of a known secret.  A letter, how many
 * numbers a key serves, then packets as they are, each behind its length, or a
 * script that has packets sealed, lost, turned round, copied and spoilt. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "node/quic/protect.h"
#include "node/quic/quic_seen.h"
#include "node/quic/seal.h"
#include "proto/base/be.h"
#include "proto/base/mem.h"
#include "tests/support/check.h"

enum {
	PACKETS_MAX = 4096,
	TEXT_MAX = 40,
	STEP_BYTES = 4,
	RUN_MAX = 32,
};

static const uint64_t key_packets[] = { 4, 1, 600, SEAL_KEY_PACKETS };

static struct seal *seal_of(bool is_client, uint8_t key)
{
	static struct protect *protect;
	uint8_t secret[SEAL_SECRET_BYTES];
	char why[256];

	if (protect == NULL)
		check(protect_new(&protect, PROTECT_GNUTLS, why, sizeof why) ==
		      0);
	for (size_t i = 0; i < sizeof secret; i++)
		secret[i] = (uint8_t)i;
	return seal_new(protect, secret, is_client,
			key_packets[key % ARRAY_LEN(key_packets)]);
}

/* Of exact allocations, so that the sanitizer sees a byte too far. */
static enum seal_verdict take(struct seal *s, uint8_t *text, size_t *n_text,
			      const uint8_t *data, size_t len)
{
	size_t room = len > 0 ? len : 1, n = SIZE_MAX;
	uint8_t *packet = mem_calloc(room, 1), *out = mem_calloc(room, 1);
	enum seal_verdict v;

	memcpy(packet, data, len);
	v = seal_read(s, out, &n, packet, len);
	check((v == SEAL_SHORT) == (len <= SEAL_OVERHEAD));
	check(n == (v == SEAL_OK ? len - SEAL_OVERHEAD : SIZE_MAX));
	if (v == SEAL_OK && text != NULL) {
		memcpy(text, out, n);
		*n_text = n;
	}
	free(packet);
	free(out);
	return v;
}

/* ---- packets as they are ---- */

static void take_packet(struct seal *s, const uint8_t *data, size_t len)
{
	enum seal_verdict v;

	check(seal_is(data, len) == (len > 0 && data[0] == SEAL_TYPE));
	v = take(s, NULL, NULL, data, len);
	if (v == SEAL_OK)
		check(seal_is(data, len));
	/* The second time it is no better. */
	check(take(s, NULL, NULL, data, len) == (v == SEAL_OK ? SEAL_SEEN : v));
	if (len >= SEAL_HEADER_BYTES)
		check(seal_to(data) == be32_get(data + 1));
}

static void fuzz_packets(uint8_t key, const uint8_t *data, size_t len)
{
	struct seal *s = seal_of(false, key);

	while (len >= 2) {
		size_t n = be16_get(data);

		data += 2;
		len -= 2;
		n = n < len ? n : len;
		take_packet(s, data, n);
		data += n;
		len -= n;
	}
	seal_free(s);
}

/* ---- a script ---- */

struct sealed {
	uint8_t data[TEXT_MAX + SEAL_OVERHEAD];
	size_t len;
	bool is_taken;
};

/* What is sent, and what the receiver has to make of it. */
struct line {
	struct seal *tx, *rx;
	uint64_t key_packets, next_key, next;
	struct sealed sent[PACKETS_MAX];
	size_t n_sent;
};

static void text_of(uint8_t text[TEXT_MAX], size_t number)
{
	for (size_t i = 0; i < TEXT_MAX; i++)
		text[i] = (uint8_t)(number * 31 + i);
}

static void send_one(struct line *l, size_t len)
{
	struct sealed *p;
	uint32_t to = (uint32_t)(l->n_sent * 0x01010101);

	if (l->n_sent == PACKETS_MAX)
		return;
	p = &l->sent[l->n_sent];
	p->is_taken = false;
	text_of(p->data + SEAL_HEADER_BYTES, l->n_sent);
	p->len = seal_write(l->tx, p->data, len, to);
	check(p->len == len + SEAL_OVERHEAD);
	check(seal_is(p->data, p->len) && seal_to(p->data) == to);
	l->n_sent++;
}

/* As the header has it. */
static enum seal_verdict expect(struct line *l, size_t number)
{
	uint64_t key = number / l->key_packets;

	if (key > l->next_key || key + 2 < l->next_key)
		return SEAL_FORGED;
	if (key == l->next_key)
		l->next_key++;
	if (l->sent[number].is_taken || number + QUIC_SEEN_PACKETS < l->next)
		return SEAL_SEEN;
	l->sent[number].is_taken = true;
	if (number >= l->next)
		l->next = number + 1;
	return SEAL_OK;
}

static void deliver(struct line *l, size_t number)
{
	const struct sealed *p = &l->sent[number];
	uint8_t text[TEXT_MAX + SEAL_OVERHEAD], want[TEXT_MAX];
	enum seal_verdict v = expect(l, number);
	size_t n;

	check(take(l->rx, text, &n, p->data, p->len) == v);
	if (v != SEAL_OK)
		return;
	text_of(want, number);
	check(memcmp(text, want, n) == 0);
}

static void deliver_spoilt(struct line *l, size_t number, uint8_t at,
			   uint8_t by)
{
	struct sealed p = l->sent[number];

	if (by == 0)
		return;
	p.data[at % p.len] ^= by;
	check(take(l->rx, NULL, NULL, p.data, p.len) == SEAL_FORGED);
}

static void deliver_resized(struct line *l, size_t number, uint8_t len,
			    uint8_t fill)
{
	struct sealed p = l->sent[number];

	memset(p.data + p.len, fill, sizeof p.data - p.len);
	len %= sizeof p.data + 1;
	if (len == p.len)
		return;
	check(take(l->rx, NULL, NULL, p.data, len) ==
	      (len <= SEAL_OVERHEAD ? SEAL_SHORT : SEAL_FORGED));
}

/* So many before the last one. */
static size_t back(const struct line *l, size_t n)
{
	return l->n_sent - 1 - n % l->n_sent;
}

static void deliver_run(struct line *l, size_t from, size_t n, bool is_upward)
{
	for (size_t i = 0; i <= n; i++)
		deliver(l, back(l, is_upward ? from + n - i : from + i));
}

static void step(struct line *l, const uint8_t *b)
{
	switch (b[0] % 5) {
	case 0:
		for (size_t i = 0; i <= b[1]; i++)
			send_one(l, 1 + b[2] % TEXT_MAX);
		break;
	case 1:
		deliver(l, back(l, be16_get(b + 1)));
		break;
	case 2:
		deliver_run(l, b[1], b[2] % RUN_MAX, b[3] % 2 == 0);
		break;
	case 3:
		deliver_spoilt(l, back(l, b[1]), b[2], b[3]);
		break;
	default:
		deliver_resized(l, back(l, b[1]), b[2], b[3]);
		break;
	}
}

static void fuzz_script(uint8_t key, const uint8_t *data, size_t len)
{
	static struct line l;

	l.tx = seal_of(true, key);
	l.rx = seal_of(false, key);
	l.key_packets = key_packets[key % ARRAY_LEN(key_packets)];
	l.next_key = l.next = l.n_sent = 0;
	send_one(&l, 1);
	for (; len >= STEP_BYTES; data += STEP_BYTES, len -= STEP_BYTES)
		step(&l, data);
	seal_free(l.tx);
	seal_free(l.rx);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	if (len < 2)
		return 0;
	if (data[0] == 'p')
		fuzz_packets(data[1], data + 2, len - 2);
	else if (data[0] == 's')
		fuzz_script(data[1], data + 2, len - 2);
	return 0;
}
