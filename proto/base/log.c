#include "proto/base/log.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* The process's one logger: the level is set at start and by a reload. */
static enum log_level log_max = LOG_LEVEL_INFO;

static const char *const level_names[] = { "error", "warn", "info", "debug" };

void log_set_level(enum log_level level)
{
	log_max = level;
}

bool log_level_parse(enum log_level *out, const char *text)
{
	for (int i = 0; i <= LOG_LEVEL_DEBUG; i++) {
		if (strcmp(text, level_names[i]) == 0) {
			*out = (enum log_level)i;
			return true;
		}
	}
	return false;
}

bool log_enabled(enum log_level level)
{
	return level <= log_max;
}

void log_write(enum log_level level, const char *fmt, ...)
{
	static const char *const journal[] = { "<3>", "<4>", "<6>", "<7>" };
	char line[1024];
	char stamp[40] = "";
	const char *prefix = "";
	va_list ap;

	if (!log_enabled(level))
		return;
	va_start(ap, fmt);
	vsnprintf(line, sizeof line, fmt, ap);
	va_end(ap);
	/* A peer's text must not be able to forge a line. */
	for (char *p = line; *p != '\0'; p++) {
		if ((uint8_t)*p < 0x20 || *p == 0x7f)
			*p = '?';
	}
	if (getenv("JOURNAL_STREAM") != NULL) {
		prefix = journal[level];
	} else {
		struct timespec ts;
		struct tm tm;
		size_t n;

		clock_gettime(CLOCK_REALTIME, &ts);
		gmtime_r(&ts.tv_sec, &tm);
		n = strftime(stamp, sizeof stamp, "%Y-%m-%dT%H:%M:%S", &tm);
		snprintf(stamp + n, sizeof stamp - n, ".%03ldZ ",
			 ts.tv_nsec / 1000000);
	}
	fprintf(stderr, "%s%s%-5s %s\n", prefix, stamp, level_names[level],
		line);
}
