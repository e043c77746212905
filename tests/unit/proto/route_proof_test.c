#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <sodium.h>

#include "proto/base/buf.h"
#include "proto/base/mem.h"
#include "proto/base/text.h"
#include "proto/msg.h"
#include "tests/support/msgs.h"

#define STORED_MAX FRAME_ROUTING_BYTES_MAX

static void the_body_has_this_layout(void **state)
{
	struct route_proof r = { .expiry_ms = UINT64_C(0x0102030405060708) };
	char hex[2 * ROUTE_BODY_BYTES_MAX + 1];

	(void)state;
	memset(r.origin.b, 0xaa, ID_LEN);
	memset(r.target.b, 0xbb, ID_LEN);
	memset(r.nonce.b, 0xcc, NONCE_LEN);
	memset(r.probe_hash, 0xdd, HASH_LEN);
	r.hops.n = 2;
	memset(r.hops.hop[0].id.b, 0xee, ID_LEN);
	r.hops.hop[0].cost_100us = 100;
	r.hops.hop[0].mtu = 1440;
	r.hops.hop[0].loss = 1;
	r.hops.hop[0].rate = 20;
	r.hops.hop[1] = r.hops.hop[0];
	r.hops.hop[1].id = r.target;
	route_proof_seal(&r);
	assert_int_equal(r.body_len, 78 + 2 * HOP_WIRE_BYTES);
	text_hex(hex, r.body, r.body_len);
	assert_string_equal(hex, "01"
				 "aaaaaaaaaaaaaaaaaaaa"
				 "bbbbbbbbbbbbbbbbbbbb"
				 "cccccccccccccccccccccccccccccccc"
				 "dddddddddddddddddddddddddddddddd"
				 "dddddddddddddddddddddddddddddddd"
				 "0102030405060708"
				 "02"
				 "eeeeeeeeeeeeeeeeeeee"
				 "006405a00114"
				 "bbbbbbbbbbbbbbbbbbbb"
				 "006405a00114");
}

static void the_digest_covers_the_body_and_the_targets_signature(void **state)
{
	uint8_t all[ROUTE_BODY_BYTES_MAX + SIG_LEN];
	uint8_t got[HASH_LEN], want[HASH_LEN];
	struct route_proof r = { 0 };
	struct rng rng;

	(void)state;
	rng_init(&rng, 1);
	for (size_t n = 1; n <= HOPS_MAX; n++) {
		route_random(&r, n, &rng);
		memcpy(all, r.body, r.body_len);
		memcpy(all + r.body_len, r.sig_target, SIG_LEN);
		crypto_hash_sha256(want, all, r.body_len + SIG_LEN);
		route_proof_digest(got, &r);
		assert_memory_equal(got, want, HASH_LEN);

		r.sig_target[SIG_LEN - 1] ^= 1;
		route_proof_digest(got, &r);
		assert_memory_not_equal(got, want, HASH_LEN);
		r.sig_target[SIG_LEN - 1] ^= 1;
		r.body[r.body_len - 1] ^= 1;
		route_proof_digest(got, &r);
		assert_memory_not_equal(got, want, HASH_LEN);
	}
}

static void routes_of_every_length_can_be_stored(void **state)
{
	uint8_t data[STORED_MAX];
	struct route_proof r = { 0 }, got;
	struct rng rng;

	(void)state;
	rng_init(&rng, 2);
	for (size_t n = 1; n <= HOPS_MAX; n++) {
		size_t len;

		route_random(&r, n, &rng);
		len = route_proof_write(data, sizeof data, &r);
		assert_true(len != 0);
		assert_true(route_proof_parse(&got, data, len));
		assert_true(route_equal(&r, &got));
		assert_ptr_equal(route_fault(&got), NULL);
		/* Room to the byte. */
		assert_int_equal(route_proof_write(data, len, &r), len);
		assert_int_equal(route_proof_write(data, len - 1, &r), 0);
	}
}

static void a_stored_route_is_what_an_answer_carries(void **state)
{
	uint8_t frame[FRAME_HEADER_BYTES + FRAME_BYTES_MAX];
	uint8_t data[STORED_MAX];
	struct msg m = { .type = MSG_ANSWER };
	struct rng rng;
	size_t len, frame_len;

	(void)state;
	rng_init(&rng, 3);
	route_random(&m.answer.route, 9, &rng);
	frame_len = msg_write(frame, sizeof frame, &m);
	len = route_proof_write(data, sizeof data, &m.answer.route);
	assert_true(len > 127);
	/* One key byte and a length of two bytes in front. */
	assert_int_equal(frame_len, FRAME_HEADER_BYTES + 3 + len);
	assert_memory_equal(frame + FRAME_HEADER_BYTES + 3, data, len);
}

