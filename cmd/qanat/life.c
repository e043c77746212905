#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cmd/qanat/client.h"
#include "cmd/qanat/daemon.h"
#include "cmd/qanat/print.h"
#include "cmd/qanat/say.h"
#include "cmd/qanat/verbs.h"
#include "proto/base/version.h"

static const char reload_usage[] =
	"usage: qanat reload\n"
	"\n"
	"Lets the daemon read its configuration again: all of it or nothing.\n"
	"Says what needs a restart.\n"
	"\n" OPTIONS_USAGE;

static const char version_usage[] =
	"usage: qanat version [--json]\n"
	"\n"
	"The version of this command, and of the daemon if it runs.\n"
	"\n" OPTIONS_USAGE;

static const char check_usage[] =
	"usage: qanat check [FILE]\n"
	"       qanat check DIR [--json]\n"
	"\n"
	"Reads the configuration FILE (default: the daemon's) as the daemon\n"
	"would, then the certificates and the key that it names; or those in\n"
	"DIR alone.  No daemon need run.\n";

int cmd_reload(int argc, char **argv)
{
	struct options o = { .json = false };
	json_t *reply;
	int rv = options_parse(&o, argc, argv, 0, 0, 0, reload_usage);

	if (rv >= 0)
		return rv;
	rv = client_post(&o, "/v1/reload", NULL, &reply);
	if (rv != EXIT_DONE)
		return rv;
	if (o.json)
		return client_print_json(reply);
	if (strcmp(member_text(reply, "needs_restart"), "-") == 0)
		puts("reloaded");
	else
		printf("reloaded; these changes need a restart: %s\n",
		       member_text(reply, "needs_restart"));
	json_decref(reply);
	return EXIT_DONE;
}

int cmd_version(int argc, char **argv)
{
	struct options o = { .json = false };
	json_t *reply = NULL, *running;
	int rv = options_parse(&o, argc, argv, 0, 0, 0, version_usage);

	if (rv >= 0)
		return rv;
	client_try(&o, "/v1/version", &reply);
	running = json_object_get(reply, "version");
	if (o.json) {
		client_print_json(json_pack("{s:s, s:O?}", "qanat",
					    qanat_version, "qanatd", running));
	} else {
		printf("qanat  %s\n", qanat_version);
		printf("qanatd %s\n", running != NULL
					      ? json_string_value(running)
					      : "is not running");
	}
	json_decref(reply);
	return EXIT_DONE;
}

static bool is_folder(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

static int check_config(const char *file)
{
	char state[256];
	char *argv[] = { (char *)"check", state, NULL };
	int rv = daemon_run("--check", file);

	if (rv != EXIT_DONE)
		return rv;
	rv = daemon_config_value(state, sizeof state, file, "node", "state");
	return rv == EXIT_DONE ? cmd_cert(2, argv) : rv;
}

int cmd_check(int argc, char **argv)
{
	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--help") == 0 ||
		    strcmp(argv[i], "-h") == 0)
			return fputs(check_usage, stdout) < 0;
		/* A folder: its certificate and key alone. */
		if (argv[i][0] != '-' && is_folder(argv[i]))
			return cmd_cert(argc, argv);
	}
	if (argc > 2 || (argc == 2 && argv[1][0] == '-')) {
		fputs(check_usage, stderr);
		return EXIT_WRONG_USE;
	}
	return check_config(argc == 2 ? argv[1] : NULL);
}
