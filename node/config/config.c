#include "node/config/config.h"

#include <errno.h>
#include <ini.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "node/config/config_schema.h"
#include "proto/base/mem.h"
#include "proto/base/text.h"
#include "proto/name.h"

#define FILE_BYTES_MAX (1024 * 1024)
/* inih keeps 49 characters of a section's or a key's name. */
#define INI_NAME_MAX 49
#define TITLE_MAX    (2 * INI_NAME_MAX + 2)
#define SECTIONS_MAX (16 + CONFIG_PEERS_MAX + CONFIG_SERVICES_MAX)
#define HINT_MAX     96

/* One run over one file.  inih splits the lines; the reader below hands them
 * out, so that it knows the number of the line which a callback is about. */
struct parse {
	struct config *c;
	const char *file;
	const char *pos, *end;
	unsigned line;
	unsigned failed_line; /* 0: none */
	char *why;
	size_t why_cap;

	const struct config_section *section; /* NULL: none yet */
	char title[TITLE_MAX];                /* "peer bravo" */
	unsigned section_line;
	void *base;                         /* what the keys are set in */
	unsigned key_line[CONFIG_KEYS_MAX]; /* where each was set; 0: not */

	size_t n_seen;
	struct {
		char title[TITLE_MAX];
		unsigned line;
	} seen[SECTIONS_MAX];
};

