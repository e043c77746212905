/* Appointments in STORE, STORED, LOOKUP, FOUND and NO_RECORD. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "proto/base/mem.h"
#include "proto/base/text.h"
#include "proto/frame.h"
#include "proto/msg.h"
#include "tests/support/msgs.h"

#define FRAME_CAP (FRAME_HEADER_BYTES + FRAME_BYTES_MAX)

static struct node_id named(uint8_t byte)
{
	struct node_id id;

	memset(id.b, byte, ID_LEN);
	return id;
}

/* Root 0x11, a node 0x22, the member 0x33. */
static struct appointment some_appointment(void)
{
	struct appointment a = { .tree = 2,
				 .part = 0xab,
				 .root = named(0x11),
				 .member = named(0x33),
				 .issued_ms = UINT64_C(0x0102030405060708) };

	a.at.n = 3;
	a.at.hop[0] = (struct coord_hop){ named(0x11), 0 };
	a.at.hop[1] = (struct coord_hop){ named(0x22), 100 };
	a.at.hop[2] = (struct coord_hop){ named(0x33), 0x0123 };
	memset(a.sig, 0x55, SIG_LEN);
	appointment_seal(&a);
	return a;
}

static struct msg some_lookup(void)
{
	struct msg m = { .type = MSG_LOOKUP };

	m.lookup.has_appointment = true;
	m.lookup.appointment = some_appointment();
	return m;
}

static enum msg_verdict parse_written(const struct msg *m, struct msg *got)
{
	static uint8_t frame[FRAME_CAP];
	size_t len = msg_write(frame, sizeof frame, m);

	assert_true(len > 0);
	return msg_parse(got, m->type, frame + FRAME_HEADER_BYTES,
			 len - FRAME_HEADER_BYTES);
}

#define X10(b) b b b b b b b b b b
#define X64(b) X10(b) X10(b) X10(b) X10(b) X10(b) X10(b) b b b b

static void an_appointment_has_these_bytes(void **state)
{
	static const char body[] =
		"0102ab" X10("11") X10("33") "0102030405060708";
	static const char at[] =
		"03" X10("11") "0000" X10("22") "0064" X10("33") "0123";
	struct appointment a = some_appointment();
	struct msg m = some_lookup(), got;
	uint8_t frame[FRAME_CAP];
	char hex[2 * FRAME_CAP + 1], want[1024] = "328a01"
						  "0a1f";
	size_t len;

	(void)state;
	text_hex(hex, a.body, sizeof a.body);
	assert_string_equal(hex, body);
	len = msg_write(frame, sizeof frame, &m);
	text_hex(hex, frame, len);
	strcat(want, body);
	strcat(want, "1240" X64("55") "1a25");
	strcat(want, at);
	assert_string_equal(hex + strlen(hex) - strlen(want), want);
	assert_int_equal(parse_written(&m, &got), MSG_OK);
	assert_true(msg_equal(&m, &got));
}

static void leave(struct appointment *a)
{
	(void)a;
}

static void change_version(struct appointment *a)
{
	a->body[0] = 0;
}

static void name_no_tree(struct appointment *a)
{
	a->body[1] = TREES;
}

static void name_the_last_tree(struct appointment *a)
{
	a->body[1] = TREES - 1;
}

static void be_nowhere(struct appointment *a)
{
	a->at.n = 0;
}

static void begin_elsewhere(struct appointment *a)
{
	a->at.hop[0].id = named(0x44);
}

static void end_elsewhere(struct appointment *a)
{
	a->at.n = 2;
}

static void go_round(struct appointment *a)
{
	a->at.hop[1].id = named(0x33);
}

static void get_cheaper(struct appointment *a)
{
	a->at.hop[2].cost = 99;
}

static void appoint_another(struct appointment *a)
{
	a->body[13] ^= 1;
}

static void be_of_another_root(struct appointment *a)
{
	a->body[3] ^= 1;
}

static void an_appointment_that_makes_no_sense_is_invalid(void **state)
{
	static const struct {
		const char *why;
		void (*change)(struct appointment *a);
		enum msg_verdict want;
	} cases[] = {
		{ "as it is", leave, MSG_OK },
		{ "the last tree", name_the_last_tree, MSG_OK },
		{ "no such tree", name_no_tree, MSG_INVALID },
		{ "another version", change_version, MSG_INVALID },
		{ "no place", be_nowhere, MSG_INVALID },
		{ "a place under another root", begin_elsewhere, MSG_INVALID },
		{ "the place of another node", end_elsewhere, MSG_INVALID },
		{ "a path that goes round", go_round, MSG_INVALID },
		{ "costs that fall", get_cheaper, MSG_INVALID },
		{ "another member than the path's", appoint_another,
		  MSG_INVALID },
		{ "another root than the path's", be_of_another_root,
		  MSG_INVALID },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct msg m = some_lookup(), got;

		cases[i].change(&m.lookup.appointment);
		if (parse_written(&m, &got) != cases[i].want)
			fail_msg("%s", cases[i].why);
	}
}

