/* Whether a file is a whole LMDB environment of the kind that we write.
 *
 * LMDB 0.9 trusts its pages: a truncated file ends the process with SIGBUS, a
 * damaged one with SIGSEGV or a failed assertion.  So every page that can be
 * reached is checked before LMDB maps the file.  Pure; native byte order, 64
 * bits (as LMDB's own files).
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* NULL, or what is wrong (a constant text). */
const char *store_check(const uint8_t *file, size_t len);
