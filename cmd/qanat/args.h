/* Values that several verbs take on the command line. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "proto/limits.h"

#define DAYS_MAX 36500

/* "alice" or "alice.fuse"; says what is wrong and returns false else. */
bool arg_name(char out[NAME_BYTES_MAX + 1], const char *text);
bool arg_days(uint64_t *out, const char *text);
