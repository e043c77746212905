/* Asking the qanatd program, not the running daemon: only it can read the
 * configuration. */
#pragma once

#include <stddef.h>

/* Runs `qanatd ARG… [FILE]` with our own input and output; its exit code, or
 * EXIT_WRONG_USE if it is not to be found. */
int daemon_run(const char *arg, const char *config);

/* One value of what is in force: "[section] key".  Exit code; 0 and `out`. */
int daemon_config_value(char *out, size_t cap, const char *config,
			const char *section, const char *key);
