#include "discovery/beacon.h"

#include "proto/base/text.h"
#include "tests/unit/discovery/peer_help.h"

struct world {
	struct node_hash ca, other_ca;
	struct sign_key key; /* of the sender */
	struct node_id self; /* of the receiver */
	struct rng rng;
	struct beacon_receiver *r;
	union endpoint from;
};

static struct node_id id_of_key(const struct sign_key *k)
{
	struct node_hash h = hash_of_key(&k->public);

	return id_of_hash(&h);
}

static int set_up(void **state)
{
	struct world *w = mem_new(w);
	struct sign_key mine;
	uint8_t seed[32] = { 1 };

	w->ca = hash_of("a", 1);
	w->other_ca = hash_of("b", 1);
	sign_key_from_seed(&w->key, seed);
	seed[0] = 2;
	sign_key_from_seed(&mine, seed);
	w->self = id_of_key(&mine);
	rng_init(&w->rng, 1);
	w->r = beacon_receiver_new(&w->ca, &w->self, &w->rng, START);
	w->from = make_at6(7, 3);
	*state = w;
	return 0;
}

static int tear_down(void **state)
{
	struct world *w = *state;

	beacon_receiver_free(w->r);
	free(w);
	return 0;
}

static struct beacon make_beacon(struct world *w)
{
	struct beacon b = { .port = 4433, .issued_ms = WALL_MS };

	rng_fill(&w->rng, &b.nonce, sizeof b.nonce);
	return b;
}

static enum beacon_verdict receive_at(struct world *w, const uint8_t *data,
				      size_t len, nsec now)
{
	struct beacon_hint hint;

	return beacon_receive(w->r, data, len, &w->from,
			      WALL_MS + (now - START) / NS_PER_MS, now, &hint);
}

static enum beacon_verdict receive(struct world *w, const uint8_t *data,
				   size_t len)
{
	return receive_at(w, data, len, START);
}

static void a_good_beacon_is_a_hint_to_its_source_and_port(void **state)
{
	struct world *w = *state;
	struct beacon b = make_beacon(w);
	uint8_t data[BEACON_BYTES];
	struct beacon_hint hint = { 0 };
	struct node_id id = id_of_key(&w->key);

	b.port = 5555;
	b.is_fresh = true;
	beacon_write(data, &b, &w->key, &w->ca);
	w->from.in6.sin6_port = htons(4434);
	assert_int_equal(beacon_receive(w->r, data, sizeof data, &w->from,
					WALL_MS, START, &hint),
			 BEACON_OK);
	assert_true(id_equal(&hint.id, &id));
	assert_true(hint.is_fresh);
	assert_int_equal(ntohs(hint.at.in6.sin6_port), 5555);
	assert_int_equal(hint.at.in6.sin6_scope_id, 3);
	assert_memory_equal(&hint.at.in6.sin6_addr, &w->from.in6.sin6_addr, 16);

	b = make_beacon(w);
	beacon_write(data, &b, &w->key, &w->ca);
	w->from = make_at4(9);
	assert_int_equal(beacon_receive(w->r, data, sizeof data, &w->from,
					WALL_MS, START, &hint),
			 BEACON_OK);
	assert_false(hint.is_fresh);
	assert_int_equal(ntohs(hint.at.in.sin_port), 4433);
	assert_int_equal(hint.at.in.sin_addr.s_addr,
			 w->from.in.sin_addr.s_addr);
	assert_int_equal(beacon_counters(w->r)[BEACON_OK], 2);
}

static void what_is_written_is_what_is_read(void **state)
{
	struct world *w = *state;
	struct beacon b = make_beacon(w), got;
	uint8_t data[BEACON_BYTES], tag[4];

	beacon_write(data, &b, &w->key, &w->ca);
	assert_int_equal(beacon_parse(&got, tag, data, sizeof data), BEACON_OK);
	assert_memory_equal(tag, w->ca.b, 4);
	assert_memory_equal(&got.key, &w->key.public, KEY_LEN);
	assert_memory_equal(&got.nonce, &b.nonce, NONCE_LEN);
	assert_int_equal(got.issued_ms, b.issued_ms);
	assert_int_equal(got.port, b.port);
}

