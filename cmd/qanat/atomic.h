/* Files that appear whole or not at all. */
#pragma once

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>

/* Writes beside `path`, syncs, then gives it the name: -EEXIST if the name is
 * taken and `replace` is false.  Missing folders are made with mode 0700.  A
 * crash or a full disk leaves an old file as it was. */
int atomic_write(const char *path, unsigned mode, bool replace,
		 const void *data, size_t len);

/* DIR/FILE, or FILE alone for "."; false if that is too long. */
bool path_join(char out[PATH_MAX], const char *dir, const char *file);

/* The folder of `path`, "." if it names none. */
void path_dir(char out[PATH_MAX], const char *path);