/* The first error is told; what follows it may be its consequence. */
static bool fail_at(struct parse *p, unsigned line, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
static bool fail_at(struct parse *p, unsigned line, const char *fmt, ...)
{
	va_list ap;
	int n;

	if (p->failed_line != 0)
		return false;
	p->failed_line = line;
	n = snprintf(p->why, p->why_cap, "%s:%u: ", p->file, line);
	if (n < 0 || (size_t)n >= p->why_cap)
		return false;
	va_start(ap, fmt);
	vsnprintf(p->why + n, p->why_cap - (size_t)n, fmt, ap);
	va_end(ap);
	return false;
}

/* ---- sections ---- */

static void section_end(struct parse *p)
{
	if (p->section == NULL)
		return;
	for (size_t i = 0; i < n_config_keys; i++) {
		const struct config_key *k = &config_keys[i];

		if (k->is_required && p->key_line[i] == 0 &&
		    strcmp(k->section, p->section->name) == 0)
			fail_at(p, p->section_line, "[%s] has no %s", p->title,
				k->key);
	}
	p->section = NULL;
}

static void defaults_of(void *base, const char *section)
{
	char why[CONFIG_TEXT_MAX];

	for (size_t i = 0; i < n_config_keys; i++) {
		const struct config_key *k = &config_keys[i];

		if (k->def != NULL && strcmp(k->section, section) == 0)
			k->type->parse(base, k, k->def, why, sizeof why);
	}
}

static void *named_section_add(struct parse *p, const char *name)
{
	struct config *c = p->c;

	if (!name_short_is_valid(name)) {
		fail_at(p, p->line,
			"[%s]: a name is a-z, 0-9 and inner hyphens, and not "
			"an id",
			p->title);
		return NULL;
	}
	if (strcmp(p->section->name, "peer") == 0) {
		struct config_peer *peer = &c->peers[c->n_peers];

		if (c->n_peers == CONFIG_PEERS_MAX) {
			fail_at(p, p->line, "more than %d peers",
				CONFIG_PEERS_MAX);
			return NULL;
		}
		c->n_peers++;
		memset(peer, 0, sizeof *peer);
		text_copy(peer->name, sizeof peer->name, name);
		return peer;
	}
	if (c->n_services == CONFIG_SERVICES_MAX) {
		fail_at(p, p->line, "more than %d services",
			CONFIG_SERVICES_MAX);
		return NULL;
	}
	memset(&c->services[c->n_services], 0, sizeof c->services[0]);
	text_copy(c->services[c->n_services].name, sizeof c->services[0].name,
		  name);
	defaults_of(&c->services[c->n_services], "service");
	return &c->services[c->n_services++];
}

static bool section_is_new(struct parse *p)
{
	for (size_t i = 0; i < p->n_seen; i++) {
		if (strcmp(p->seen[i].title, p->title) == 0)
			return fail_at(p, p->line,
				       "[%s] again: it is in line %u already",
				       p->title, p->seen[i].line);
	}
	if (p->n_seen == SECTIONS_MAX)
		return fail_at(p, p->line, "too many sections");
	text_copy(p->seen[p->n_seen].title, sizeof p->title, p->title);
	p->seen[p->n_seen++].line = p->line;
	return true;
}

/* `title` is what stands between the brackets. */
static void section_begin(struct parse *p, const char *title)
{
	char kind[INI_NAME_MAX + 1];
	char hint[HINT_MAX];
	size_t len = strcspn(title, " \t");
	const char *name = title + len + strspn(title + len, " \t");

	section_end(p);
	p->section_line = p->line;
	memset(p->key_line, 0, sizeof p->key_line);
	memcpy(kind, title, len);
	kind[len] = '\0';

	p->section = config_section_find(kind);
	if (p->section == NULL) {
		config_section_hint(hint, sizeof hint, kind);
		fail_at(p, p->line, "unknown section [%s]%s", title, hint);
		return;
	}
	snprintf(p->title, sizeof p->title, "%s%s%s", kind,
		 *name != '\0' ? " " : "", name);
	if (p->section->is_named && *name == '\0') {
		fail_at(p, p->line, "[%s] needs a name: [%s NAME]", kind, kind);
	} else if (!p->section->is_named && *name != '\0') {
		fail_at(p, p->line, "[%s] takes no name", kind);
	} else if (section_is_new(p)) {
		p->base = p->section->is_named ? named_section_add(p, name)
					       : p->c;
	}
}

/* inih tells of a section with its first key only; empty ones count too. */
static void section_line(struct parse *p, const char *line)
{
	const char *start = line + 1 + strspn(line + 1, " \t");
	const char *close = strchr(start, ']');
	char title[INI_NAME_MAX + 1];
	size_t len;

	if (close == NULL)
		return; /* inih refuses it */
	len = (size_t)(close - start);
	while (len > 0 && (start[len - 1] == ' ' || start[len - 1] == '\t'))
		len--;
	if (len > INI_NAME_MAX) {
		fail_at(p, p->line, "the section's name is too long");
		return;
	}
	memcpy(title, start, len);
	title[len] = '\0';
	section_begin(p, title);
}

/* ---- lines ---- */

/* An ini_reader: the next line without leading blanks (inih would take an
 * indented line for the continuation of the one before). */
static char *read_line(char *out, int cap, void *stream)
{
	struct parse *p = stream;
	const char *eol;
	size_t len;

	if (p->pos == p->end || p->failed_line != 0)
		return NULL;
	p->line++;
	eol = memchr(p->pos, '\n', (size_t)(p->end - p->pos));
	if (eol == NULL)
		eol = p->end;
	while (p->pos < eol && (*p->pos == ' ' || *p->pos == '\t'))
		p->pos++;
	len = (size_t)(eol - p->pos);
	if (memchr(p->pos, '\0', len) != NULL) {
		fail_at(p, p->line, "a NUL byte: is this a text file?");
		return NULL;
	}
	if (cap < 3 || len > (size_t)cap - 3) {
		fail_at(p, p->line, "the line is longer than %d bytes",
			cap - 3);
		return NULL;
	}
	memcpy(out, p->pos, len);
	memcpy(out + len, "\n", 2);
	p->pos = eol < p->end ? eol + 1 : eol;
	if (*out == '[')
		section_line(p, out);
	return out;
}

static bool key_value(struct parse *p, const char *key, const char *value)
{
	const struct config_key *k;
	char why[CONFIG_TEXT_MAX] = "";
	char hint[HINT_MAX];
	size_t i;

	if (p->section == NULL)
		return fail_at(p, p->line, "\"%s\" stands before any section",
			       key);
	k = config_key_find(p->section->name, key);
	if (k == NULL) {
		config_key_hint(hint, sizeof hint, p->section->name, key);
		return fail_at(p, p->line, "unknown key \"%s\" in [%s]%s", key,
			       p->title, hint);
	}
	i = (size_t)(k - config_keys);
	if (p->key_line[i] != 0 && !k->type->is_list)
		return fail_at(p, p->line,
			       "\"%s\" again in [%s]: it is in line %u already",
			       key, p->title, p->key_line[i]);
	if (p->key_line[i] == 0 && k->type->clear != NULL)
		k->type->clear(p->base, k);
	if (!k->type->parse(p->base, k, value, why, sizeof why))
		return fail_at(p, p->line, "[%s] %s = %s: %s", p->title, key,
			       value, why);
	p->key_line[i] = p->line;
	return true;
}

static int handle_pair(void *user, const char *section, const char *key,
		       const char *value)
{
	struct parse *p = user;

	(void)section; /* section_line() has seen it, with its line */
	return p->failed_line == 0 && key_value(p, key, value);
}

static unsigned service_line(const struct parse *p, const char *name)
{
	char title[sizeof p->title];

	snprintf(title, sizeof title, "service %.40s", name);
	for (size_t i = 0; i < p->n_seen; i++) {
		if (strcmp(p->seen[i].title, title) == 0)
			return p->seen[i].line;
	}
	return p->line;
}

static bool ports_clash(const struct config_service *a,
			const struct config_service *b)
{
	return a->port == b->port &&
	       (a->proto == b->proto || a->proto == 0 || b->proto == 0);
}

/* Two services on one port: which would a caller get? */
static void check_services(struct parse *p)
{
	const struct config *c = p->c;

	for (size_t i = 1; i < c->n_services; i++) {
		const struct config_service *b = &c->services[i];

		for (size_t j = 0; j < i; j++) {
			const struct config_service *a = &c->services[j];

			if (ports_clash(a, b))
				fail_at(p, service_line(p, b->name),
					"[service %s] has port %u, as "
					"[service %s] in line %u",
					b->name, b->port, a->name,
					service_line(p, a->name));
		}
	}
}

void config_defaults(struct config *c)
{
	memset(c, 0, offsetof(struct config, peers));
	for (size_t i = 0; i < n_config_sections; i++) {
		if (!config_sections[i].is_named)
			defaults_of(c, config_sections[i].name);
	}
}

void config_copy(struct config *to, const struct config *from)
{
	memcpy(to, from, offsetof(struct config, peers));
	memcpy(to->peers, from->peers, from->n_peers * sizeof from->peers[0]);
	memcpy(to->services, from->services,
	       from->n_services * sizeof from->services[0]);
}

static void parse_run(struct parse *p)
{
	int bad_line = ini_parse_stream(read_line, p, handle_pair, p);

	/* inih goes on after a line that it cannot read, so its first may be
	 * before ours. */
	if (bad_line > 0 &&
	    (p->failed_line == 0 || (unsigned)bad_line < p->failed_line)) {
		p->failed_line = 0;
		fail_at(p, (unsigned)bad_line,
			"neither [section], key = value nor a comment");
	}
	section_end(p);
	check_services(p);
}

int config_parse(struct config *c, const char *text, size_t len,
		 const char *file, char *why, size_t why_cap)
{
	struct parse *p = mem_new(p);
	int rv = -EINVAL;

	p->c = mem_new(p->c);
	p->file = file;
	p->pos = text;
	p->end = text + len;
	if (len >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0)
		p->pos += 3;
	p->why = why;
	p->why_cap = why_cap;
	config_defaults(p->c);
	parse_run(p);
	if (p->failed_line == 0) {
		config_copy(c, p->c);
		rv = 0;
	}
	free(p->c);
	free(p);
	return rv;
}

int config_load(struct config *c, const char *path, char *why, size_t why_cap)
{
	FILE *f = fopen(path, "re");
	char *text;
	size_t len;
	int rv;

	if (f == NULL) {
		rv = -errno;
		snprintf(why, why_cap, "%s: cannot be read: %s", path,
			 strerror(-rv));
		return rv;
	}
	text = mem_calloc(FILE_BYTES_MAX + 1, 1);
	errno = 0;
	len = fread(text, 1, FILE_BYTES_MAX + 1, f);
	if (ferror(f)) {
		rv = errno != 0 ? -errno : -EIO;
		snprintf(why, why_cap, "%s: cannot be read: %s", path,
			 strerror(-rv));
	} else if (len > FILE_BYTES_MAX) {
		rv = -EFBIG;
		snprintf(why, why_cap, "%s: is larger than %d bytes", path,
			 FILE_BYTES_MAX);
	} else {
		rv = config_parse(c, text, len, path, why, why_cap);
	}
	fclose(f);
	free(text);
	return rv;
}
