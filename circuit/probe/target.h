/* The target's part: which copies of a probe are answered.  protocol.md 5.6. */
#pragma once

#include <stdbool.h>

#include "circuit/router.h"

struct seen;
struct session;

/* `path` ends with us. */
bool target_wants(const struct seen *e, const struct hop_list *path);
void target_answer(struct router *r, struct session *s, struct seen *e,
		   const struct hop_list *path, nsec now);