/* protocol.md 8.1: Ed25519 is deterministic, so the bytes are known. */
static void the_check_vector_is_met(void **state)
{
	static const char seed_text[] = "9d61b19deffd5a60ba844af492ec2cc4"
					"4449c5697b326919703bac031cae7f60";
	static const char want[] =
		"716e6c6201014593bfc406e3fd8fda29bb60ab59d75a9801"
		"82b10ab7d54bfed3c964073a0ee172f3daa62325af021a68"
		"f707511a1151000001a3185c500000010203040506070809"
		"0a0b0c0d0e0f4d75f0741c51a23babaccaf829283f4fdc95"
		"5b219e5e7540f2b1f2c39f3b2ac6920c97a6e6ae56c3f5ec"
		"2bc05b228f91fc9cd169a80b53cb0b0faac0697f180c";
	struct beacon b = { .is_fresh = true,
			    .port = 4433,
			    .issued_ms = WALL_MS };
	struct node_hash ca = { { 0x45, 0x93, 0xbf, 0xc4, 0xca } };
	uint8_t seed[32], data[BEACON_BYTES];
	char got[2 * BEACON_BYTES + 1];
	struct sign_key key;

	(void)state;
	assert_true(text_hex_parse(seed, sizeof seed, seed_text, 64));
	sign_key_from_seed(&key, seed);
	for (uint8_t i = 0; i < NONCE_LEN; i++)
		b.nonce.b[i] = i;
	beacon_write(data, &b, &key, &ca);
	text_hex(got, data, sizeof data);
	assert_string_equal(got, want);
}

/* A datagram with one byte set to something else. */
static void each_field_is_checked(void **state)
{
	static const struct {
		const char *why;
		size_t at;
		uint8_t xor ;
		enum beacon_verdict want;
	} cases[] = {
		{ "magic", 0, 1, BEACON_MAGIC },
		{ "version", 4, 3, BEACON_VERSION },
		{ "a flag that we do not know", 5, 0x80, BEACON_VERSION },
		{ "the fresh flag is signed", 5, 0x01, BEACON_SIGNATURE },
		{ "another cluster's tag", 6, 1, BEACON_FOREIGN },
		{ "an id which is not the key's", 10, 1, BEACON_ID },
		{ "a key which is not the id's", 20, 1, BEACON_ID },
		{ "another port", 53, 1, BEACON_SIGNATURE },
		{ "an hour away", 58, 1 << 6, BEACON_SKEW },
		{ "another nonce", 62, 1, BEACON_SIGNATURE },
		{ "first byte of the signature", 78, 1, BEACON_SIGNATURE },
		{ "last byte of the signature", 141, 1, BEACON_SIGNATURE },
	};
	struct world *w = *state;

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct beacon b = make_beacon(w);
		uint8_t data[BEACON_BYTES];
		enum beacon_verdict v;

		beacon_write(data, &b, &w->key, &w->ca);
		data[cases[i].at] ^= cases[i].xor ;
		w->from = make_at4((uint32_t)i);
		v = receive(w, data, sizeof data);
		if (v != cases[i].want)
			fail_msg("%s: %s", cases[i].why,
				 beacon_verdict_text(v));
	}
}

static void a_beacon_has_one_length(void **state)
{
	struct world *w = *state;
	struct beacon b = make_beacon(w);
	uint8_t data[BEACON_BYTES + 1] = { 0 };

	beacon_write(data, &b, &w->key, &w->ca);
	for (size_t len = 0; len <= sizeof data; len++)
		assert_int_equal(receive(w, data, len),
				 len == BEACON_BYTES ? BEACON_OK
						     : BEACON_LENGTH);
	assert_true(BEACON_BYTES <= BEACON_BYTES_MAX);
}