static void who_registers_is_not_handed_over(void **state)
{
	struct msg *m = mem_new(m), *got = mem_new(got);
	struct rng r;

	(void)state;
	rng_init(&r, 3);
	m->type = MSG_STORE;
	record_random(&m->store.record, &r);
	m->store.appointment = some_appointment();
	for (unsigned i = 0; i < 4; i++) {
		m->store.registers = i & 1;
		m->store.has_appointment = i & 2;
		assert_int_equal(parse_written(m, got),
				 i == 3 ? MSG_INVALID : MSG_OK);
	}
	free(m);
	free(got);
}

static void only_a_member_says_how_much_it_keeps(void **state)
{
	struct msg m = { .type = MSG_STORED }, got;

	(void)state;
	m.stored.n_kept = 1;
	assert_int_equal(parse_written(&m, &got), MSG_INVALID);
	m.stored.has_appointment = true;
	m.stored.appointment = some_appointment();
	assert_int_equal(parse_written(&m, &got), MSG_OK);
	assert_int_equal(got.stored.n_kept, 1);
}

/* NO_RECORD of a member. */
struct absent {
	bool has_appointment, has_chain;
	uint8_t tree, replica;
};

static void absence_by_a_member_comes_with_all_that_proves_it(void **state)
{
	static const struct {
		const char *why;
		struct absent a;
		enum msg_verdict want;
	} cases[] = {
		{ "by the root", { false, false, 1, 0x44 }, MSG_OK },
		{ "by the member", { true, true, 2, 0x33 }, MSG_OK },
		{ "no chain", { true, false, 2, 0x33 }, MSG_INVALID },
		{ "a chain of nobody", { false, true, 2, 0x33 }, MSG_INVALID },
		{ "about another tree", { true, true, 1, 0x33 }, MSG_INVALID },
		{ "by another node", { true, true, 2, 0x44 }, MSG_INVALID },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		const struct absent *a = &cases[i].a;
		struct msg m = { .type = MSG_NO_RECORD }, got;

		m.no_record.code = NO_RECORD_ABSENT;
		m.no_record.tree = a->tree;
		m.no_record.replica = named(a->replica);
		m.no_record.has_appointment = a->has_appointment;
		m.no_record.appointment = some_appointment();
		m.no_record.chain_len = a->has_chain ? 5 : 0;
		msg_no_record_seal(&m.no_record);
		if (parse_written(&m, &got) != cases[i].want)
			fail_msg("%s", cases[i].why);
	}
}

/* The longest path, record and chain. */
static void the_largest_of_each_fits(void **state)
{
	struct msg *m = mem_new(m), *got = mem_new(got);
	struct appointment *a = &m->store.appointment;
	struct record *rec = &m->store.record;

	(void)state;
	m->type = MSG_STORE;
	m->store.has_appointment = true;
	*a = some_appointment();
	a->at.n = TREE_PATH_MAX;
	for (uint8_t i = 0; i < TREE_PATH_MAX; i++)
		a->at.hop[i] = (struct coord_hop){ named(i), COORD_COST_MAX };
	a->at.hop[0].cost = 0;
	a->root = named(0);
	a->member = named(TREE_PATH_MAX - 1);
	appointment_seal(a);
	rec->id = a->member;
	rec->life_s = RECORD_LIFE_S;
	for (unsigned t = 0; t < TREES; t++)
		rec->at.tree[t] = a->at;
	rec->chain_len = CHAIN_BYTES_MAX;
	record_seal(rec);
	assert_int_equal(parse_written(m, got), MSG_OK);
	assert_true(msg_equal(m, got));
	free(m);
	free(got);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_appointment_has_these_bytes),
		cmocka_unit_test(an_appointment_that_makes_no_sense_is_invalid),
		cmocka_unit_test(who_registers_is_not_handed_over),
		cmocka_unit_test(only_a_member_says_how_much_it_keeps),
		cmocka_unit_test(
			absence_by_a_member_comes_with_all_that_proves_it),
		cmocka_unit_test(the_largest_of_each_fits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
