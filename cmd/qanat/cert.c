#include <getopt.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cmd/qanat/say.h"
#include "cmd/qanat/verbs.h"
#include "proto/base/text.h"
#include "proto/cert.h"
#include "proto/name.h"

#define DAY_S 86400

static const char usage[] =
	"usage: qanat cert show [DIR] [--json]\n"
	"       qanat check [DIR] [--json]\n"
	"\n"
	"Reads ca.crt, cert.crt and key.pem in DIR (default: here) as the\n"
	"daemon does, and tells whose they are, or what is wrong with them.\n";

struct show {
	const char *dir;
	bool json;
};

/* -1: go on; else the exit code. */
static int parse(struct show *s, int argc, char **argv)
{
	static const struct option options[] = {
		{ "json", no_argument, NULL, 'j' },
		{ "help", no_argument, NULL, 'h' },
		{ 0 },
	};
	int c;

	argv[0] = "qanat cert show";
	optind = 0;
	while ((c = getopt_long(argc, argv, "h", options, NULL)) != -1) {
		if (c == 'j')
			s->json = true;
		else if (c == 'h')
			return fputs(usage, stdout) < 0;
		else
			return EXIT_WRONG_USE;
	}
	if (argc - optind > 1) {
		fputs(usage, stderr);
		return EXIT_WRONG_USE;
	}
	if (optind < argc)
		s->dir = argv[optind];
	return -1;
}

/* What is shown, as text. */
struct facts {
	char address[ADDR_TEXT_MAX];
	char cluster[ADDR_TEXT_MAX];
	char name[NAME_ID_TEXT_MAX];
	char from[DATE_TEXT_MAX], until[DATE_TEXT_MAX];
	int64_t days_left;
};

static struct facts facts_of(const struct credentials *c, int64_t now_s)
{
	const struct identity *self = &c->self;
	const struct addr a = addr_of(&c->net, &self->id);
	struct facts f = { .days_left = (self->not_after_s - now_s) / DAY_S };

	addr_text(f.address, &a);
	addr_net_text(f.cluster, &c->net);
	name_of_id(f.name, &self->id);
	say_date(f.from, self->not_before_s);
	say_date(f.until, self->not_after_s);
	return f;
}

static void print_text(const struct credentials *c, const struct facts *f)
{
	printf("node     %s   %s\n", f->address, f->name);
	for (size_t i = 0; i < c->self.n_names; i++)
		printf("name     %s.fuse\n", c->self.names[i]);
	printf("cluster  %s\n", f->cluster);
	printf("valid    %s to %s   (%" PRId64 " days left)\n", f->from,
	       f->until, f->days_left);
}

static void print_json(json_t *o)
{
	json_dumpf(o, stdout, JSON_INDENT(2));
	putchar('\n');
	json_decref(o);
}

static json_t *names_json(const struct identity *self)
{
	json_t *list = json_array();

	for (size_t i = 0; i < self->n_names; i++)
		json_array_append_new(list,
				      json_sprintf("%s.fuse", self->names[i]));
	return list;
}

static json_t *facts_json(const struct credentials *c, const struct facts *f)
{
	char hash[2 * HASH_LEN + 1], ca_hash[2 * HASH_LEN + 1];

	text_hex(hash, c->self.hash.b, HASH_LEN);
	text_hex(ca_hash, trust_hash(c->trust)->b, HASH_LEN);
	return json_pack("{sb ss ss so ss ss ss sI sI sI}", "valid", 1,
			 "address", f->address, "id", f->name, "names",
			 names_json(&c->self), "hash", hash, "cluster",
			 f->cluster, "ca_hash", ca_hash, "not_before_s",
			 (json_int_t)c->self.not_before_s, "not_after_s",
			 (json_int_t)c->self.not_after_s, "days_left",
			 (json_int_t)f->days_left);
}

static json_t *refusal_json(char *why)
{
	json_t *text = json_string(why);

	/* A path need not be UTF-8, JSON must. */
	for (char *p = why; text == NULL && *p != '\0'; p++) {
		if ((unsigned char)*p >= 0x80)
			*p = '?';
	}
	if (text == NULL)
		text = json_string(why);
	return json_pack("{sb so}", "valid", 0, "error", text);
}

static int show(const struct show *s)
{
	struct credentials c;
	struct facts f;
	const int64_t now_s = time(NULL);
	char why[1024];

	if (credentials_load(&c, s->dir, now_s, why, sizeof why) < 0) {
		if (s->json)
			print_json(refusal_json(why));
		return say_error(EXIT_NO, "%s", why);
	}
	f = facts_of(&c, now_s);
	if (s->json)
		print_json(facts_json(&c, &f));
	else
		print_text(&c, &f);
	credentials_deinit(&c);
	return EXIT_DONE;
}

int cmd_cert(int argc, char **argv)
{
	struct show s = { .dir = "." };
	int rv;

	if (strcmp(argv[0], "check") != 0) {
		bool known = argc >= 2 && (strcmp(argv[1], "show") == 0 ||
					   strcmp(argv[1], "check") == 0);
		bool help = argc >= 2 && (strcmp(argv[1], "--help") == 0 ||
					  strcmp(argv[1], "-h") == 0);

		if (!known) {
			fputs(usage, help ? stdout : stderr);
			return help ? EXIT_DONE : EXIT_WRONG_USE;
		}
		argc--;
		argv++;
	}
	rv = parse(&s, argc, argv);
	return rv >= 0 ? rv : show(&s);
}
