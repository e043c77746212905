/* Plain tables for people, and values as short texts. */
#pragma once

#include <jansson.h>
#include <stdint.h>
#include <stdio.h>

/* ---- tables: gathered first, as the widths follow from the rows ---- */

#define TABLE_COLUMNS_MAX 12
#define TABLE_CELL_MAX    160

struct table;

/* `columns` is a list of headings that ends with NULL. */
struct table *table_new(const char *const *columns);
/* The next cell, from left to right, row by row. */
void table_put(struct table *t, const char *text);
void table_putf(struct table *t, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
/* Prints and frees. */
void table_print(struct table *t, FILE *f);

/* ---- values ---- */

#define VALUE_MAX 32

/* "-" for null and what is missing, in all of them. */
void value_ms(char out[VALUE_MAX], const json_t *ms); /* "11.2ms" "3.10s" */
void value_s(char out[VALUE_MAX], const json_t *s);   /* "42s" "2h11m" "88d" */
void value_bytes(char out[VALUE_MAX], const json_t *bytes); /* "95M" "1.2G" */
void value_percent(char out[VALUE_MAX], const json_t *percent);

/* Members of an object; "-" or 0 if they are missing or null. */
const char *member_text(const json_t *o, const char *key);
json_int_t member_int(const json_t *o, const char *key);

/* How a node is called: its name, or its id. */
const char *node_name(const json_t *node);
