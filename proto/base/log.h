/* Log lines for `node` and `cmd`; the core counts and reports instead.
 *
 * One line an event: a constant text, then key=value.  Lines go to standard
 * error with a level (and the priority prefix of sd-daemon(3) when
 * JOURNAL_STREAM is set).  Control characters in arguments are escaped.
 */
#pragma once

#include <stdbool.h>

enum log_level {
	LOG_LEVEL_ERROR,
	LOG_LEVEL_WARN,
	LOG_LEVEL_INFO,
	LOG_LEVEL_DEBUG,
};

void log_set_level(enum log_level level);
bool log_level_parse(enum log_level *out, const char *text);
bool log_enabled(enum log_level level);

void log_write(enum log_level level, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

#define log_error(...) log_write(LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warn(...)  log_write(LOG_LEVEL_WARN, __VA_ARGS__)
#define log_info(...)  log_write(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_debug(...)                                                         \
	do {                                                                   \
		if (log_enabled(LOG_LEVEL_DEBUG))                              \
			log_write(LOG_LEVEL_DEBUG, __VA_ARGS__);               \
	} while (0)
