/* Which sessions still owe a reply to a probe that was sent to them, and what
 * the replies so far say together.  Used by relays (a copy) and by the origin
 * (a ring).  protocol.md 5.5.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "circuit/router.h"

struct replies {
	size_t n;
	size_t n_owed;
	unsigned codes; /* a bit for each enum nak_code that came */
	bool has_answer;
	struct reply_owed {
		session_no session;
		bool is_owed;
		uint8_t n_late;       /* answers checked that it did not owe */
		struct msg_link told; /* our claim, as the peer knew it */
	} * sent;
};

void replies_deinit(struct replies *rs);
void replies_expect(struct replies *rs, session_no s,
		    const struct msg_link *told);
bool replies_was_sent(const struct replies *rs, session_no s);
bool replies_is_owed(const struct replies *rs, session_no s);

/* Whether one more answer of this session is worth a check: the one that it
 * owes, and later ones so far as an honest node has any. */
bool replies_take_check(struct replies *rs, session_no s);

/* Whether the node at the other end of `s` wrote no better figures of the link
 * to it than we had claimed: they are the worse of both claims. */
bool replies_allow(const struct replies *rs, session_no s,
		   const struct hop *hop);

/* A verdict of our own beside those that came. */
void replies_note(struct replies *rs, enum nak_code code);

/* False if this session owes nothing. */
bool replies_nak(struct replies *rs, session_no s, enum nak_code code);
void replies_answer(struct replies *rs, session_no s);

/* Some reply proves nothing about the part of the network behind it. */
bool replies_are_flawed(const struct replies *rs);
bool replies_have(const struct replies *rs, enum nak_code code);
/* The one code that stands for all:
 * RATE, TIMEOUT, LINK > BUDGET > TTL > DEAD_END > DUPLICATE. */
enum nak_code replies_sum(const struct replies *rs);
