/* Packet protection: the backends agree with RFC 9001, with each other, and
 * refuse what was tampered with; connections change their keys in time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <sodium.h>

#include "node/quic/protect_ops.h"
#include "node/quic/quic_conn.h"
#include "proto/base/mem.h"
#include "proto/base/rng.h"
#include "tests/support/protect_all.h"
#include "tests/support/protect_count.h"
#include "tests/support/quic_pair.h"

enum {
	TEXT_MAX = 1500,
	AAD_MAX = 40,
};

static struct protect *backends[PROTECT_CHOICES];
static size_t n_backends;

static int open_backends(void **state)
{
	(void)state;
	n_backends = protect_open_all(backends);
	return 0;
}

static int close_backends(void **state)
{
	(void)state;
	for (size_t i = 0; i < n_backends; i++)
		protect_free(backends[i]);
	return 0;
}

/* ---- one packet ---- */

static size_t bytes(uint8_t *out, const char *hex)
{
	size_t n;

	assert_int_equal(
		sodium_hex2bin(out, 2048, hex, strlen(hex), " ", &n, NULL), 0);
	return n;
}

static struct protect_key *key_of(size_t backend, enum protect_use use,
				  const uint8_t *key, size_t len)
{
	struct protect *p = backends[backend];
	struct protect_key *k = p->ops->key_new(p, use, key, len);

	assert_non_null(k);
	return k;
}

static void key_free(struct protect_key *k)
{
	k->ops->key_free(k);
}

/* RFC 9001 A.3: a packet of the server, of number 1. */
static const char rfc_key[] = "cf3a5331653c364c88f0f379b6067e37";
static const char rfc_nonce[] = "0ac1493ca1905853b0bba03f";
static const char rfc_header[] = "c1000000010008f067a5502a4262b50040750001";
static const char rfc_text[] =
	"02000000000600405a020000560303eefce7f7b37ba1d1632e96677825ddf739"
	"88cfc79825df566dc5430b9a045a1200130100002e00330024001d00209d3c94"
	"0d89690b84d08a60993c144eca684d1081287c834d5311bcf32bb9da1a002b00"
	"020304";
static const char rfc_sealed[] =
	"5a482cd0991cd25b0aac406a5816b6394100f37a1c69797554780bb38cc5a99f"
	"5ede4cf73c3ec2493a1839b3dbcba3f6ea46c5b7684df3548e7ddeb9c3bf9c73"
	"cc3f3bded74b562bfb19fb84022f8ef4cdd93795d77d06edbb7aaf2f58891850"
	"abbdca3d20398c276456cbc42158407dd074ee";

static void the_packet_of_the_rfc_is_sealed_and_opened(void **state)
{
	uint8_t key[2048], nonce[2048], header[2048], text[2048], want[2048];
	uint8_t got[2048];
	size_t n_header = bytes(header, rfc_header);
	size_t n_text = bytes(text, rfc_text);
	size_t n_want = bytes(want, rfc_sealed);

	(void)state;
	assert_int_equal(bytes(key, rfc_key), 16);
	assert_int_equal(bytes(nonce, rfc_nonce), PROTECT_NONCE_BYTES);
	assert_int_equal(n_want, n_text + PROTECT_TAG_BYTES);
	for (size_t i = 0; i < n_backends; i++) {
		const struct protect_ops *ops = backends[i]->ops;
		struct protect_key *k = key_of(i, PROTECT_SEAL, key, 16);

		assert_true(ops->seal(k, got, text, n_text, nonce, header,
				      n_header));
		assert_memory_equal(got, want, n_want);
		key_free(k);
		k = key_of(i, PROTECT_OPEN, key, 16);
		assert_true(ops->open(k, got, want, n_want, nonce, header,
				      n_header));
		assert_memory_equal(got, text, n_text);
		key_free(k);
	}
}