static void only_signatures_from_first_sig_on_travel(void **state)
{
	uint8_t data[STORED_MAX];
	struct route_proof r = { 0 }, got;
	struct rng rng;
	size_t whole;

	(void)state;
	rng_init(&rng, 4);
	route_random(&r, 5, &rng);
	r.first_sig = 0;
	whole = route_proof_write(data, sizeof data, &r);
	for (size_t first = 1; first <= 4; first++) {
		size_t len;

		r.first_sig = first;
		len = route_proof_write(data, sizeof data, &r);
		assert_in_range(whole - len, first * SIG_LEN - 2,
				first * SIG_LEN + 2);
		memset(&got, 0, sizeof got);
		assert_true(route_proof_parse(&got, data, len));
		assert_int_equal(got.first_sig, first);
		assert_memory_equal(got.sigs[first], r.sigs[first],
				    (4 - first) * SIG_LEN);
	}
}

/* What turns a good route into a bad one. */
static void origin_is_first_relay(struct route_proof *r)
{
	r->hops.hop[0].id = r->origin;
}

static void origin_is_target(struct route_proof *r)
{
	r->target = r->origin;
	r->hops.hop[r->hops.n - 1].id = r->origin;
}

static void relay_occurs_twice(struct route_proof *r)
{
	r->hops.hop[2].id = r->hops.hop[0].id;
}

static void target_occurs_twice(struct route_proof *r)
{
	r->hops.hop[1].id = r->target;
}

static void last_is_not_target(struct route_proof *r)
{
	r->target.b[9] ^= 1;
}

static void hop_without_mtu(struct route_proof *r)
{
	r->hops.hop[1].mtu = 0;
}

static void no_hops(struct route_proof *r)
{
	r->body[77] = 0;
	r->body_len = 78;
}

static void fewer_hops_than_it_says(struct route_proof *r)
{
	r->body_len -= HOP_WIRE_BYTES;
}

static void part_of_a_hop(struct route_proof *r)
{
	r->body_len -= 1;
}

static void a_hop_more_than_it_says(struct route_proof *r)
{
	r->body[77]--;
}

static void other_version(struct route_proof *r)
{
	r->body[0] = 2;
}

static void shorter_than_its_fixed_part(struct route_proof *r)
{
	r->body_len = 77;
}

static void routes_that_cannot_be_are_refused(void **state)
{
	static const struct {
		const char *why;
		void (*before_seal)(struct route_proof *r);
		void (*after_seal)(struct route_proof *r);
	} cases[] = {
		{ "a loop through the origin", origin_is_first_relay, NULL },
		{ "from a node to itself", origin_is_target, NULL },
		{ "a loop", relay_occurs_twice, NULL },
		{ "a loop through the target", target_occurs_twice, NULL },
		{ "ends elsewhere", last_is_not_target, NULL },
		{ "a hop without MTU", hop_without_mtu, NULL },
		{ "no hops", NULL, no_hops },
		{ "a hop is missing", NULL, fewer_hops_than_it_says },
		{ "half a hop", NULL, part_of_a_hop },
		{ "a hop too many", NULL, a_hop_more_than_it_says },
		{ "another version", NULL, other_version },
		{ "cut within its values", NULL, shorter_than_its_fixed_part },
	};
	struct rng rng;

	(void)state;
	rng_init(&rng, 5);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		uint8_t data[STORED_MAX];
		struct route_proof r = { 0 }, got;
		size_t len;

		route_random(&r, 4, &rng);
		r.first_sig = 0;
		len = route_proof_write(data, sizeof data, &r);
		assert_true(route_proof_parse(&got, data, len));
		if (cases[i].before_seal != NULL) {
			cases[i].before_seal(&r);
			route_proof_seal(&r);
		}
		if (cases[i].after_seal != NULL)
			cases[i].after_seal(&r);
		len = route_proof_write(data, sizeof data, &r);
		if (route_proof_parse(&got, data, len))
			fail_msg("accepted: %s", cases[i].why);
	}
}

/* body(1) sig_target(2) first_sig(3) sigs(4), written by hand, so that the
 * number of signatures need not match. */
static size_t route_by_hand(uint8_t *out, size_t cap,
			    const struct route_proof *r, uint8_t first_sig,
			    size_t sigs_len)
{
	struct buf b = buf_of(out, cap);

	buf_u8(&b, 0x0a);
	buf_u8(&b, (uint8_t)(0x80 | (r->body_len & 0x7f)));
	buf_u8(&b, (uint8_t)(r->body_len >> 7));
	buf_bytes(&b, r->body, r->body_len);
	buf_u8(&b, 0x12);
	buf_u8(&b, SIG_LEN);
	buf_bytes(&b, r->sig_target, SIG_LEN);
	buf_u8(&b, 0x18);
	buf_u8(&b, first_sig);
	buf_u8(&b, 0x22);
	buf_u8(&b, (uint8_t)(0x80 | (sigs_len & 0x7f)));
	buf_u8(&b, (uint8_t)(sigs_len >> 7));
	memset(buf_reserve(&b, sigs_len), 0x77, sigs_len);
	assert_false(b.bad);
	return b.len;
}