static void port_zero_is_refused(void **state)
{
	struct world *w = *state;
	struct beacon b = make_beacon(w);
	uint8_t data[BEACON_BYTES];

	b.port = 0;
	beacon_write(data, &b, &w->key, &w->ca);
	assert_int_equal(receive(w, data, sizeof data), BEACON_PORT_ZERO);
}

/* The tag is short: the whole hash of the CA is in what is signed. */
static void a_cluster_with_the_same_tag_is_still_another(void **state)
{
	struct world *w = *state;
	struct beacon b = make_beacon(w);
	uint8_t data[BEACON_BYTES];

	memcpy(w->other_ca.b, w->ca.b, 4);
	beacon_write(data, &b, &w->key, &w->other_ca);
	assert_int_equal(receive(w, data, sizeof data), BEACON_SIGNATURE);
}

static void our_own_beacon_is_known_as_ours(void **state)
{
	struct world *w = *state;
	struct beacon b = make_beacon(w);
	uint8_t data[BEACON_BYTES], seed[32] = { 2 };
	struct sign_key mine;

	sign_key_from_seed(&mine, seed);
	beacon_write(data, &b, &mine, &w->ca);
	assert_int_equal(receive(w, data, sizeof data), BEACON_SELF);
}

static void clocks_may_differ_by_the_skew_and_no_more(void **state)
{
	static const struct {
		int64_t off_ms;
		enum beacon_verdict want;
	} cases[] = {
		{ -CLOCK_SKEW_MS - 1, BEACON_SKEW },
		{ -CLOCK_SKEW_MS, BEACON_OK },
		{ -CLOCK_SKEW_MS + 1, BEACON_OK },
		{ CLOCK_SKEW_MS - 1, BEACON_OK },
		{ CLOCK_SKEW_MS, BEACON_OK },
		{ CLOCK_SKEW_MS + 1, BEACON_SKEW },
		{ -(int64_t)WALL_MS, BEACON_SKEW },
		{ INT64_MAX - (int64_t)WALL_MS, BEACON_SKEW },
	};
	struct world *w = *state;

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct beacon b = make_beacon(w);
		uint8_t data[BEACON_BYTES];

		b.issued_ms = (uint64_t)((int64_t)WALL_MS + cases[i].off_ms);
		beacon_write(data, &b, &w->key, &w->ca);
		assert_int_equal(receive(w, data, sizeof data), cases[i].want);
	}
}

static void a_beacon_is_taken_once(void **state)
{
	struct world *w = *state;
	struct beacon b = make_beacon(w);
	uint8_t data[BEACON_BYTES];
	nsec end = START + CLOCK_SKEW_MS * NS_PER_MS;

	/* As early as it can be taken, so that it stays good the longest. */
	b.issued_ms = WALL_MS + CLOCK_SKEW_MS;
	beacon_write(data, &b, &w->key, &w->ca);
	assert_int_equal(receive(w, data, sizeof data), BEACON_OK);
	for (nsec t = START; t < end + CLOCK_SKEW_MS * NS_PER_MS; t += NS_PER_S)
		assert_int_equal(receive_at(w, data, sizeof data, t),
				 BEACON_REPLAY);
	assert_int_equal(receive_at(w, data, sizeof data,
				    START + BEACON_REPLAY_NS + NS_PER_MS),
			 BEACON_SKEW);
}

static void a_refused_beacon_does_not_block_the_true_one(void **state)
{
	struct world *w = *state;
	struct beacon b = make_beacon(w);
	uint8_t data[BEACON_BYTES];

	beacon_write(data, &b, &w->key, &w->ca);
	data[BEACON_BYTES - 1] ^= 1;
	assert_int_equal(receive(w, data, sizeof data), BEACON_SIGNATURE);
	data[BEACON_BYTES - 1] ^= 1;
	assert_int_equal(receive(w, data, sizeof data), BEACON_OK);
}