static void the_masks_are_those_of_the_standards(void **state)
{
	static const struct {
		const char *why, *key, *sample, *mask;
	} cases[] = {
		{ "RFC 9001 A.2", "9f50449e04a0e810283a1e9933adedd2",
		  "d1b1c98dd7689fb8ec11d242b123dc9b", "437b9aec36" },
		{ "RFC 9001 A.3", "c206b8d9b9f0f37644430b490eeaa314",
		  "2cd0991cd25b0aac406a5816b6394100", "2ec0d8356a" },
		{ "FIPS 197 C.3, AES-256",
		  "000102030405060708090a0b0c0d0e0f"
		  "101112131415161718191a1b1c1d1e1f",
		  "00112233445566778899aabbccddeeff", "8ea2b7ca51" },
	};

	(void)state;
	for (size_t c = 0; c < ARRAY_LEN(cases); c++) {
		uint8_t key[2048], sample[2048], want[2048], got[5];
		size_t len = bytes(key, cases[c].key);

		bytes(sample, cases[c].sample);
		bytes(want, cases[c].mask);
		for (size_t i = 0; i < n_backends; i++) {
			struct protect_key *k =
				key_of(i, PROTECT_MASK, key, len);

			assert_true(backends[i]->ops->mask(k, got, sample));
			assert_memory_equal(got, want, sizeof got);
			key_free(k);
		}
	}
}

struct sample {
	uint8_t key[PROTECT_KEY_BYTES_MAX];
	uint8_t nonce[PROTECT_NONCE_BYTES];
	uint8_t aad[AAD_MAX];
	uint8_t text[TEXT_MAX];
	size_t key_len, aad_len, len;
};

static void sample_make(struct sample *s, struct rng *rng, size_t len)
{
	rng_fill(rng, s, sizeof *s);
	s->key_len = len % 2 == 0 ? 16 : 32;
	s->aad_len = len % (AAD_MAX + 1);
	s->len = len;
}

/* Sealed by `by`, half of the time in place. */
static void sample_seal(uint8_t *out, const struct sample *s, size_t by)
{
	struct protect_key *k = key_of(by, PROTECT_SEAL, s->key, s->key_len);
	bool in_place = s->len / 2 % 2 == 0;

	if (in_place)
		memcpy(out, s->text, s->len);
	assert_true(k->ops->seal(k, out, in_place ? out : s->text, s->len,
				 s->nonce, s->aad, s->aad_len));
	key_free(k);
}

static bool sample_open(uint8_t *out, const struct sample *s, size_t by,
			const uint8_t *sealed)
{
	struct protect_key *k = key_of(by, PROTECT_OPEN, s->key, s->key_len);
	bool good = k->ops->open(k, out, sealed, s->len + PROTECT_TAG_BYTES,
				 s->nonce, s->aad, s->aad_len);

	key_free(k);
	return good;
}

static void backends_seal_every_size_alike_and_open_each_others(void **state)
{
	struct rng rng;
	struct sample s;
	uint8_t first[TEXT_MAX + PROTECT_TAG_BYTES], other[sizeof first];
	uint8_t text[TEXT_MAX];

	(void)state;
	rng_init(&rng, 9001);
	for (size_t len = 0; len <= TEXT_MAX; len++) {
		sample_make(&s, &rng, len);
		sample_seal(first, &s, 0);
		for (size_t i = 0; i < n_backends; i++) {
			sample_seal(other, &s, i);
			assert_memory_equal(other, first,
					    len + PROTECT_TAG_BYTES);
			assert_true(sample_open(text, &s, i, first));
			assert_memory_equal(text, s.text, len);
		}
	}
}

static void what_was_tampered_with_does_not_open(void **state)
{
	struct rng rng;
	struct sample s;
	uint8_t sealed[TEXT_MAX + PROTECT_TAG_BYTES], text[TEXT_MAX];

	(void)state;
	rng_init(&rng, 9002);
	for (size_t i = 0; i < n_backends; i++) {
		sample_make(&s, &rng, 117);
		sample_seal(sealed, &s, i);
		for (size_t bit = 0; bit < 8 * (s.len + PROTECT_TAG_BYTES);
		     bit++) {
			sealed[bit / 8] ^= (uint8_t)(1 << bit % 8);
			assert_false(sample_open(text, &s, i, sealed));
			sealed[bit / 8] ^= (uint8_t)(1 << bit % 8);
		}
		for (size_t bit = 0; bit < 8 * s.aad_len; bit++) {
			s.aad[bit / 8] ^= (uint8_t)(1 << bit % 8);
			assert_false(sample_open(text, &s, i, sealed));
			s.aad[bit / 8] ^= (uint8_t)(1 << bit % 8);
		}
		for (size_t bit = 0; bit < 8 * sizeof s.nonce; bit++) {
			s.nonce[bit / 8] ^= (uint8_t)(1 << bit % 8);
			assert_false(sample_open(text, &s, i, sealed));
			s.nonce[bit / 8] ^= (uint8_t)(1 << bit % 8);
		}
		assert_true(sample_open(text, &s, i, sealed));
		s.aad_len--;
		assert_false(sample_open(text, &s, i, sealed));
	}
}

