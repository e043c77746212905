#include "proto/base/mem.h"
#include "proto/msg.h"

static const char *pick(const char *const *names, size_t n, size_t i)
{
	return i < n && names[i] != NULL ? names[i] : "unknown";
}

const char *msg_verdict_text(enum msg_verdict v)
{
	static const char *const names[MSG_VERDICTS] = {
		[MSG_OK] = "ok",
		[MSG_UNKNOWN] = "unknown type",
		[MSG_TOO_LONG] = "too long",
		[MSG_MALFORMED] = "malformed",
		[MSG_INVALID] = "invalid",
	};

	return pick(names, ARRAY_LEN(names), v);
}

const char *nak_code_text(enum nak_code c)
{
	static const char *const names[NAK_CODES] = {
		[NAK_DEAD_END] = "dead end", [NAK_DUPLICATE] = "duplicate",
		[NAK_TTL] = "hop limit",     [NAK_RATE] = "rate limit",
		[NAK_TIMEOUT] = "timeout",   [NAK_LINK] = "link down",
		[NAK_BUDGET] = "budget",
	};

	return pick(names, ARRAY_LEN(names), c);
}

const char *close_reason_text(enum close_reason r)
{
	static const char *const names[CLOSE_REASONS] = {
		[CLOSE_DONE] = "done",
		[CLOSE_IDLE] = "idle",
		[CLOSE_LINK_DOWN] = "link down",
		[CLOSE_REFUSED] = "refused",
		[CLOSE_LIMIT] = "limit",
		[CLOSE_SHUTDOWN] = "shutdown",
		[CLOSE_UNKNOWN_LABEL] = "unknown label",
	};

	return pick(names, ARRAY_LEN(names), r);
}
