#include "tests/sim/report/table.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/mem.h"

#define MARK_BEGIN "<!-- figures: begin -->"
#define MARK_END   "<!-- figures: end -->"

struct row {
	char what[160];
	char measured[32];
	char wanted[48];
	const char *verdict;
	uint64_t seed;
};

static void number(char *out, size_t cap, double x, const char *unit)
{
	int digits = x >= 100 || x == (double)(long)x ? 0 : x >= 10 ? 1 : 2;

	if (strcmp(unit, "%") == 0 && x < 100 && digits != 0)
		digits = 1;
	snprintf(out, cap, "%.*f%s%s", digits, x, unit[0] == '%' ? "" : " ",
		 unit);
	if (unit[0] == '\0')
		out[strlen(out) - 1] = '\0';
}

static bool holds(double measured, enum want want, double wanted)
{
	return want == WANT_NOTHING ||
	       (want == WANT_AT_MOST ? measured <= wanted : measured >= wanted);
}

void table_add(struct table *t, double measured, const char *unit,
	       enum want want, double wanted, uint64_t seed, const char *what,
	       ...)
{
	struct row *row;
	char text[32];
	va_list ap;

	t->rows = mem_realloc(t->rows, t->n + 1, sizeof *t->rows);
	row = &t->rows[t->n++];
	*row = (struct row){ .seed = seed };
	va_start(ap, what);
	vsnprintf(row->what, sizeof row->what, what, ap);
	va_end(ap);
	number(row->measured, sizeof row->measured, measured, unit);
	number(text, sizeof text, wanted, unit);
	if (want != WANT_NOTHING)
		snprintf(row->wanted, sizeof row->wanted, "%s %s",
			 want == WANT_AT_MOST ? "≤" : "≥", text);
	row->verdict = want == WANT_NOTHING            ? ""
		       : holds(measured, want, wanted) ? "ok"
						       : "MISSED";
	t->n_missed += !holds(measured, want, wanted);
	printf("%-6s %14s  %-14s %s\n", row->verdict, row->measured,
	       row->wanted, row->what);
	fflush(stdout);
}

static void write_rows(const struct table *t, FILE *f)
{
	fprintf(f, "\n| what | measured | wanted | | seed |\n"
		   "|---|---|---|---|---|\n");
	for (size_t i = 0; i < t->n; i++) {
		const struct row *r = &t->rows[i];

		fprintf(f, "| %s | %s | %s | %s | %" PRIu64 " |\n", r->what,
			r->measured, r->wanted, r->verdict, r->seed);
	}
	fputc('\n', f);
}

static char *read_all(const char *path)
{
	FILE *f = fopen(path, "r");
	char *text = NULL;
	size_t cap = 0;
	ssize_t len;

	if (f == NULL)
		return NULL;
	len = getdelim(&text, &cap, '\0', f);
	fclose(f);
	if (len < 0) {
		free(text);
		return NULL;
	}
	return text;
}

int table_write(const struct table *t, const char *path)
{
	char *text = read_all(path), *begin, *end;
	FILE *f;

	if (text == NULL)
		return -ENOENT;
	begin = strstr(text, MARK_BEGIN);
	end = strstr(text, MARK_END);
	f = begin != NULL && end > begin ? fopen(path, "w") : NULL;
	if (f == NULL) {
		free(text);
		return -ENOENT;
	}
	fwrite(text, 1, (size_t)(begin - text) + strlen(MARK_BEGIN), f);
	fputc('\n', f);
	write_rows(t, f);
	fputs(end, f);
	free(text);
	return fclose(f) == 0 ? 0 : -errno;
}

void table_deinit(struct table *t)
{
	free(t->rows);
	*t = (struct table){ 0 };
}
