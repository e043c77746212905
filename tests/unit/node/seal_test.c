/* Packets beside QUIC: they are what protocol.md 2.9 says, both ways and
 * between backends; what was tampered with, copied or held back too long is
 * refused and leaves no trace; keys follow one another. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <gnutls/crypto.h>
#include <sodium.h>

#include "node/quic/protect_ops.h"
#include "node/quic/quic_seen.h"
#include "node/quic/seal.h"
#include "node/io/udp.h"
#include "proto/base/mem.h"
#include "proto/base/rng.h"
#include "tests/support/protect_all.h"

enum {
	TEXT_MAX = UDP_PAYLOAD_MAX - SEAL_OVERHEAD,
	/* Of a key, where they change. */
	FEW = 4,
	TO = 0x10203,
};

static struct protect *backends[PROTECT_CHOICES];
static size_t n_backends;
static uint8_t secret[SEAL_SECRET_BYTES];
static const uint8_t hello[] = "who goes there";

static int open_backends(void **state)
{
	struct rng rng;

	(void)state;
	rng_init(&rng, 29);
	rng_fill(&rng, secret, sizeof secret);
	n_backends = protect_open_all(backends);
	return n_backends == 0;
}

static int close_backends(void **state)
{
	(void)state;
	for (size_t i = 0; i < n_backends; i++)
		protect_free(backends[i]);
	return 0;
}

/* ---- two ends ---- */

struct ends {
	struct seal *client, *server;
};

static struct ends ends_of(size_t client, size_t server, uint64_t key_packets)
{
	return (struct ends){
		seal_new(backends[client], secret, true, key_packets),
		seal_new(backends[server], secret, false, key_packets),
	};
}

static struct ends ends_new(uint64_t key_packets)
{
	return ends_of(0, n_backends - 1, key_packets);
}

static void ends_free(struct ends *e)
{
	seal_free(e->client);
	seal_free(e->server);
}

struct sealed {
	uint8_t data[UDP_PAYLOAD_MAX];
	size_t len;
};

static void seal_text(struct sealed *out, struct seal *by, const uint8_t *text,
		      size_t len, uint32_t to)
{
	memcpy(out->data + SEAL_HEADER_BYTES, text, len);
	out->len = seal_write(by, out->data, len, to);
	assert_int_equal(out->len, len + SEAL_OVERHEAD);
}

/* The first packets of `by`, whose texts are their numbers. */
static void seal_many(struct sealed *out, size_t n, struct seal *by)
{
	for (size_t i = 0; i < n; i++)
		seal_text(&out[i], by, (const uint8_t *)&i, sizeof i, TO);
}

/* Packet and room end where the header of the module says, so that the
 * sanitizer sees a byte too far. */
static void is_read(struct seal *by, const struct sealed *p,
		    enum seal_verdict want, const uint8_t *text, size_t len)
{
	size_t room = p->len > 0 ? p->len : 1, n = SIZE_MAX;
	uint8_t *packet = mem_calloc(room, 1), *out = mem_calloc(room, 1);

	memcpy(packet, p->data, p->len);
	assert_int_equal(seal_read(by, out, &n, packet, p->len), want);
	assert_int_equal(n, len);
	if (want == SEAL_OK)
		assert_memory_equal(out, text, len);
	free(packet);
	free(out);
}

static void is_opened(struct seal *by, const struct sealed *p,
		      const uint8_t *text, size_t len)
{
	is_read(by, p, SEAL_OK, text, len);
}

/* And no length is told. */
static void is_refused(struct seal *by, const struct sealed *p,
		       enum seal_verdict want)
{
	is_read(by, p, want, NULL, SIZE_MAX);
}

/* Of seal_many(). */
static void are_taken(struct seal *by, const struct sealed *packets,
		      size_t from, size_t to)
{
	for (size_t i = from; i <= to; i++)
		is_opened(by, &packets[i], (const uint8_t *)&i, sizeof i);
}

static void is_taken(struct seal *by, const struct sealed *packets,
		     size_t number)
{
	are_taken(by, packets, number, number);
}

/* ---- the scheme of the document, by other means ---- */

static void number_put(uint8_t *last, uint64_t number)
{
	for (size_t i = 0; i < 7; i++)
		last[-(ptrdiff_t)i] ^= (uint8_t)(number >> 8 * i);
}

