#include "cmd/qanat/atomic.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "proto/base/text.h"

bool path_join(char out[PATH_MAX], const char *dir, const char *file)
{
	const bool here = strcmp(dir, ".") == 0;
	int n = snprintf(out, PATH_MAX, "%s%s%s", here ? "" : dir,
			 here ? "" : "/", file);

	return n >= 0 && n < PATH_MAX;
}

void path_dir(char out[PATH_MAX], const char *path)
{
	char *slash;

	text_copy(out, PATH_MAX, path);
	slash = strrchr(out, '/');
	if (slash == NULL)
		text_copy(out, PATH_MAX, ".");
	else if (slash == out)
		out[1] = '\0';
	else
		*slash = '\0';
}

static int make_dirs(const char *dir)
{
	char path[PATH_MAX];

	if (!text_copy(path, sizeof path, dir))
		return -ENAMETOOLONG;
	for (char *p = path + 1;; p++) {
		char c = *p;

		if (c != '/' && c != '\0')
			continue;
		*p = '\0';
		if (mkdir(path, 0700) < 0 && errno != EEXIST)
			return -errno;
		if (c == '\0')
			return 0;
		*p = '/';
	}
}

static int write_all(int fd, const char *data, size_t len)
{
	while (len > 0) {
		ssize_t n = write(fd, data, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		data += n;
		len -= (size_t)n;
	}
	return 0;
}

static int fill(int fd, unsigned mode, const void *data, size_t len)
{
	int rv = write_all(fd, data, len);

	if (rv < 0)
		return rv;
	if (fchmod(fd, mode) < 0 || fsync(fd) < 0)
		return -errno;
	return 0;
}

/* link(2) refuses a taken name, rename(2) takes it. */
static int give_name(const char *temporary, const char *path, bool replace)
{
	if (replace)
		return rename(temporary, path) < 0 ? -errno : 0;
	if (link(temporary, path) < 0)
		return -errno;
	return unlink(temporary) < 0 ? -errno : 0;
}

static int sync_dir(const char *dir)
{
	int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int rv = 0;

	if (fd < 0)
		return -errno;
	if (fsync(fd) < 0)
		rv = -errno;
	close(fd);
	return rv;
}

int atomic_write(const char *path, unsigned mode, bool replace,
		 const void *data, size_t len)
{
	char dir[PATH_MAX], temporary[PATH_MAX];
	int fd, rv;

	path_dir(dir, path);
	rv = make_dirs(dir);
	if (rv < 0)
		return rv;
	if (snprintf(temporary, sizeof temporary, "%s.XXXXXX", path) >=
	    (int)sizeof temporary)
		return -ENAMETOOLONG;
	fd = mkostemp(temporary, O_CLOEXEC);
	if (fd < 0)
		return -errno;
	rv = fill(fd, mode, data, len);
	close(fd);
	if (rv == 0)
		rv = give_name(temporary, path, replace);
	if (rv < 0) {
		unlink(temporary);
		return rv;
	}
	return sync_dir(dir);
}
