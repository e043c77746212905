/* What the control API answers: the paths of docs/api.md, for one node. */
#pragma once

#include <stddef.h>

struct api_handlers;
struct node;

/* Opens the control socket; 0 or -errno with `why`. */
int api_handlers_new(struct api_handlers **out, struct node *n, char *why,
		     size_t why_cap);
/* Ends all requests; before what the node is made of is freed.  NULL is
 * allowed. */
void api_handlers_free(struct api_handlers *h);