static void what_is_shorter_than_a_tag_does_not_open(void **state)
{
	const uint8_t key[16] = { 0 }, nonce[PROTECT_NONCE_BYTES] = { 0 };
	const uint8_t text[PROTECT_TAG_BYTES] = { 0 };
	uint8_t out[PROTECT_TAG_BYTES];

	(void)state;
	for (size_t i = 0; i < n_backends; i++) {
		struct protect_key *k = key_of(i, PROTECT_OPEN, key, 16);

		for (size_t len = 0; len <= sizeof text; len++)
			assert_false(k->ops->open(k, out, text, len, nonce,
						  NULL, 0));
		key_free(k);
	}
}

/* ---- connections ---- */

static struct quic_pair *pair_of(struct counted_protect *client,
				 struct counted_protect *server, size_t a,
				 size_t b, const char *priority)
{
	struct quic_pair *p;

	protect_count(client, backends[a]);
	protect_count(server, backends[b]);
	p = quic_pair_new(
		&(struct quic_pair_config){ .client = &client->protect,
					    .server = &server->protect,
					    .priority = priority });
	quic_pair_connect(p);
	return p;
}

static void exchange(struct quic_pair *p, size_t n)
{
	uint64_t n_client = p->client.n_datagrams + n;
	uint64_t n_server = p->server.n_datagrams + n;

	for (size_t i = 0; i < n; i++) {
		quic_pair_datagram(&p->client, 1 + i % 1100);
		quic_pair_datagram(&p->server, 1 + i * 7 % 1100);
		if (i % 10 == 9) {
			p->now += 10 * NS_PER_MS;
			quic_pair_run(p, NS_PER_MS);
		}
	}
	assert_int_equal(p->client.n_datagrams, n_client);
	assert_int_equal(p->server.n_datagrams, n_server);
}

#define SUITE(cipher)                                                          \
	"NORMAL:-VERS-ALL:+VERS-TLS1.3:-CIPHER-ALL:+" cipher                   \
	":-GROUP-ALL:+GROUP-X25519:%DISABLE_TLS13_COMPAT_MODE"

static void every_backend_talks_to_every_other(void **state)
{
	static const char *const suites[] = { NULL, SUITE("AES-256-GCM") };
	struct counted_protect a, b;

	(void)state;
	for (size_t s = 0; s < ARRAY_LEN(suites); s++) {
		for (size_t i = 0; i < n_backends * n_backends; i++) {
			struct quic_pair *p =
				pair_of(&a, &b, i / n_backends, i % n_backends,
					suites[s]);

			exchange(p, 50);
			/* Their own keys, and none but for 1-RTT packets. */
			assert_int_equal(a.n_keys[PROTECT_MASK], 2);
			assert_int_equal(b.n_keys[PROTECT_MASK], 2);
			assert_true(a.n_keys[PROTECT_SEAL] > 0);
			assert_true(a.n_keys[PROTECT_OPEN] > 0);
			quic_pair_free(p);
		}
	}
}

static void other_ciphers_stay_with_the_helper(void **state)
{
	struct counted_protect a, b;

	(void)state;
	for (size_t i = 0; i < n_backends; i++) {
		struct quic_pair *p =
			pair_of(&a, &b, i, i, SUITE("CHACHA20-POLY1305"));

		exchange(p, 50);
		assert_int_equal(a.n_keys[PROTECT_MASK], 0);
		assert_int_equal(a.n_keys[PROTECT_SEAL], 0);
		assert_int_equal(b.n_keys[PROTECT_OPEN], 0);
		quic_pair_free(p);
	}
}

/* ngtcp2 changes keys at 2^23 packets: here much sooner, yet so that three
 * probe timeouts have passed since the last change, which it demands. */