static void a_source_has_a_burst_and_then_a_rate(void **state)
{
	struct world *w = *state;
	uint8_t data[BEACON_BYTES];

	for (int i = 0; i < BEACON_SOURCE_BURST + 1; i++) {
		struct beacon b = make_beacon(w);

		beacon_write(data, &b, &w->key, &w->ca);
		/* Its port does not make it another source. */
		w->from.in6.sin6_port = htons((uint16_t)(1000 + i));
		assert_int_equal(receive(w, data, sizeof data),
				 i < BEACON_SOURCE_BURST ? BEACON_OK
							 : BEACON_SOURCE_LIMIT);
	}
	w->from = make_at6(8, 3);
	assert_int_equal(receive(w, data, sizeof data), BEACON_OK);
	w->from = make_at6(7, 3);
	{
		struct beacon b = make_beacon(w);

		beacon_write(data, &b, &w->key, &w->ca);
		assert_int_equal(
			receive_at(w, data, sizeof data,
				   START + NS_PER_S / BEACON_SOURCE_RATE),
			BEACON_OK);
	}
}

/* From that many others, each once. */
static void hear_others(struct world *w, uint8_t data[BEACON_BYTES], uint32_t n)
{
	for (uint32_t i = 0; i < n; i++) {
		w->from = make_at4(1000 + i);
		rng_fill(&w->rng, data + 62, NONCE_LEN);
		receive(w, data, BEACON_BYTES);
	}
}

static enum beacon_verdict hear_again(struct world *w,
				      uint8_t data[BEACON_BYTES])
{
	w->from = make_at4(1);
	rng_fill(&w->rng, data + 62, NONCE_LEN);
	return receive(w, data, BEACON_BYTES);
}

static void the_source_longest_unheard_of_is_forgotten_first(void **state)
{
	struct world *w = *state;
	struct beacon b = make_beacon(w);
	uint8_t data[BEACON_BYTES];

	beacon_write(data, &b, &w->key, &w->ca);
	for (int i = 0; i < BEACON_SOURCE_BURST; i++)
		assert_int_equal(hear_again(w, data), BEACON_SIGNATURE);
	assert_int_equal(hear_again(w, data), BEACON_SOURCE_LIMIT);
	hear_others(w, data, BEACON_SOURCES_MAX - 1);
	assert_int_equal(hear_again(w, data), BEACON_SOURCE_LIMIT);
	hear_others(w, data, BEACON_SOURCES_MAX);
	/* It has a new burst; that of all is spent. */
	assert_int_equal(hear_again(w, data), BEACON_LIMIT);
}

/* Spoofed sources without end: the work is bounded, and so are the tables. */
static void a_flood_from_everywhere_is_bounded(void **state)
{
	struct world *w = *state;
	const uint64_t *n = beacon_counters(w->r);
	uint8_t data[BEACON_BYTES];
	const uint32_t seconds = 10, per_s = 1000;
	uint64_t n_checked;

	struct beacon b = make_beacon(w);

	beacon_write(data, &b, &w->key, &w->ca);
	for (uint32_t i = 0; i < seconds * per_s; i++) {
		rng_fill(&w->rng, data + 62, NONCE_LEN);
		w->from = make_at4(i);
		receive_at(w, data, sizeof data, START + i * NS_PER_S / per_s);
	}
	n_checked = n[BEACON_OK] + n[BEACON_SIGNATURE] + n[BEACON_ID];
	assert_in_range(n_checked, BEACON_RATE * seconds,
			BEACON_RATE * seconds + BEACON_BURST + 1);
	assert_int_equal(n_checked + n[BEACON_LIMIT], seconds * per_s);
}

/* ---- when to send ---- */

