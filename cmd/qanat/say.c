#include "cmd/qanat/say.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

int say_error(int code, const char *fmt, ...)
{
	va_list ap;

	fputs("qanat: ", stderr);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
	return code;
}

int say_file_error(const char *path, int rv)
{
	switch (rv) {
	case -EEXIST:
		return say_error(EXIT_NO,
				 "%s: exists. Add --force to replace it", path);
	case -ENOENT:
		return say_error(EXIT_NO, "%s: no such file", path);
	default:
		return say_error(EXIT_NO, "%s: %s", path, strerror(-rv));
	}
}

int say_secret_error(const char *path, int rv)
{
	if (rv == -EPERM)
		return say_error(EXIT_NO,
				 "%s: readable by group or others. "
				 "Run: chmod 600 %s",
				 path, path);
	if (rv == -ELOOP)
		return say_error(EXIT_NO,
				 "%s: a symbolic link. Name the file itself",
				 path);
	return say_file_error(path, rv);
}

void say_date(char out[DATE_TEXT_MAX], int64_t at_s)
{
	time_t t = at_s;
	struct tm tm;

	if (gmtime_r(&t, &tm) == NULL ||
	    strftime(out, DATE_TEXT_MAX, "%F", &tm) == 0)
		snprintf(out, DATE_TEXT_MAX, "?");
}
