#include <ctype.h>
#include <netinet/in.h>
#include <string.h>

#include "node/config/config_schema.h"
#include "proto/base/mem.h"
#include "proto/base/text.h"
#include "proto/limits.h"
#include "proto/name.h"

/* ---- words ---- */

static bool on_off_parse(void *base, const struct config_key *k,
			 const char *text, char *why, size_t cap)
{
	bool is_on = strcmp(text, "on") == 0;

	if (!is_on && strcmp(text, "off") != 0)
		return refuse(why, cap, "neither on nor off");
	*(bool *)field(base, k) = is_on;
	return true;
}

static bool on_off_print(FILE *f, const void *base, const struct config_key *k,
			 size_t i)
{
	if (i > 0)
		return false;
	fputs(*(const bool *)field_read(base, k) ? "on" : "off", f);
	return true;
}

const struct config_type config_on_off = {
	.form = "on | off",
	.parse = on_off_parse,
	.print = on_off_print,
};

static const char *const transit_words[] = {
	[TRANSIT_ON] = "on",
	[TRANSIT_LAST_RESORT] = "last-resort",
	[TRANSIT_OFF] = "off",
};

static bool transit_parse(void *base, const struct config_key *k,
			  const char *text, char *why, size_t cap)
{
	for (size_t i = 0; i < ARRAY_LEN(transit_words); i++) {
		if (strcmp(text, transit_words[i]) == 0) {
			*(enum transit *)field(base, k) = (enum transit)i;
			return true;
		}
	}
	return refuse(why, cap, "not one of on, last-resort, off");
}

static bool transit_print(FILE *f, const void *base, const struct config_key *k,
			  size_t i)
{
	if (i > 0)
		return false;
	fputs(transit_words[*(const enum transit *)field_read(base, k)], f);
	return true;
}

const struct config_type config_transit = {
	.form = "on | last-resort | off",
	.parse = transit_parse,
	.print = transit_print,
};

static const char *const level_words[] = {
	[LOG_LEVEL_ERROR] = "error",
	[LOG_LEVEL_WARN] = "warn",
	[LOG_LEVEL_INFO] = "info",
	[LOG_LEVEL_DEBUG] = "debug",
};

static bool log_level_text_parse(void *base, const struct config_key *k,
				 const char *text, char *why, size_t cap)
{
	if (!log_level_parse(field(base, k), text))
		return refuse(why, cap, "not one of error, warn, info, debug");
	return true;
}

static bool log_level_print(FILE *f, const void *base,
			    const struct config_key *k, size_t i)
{
	if (i > 0)
		return false;
	fputs(level_words[*(const enum log_level *)field_read(base, k)], f);
	return true;
}

const struct config_type config_log_level = {
	.form = "error | warn | info | debug",
	.parse = log_level_text_parse,
	.print = log_level_print,
};

static bool protection_parse(void *base, const struct config_key *k,
			     const char *text, char *why, size_t cap)
{
	for (int i = 0; i < PROTECT_CHOICES; i++) {
		if (strcmp(text, protect_choice_text(i)) == 0) {
			*(enum protect_choice *)field(base, k) = i;
			return true;
		}
	}
	return refuse(why, cap, "not one of auto, gnutls, ipsec-mb");
}

static bool protection_print(FILE *f, const void *base,
			     const struct config_key *k, size_t i)
{
	if (i > 0)
		return false;
	fputs(protect_choice_text(
		      *(const enum protect_choice *)field_read(base, k)),
	      f);
	return true;
}

const struct config_type config_protection = {
	.form = "auto | gnutls | ipsec-mb",
	.parse = protection_parse,
	.print = protection_print,
};

static const char *const sealed_words[SEAL_USES] = {
	[SEAL_AUTO] = "auto",
	[SEAL_ALWAYS] = "always",
	[SEAL_OFF] = "off",
};

static bool sealed_parse(void *base, const struct config_key *k,
			 const char *text, char *why, size_t cap)
{
	for (int i = 0; i < SEAL_USES; i++) {
		if (strcmp(text, sealed_words[i]) == 0) {
			*(enum seal_use *)field(base, k) = (enum seal_use)i;
			return true;
		}
	}
	return refuse(why, cap, "not one of auto, always, off");
}

static bool sealed_print(FILE *f, const void *base, const struct config_key *k,
			 size_t i)
{
	if (i > 0)
		return false;
	fputs(sealed_words[*(const enum seal_use *)field_read(base, k)], f);
	return true;
}

const struct config_type config_sealed = {
	.form = "auto | always | off",
	.parse = sealed_parse,
	.print = sealed_print,
};

static const struct {
	const char *word;
	uint8_t proto;
} proto_words[] = {
	{ "tcp", IPPROTO_TCP },
	{ "udp", IPPROTO_UDP },
	{ "both", 0 },
};

