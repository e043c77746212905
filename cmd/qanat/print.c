#include "cmd/qanat/print.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/mem.h"
#include "proto/base/text.h"

struct table {
	const char *const *columns;
	size_t n_columns;
	size_t n_cells;
	char (*cells)[TABLE_CELL_MAX];
};

struct table *table_new(const char *const *columns)
{
	struct table *t = mem_new(t);

	t->columns = columns;
	while (columns[t->n_columns] != NULL)
		t->n_columns++;
	return t;
}

/* Names and errors come from other nodes: nothing of them may steer a
 * terminal. */
static void make_plain(char *text)
{
	for (char *p = text; *p != '\0'; p++) {
		if ((unsigned char)*p < 0x20 || *p == 0x7f)
			*p = '?';
	}
}

void table_put(struct table *t, const char *text)
{
	char *cell;

	t->cells = mem_realloc(t->cells, t->n_cells + 1, sizeof *t->cells);
	cell = t->cells[t->n_cells++];
	text_copy(cell, TABLE_CELL_MAX, *text != '\0' ? text : "-");
	make_plain(cell);
}

void table_putf(struct table *t, const char *fmt, ...)
{
	char text[TABLE_CELL_MAX];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	table_put(t, text);
}

static size_t width_of(const struct table *t, size_t column)
{
	size_t width = strlen(t->columns[column]);

	for (size_t i = column; i < t->n_cells; i += t->n_columns) {
		if (strlen(t->cells[i]) > width)
			width = strlen(t->cells[i]);
	}
	return width;
}

static void print_row(FILE *f, const size_t *widths, size_t n,
		      const char *(*cell)(const struct table *, size_t),
		      const struct table *t, size_t first)
{
	for (size_t i = 0; i < n; i++) {
		const char *text = cell(t, first + i);

		if (i + 1 < n)
			fprintf(f, "%-*s  ", (int)widths[i], text);
		else
			fprintf(f, "%s\n", text);
	}
}

static const char *heading(const struct table *t, size_t i)
{
	return t->columns[i];
}

static const char *content(const struct table *t, size_t i)
{
	return t->cells[i];
}

void table_print(struct table *t, FILE *f)
{
	size_t widths[TABLE_COLUMNS_MAX] = { 0 };
	size_t n = t->n_columns;

	for (size_t i = 0; i < n; i++)
		widths[i] = width_of(t, i);
	print_row(f, widths, n, heading, t, 0);
	for (size_t i = 0; i + n <= t->n_cells; i += n)
		print_row(f, widths, n, content, t, i);
	free(t->cells);
	free(t);
}

/* ---- values ---- */

void value_ms(char out[VALUE_MAX], const json_t *ms)
{
	double x = json_number_value(ms);

	if (!json_is_number(ms))
		text_copy(out, VALUE_MAX, "-");
	else if (x < 10)
		snprintf(out, VALUE_MAX, "%.2fms", x);
	else if (x < 1000)
		snprintf(out, VALUE_MAX, "%.1fms", x);
	else
		snprintf(out, VALUE_MAX, "%.2fs", x / 1000);
}

void value_s(char out[VALUE_MAX], const json_t *s)
{
	json_int_t x = json_integer_value(s);

	if (!json_is_integer(s))
		text_copy(out, VALUE_MAX, "-");
	else if (x < 60)
		snprintf(out, VALUE_MAX, "%llds", (long long)x);
	else if (x < 3600)
		snprintf(out, VALUE_MAX, "%lldm", (long long)x / 60);
	else if (x < 48 * 3600)
		snprintf(out, VALUE_MAX, "%lldh%02lldm", (long long)x / 3600,
			 (long long)x / 60 % 60);
	else
		snprintf(out, VALUE_MAX, "%lldd", (long long)x / 86400);
}

void value_bytes(char out[VALUE_MAX], const json_t *bytes)
{
	static const char units[] = "BKMGTPE";
	double x = (double)json_integer_value(bytes);
	size_t unit = 0;

	if (!json_is_integer(bytes)) {
		text_copy(out, VALUE_MAX, "-");
		return;
	}
	for (; x >= 1000 && unit < sizeof units - 2; unit++)
		x /= 1000;
	snprintf(out, VALUE_MAX, unit > 0 && x < 9.95 ? "%.1f%c" : "%.0f%c", x,
		 units[unit]);
}

void value_percent(char out[VALUE_MAX], const json_t *percent)
{
	if (!json_is_number(percent))
		text_copy(out, VALUE_MAX, "-");
	else
		snprintf(out, VALUE_MAX, "%.1f%%", json_number_value(percent));
}

const char *member_text(const json_t *o, const char *key)
{
	const char *text = json_string_value(json_object_get(o, key));

	return text != NULL && *text != '\0' ? text : "-";
}

json_int_t member_int(const json_t *o, const char *key)
{
	return json_integer_value(json_object_get(o, key));
}

const char *node_name(const json_t *node)
{
	const char *name = json_string_value(json_object_get(node, "name"));

	return name != NULL ? name : member_text(node, "id");
}
