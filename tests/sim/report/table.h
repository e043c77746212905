/* The figures: what was measured, what is wanted, and whether it is so. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum want {
	WANT_AT_MOST,
	WANT_AT_LEAST,
	WANT_NOTHING, /* told for what it is worth */
};

struct table {
	struct row *rows;
	size_t n, n_missed;
};

/* Prints the row and keeps it.  `what` may be a format. */
void table_add(struct table *t, double measured, const char *unit,
	       enum want want, double wanted, uint64_t seed, const char *what,
	       ...) __attribute__((format(printf, 7, 8)));
/* Writes the rows into a file between its two marks; -errno, or -ENOENT if it
 * has no marks. */
int table_write(const struct table *t, const char *path);
void table_deinit(struct table *t);