static void the_start_is_three_beacons_and_then_a_slow_beat(void **state)
{
	struct beacon_clock c;
	struct rng rng;

	(void)state;
	for (uint64_t seed = 0; seed < 200; seed++) {
		nsec at[20];
		bool fresh[20];

		rng_init(&rng, seed);
		beacon_clock_init(&c, &rng, START);
		for (size_t i = 0; i < 20; i++) {
			nsec t = beacon_clock_deadline(&c);

			if (t > START)
				assert_false(
					beacon_clock_due(&c, t - 1, &fresh[i]));
			assert_true(beacon_clock_due(&c, t, &fresh[i]));
			assert_false(beacon_clock_due(&c, t, &fresh[19]));
			at[i] = t;
		}
		assert_in_range(at[0] - START, 0, 200 * NS_PER_MS);
		assert_in_range(at[1] - at[0], 800 * NS_PER_MS,
				1200 * NS_PER_MS);
		assert_in_range(at[2] - at[1], 1600 * NS_PER_MS,
				2400 * NS_PER_MS);
		for (size_t i = 3; i < 20; i++)
			assert_in_range(at[i] - at[i - 1],
					BEACON_PERIOD_NS * 4 / 5,
					BEACON_PERIOD_NS * 6 / 5);
		for (size_t i = 0; i < 19; i++)
			assert_int_equal(fresh[i], i < 3);
	}
}

static void a_new_interface_hears_of_us_at_once(void **state)
{
	struct beacon_clock c;
	struct rng rng;
	nsec now = START + 3600 * NS_PER_S;
	bool fresh = false;

	(void)state;
	rng_init(&rng, 1);
	beacon_clock_init(&c, &rng, START);
	beacon_clock_interface_up(&c, now);
	assert_in_range(beacon_clock_deadline(&c), now, now + 200 * NS_PER_MS);
	assert_true(beacon_clock_due(&c, now + 200 * NS_PER_MS, &fresh));
	assert_true(fresh);
}

static void an_interface_that_flaps_makes_no_storm(void **state)
{
	struct beacon_clock c;
	struct rng rng;
	unsigned n = 0;
	bool fresh;
	const nsec hour = 3600 * NS_PER_S;

	(void)state;
	rng_init(&rng, 1);
	beacon_clock_init(&c, &rng, START);
	for (nsec t = START; t < START + hour; t += 50 * NS_PER_MS) {
		beacon_clock_interface_up(&c, t);
		n += beacon_clock_due(&c, t, &fresh);
	}
	assert_in_range(n, 3 * 300, 3 * hour / BEACON_RESTART_NS + 3);
	/* The last one was not lost. */
	assert_true(beacon_clock_deadline(&c) <=
		    START + hour + BEACON_RESTART_NS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
			a_good_beacon_is_a_hint_to_its_source_and_port, set_up,
			tear_down),
		cmocka_unit_test_setup_teardown(what_is_written_is_what_is_read,
						set_up, tear_down),
		cmocka_unit_test(the_check_vector_is_met),
		cmocka_unit_test_setup_teardown(each_field_is_checked, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(a_beacon_has_one_length, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(port_zero_is_refused, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(
			a_cluster_with_the_same_tag_is_still_another, set_up,
			tear_down),
		cmocka_unit_test_setup_teardown(our_own_beacon_is_known_as_ours,
						set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			clocks_may_differ_by_the_skew_and_no_more, set_up,
			tear_down),
		cmocka_unit_test_setup_teardown(a_beacon_is_taken_once, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(
			a_refused_beacon_does_not_block_the_true_one, set_up,
			tear_down),
		cmocka_unit_test_setup_teardown(
			a_source_has_a_burst_and_then_a_rate, set_up,
			tear_down),
		cmocka_unit_test_setup_teardown(
			the_source_longest_unheard_of_is_forgotten_first,
			set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			a_flood_from_everywhere_is_bounded, set_up, tear_down),
		cmocka_unit_test(
			the_start_is_three_beacons_and_then_a_slow_beat),
		cmocka_unit_test(a_new_interface_hears_of_us_at_once),
		cmocka_unit_test(an_interface_that_flaps_makes_no_storm),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