static bool proto_parse(void *base, const struct config_key *k,
			const char *text, char *why, size_t cap)
{
	for (size_t i = 0; i < ARRAY_LEN(proto_words); i++) {
		if (strcmp(text, proto_words[i].word) == 0) {
			*(uint8_t *)field(base, k) = proto_words[i].proto;
			return true;
		}
	}
	return refuse(why, cap, "not one of tcp, udp, both");
}

static bool proto_print(FILE *f, const void *base, const struct config_key *k,
			size_t i)
{
	uint8_t proto = *(const uint8_t *)field_read(base, k);

	for (size_t j = 0; i == 0 && j < ARRAY_LEN(proto_words); j++) {
		if (proto_words[j].proto == proto)
			fputs(proto_words[j].word, f);
	}
	return i == 0;
}

const struct config_type config_proto = {
	.form = "tcp | udp | both",
	.parse = proto_parse,
	.print = proto_print,
};

/* ---- numbers ---- */

static bool port_parse(void *base, const struct config_key *k, const char *text,
		       char *why, size_t cap)
{
	uint64_t x;

	if (!text_u64(&x, text, k->min, k->max)) {
		snprintf(why, cap, "not in %u..%u", k->min, k->max);
		return false;
	}
	*(uint16_t *)field(base, k) = (uint16_t)x;
	return true;
}

static bool port_print(FILE *f, const void *base, const struct config_key *k,
		       size_t i)
{
	if (i > 0)
		return false;
	fprintf(f, "%u", *(const uint16_t *)field_read(base, k));
	return true;
}

const struct config_type config_number = {
	.form = "number",
	.parse = port_parse,
	.print = port_print,
};

static bool number_parse(void *base, const struct config_key *k,
			 const char *text, char *why, size_t cap)
{
	if (strcmp(text, "auto") != 0)
		return port_parse(base, k, text, why, cap);
	*(uint16_t *)field(base, k) = 0;
	return true;
}

static bool number_print(FILE *f, const void *base, const struct config_key *k,
			 size_t i)
{
	if (i > 0 || *(const uint16_t *)field_read(base, k) != 0)
		return port_print(f, base, k, i);
	fputs("auto", f);
	return true;
}

const struct config_type config_number_or_auto = {
	.form = "auto | number",
	.parse = number_parse,
	.print = number_print,
};

/* ---- texts ---- */

static bool text_print(FILE *f, const void *base, const struct config_key *k,
		       size_t i)
{
	const char *text = field_read(base, k);

	if (i > 0 || *text == '\0')
		return false;
	fputs(text, f);
	return true;
}

static bool short_name_parse(void *base, const struct config_key *k,
			     const char *text, char *why, size_t cap)
{
	if (!name_short_is_valid(text))
		return refuse(why, cap,
			      "not a name (a-z, 0-9, inner hyphens; at most "
			      "63)");
	return text_copy(field(base, k), NAME_BYTES_MAX + 1, text);
}

const struct config_type config_short_name = {
	.form = "name",
	.parse = short_name_parse,
	.print = text_print,
};

static bool path_parse(void *base, const struct config_key *k, const char *text,
		       char *why, size_t cap)
{
	if (*text != '/')
		return refuse(why, cap, "not an absolute path");
	if (strlen(text) > k->max) {
		snprintf(why, cap, "longer than %u bytes", k->max);
		return false;
	}
	return text_copy(field(base, k), k->max + 1, text);
}

const struct config_type config_path = {
	.form = "absolute path",
	.parse = path_parse,
	.print = text_print,
};

/* What the kernel takes for the name of a device (dev_valid_name). */
static bool device_parse(void *base, const struct config_key *k,
			 const char *text, char *why, size_t cap)
{
	size_t len = strlen(text);

	if (len == 0 || len > 15 || strpbrk(text, "/: \t%") != NULL ||
	    strcmp(text, ".") == 0 || strcmp(text, "..") == 0)
		return refuse(why, cap,
			      "not the name of a device (1..15 characters, "
			      "no / : % or blank)");
	return text_copy(field(base, k), 16, text);
}

const struct config_type config_device = {
	.form = "name",
	.parse = device_parse,
	.print = text_print,
};

static bool group_parse(void *base, const struct config_key *k,
			const char *text, char *why, size_t cap)
{
	bool good = *text != '\0' && *text != '-' && strlen(text) <= k->max;

	for (const char *p = text; *p != '\0'; p++) {
		if (!isalnum((unsigned char)*p) && strchr("_.-", *p) == NULL)
			good = false;
	}
	if (!good)
		return refuse(why, cap, "not the name of a group");
	return text_copy(field(base, k), k->max + 1, text);
}

const struct config_type config_group = {
	.form = "group",
	.parse = group_parse,
	.print = text_print,
};