/* Under the key that `n_before` came before. */
static void seal_by_hand(struct sealed *out, bool is_client, uint64_t n_before,
			 uint64_t number, uint32_t to, const uint8_t *text,
			 size_t len)
{
	uint8_t chain[32], next[32], material[28], *iv = material + 16;
	const gnutls_datum_t key = { material, 16 };
	size_t n = len + 16;
	gnutls_aead_cipher_hd_t aead;

	memcpy(chain, secret + (is_client ? 0 : 32), 32);
	for (uint64_t i = 0; i < n_before; i++) {
		crypto_kdf_derive_from_key(next, 32, 1, "qanatpkt", chain);
		memcpy(chain, next, 32);
	}
	crypto_kdf_derive_from_key(material, 28, 2, "qanatpkt", chain);
	number_put(iv + 11, number);
	memset(out->data, 0, 12);
	out->data[0] = 1;
	for (size_t i = 0; i < 4; i++)
		out->data[1 + i] = (uint8_t)(to >> (24 - 8 * i));
	number_put(out->data + 11, number);
	assert_false(gnutls_aead_cipher_init(&aead, GNUTLS_CIPHER_AES_128_GCM,
					     &key));
	assert_false(gnutls_aead_cipher_encrypt(aead, iv, 12, out->data, 12, 16,
						text, len, out->data + 12, &n));
	gnutls_aead_cipher_deinit(aead);
	out->len = 12 + n;
}

static void packets_are_those_of_the_document(void **state)
{
	const uint64_t key_packets = 70, keys = 4; /* 280 numbers: two bytes */
	struct sealed got, want;
	uint8_t text[300];
	struct rng rng;

	(void)state;
	rng_init(&rng, 1);
	for (size_t b = 0; b < 2 * n_backends; b++) {
		bool is_client = b % 2 == 0;
		struct seal *s = seal_new(backends[b / 2], secret, is_client,
					  key_packets);

		for (uint64_t i = 0; i < keys * key_packets; i++) {
			uint32_t to = (uint32_t)rng_u64(&rng);

			rng_fill(&rng, text, sizeof text);
			seal_text(&got, s, text, 1 + i, to);
			seal_by_hand(&want, is_client, i / key_packets, i, to,
				     text, 1 + i);
			assert_int_equal(got.len, want.len);
			assert_memory_equal(got.data, want.data, want.len);
		}
		seal_free(s);
	}
}

static void all_of_the_number_is_read(void **state)
{
	struct sealed p;

	(void)state;
	for (size_t b = 0; b < n_backends; b++) {
		struct seal *s =
			seal_new(backends[b], secret, false, UINT64_C(1) << 56);

		for (int i = 6; i >= 0; i--) {
			seal_by_hand(&p, true, 0, 0xa9a8a7a6a5a4a3 >> 8 * i, TO,
				     hello, sizeof hello);
			is_opened(s, &p, hello, sizeof hello);
			is_refused(s, &p, SEAL_SEEN);
		}
		seal_free(s);
	}
}

/* ---- both ways ---- */

static void every_backend_opens_what_every_other_seals(void **state)
{
	struct sealed p;
	uint8_t text[TEXT_MAX];
	struct rng rng;

	(void)state;
	assert_int_equal(SEAL_OVERHEAD, 12 + 16);
	rng_init(&rng, 2);
	rng_fill(&rng, text, sizeof text);
	for (size_t i = 0; i < n_backends * n_backends; i++) {
		struct ends e = ends_of(i / n_backends, i % n_backends,
					SEAL_KEY_PACKETS);

		for (size_t len = 1; len <= TEXT_MAX; len++) {
			text[0] = (uint8_t)len;
			seal_text(&p, e.client, text, len, 1);
			is_opened(e.server, &p, text, len);
			text[0] ^= 0x80;
			seal_text(&p, e.server, text, len, 2);
			is_opened(e.client, &p, text, len);
		}
		ends_free(&e);
	}
}

