/* Small files read whole: certificates and keys.
 *
 * Only regular files; nothing here can wait on a FIFO or a device.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#define FILE_BYTES_MAX 65536

/* A NUL follows the data. */
struct file_data {
	char *data;
	size_t len;
};

/* 0, -errno, -EINVAL (not a regular file), -EFBIG.  A secret file must not be
 * a symbolic link (-ELOOP) and group and others must have no right to it
 * (-EPERM). */
int file_read(struct file_data *out, const char *path, bool secret);

/* Wipes and frees. */
void file_data_free(struct file_data *f);