static void change_keys_after(struct quic *q, uint64_t n_packets)
{
	ngtcp2_crypto_ctx *c =
		(ngtcp2_crypto_ctx *)(uintptr_t)ngtcp2_conn_get_crypto_ctx(
			q->conn);

	assert_int_equal(c->max_encryption, 1 << 23);
	c->max_encryption = n_packets;
}

static void keys_change_again_and_again(void **state)
{
	enum {
		AFTER = 100,
		PACKETS = 4000,
	};
	struct counted_protect a, b;

	(void)state;
	for (size_t i = 0; i < n_backends * n_backends; i++) {
		struct quic_pair *p =
			pair_of(&a, &b, i / n_backends, i % n_backends, NULL);

		change_keys_after(p->client.quic, AFTER);
		exchange(p, PACKETS);
		assert_in_range(a.n_keys[PROTECT_SEAL], 20,
				2 * PACKETS / AFTER);
		assert_in_range(b.n_keys[PROTECT_OPEN], 20,
				2 * PACKETS / AFTER);
		/* RFC 9001 6: header protection keeps its keys. */
		assert_int_equal(a.n_keys[PROTECT_MASK], 2);
		quic_pair_free(p);
	}
}

/* One packet of the client that has to wait. */
static struct {
	uint8_t data[1500];
	size_t len;
	bool is_next;
} held;

static bool hold(struct quic_pair *p, const uint8_t *data, size_t len)
{
	(void)p;
	if (!held.is_next)
		return false;
	held.is_next = false;
	held.len = len;
	memcpy(held.data, data, len);
	return true;
}

static void packets_of_the_last_phase_are_opened_in_the_next(void **state)
{
	struct counted_protect a, b;

	(void)state;
	for (size_t i = 0; i < n_backends * n_backends; i++) {
		struct quic_pair *p =
			pair_of(&a, &b, i / n_backends, i % n_backends, NULL);
		ngtcp2_conn *conn = p->client.quic->conn;

		p->is_lost = hold;
		for (int round = 0; round < 20; round++) {
			uint64_t n;

			exchange(p, 20);
			held.is_next = true;
			quic_pair_datagram(&p->client, 1000);
			assert_false(held.is_next);
			p->now += 10 * NS_PER_MS;
			assert_int_equal(
				ngtcp2_conn_initiate_key_update(conn, p->now),
				0);
			exchange(p, 1);
			n = p->server.n_datagrams;
			quic_read(p->server.quic, &p->server.path.path, 0,
				  held.data, held.len, p->now);
			assert_int_equal(p->server.n_datagrams, n + 1);
			/* Until the next change is allowed. */
			for (int j = 0; j < 50; j++) {
				exchange(p, 1);
				p->now += 20 * NS_PER_MS;
			}
		}
		assert_true(b.n_keys[PROTECT_OPEN] >= 20);
		quic_pair_free(p);
	}
}

/* ---- choosing ---- */

static void what_is_asked_for_by_name_is_had_or_refused(void **state)
{
	char why[256] = "";
	struct protect *p;

	(void)state;
	assert_int_equal(protect_new(&p, PROTECT_GNUTLS, why, sizeof why), 0);
	assert_string_equal(protect_name(p), "gnutls");
	protect_free(p);
	if (protect_new(&p, PROTECT_IPSEC_MB, why, sizeof why) < 0) {
		assert_string_not_equal(why, "");
		assert_int_equal(n_backends, 1);
		return;
	}
	assert_string_equal(protect_name(p), "ipsec-mb");
	protect_free(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_packet_of_the_rfc_is_sealed_and_opened),
		cmocka_unit_test(the_masks_are_those_of_the_standards),
		cmocka_unit_test(
			backends_seal_every_size_alike_and_open_each_others),
		cmocka_unit_test(what_was_tampered_with_does_not_open),
		cmocka_unit_test(what_is_shorter_than_a_tag_does_not_open),
		cmocka_unit_test(every_backend_talks_to_every_other),
		cmocka_unit_test(other_ciphers_stay_with_the_helper),
		cmocka_unit_test(keys_change_again_and_again),
		cmocka_unit_test(
			packets_of_the_last_phase_are_opened_in_the_next),
		cmocka_unit_test(what_is_asked_for_by_name_is_had_or_refused),
	};

	return cmocka_run_group_tests(tests, open_backends, close_backends);
}
