#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cmd/qanat/args.h"
#include "cmd/qanat/atomic.h"
#include "cmd/qanat/cert_make.h"
#include "cmd/qanat/say.h"
#include "cmd/qanat/verbs.h"
#include "proto/key.h"
#include "proto/name.h"

static const char usage[] =
	"usage: qanat keygen [--dir DIR] [--name NAME] [--csr] [--force]\n"
	"\n"
	"Makes a node's key, DIR/key.pem (mode 0600), and prints its id.\n"
	"\n"
	"  --dir DIR    where to put the files (default: here)\n"
	"  --name NAME  the short name to ask for, as in NAME.fuse\n"
	"  --csr        write a request for a certificate, DIR/node.csr\n"
	"  --force      replace files that exist\n";

struct keygen {
	const char *dir;
	char name[NAME_BYTES_MAX + 1];
	bool csr, force;
	char key_path[PATH_MAX];
	char csr_path[PATH_MAX];
};

/* -1: go on; else the exit code. */
static int parse(struct keygen *k, int argc, char **argv)
{
	static const struct option options[] = {
		{ "dir", required_argument, NULL, 'd' },
		{ "name", required_argument, NULL, 'n' },
		{ "csr", no_argument, NULL, 'c' },
		{ "force", no_argument, NULL, 'f' },
		{ "help", no_argument, NULL, 'h' },
		{ 0 },
	};
	int c;

	argv[0] = "qanat keygen";
	optind = 0;
	while ((c = getopt_long(argc, argv, "h", options, NULL)) != -1) {
		if (c == 'd')
			k->dir = optarg;
		else if (c == 'n' && arg_name(k->name, optarg))
			continue;
		else if (c == 'c')
			k->csr = true;
		else if (c == 'f')
			k->force = true;
		else if (c == 'h')
			return fputs(usage, stdout) < 0;
		else
			return EXIT_WRONG_USE;
	}
	if (optind != argc)
		return say_error(EXIT_WRONG_USE, "what is \"%s\"? %s",
				 argv[optind], "See: qanat keygen --help");
	if (!path_join(k->key_path, k->dir, "key.pem") ||
	    !path_join(k->csr_path, k->dir, "node.csr"))
		return say_error(EXIT_WRONG_USE, "%s: path too long", k->dir);
	return -1;
}

static void print_result(const struct keygen *k, const gnutls_datum_t *pem)
{
	char text[NAME_ID_TEXT_MAX];
	struct sign_key key;
	struct node_hash hash;
	struct node_id id;

	if (!sign_key_parse(&key, (char *)pem->data, pem->size))
		return;
	hash = hash_of_key(&key.public);
	id = id_of_hash(&hash);
	name_of_id(text, &id);
	sign_key_wipe(&key);
	printf("id       %s\n", text);
	if (k->name[0] != '\0')
		printf("name     %s.fuse   (once a certificate says so)\n",
		       k->name);
	printf("key      %s\n", k->key_path);
	if (k->csr)
		printf("request  %s\n", k->csr_path);
	printf("next     qanat ca sign --%s %s%s%s\n", k->csr ? "csr" : "key",
	       k->csr ? k->csr_path : k->key_path,
	       k->name[0] != '\0' ? " --name " : "", k->name);
}

static int write_request(const struct keygen *k, const gnutls_datum_t *key)
{
	gnutls_datum_t pem;
	int rv;

	if (!make_request(&pem, key, k->name[0] != '\0' ? k->name : NULL))
		return say_error(EXIT_NO, "cannot make the request");
	rv = atomic_write(k->csr_path, 0644, k->force, pem.data, pem.size);
	gnutls_free(pem.data);
	return rv < 0 ? say_file_error(k->csr_path, rv) : EXIT_DONE;
}

static int write_files(const struct keygen *k, const gnutls_datum_t *pem)
{
	int rv;

	/* The request is checked first: a key without it is half a job. */
	if (k->csr && !k->force && access(k->csr_path, F_OK) == 0)
		return say_file_error(k->csr_path, -EEXIST);
	rv = atomic_write(k->key_path, 0600, k->force, pem->data, pem->size);
	if (rv < 0)
		return say_file_error(k->key_path, rv);
	rv = k->csr ? write_request(k, pem) : EXIT_DONE;
	if (rv == EXIT_DONE)
		print_result(k, pem);
	return rv;
}

int cmd_keygen(int argc, char **argv)
{
	struct keygen k = { .dir = "." };
	gnutls_datum_t pem;
	int rv;

	rv = parse(&k, argc, argv);
	if (rv >= 0)
		return rv;
	if (!make_key(&pem))
		return say_error(EXIT_NO, "cannot make a key");
	rv = write_files(&k, &pem);
	gnutls_memset(pem.data, 0, pem.size);
	gnutls_free(pem.data);
	return rv;
}
