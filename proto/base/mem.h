/* Allocation that cannot fail: exhaustion ends the process.
 *
 * What makes that safe is that every growth a peer can cause meets a named
 * limit before it allocates (style: errors, memory).
 */
#pragma once

#include <stddef.h>

/* Zeroed memory for `n` objects of `size` bytes; free() releases it. */
void *mem_calloc(size_t n, size_t size);
void *mem_realloc(void *p, size_t n, size_t size);
char *mem_strdup(const char *s);

/* Zeroed pages, resident one by one as they are used. */
void *mem_pages(size_t size);
void mem_pages_free(void *p, size_t size);
/* Makes all of them zero and not resident.  Until some are opened again nobody
 * may look at them: under a sanitizer nobody can. */
void mem_pages_clear(void *p, size_t size);
void mem_pages_open(void *p, size_t size);
/* What was freed goes back to the system. */
void mem_trim(void);

/* A zeroed object of the type that `p` points to. */
#define mem_new(p) mem_calloc(1, sizeof *(p))

/* The struct of type `type` whose `member` is at `p`. */
#define container_of(p, type, member)                                          \
	((type *)(void *)((char *)(p)-offsetof(type, member)))

#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))
