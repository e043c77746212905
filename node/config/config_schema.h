/* The schema of the configuration: what keys there are, of which type, with
 * which default.  Private to config*.c; everything that must agree with the
 * schema (parser, print, reference) is made from it.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "node/config/config.h"
#include "proto/base/text.h"

#define CONFIG_KEYS_MAX 32

struct config_key;

/* `base` is the struct config, or the struct config_peer/config_service of a
 * named section. */
struct config_type {
	const char *form; /* for the reference: "on | off" */
	bool is_list;     /* may be repeated; values are gathered */
	/* False with the reason in `why`, as the end of "key = value: …". */
	bool (*parse)(void *base, const struct config_key *k, const char *text,
		      char *why, size_t cap);
	/* Prints value `i` and returns true; false: there is none. */
	bool (*print)(FILE *f, const void *base, const struct config_key *k,
		      size_t i);
	/* Lists: forget the default before the first value. */
	void (*clear)(void *base, const struct config_key *k);
};

struct config_key {
	const char *section;
	const char *key;
	const struct config_type *type;
	size_t offset;      /* in `base` */
	const char *def;    /* NULL: unset */
	const char *sample; /* for the reference, if there is no default */
	unsigned min, max;  /* of numbers; `max` of texts: their length */
	const char *unit;
	const char *help;
	bool is_required;
	bool is_live; /* a reload applies it; else it needs a restart */
};

/* For the types: where the value is, and a refusal. */
static inline void *field(void *base, const struct config_key *k)
{
	return (char *)base + k->offset;
}

static inline const void *field_read(const void *base,
				     const struct config_key *k)
{
	return (const char *)base + k->offset;
}

static inline bool refuse(char *why, size_t cap, const char *reason)
{
	text_copy(why, cap, reason);
	return false;
}

extern const struct config_key config_keys[];
extern const size_t n_config_keys;

struct config_section {
	const char *name;
	const char *help;
	bool is_named; /* "[peer bravo]" */
};

extern const struct config_section config_sections[];
extern const size_t n_config_sections;

extern const struct config_type config_on_off, config_transit, config_log_level,
	config_protection, config_sealed, config_proto, config_number_or_auto,
	config_number, config_short_name, config_path, config_device,
	config_group, config_udp_listen, config_socks_listen, config_to,
	config_patterns, config_addresses, config_allow;

/* NULL if there is none. */
const struct config_section *config_section_find(const char *name);
const struct config_key *config_key_find(const char *section, const char *key);

/* " (did you mean …?)", or "". */
void config_section_hint(char *out, size_t cap, const char *name);
void config_key_hint(char *out, size_t cap, const char *section,
		     const char *key);
