/* What the tool says to a person, and with which exit code. */
#pragma once

#include <stdint.h>

enum {
	EXIT_DONE = 0,
	EXIT_NO = 1,
	EXIT_WRONG_USE = 2,
};

/* "qanat: …" on standard error; returns `code`. */
int say_error(int code, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

/* A file and what a -errno means for it; returns EXIT_NO.  The second one is
 * for file_read() of a secret, whose -EPERM is about its mode. */
int say_file_error(const char *path, int rv);
int say_secret_error(const char *path, int rv);

/* "2026-11-19", in UTC. */
#define DATE_TEXT_MAX 32
void say_date(char out[DATE_TEXT_MAX], int64_t at_s);