static void the_header_says_what_it_is_and_for_whom(void **state)
{
	static const uint32_t to[] = { 0, 1, 0x1020304, 0x80000000,
				       UINT32_MAX };
	struct ends e = ends_new(SEAL_KEY_PACKETS);
	struct sealed p;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(to); i++) {
		seal_text(&p, e.client, hello, sizeof hello, to[i]);
		assert_true(seal_is(p.data, p.len));
		assert_int_equal(seal_to(p.data), to[i]);
	}
	for (int type = 0; type < 256; type++) {
		p.data[0] = (uint8_t)type;
		assert_int_equal(seal_is(p.data, p.len), type == 1);
		assert_int_equal(seal_is(p.data, 1), type == 1);
		assert_false(seal_is(p.data, 0));
	}
	ends_free(&e);
}

/* ---- what is refused ---- */

static void flip_each_bit(struct seal *by, const struct sealed *true_packet)
{
	struct sealed p = *true_packet;

	for (size_t bit = 0; bit < 8 * p.len; bit++) {
		p.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
		is_refused(by, &p, SEAL_FORGED);
		p.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
}

/* Not the number it claims to have, nor any other, and no key. */
static void what_was_tampered_with_leaves_no_trace(void **state)
{
	static const uint64_t key_packets[] = { FEW, SEAL_KEY_PACKETS };
	static struct sealed packets[16];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(key_packets) * n_backends; i++) {
		struct ends e =
			ends_of(0, i / ARRAY_LEN(key_packets),
				key_packets[i % ARRAY_LEN(key_packets)]);

		seal_many(packets, 16, e.client);
		flip_each_bit(e.server, &packets[0]);
		are_taken(e.server, packets, 0, 3);
		/* 4, 7, 1, 13, 21... */
		flip_each_bit(e.server, &packets[5]);
		are_taken(e.server, packets, 4, 5);
		flip_each_bit(e.server, &packets[5]);
		are_taken(e.server, packets, 6, 15);
		ends_free(&e);
	}
}

static void no_other_length_opens(void **state)
{
	struct ends e = ends_new(SEAL_KEY_PACKETS);
	struct sealed whole, p;

	(void)state;
	seal_text(&p, e.client, hello, 0, TO);
	is_refused(e.server, &p, SEAL_SHORT);
	seal_text(&whole, e.client, hello, sizeof hello, TO);
	p = whole;
	for (p.len = 0; p.len <= SEAL_OVERHEAD; p.len++)
		is_refused(e.server, &p, SEAL_SHORT);
	for (; p.len < whole.len + 40; p.len++)
		if (p.len != whole.len)
			is_refused(e.server, &p, SEAL_FORGED);
	is_opened(e.server, &whole, hello, sizeof hello);
	ends_free(&e);
}

static void a_copy_is_seen(void **state)
{
	static struct sealed packets[3 * FEW];
	struct ends e = ends_new(FEW);

	(void)state;
	seal_many(packets, ARRAY_LEN(packets), e.client);
	for (size_t i = 0; i < ARRAY_LEN(packets); i++) {
		is_taken(e.server, packets, i);
		is_refused(e.server, &packets[i], SEAL_SEEN);
		is_refused(e.server, &packets[i], SEAL_SEEN);
		is_refused(e.server, &packets[i < FEW ? 0 : i - FEW],
			   SEAL_SEEN);
	}
	ends_free(&e);
}

static void late_ones_are_taken_as_far_as_the_window_goes(void **state)
{
	static struct sealed packets[QUIC_SEEN_PACKETS + 2];
	const size_t top = ARRAY_LEN(packets) - 1;
	struct ends e = ends_new(SEAL_KEY_PACKETS);

	(void)state;
	seal_many(packets, ARRAY_LEN(packets), e.client);
	is_taken(e.server, packets, top - 1);
	is_refused(e.server, &packets[0], SEAL_SEEN);
	is_taken(e.server, packets, 1);
	for (size_t i = top - 2; i > 2; i--)
		is_taken(e.server, packets, i);
	is_taken(e.server, packets, top);
	is_taken(e.server, packets, 2);
	for (size_t i = 0; i < ARRAY_LEN(packets); i++)
		is_refused(e.server, &packets[i], SEAL_SEEN);
	ends_free(&e);
}

