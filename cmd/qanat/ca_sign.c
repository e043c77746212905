#include "cmd/qanat/ca_sign.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "cmd/qanat/args.h"
#include "cmd/qanat/atomic.h"
#include "cmd/qanat/cert_read.h"
#include "cmd/qanat/say.h"
#include "proto/addr.h"
#include "proto/cert.h"
#include "proto/file.h"
#include "proto/key.h"
#include "proto/name.h"

#define NODE_DAYS 90

struct sign {
	const char *usage;
	const char *ca_dir;
	const char *out; /* NULL: beside the source */
	const char *source;
	int source_kind; /* 'k'ey, 'c'sr, 'p'ub */
	uint64_t days;
	bool force;
	size_t n_names;
	char names[CERT_NAMES_MAX][NAME_BYTES_MAX + 1];
	char ca_crt[PATH_MAX];
	char ca_key[PATH_MAX];
	char out_path[PATH_MAX];
};

static bool add_name(struct sign *s, const char *text)
{
	if (s->n_names == CERT_NAMES_MAX) {
		say_error(EXIT_WRONG_USE, "--name: at most %d of them",
			  CERT_NAMES_MAX);
		return false;
	}
	return arg_name(s->names[s->n_names++], text);
}

static bool set_source(struct sign *s, int kind, const char *path)
{
	if (s->source != NULL) {
		say_error(EXIT_WRONG_USE,
			  "only one of --key, --csr and --pub can be used");
		return false;
	}
	s->source_kind = kind;
	s->source = path;
	return true;
}

/* -1: go on; else the exit code. */
static int take_option(struct sign *s, int c, const char *value)
{
	bool ok = true;

	switch (c) {
	case 'C':
		s->ca_dir = value;
		break;
	case 'o':
		s->out = value;
		break;
	case 'n':
		ok = add_name(s, value);
		break;
	case 'D':
		ok = arg_days(&s->days, value);
		break;
	case 'k':
	case 'c':
	case 'p':
		ok = set_source(s, c, value);
		break;
	case 'f':
		s->force = true;
		break;
	case 'h':
		return fputs(s->usage, stdout) < 0;
	default:
		return EXIT_WRONG_USE;
	}
	return ok ? -1 : EXIT_WRONG_USE;
}

static bool find_paths(struct sign *s)
{
	char dir[PATH_MAX];

	if (!path_join(s->ca_crt, s->ca_dir, "ca.crt") ||
	    !path_join(s->ca_key, s->ca_dir, "ca.key"))
		return false;
	if (s->out != NULL)
		return snprintf(s->out_path, PATH_MAX, "%s", s->out) < PATH_MAX;
	path_dir(dir, s->source);
	return path_join(s->out_path, dir, "cert.crt");
}

static int parse(struct sign *s, int argc, char **argv)
{
	static const struct option options[] = {
		{ "ca-dir", required_argument, NULL, 'C' },
		{ "out", required_argument, NULL, 'o' },
		{ "name", required_argument, NULL, 'n' },
		{ "days", required_argument, NULL, 'D' },
		{ "key", required_argument, NULL, 'k' },
		{ "csr", required_argument, NULL, 'c' },
		{ "pub", required_argument, NULL, 'p' },
		{ "force", no_argument, NULL, 'f' },
		{ "help", no_argument, NULL, 'h' },
		{ 0 },
	};
	int c, rv;

	argv[0] = "qanat ca sign";
	optind = 0;
	while ((c = getopt_long(argc, argv, "h", options, NULL)) != -1) {
		rv = take_option(s, c, optarg);
		if (rv >= 0)
			return rv;
	}
	if (optind != argc)
		return say_error(EXIT_WRONG_USE,
				 "what is \"%s\"? See: qanat ca --help",
				 argv[optind]);
	if (s->source == NULL)
		return say_error(EXIT_WRONG_USE,
				 "name the node's key: --key, --csr or --pub");
	if (!find_paths(s))
		return say_error(EXIT_WRONG_USE, "path too long");
	return -1;
}

static int load_node_key(struct node_key *out, const struct sign *s)
{
	static const char *const wants[] = {
		['k'] = "an Ed25519 key in PEM (PKCS#8, without a password)",
		['c'] = "a valid request for an Ed25519 key in PEM",
		['p'] = "an Ed25519 public key in PEM",
	};
	struct sign_key key;
	int rv;

	if (s->source_kind == 'k') {
		rv = sign_key_load(&key, s->source);
		if (rv == 0)
			*out = key.public;
		sign_key_wipe(&key);
	} else if (s->source_kind == 'c') {
		rv = request_load(out, s->source);
	} else {
		rv = public_load(out, s->source);
	}
	if (rv == -EINVAL)
		return say_error(EXIT_NO, "%s: not %s", s->source,
				 wants[s->source_kind]);
	return rv < 0 ? say_secret_error(s->source, rv) : EXIT_DONE;
}

static int load_issuer(struct issuer *out, const struct sign *s)
{
	const char *culprit;
	int rv;

	rv = issuer_load(out, s->ca_crt, s->ca_key, &culprit);
	if (rv == -EINVAL)
		return say_error(EXIT_NO, "%s: not a %s in PEM", culprit,
				 culprit == s->ca_crt ? "certificate" : "key");
	if (rv == -EKEYREJECTED)
		return say_error(EXIT_NO, "%s: not the key of %s", s->ca_key,
				 s->ca_crt);
	return rv < 0 ? say_secret_error(culprit, rv) : EXIT_DONE;
}