static void the_number_of_signatures_must_be_exact(void **state)
{
	static const struct {
		const char *why;
		uint8_t first_sig;
		size_t sigs_len;
		bool want;
	} cases[] = {
		{ "all three relays", 0, 3 * SIG_LEN, true },
		{ "one more than relays", 0, 4 * SIG_LEN, false },
		{ "one less", 0, 2 * SIG_LEN, false },
		{ "a byte more", 0, 3 * SIG_LEN + 1, false },
		{ "a byte less", 0, 3 * SIG_LEN - 1, false },
		{ "the last relay alone", 2, SIG_LEN, true },
		{ "the target has just answered", 3, 0, true },
		{ "first_sig at the target", 4, 0, false },
		{ "first_sig far behind", 127, 0, false },
		{ "signatures before first_sig", 1, 3 * SIG_LEN, false },
	};
	struct route_proof r = { 0 }, got;
	struct rng rng;

	(void)state;
	rng_init(&rng, 6);
	route_random(&r, 4, &rng);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		uint8_t data[STORED_MAX];
		size_t len =
			route_by_hand(data, sizeof data, &r, cases[i].first_sig,
				      cases[i].sigs_len);

		if (route_proof_parse(&got, data, len) != cases[i].want)
			fail_msg("wrong verdict: %s", cases[i].why);
	}
}

static void sixty_five_hops_are_refused(void **state)
{
	uint8_t data[STORED_MAX];
	uint8_t body[78 + (HOPS_MAX + 1) * HOP_WIRE_BYTES] = { 1 };
	struct route_proof r = { 0 }, got;
	struct buf b = buf_of(data, sizeof data);
	size_t sigs_len = HOPS_MAX * SIG_LEN;

	(void)state;
	/* As valid as can be but for its number of hops. */
	body[77] = HOPS_MAX + 1;
	memset(body + 1, 0xff, ID_LEN);
	for (uint8_t i = 0; i <= HOPS_MAX; i++) {
		body[78 + i * HOP_WIRE_BYTES] = i;
		body[78 + i * HOP_WIRE_BYTES + 13] = 1;
	}
	body[11] = HOPS_MAX;
	buf_u8(&b, 0x0a);
	buf_u8(&b, (uint8_t)(0x80 | (sizeof body & 0x7f)));
	buf_u8(&b, (uint8_t)(sizeof body >> 7));
	buf_bytes(&b, body, sizeof body);
	buf_be16(&b, 0x1240);
	buf_bytes(&b, r.sig_target, SIG_LEN);
	buf_u8(&b, 0x22);
	buf_u8(&b, (uint8_t)(0x80 | (sigs_len & 0x7f)));
	buf_u8(&b, (uint8_t)(sigs_len >> 7));
	memset(buf_reserve(&b, sigs_len), 1, sigs_len);
	assert_false(b.bad);
	assert_false(route_proof_parse(&got, b.data, b.len));

	/* The same with one hop less is good. */
	body[77] = HOPS_MAX;
	body[11] = HOPS_MAX - 1;
	memcpy(r.body, body, sizeof r.body);
	r.body_len = sizeof r.body;
	assert_true(route_proof_parse(&got, data,
				      route_by_hand(data, sizeof data, &r, 0,
						    (HOPS_MAX - 1) * SIG_LEN)));
	assert_int_equal(got.hops.n, HOPS_MAX);
}

static void damage_never_makes_an_unsound_route(void **state)
{
	uint8_t data[STORED_MAX];
	struct route_proof r = { 0 }, got;
	struct rng rng;
	size_t len;

	(void)state;
	rng_init(&rng, 7);
	route_random(&r, 3, &rng);
	len = route_proof_write(data, sizeof data, &r);
	for (size_t i = 0; i < len; i++) {
		uint8_t was = data[i];

		for (unsigned x = 0; x <= UINT8_MAX; x++) {
			data[i] = (uint8_t)x;
			if (route_proof_parse(&got, data, len))
				assert_ptr_equal(route_fault(&got), NULL);
		}
		data[i] = was;
		assert_false(route_proof_parse(&got, data, i));
	}
	assert_false(route_proof_parse(&got, NULL, 0));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_body_has_this_layout),
		cmocka_unit_test(
			the_digest_covers_the_body_and_the_targets_signature),
		cmocka_unit_test(routes_of_every_length_can_be_stored),
		cmocka_unit_test(a_stored_route_is_what_an_answer_carries),
		cmocka_unit_test(only_signatures_from_first_sig_on_travel),
		cmocka_unit_test(routes_that_cannot_be_are_refused),
		cmocka_unit_test(the_number_of_signatures_must_be_exact),
		cmocka_unit_test(sixty_five_hops_are_refused),
		cmocka_unit_test(damage_never_makes_an_unsound_route),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
