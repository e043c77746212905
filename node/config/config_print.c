#include <stdlib.h>
#include <string.h>

#include "node/config/config.h"
#include "node/config/config_schema.h"
#include "proto/base/mem.h"

/* One line a value: a long list must not make a line too long to read. */
static void print_section(FILE *f, const void *base, const char *section)
{
	for (size_t i = 0; i < n_config_keys; i++) {
		const struct config_key *k = &config_keys[i];
		char *value;
		size_t size;

		if (strcmp(k->section, section) != 0)
			continue;
		for (size_t j = 0;; j++) {
			FILE *m = open_memstream(&value, &size);
			bool is_there;

			if (m == NULL)
				return;
			is_there = k->type->print(m, base, k, j);
			fclose(m);
			if (is_there)
				fprintf(f, "%s = %s\n", k->key, value);
			free(value);
			if (!is_there)
				break;
		}
	}
}

void config_print(FILE *f, const struct config *c)
{
	const char *gap = "";

	for (size_t i = 0; i < n_config_sections; i++) {
		const char *section = config_sections[i].name;

		if (!config_sections[i].is_named) {
			fprintf(f, "%s[%s]\n", gap, section);
			print_section(f, c, section);
			gap = "\n";
			continue;
		}
		if (strcmp(section, "peer") == 0) {
			for (size_t j = 0; j < c->n_peers; j++) {
				fprintf(f, "%s[peer %s]\n", gap,
					c->peers[j].name);
				print_section(f, &c->peers[j], section);
			}
			continue;
		}
		for (size_t j = 0; j < c->n_services; j++) {
			fprintf(f, "%s[service %s]\n", gap,
				c->services[j].name);
			print_section(f, &c->services[j], section);
		}
	}
}

static void comment(FILE *f, const struct config_key *k)
{
	fprintf(f, "; %s", k->help);
	if (k->type->form != NULL)
		fprintf(f, "\n;   %s", k->type->form);
	if (k->unit != NULL)
		fprintf(f, ", %u to %u %s", k->min, k->max, k->unit);
	if (k->def != NULL)
		fprintf(f, "; default %s", k->def);
	fputs("\n", f);
}

void config_print_reference(FILE *f)
{
	fputs("; The configuration of qanatd.  Everything is optional; what "
	      "stands here behind\n; a single ';' is the default or a "
	      "sample.  Lists are parted by blanks or commas,\n; or the key "
	      "is repeated.\n",
	      f);
	for (size_t i = 0; i < n_config_sections; i++) {
		const struct config_section *s = &config_sections[i];

		fprintf(f, "\n; %s\n%s[%s%s]\n", s->help,
			s->is_named ? ";" : "", s->name,
			s->is_named ? " NAME" : "");
		for (size_t j = 0; j < n_config_keys; j++) {
			const struct config_key *k = &config_keys[j];

			if (strcmp(k->section, s->name) != 0)
				continue;
			comment(f, k);
			fprintf(f, ";%s = %s\n", k->key,
				k->def != NULL ? k->def : k->sample);
		}
	}
}

/* All values of a key as one text. */
static char *key_text(const struct config *c, const struct config_key *k)
{
	char *text = NULL;
	size_t size;
	FILE *m = open_memstream(&text, &size);

	if (m == NULL)
		return NULL;
	for (size_t i = 0; k->type->print(m, c, k, i); i++)
		fputc('\n', m);
	fclose(m);
	return text;
}

void config_needs_restart(char *out, size_t cap, const struct config *was,
			  const struct config *now)
{
	size_t len = 0;

	*out = '\0';
	for (size_t i = 0; i < n_config_keys; i++) {
		const struct config_key *k = &config_keys[i];
		char *a, *b;
		int n = 0;

		if (k->is_live)
			continue;
		a = key_text(was, k);
		b = key_text(now, k);
		if (a != NULL && b != NULL && strcmp(a, b) != 0)
			n = snprintf(out + len, cap - len, "%s[%s] %s",
				     len > 0 ? ", " : "", k->section, k->key);
		free(a);
		free(b);
		if (n > 0 && (size_t)n < cap - len)
			len += (size_t)n;
	}
}