static int load_trust(struct trust **out, const struct issuer *ca,
		      const struct sign *s)
{
	int64_t end_s = gnutls_x509_crt_get_expiration_time(ca->crt);
	char date[DATE_TEXT_MAX];

	if (end_s < time(NULL)) {
		say_date(date, end_s);
		return say_error(EXIT_NO, "%s: expired %s", s->ca_crt, date);
	}
	if (trust_load(out, s->ca_crt) < 0)
		return say_error(EXIT_NO,
				 "%s: not a CA certificate with an Ed25519, "
				 "P-256 or RSA key (2048 bits or more)",
				 s->ca_crt);
	return EXIT_DONE;
}

/* A certificate that outlives its CA would promise too much. */
static struct span span_within(const struct issuer *ca, uint64_t days)
{
	struct span span = span_days(time(NULL), days);
	int64_t end_s = gnutls_x509_crt_get_expiration_time(ca->crt);

	if (span.not_after_s > end_s)
		span.not_after_s = end_s;
	return span;
}

/* The same eyes that a peer will see it with. */
static int check_result(struct identity *id, const struct trust *t,
			const gnutls_datum_t *pem, const struct node_key *node)
{
	uint8_t chain[CHAIN_BYTES_MAX];
	enum cert_verdict v;
	size_t len;

	if (chain_from_pem(chain, sizeof chain, &len, pem->data, pem->size,
			   node, t) < 0)
		return say_error(EXIT_NO, "cannot make the certificate");
	v = cert_check(t, chain, len, time(NULL), id);
	if (v != CERT_OK)
		return say_error(EXIT_NO,
				 "the certificate would be refused: "
				 "%s",
				 cert_verdict_text(v));
	return EXIT_DONE;
}

static void print_result(const struct sign *s, const struct identity *id,
			 const struct trust *t)
{
	const struct overlay_net net = addr_net(trust_hash(t));
	const struct addr a = addr_of(&net, &id->id);
	char text[ADDR_TEXT_MAX], name[NAME_ID_TEXT_MAX], date[DATE_TEXT_MAX];

	addr_text(text, &a);
	name_of_id(name, &id->id);
	say_date(date, id->not_after_s);
	printf("node     %s   %s\n", text, name);
	for (size_t i = 0; i < id->n_names; i++)
		printf("name     %s.fuse\n", id->names[i]);
	printf("valid    until %s\n", date);
	printf("cert     %s\n", s->out_path);
}

/* A node needs the CA's certificate as well: put it beside cert.crt, and do
 * not touch one which is there. */
static int place_ca(const struct sign *s)
{
	char dir[PATH_MAX], path[PATH_MAX];
	struct file_data f;
	int rv;

	if (s->out != NULL)
		return EXIT_DONE;
	path_dir(dir, s->out_path);
	if (!path_join(path, dir, "ca.crt"))
		return say_file_error(dir, -ENAMETOOLONG);
	rv = file_read(&f, s->ca_crt, false);
	if (rv < 0)
		return say_file_error(s->ca_crt, rv);
	rv = atomic_write(path, 0644, false, f.data, f.len);
	file_data_free(&f);
	if (rv == 0)
		printf("ca       %s\n", path);
	return rv < 0 && rv != -EEXIST ? say_file_error(path, rv) : EXIT_DONE;
}

static int make_and_write(const struct sign *s, const struct issuer *ca,
			  const struct trust *t, const struct node_key *node)
{
	const char *names[CERT_NAMES_MAX];
	struct identity id;
	gnutls_datum_t pem;
	int rv;

	for (size_t i = 0; i < s->n_names; i++)
		names[i] = s->names[i];
	if (!make_leaf(&pem, ca, node, names, s->n_names,
		       span_within(ca, s->days)))
		return say_error(EXIT_NO, "cannot make the certificate");
	rv = check_result(&id, t, &pem, node);
	if (rv == EXIT_DONE) {
		rv = atomic_write(s->out_path, 0644, s->force, pem.data,
				  pem.size);
		if (rv < 0)
			rv = say_file_error(s->out_path, rv);
	}
	gnutls_free(pem.data);
	if (rv != EXIT_DONE)
		return rv;
	print_result(s, &id, t);
	return place_ca(s);
}

int ca_sign(int argc, char **argv, const char *usage)
{
	struct sign s = { .usage = usage, .ca_dir = ".", .days = NODE_DAYS };
	struct node_key node;
	struct issuer ca;
	struct trust *t;
	int rv;

	rv = parse(&s, argc, argv);
	if (rv >= 0)
		return rv;
	rv = load_node_key(&node, &s);
	if (rv == EXIT_DONE)
		rv = load_issuer(&ca, &s);
	if (rv != EXIT_DONE)
		return rv;
	rv = load_trust(&t, &ca, &s);
	if (rv == EXIT_DONE) {
		rv = make_and_write(&s, &ca, t, &node);
		trust_free(t);
	}
	issuer_deinit(&ca);
	return rv;
}
