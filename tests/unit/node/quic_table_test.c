/* Two tables beside each other: one space of connection ids. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>
#include <sodium.h>

#include "node/quic/quic_table.h"
#include "proto/limits.h"

struct pair {
	struct quic_table *sessions, *channels;
};

/* Tables do not look at what they hold. */
static struct quic *const a_session = (struct quic *)1,
			  *const a_channel = (struct quic *)2;

static struct pair pair_new(void)
{
	static const uint8_t keys[2][32] = { { 1 }, { 2 } };
	struct pair p;

	p.sessions = quic_table_new(NULL, keys[0]);
	p.channels = quic_table_beside(p.sessions, keys[1]);
	return p;
}

static void pair_free(struct pair *p)
{
	quic_table_free(p->channels);
	quic_table_free(p->sessions);
}

static enum quic_lookup look(struct quic_table *t, uint8_t first,
			     const ngtcp2_cid *cid, struct quic **out)
{
	uint8_t packet[1200] = { first };
	ngtcp2_version_cid vc;
	ngtcp2_pkt_hd hd;

	if ((first & 0x80) == 0) {
		memcpy(packet + 1, cid->data, cid->datalen);
	} else {
		packet[4] = 1; /* the version */
		packet[5] = (uint8_t)cid->datalen;
		memcpy(packet + 6, cid->data, cid->datalen);
	}
	*out = NULL;
	return quic_table_find(t, packet, sizeof packet, out, &hd, &vc);
}

static void an_id_is_found_in_both_tables_and_told_apart(void **state)
{
	struct pair p = pair_new();
	ngtcp2_cid cid;
	struct quic *q;

	(void)state;
	quic_table_new_cid(p.channels, &cid, SESSION_CID_BYTES, NULL);
	assert_int_equal(look(p.sessions, 0x40, &cid, &q), QUIC_RESET);
	quic_table_add(p.channels, &cid, a_channel);
	assert_int_equal(look(p.channels, 0x40, &cid, &q), QUIC_FOUND);
	assert_ptr_equal(q, a_channel);
	assert_int_equal(look(p.sessions, 0x40, &cid, &q), QUIC_BESIDE);
	assert_ptr_equal(q, a_channel);
	/* Handshakes do not leave their table. */
	assert_int_equal(look(p.channels, 0xe0, &cid, &q), QUIC_FOUND);
	assert_int_equal(look(p.sessions, 0xe0, &cid, &q), QUIC_GARBAGE);
	quic_table_remove(p.channels, &cid, a_channel);
	assert_int_equal(look(p.sessions, 0x40, &cid, &q), QUIC_RESET);
	pair_free(&p);
}

static void nobody_takes_or_removes_the_id_of_another(void **state)
{
	struct pair p = pair_new();
	ngtcp2_cid cid;
	struct quic *q;

	(void)state;
	quic_table_new_cid(p.sessions, &cid, SESSION_CID_BYTES, NULL);
	quic_table_add(p.sessions, &cid, a_session);
	quic_table_add(p.channels, &cid, a_channel);
	assert_int_equal(look(p.channels, 0x40, &cid, &q), QUIC_BESIDE);
	quic_table_remove(p.channels, &cid, a_channel);
	assert_int_equal(look(p.sessions, 0x40, &cid, &q), QUIC_FOUND);
	assert_ptr_equal(q, a_session);
	/* What one table had is gone with it, and no more. */
	quic_table_new_cid(p.channels, &cid, SESSION_CID_BYTES, NULL);
	quic_table_add(p.channels, &cid, a_channel);
	quic_table_free(p.channels);
	assert_int_equal(look(p.sessions, 0x40, &cid, &q), QUIC_RESET);
	quic_table_free(p.sessions);
}

/* All ids of one byte but one: what is left does not depend on luck. */
static void a_new_id_is_none_of_either_table(void **state)
{
	const uint8_t left = 0x5a;
	struct pair p = pair_new();
	ngtcp2_cid cid = { .datalen = 1 };

	(void)state;
	for (unsigned i = 0; i < 256; i++) {
		cid.data[0] = (uint8_t)i;
		if (i != left)
			quic_table_add(i % 2 != 0 ? p.channels : p.sessions,
				       &cid, a_channel);
	}
	quic_table_new_cid(p.sessions, &cid, 1, NULL);
	assert_int_equal(cid.data[0], left);
	quic_table_new_cid(p.channels, &cid, 1, NULL);
	assert_int_equal(cid.data[0], left);
	pair_free(&p);
}

/* A reset of one kind must not end a connection of the other. */
static void each_table_has_reset_tokens_of_its_own(void **state)
{
	enum {
		TOKEN = NGTCP2_STATELESS_RESET_TOKENLEN
	};
	static const uint8_t packet[100] = { 0x40, 1, 2, 3, 4 };
	struct pair p = pair_new();
	uint8_t a[64], b[64];
	size_t n;

	(void)state;
	n = quic_table_write_reset(p.sessions, a, sizeof a, packet, 100);
	assert_true(n > TOKEN);
	assert_int_equal(
		quic_table_write_reset(p.channels, b, sizeof b, packet, 100),
		n);
	assert_memory_not_equal(a + n - TOKEN, b + n - TOKEN, TOKEN);
	pair_free(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_id_is_found_in_both_tables_and_told_apart),
		cmocka_unit_test(nobody_takes_or_removes_the_id_of_another),
		cmocka_unit_test(a_new_id_is_none_of_either_table),
		cmocka_unit_test(each_table_has_reset_tokens_of_its_own),
	};

	if (sodium_init() < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
