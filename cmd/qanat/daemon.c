#include "cmd/qanat/daemon.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cmd/qanat/say.h"
#include "proto/base/text.h"

/* Beside ourselves, or in ../sbin; else $PATH decides. */
static void find(char *out, size_t cap)
{
	static const char *const places[] = { "qanatd", "../sbin/qanatd" };
	char self[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
	char *slash;

	text_copy(out, cap, "qanatd");
	if (n <= 0)
		return;
	self[n] = '\0';
	slash = strrchr(self, '/');
	for (size_t i = 0; slash != NULL && i < 2; i++) {
		char path[PATH_MAX + 32];

		slash[1] = '\0';
		snprintf(path, sizeof path, "%s%s", self, places[i]);
		if (access(path, X_OK) == 0 && text_copy(out, cap, path))
			return;
	}
}

static pid_t start(const char *arg, const char *config, int out)
{
	char path[PATH_MAX + 32];
	pid_t pid;

	find(path, sizeof path);
	fflush(stdout);
	pid = fork();
	if (pid != 0)
		return pid;
	if (out >= 0)
		dup2(out, STDOUT_FILENO);
	if (config != NULL)
		execlp(path, "qanatd", "--config", config, arg, (char *)NULL);
	else
		execlp(path, "qanatd", arg, (char *)NULL);
	say_error(EXIT_WRONG_USE, "qanatd cannot be run: %s", strerror(errno));
	_exit(EXIT_WRONG_USE);
}

static int wait_for(pid_t pid)
{
	int status;

	if (pid < 0)
		return say_error(EXIT_WRONG_USE, "cannot fork: %s",
				 strerror(errno));
	while (waitpid(pid, &status, 0) < 0) {
		if (errno != EINTR)
			return EXIT_WRONG_USE;
	}
	return WIFEXITED(status) ? WEXITSTATUS(status) : EXIT_NO;
}

int daemon_run(const char *arg, const char *config)
{
	return wait_for(start(arg, config, -1));
}

static bool value_find(char *out, size_t cap, FILE *f, const char *section,
		       const char *key)
{
	char line[1024], title[64];
	bool is_there = false, found = false;
	size_t len = strlen(key);

	snprintf(title, sizeof title, "[%s]", section);
	/* To its end, so that the writer is not cut off. */
	while (fgets(line, sizeof line, f) != NULL) {
		line[strcspn(line, "\n")] = '\0';
		if (line[0] == '[')
			is_there = strcmp(line, title) == 0;
		else if (is_there && strncmp(line, key, len) == 0 &&
			 strncmp(line + len, " = ", 3) == 0)
			found = text_copy(out, cap, line + len + 3);
	}
	return found;
}

int daemon_config_value(char *out, size_t cap, const char *config,
			const char *section, const char *key)
{
	bool found;
	int fds[2], rv;
	pid_t pid;
	FILE *f;

	if (pipe2(fds, O_CLOEXEC) < 0)
		return say_error(EXIT_WRONG_USE, "no pipe: %s",
				 strerror(errno));
	pid = start("--print-config", config, fds[1]);
	close(fds[1]);
	f = fdopen(fds[0], "r");
	found = f != NULL && value_find(out, cap, f, section, key);
	if (f != NULL)
		fclose(f);
	rv = wait_for(pid);
	if (rv == EXIT_DONE && !found)
		rv = say_error(EXIT_NO, "qanatd does not tell [%s] %s", section,
			       key);
	return rv;
}
