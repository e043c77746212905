#include "circuit/probe/replies.h"

#include <stdlib.h>

#include "proto/base/mem.h"
#include "proto/limits.h"

void replies_deinit(struct replies *rs)
{
	free(rs->sent);
	*rs = (struct replies){ 0 };
}

void replies_expect(struct replies *rs, session_no s,
		    const struct msg_link *told)
{
	rs->sent = mem_realloc(rs->sent, rs->n + 1, sizeof *rs->sent);
	rs->sent[rs->n++] = (struct reply_owed){ .session = s,
						 .is_owed = true,
						 .told = *told };
	rs->n_owed++;
}

static struct reply_owed *find(const struct replies *rs, session_no s)
{
	for (size_t i = 0; i < rs->n; i++)
		if (rs->sent[i].session == s)
			return &rs->sent[i];
	return NULL;
}

bool replies_was_sent(const struct replies *rs, session_no s)
{
	return find(rs, s) != NULL;
}

bool replies_is_owed(const struct replies *rs, session_no s)
{
	const struct reply_owed *o = find(rs, s);

	return o != NULL && o->is_owed;
}

bool replies_take_check(struct replies *rs, session_no s)
{
	struct reply_owed *o = find(rs, s);

	if (o == NULL || (!o->is_owed && o->n_late >= PROBE_ANSWERS_MAX))
		return false;
	if (!o->is_owed)
		o->n_late++;
	return true;
}

bool replies_allow(const struct replies *rs, session_no s,
		   const struct hop *hop)
{
	const struct reply_owed *o = find(rs, s);

	return o != NULL && hop->cost_100us >= o->told.cost_100us &&
	       (hop->mtu <= o->told.mtu || o->told.mtu < CIRCUIT_MTU_MIN);
}

static bool settle(struct replies *rs, session_no s)
{
	struct reply_owed *o = find(rs, s);

	if (o == NULL || !o->is_owed)
		return false;
	o->is_owed = false;
	rs->n_owed--;
	return true;
}

void replies_note(struct replies *rs, enum nak_code code)
{
	rs->codes |= 1u << code;
}

bool replies_nak(struct replies *rs, session_no s, enum nak_code code)
{
	if (!settle(rs, s))
		return false;
	replies_note(rs, code);
	return true;
}

void replies_answer(struct replies *rs, session_no s)
{
	settle(rs, s);
	rs->has_answer = true;
}

bool replies_have(const struct replies *rs, enum nak_code code)
{
	return (rs->codes & 1u << code) != 0;
}

bool replies_are_flawed(const struct replies *rs)
{
	return replies_have(rs, NAK_RATE) || replies_have(rs, NAK_TIMEOUT) ||
	       replies_have(rs, NAK_LINK) || replies_have(rs, NAK_BUDGET);
}

enum nak_code replies_sum(const struct replies *rs)
{
	static const enum nak_code order[] = { NAK_RATE, NAK_TIMEOUT,
					       NAK_LINK, NAK_BUDGET,
					       NAK_TTL,  NAK_DEAD_END };

	for (size_t i = 0; i < ARRAY_LEN(order); i++)
		if (replies_have(rs, order[i]))
			return order[i];
	return NAK_DUPLICATE;
}
