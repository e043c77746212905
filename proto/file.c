#include "proto/file.h"

#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "proto/base/mem.h"

static int file_check(int fd, bool secret)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode))
		return -EINVAL;
	if (secret && (st.st_mode & (S_IRWXG | S_IRWXO)) != 0)
		return -EPERM;
	return 0;
}

/* Reads until the end: the size that stat tells may change meanwhile. */
static int file_fill(struct file_data *f, int fd)
{
	while (f->len <= FILE_BYTES_MAX) {
		ssize_t n =
			read(fd, f->data + f->len, FILE_BYTES_MAX + 1 - f->len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			return 0;
		f->len += (size_t)n;
	}
	return -EFBIG;
}

int file_read(struct file_data *out, const char *path, bool secret)
{
	struct file_data f = { 0 };
	int fd, rv;

	fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY |
				(secret ? O_NOFOLLOW : 0));
	if (fd < 0)
		return -errno;
	rv = file_check(fd, secret);
	if (rv == 0) {
		f.data = mem_calloc(FILE_BYTES_MAX + 2, 1);
		rv = file_fill(&f, fd);
	}
	close(fd);
	if (rv < 0) {
		file_data_free(&f);
		return rv;
	}
	f.data[f.len] = '\0';
	*out = f;
	return 0;
}

void file_data_free(struct file_data *f)
{
	if (f->data != NULL)
		sodium_memzero(f->data, f->len);
	free(f->data);
	*f = (struct file_data){ 0 };
}
