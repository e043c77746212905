#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cmd/qanat/args.h"
#include "cmd/qanat/atomic.h"
#include "cmd/qanat/ca_sign.h"
#include "cmd/qanat/cert_make.h"
#include "cmd/qanat/say.h"
#include "cmd/qanat/verbs.h"
#include "proto/addr.h"
#include "proto/cert.h"

#define CA_DAYS     3650
#define CA_NAME_MAX 64 /* X.520's limit of a common name */

static const char usage[] =
	"usage: qanat ca init [--dir DIR] [--name NAME] [--days N] [--force]\n"
	"       qanat ca sign (--key FILE | --csr FILE | --pub FILE)\n"
	"                     [--ca-dir DIR] [--out FILE] [--name NAME]…\n"
	"                     [--days N] [--force]\n"
	"\n"
	"init makes a cluster: a CA's key DIR/ca.key (mode 0600) and its\n"
	"certificate DIR/ca.crt, which every node needs.\n"
	"sign makes a node's certificate.\n"
	"\n"
	"  --dir DIR     where to put the files (default: here)\n"
	"  --ca-dir DIR  where ca.key and ca.crt are (default: here)\n"
	"  --name NAME   init: what the cluster is called;\n"
	"                sign: the node's short name, as in NAME.fuse\n"
	"  --days N      how long it is valid (default: init 3650, sign 90)\n"
	"  --key FILE    the node's key,\n"
	"  --csr FILE    or its request (qanat keygen --csr),\n"
	"  --pub FILE    or its public key\n"
	"  --out FILE    the certificate (default: cert.crt beside that FILE,\n"
	"                where ca.crt is put as well if it is not there)\n"
	"  --force       replace files that exist\n";

struct init {
	const char *dir;
	const char *name;
	uint64_t days;
	bool force;
	char key_path[PATH_MAX];
	char crt_path[PATH_MAX];
};

static bool name_is_printable(const char *name)
{
	size_t len = strlen(name);

	for (size_t i = 0; i < len; i++) {
		if ((unsigned char)name[i] < 0x20 || name[i] == 0x7f)
			return false;
	}
	return len > 0 && len <= CA_NAME_MAX;
}

/* -1: go on; else the exit code. */
static int init_parse(struct init *in, int argc, char **argv)
{
	static const struct option options[] = {
		{ "dir", required_argument, NULL, 'd' },
		{ "name", required_argument, NULL, 'n' },
		{ "days", required_argument, NULL, 'D' },
		{ "force", no_argument, NULL, 'f' },
		{ "help", no_argument, NULL, 'h' },
		{ 0 },
	};
	int c;

	argv[0] = "qanat ca init";
	optind = 0;
	while ((c = getopt_long(argc, argv, "h", options, NULL)) != -1) {
		if (c == 'd')
			in->dir = optarg;
		else if (c == 'n')
			in->name = optarg;
		else if (c == 'D' && arg_days(&in->days, optarg))
			continue;
		else if (c == 'f')
			in->force = true;
		else if (c == 'h')
			return fputs(usage, stdout) < 0;
		else
			return EXIT_WRONG_USE;
	}
	if (optind != argc)
		return say_error(EXIT_WRONG_USE,
				 "what is \"%s\"? See: qanat ca --help",
				 argv[optind]);
	if (!name_is_printable(in->name))
		return say_error(EXIT_WRONG_USE,
				 "--name: 1 to %d printable characters",
				 CA_NAME_MAX);
	if (!path_join(in->key_path, in->dir, "ca.key") ||
	    !path_join(in->crt_path, in->dir, "ca.crt"))
		return say_error(EXIT_WRONG_USE, "%s: path too long", in->dir);
	return -1;
}

static int init_print(const struct init *in, const gnutls_datum_t *crt)
{
	struct overlay_net net;
	char text[ADDR_TEXT_MAX];
	struct trust *t;

	if (trust_from_pem(&t, crt->data, crt->size) < 0)
		return say_error(EXIT_NO, "%s: unusable", in->crt_path);
	net = addr_net(trust_hash(t));
	trust_free(t);
	addr_net_text(text, &net);
	printf("cluster  %s   %s\n", text, in->name);
	printf("key      %s   (keep it secret, and a copy of it)\n",
	       in->key_path);
	printf("cert     %s   (every node needs it)\n", in->crt_path);
	printf("next     qanat keygen --dir NODE\n");
	return EXIT_DONE;
}

/* Both or neither: a new certificate beside an old key would be a trap. */
static int init_write(const struct init *in, const gnutls_datum_t *key,
		      const gnutls_datum_t *crt)
{
	int rv;

	if (!in->force && access(in->crt_path, F_OK) == 0)
		return say_file_error(in->crt_path, -EEXIST);
	rv = atomic_write(in->key_path, 0600, in->force, key->data, key->size);
	if (rv < 0)
		return say_file_error(in->key_path, rv);
	rv = atomic_write(in->crt_path, 0644, in->force, crt->data, crt->size);
	if (rv < 0)
		return say_file_error(in->crt_path, rv);
	return init_print(in, crt);
}

static int ca_init(int argc, char **argv)
{
	struct init in = { .dir = ".", .name = "qanat", .days = CA_DAYS };
	gnutls_datum_t key, crt;
	int rv;

	rv = init_parse(&in, argc, argv);
	if (rv >= 0)
		return rv;
	if (!make_key(&key))
		return say_error(EXIT_NO, "cannot make a key");
	if (make_ca(&crt, &key, in.name, span_days(time(NULL), in.days))) {
		rv = init_write(&in, &key, &crt);
		gnutls_free(crt.data);
	} else {
		rv = say_error(EXIT_NO, "cannot make the certificate");
	}
	gnutls_memset(key.data, 0, key.size);
	gnutls_free(key.data);
	return rv;
}

int cmd_ca(int argc, char **argv)
{
	if (argc >= 2 && strcmp(argv[1], "init") == 0)
		return ca_init(argc - 1, argv + 1);
	if (argc >= 2 && strcmp(argv[1], "sign") == 0)
		return ca_sign(argc - 1, argv + 1, usage);
	if (argc >= 2 &&
	    (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0))
		return fputs(usage, stdout) < 0;
	fputs(usage, stderr);
	return EXIT_WRONG_USE;
}