static void one_s_own_packets_do_not_open(void **state)
{
	struct ends e = ends_new(SEAL_KEY_PACKETS);
	struct sealed a, b;

	(void)state;
	seal_text(&a, e.client, hello, sizeof hello, TO);
	seal_text(&b, e.server, hello, sizeof hello, TO);
	assert_memory_not_equal(a.data + SEAL_HEADER_BYTES,
				b.data + SEAL_HEADER_BYTES, sizeof hello);
	is_refused(e.client, &a, SEAL_FORGED);
	is_refused(e.server, &b, SEAL_FORGED);
	is_opened(e.server, &a, hello, sizeof hello);
	is_opened(e.client, &b, hello, sizeof hello);
	ends_free(&e);
}

/* The halves of the secret are each for one direction. */
static void another_secret_opens_nothing(void **state)
{
	struct sealed a, b;

	(void)state;
	for (size_t i = 0; i < sizeof secret; i++) {
		struct ends e = ends_new(SEAL_KEY_PACKETS);
		bool is_first = i < sizeof secret / 2;

		seal_free(e.server);
		secret[i] ^= 1;
		e.server =
			seal_new(backends[0], secret, false, SEAL_KEY_PACKETS);
		secret[i] ^= 1;
		seal_text(&a, e.client, hello, sizeof hello, TO);
		seal_text(&b, e.server, hello, sizeof hello, TO);
		is_refused(is_first ? e.server : e.client, is_first ? &a : &b,
			   SEAL_FORGED);
		is_opened(is_first ? e.client : e.server, is_first ? &b : &a,
			  hello, sizeof hello);
		ends_free(&e);
	}
}

static void equal_texts_make_different_packets(void **state)
{
	struct ends e = ends_new(SEAL_KEY_PACKETS);
	struct sealed a, b;

	(void)state;
	seal_text(&a, e.client, hello, sizeof hello, TO);
	seal_text(&b, e.client, hello, sizeof hello, TO);
	assert_memory_not_equal(a.data + SEAL_HEADER_BYTES,
				b.data + SEAL_HEADER_BYTES, sizeof hello);
	ends_free(&e);
}

/* ---- keys ---- */

static void keys_follow_one_another_both_ways(void **state)
{
	static struct sealed packets[50 * FEW];
	const size_t n = ARRAY_LEN(packets);

	(void)state;
	for (size_t i = 0; i < n_backends * n_backends; i++) {
		struct ends e = ends_of(i / n_backends, i % n_backends, FEW);

		seal_many(packets, n, e.client);
		are_taken(e.server, packets, 0, n - 1);
		seal_many(packets, n, e.server);
		are_taken(e.client, packets, 0, n - 1);
		ends_free(&e);
	}
}

static void the_key_before_still_opens_and_none_older(void **state)
{
	static struct sealed packets[4 * FEW];
	struct ends e = ends_new(FEW);

	(void)state;
	seal_many(packets, ARRAY_LEN(packets), e.client);
	are_taken(e.server, packets, 0, 1);
	is_taken(e.server, packets, FEW); /* the second key */
	is_taken(e.server, packets, 2);
	is_taken(e.server, packets, FEW + 1);
	is_taken(e.server, packets, 2 * FEW); /* the third one */
	is_refused(e.server, &packets[3], SEAL_FORGED);
	is_refused(e.server, &packets[0], SEAL_FORGED);
	is_refused(e.server, &packets[FEW], SEAL_SEEN);
	are_taken(e.server, packets, FEW + 2, 2 * FEW - 2);
	is_taken(e.server, packets, 3 * FEW); /* the fourth one */
	is_refused(e.server, &packets[2 * FEW - 1], SEAL_FORGED);
	are_taken(e.server, packets, 2 * FEW + 1, 3 * FEW - 1);
	ends_free(&e);
}

static void only_the_next_key_can_be_jumped_to(void **state)
{
	static struct sealed packets[6 * FEW];
	struct ends e = ends_new(FEW);

	(void)state;
	seal_many(packets, ARRAY_LEN(packets), e.client);
	/* Before the first packet that is the first key. */
	is_refused(e.server, &packets[FEW], SEAL_FORGED);
	is_taken(e.server, packets, 0);
	is_refused(e.server, &packets[2 * FEW], SEAL_FORGED);
	is_refused(e.server, &packets[5 * FEW], SEAL_FORGED);
	is_taken(e.server, packets, 2 * FEW - 1);
	is_refused(e.server, &packets[3 * FEW], SEAL_FORGED);
	is_taken(e.server, packets, 2 * FEW);
	is_taken(e.server, packets, 4 * FEW - 1);
	is_refused(e.server, &packets[5 * FEW], SEAL_FORGED);
	ends_free(&e);
}

/* Had it, then the key two ahead would be the next one. */
static void a_forged_packet_does_not_change_the_key(void **state)
{
	static struct sealed packets[3 * FEW];
	struct ends e = ends_new(FEW);
	struct sealed forged;

	(void)state;
	seal_many(packets, ARRAY_LEN(packets), e.client);
	is_taken(e.server, packets, 0);
	forged = packets[FEW];
	forged.data[forged.len - 1] ^= 1;
	for (int again = 0; again < 3; again++) {
		is_refused(e.server, &forged, SEAL_FORGED);
		is_refused(e.server, &packets[2 * FEW], SEAL_FORGED);
	}
	are_taken(e.server, packets, 1, FEW);
	is_taken(e.server, packets, 2 * FEW);
	ends_free(&e);
}

static void a_number_has_one_key_only(void **state)
{
	static struct sealed packets[3 * FEW + 1];
	struct ends e = ends_new(FEW);
	struct sealed p;

	(void)state;
	seal_many(packets, ARRAY_LEN(packets), e.client);
	for (size_t i = 0; i < 3; i++)
		is_taken(e.server, packets, i * FEW);
	for (size_t key = 0; key < 6; key++) {
		for (size_t other = 0; other < 6; other++) {
			seal_by_hand(&p, true, key, other * FEW + 1, TO, hello,
				     sizeof hello);
			if (other != key)
				is_refused(e.server, &p, SEAL_FORGED);
		}
	}
	are_taken(e.server, packets, FEW + 1, 2 * FEW - 1);
	are_taken(e.server, packets, 2 * FEW + 1, 3 * FEW);
	ends_free(&e);
}

/* ---- a backend that is out of order ---- */

static bool has_no_keys;

static struct protect_key *key_or_none(const struct protect *p,
				       enum protect_use use, const uint8_t *key,
				       size_t len)
{
	(void)p;
	return has_no_keys
		       ? NULL
		       : backends[0]->ops->key_new(backends[0], use, key, len);
}

static void a_missing_key_is_asked_for_again(void **state)
{
	const struct protect_ops ops = { .key_new = key_or_none };
	const struct protect p = { &ops };
	static struct sealed packets[2 * FEW];
	struct ends e = { seal_new(&p, secret, true, FEW),
			  seal_new(&p, secret, false, FEW) };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(packets); i++) {
		has_no_keys = i % FEW == 0;
		if (has_no_keys)
			assert_false(
				seal_write(e.client, packets[i].data, 1, TO));
		has_no_keys = false;
		seal_text(&packets[i], e.client, (const uint8_t *)&i, sizeof i,
			  TO);
		has_no_keys = i % FEW == 0;
		if (has_no_keys)
			is_refused(e.server, &packets[i], SEAL_FORGED);
		has_no_keys = false;
		is_taken(e.server, packets, i);
	}
	ends_free(&e);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(packets_are_those_of_the_document),
		cmocka_unit_test(all_of_the_number_is_read),
		cmocka_unit_test(every_backend_opens_what_every_other_seals),
		cmocka_unit_test(the_header_says_what_it_is_and_for_whom),
		cmocka_unit_test(what_was_tampered_with_leaves_no_trace),
		cmocka_unit_test(no_other_length_opens),
		cmocka_unit_test(a_copy_is_seen),
		cmocka_unit_test(late_ones_are_taken_as_far_as_the_window_goes),
		cmocka_unit_test(one_s_own_packets_do_not_open),
		cmocka_unit_test(another_secret_opens_nothing),
		cmocka_unit_test(equal_texts_make_different_packets),
		cmocka_unit_test(keys_follow_one_another_both_ways),
		cmocka_unit_test(the_key_before_still_opens_and_none_older),
		cmocka_unit_test(only_the_next_key_can_be_jumped_to),
		cmocka_unit_test(a_forged_packet_does_not_change_the_key),
		cmocka_unit_test(a_number_has_one_key_only),
		cmocka_unit_test(a_missing_key_is_asked_for_again),
	};

	return cmocka_run_group_tests(tests, open_backends, close_backends);
}
