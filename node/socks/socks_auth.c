#include "node/socks/socks_auth.h"

#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "proto/base/mem.h"
#include "proto/base/text.h"

enum {
	LINE_BYTES = 640 /* two fields of 255, and to see what is longer */
};

struct socks_auth {
	size_t n;
	struct socks_credentials user[SOCKS_USERS_MAX];
};

void socks_auth_free(struct socks_auth *a)
{
	if (a == NULL)
		return;
	sodium_memzero(a, sizeof *a);
	free(a);
}

/* Regular, not a link, and nobody else's. */
static int open_private(FILE **out, const char *path, char *why, size_t cap)
{
	int fd = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	struct stat st;
	int rv;

	if (fd < 0) {
		rv = -errno;
		snprintf(why, cap, "cannot open %s: %s", path, strerror(-rv));
		return rv;
	}
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode)) {
		snprintf(why, cap, "%s is not a regular file", path);
		close(fd);
		return -EINVAL;
	}
	if (st.st_mode & (S_IRWXG | S_IRWXO)) {
		snprintf(why, cap,
			 "%s can be read by others. Run: chmod 600 %s", path,
			 path);
		close(fd);
		return -EPERM;
	}
	*out = fdopen(fd, "r");
	if (*out == NULL) {
		close(fd);
		return -ENOMEM;
	}
	return 0;
}

/* "user:password"; blank lines and lines of # are skipped.  NULL, or what is
 * wrong. */
static const char *line_parse(struct socks_auth *a, char *line)
{
	struct socks_credentials *c = &a->user[a->n];
	char *colon;

	line[strcspn(line, "\r\n")] = '\0';
	if (line[0] == '\0' || line[0] == '#')
		return NULL;
	colon = strchr(line, ':');
	if (colon == NULL || colon == line)
		return "want user:password";
	*colon = '\0';
	if (a->n == SOCKS_USERS_MAX)
		return "too many users";
	/* Zero to the end: they are compared whole. */
	memset(c, 0, sizeof *c);
	if (!text_copy(c->user, sizeof c->user, line) ||
	    !text_copy(c->password, sizeof c->password, colon + 1))
		return "user or password is longer than 255 bytes";
	a->n++;
	return NULL;
}

static const char *file_parse(struct socks_auth *a, FILE *f, unsigned *line_no)
{
	char line[LINE_BYTES];
	const char *wrong = NULL;

	for (*line_no = 1; fgets(line, sizeof line, f) != NULL; ++*line_no) {
		wrong = line_parse(a, line);
		if (wrong != NULL)
			break;
	}
	sodium_memzero(line, sizeof line);
	return wrong;
}

int socks_auth_load(struct socks_auth **out, const char *path, char *why,
		    size_t cap)
{
	struct socks_auth *a;
	const char *wrong;
	unsigned line_no;
	FILE *f = NULL;
	int rv = open_private(&f, path, why, cap);

	if (rv < 0)
		return rv;
	a = mem_new(a);
	wrong = file_parse(a, f, &line_no);
	fclose(f);
	if (wrong != NULL) {
		snprintf(why, cap, "%s:%u: %s", path, line_no, wrong);
		socks_auth_free(a);
		return -EINVAL;
	}
	if (a->n == 0) {
		snprintf(why, cap, "%s: no user:password line in it", path);
		socks_auth_free(a);
		return -EINVAL;
	}
	*out = a;
	return 0;
}

bool socks_auth_check(const struct socks_auth *a,
		      const struct socks_credentials *given)
{
	struct socks_credentials c = { 0 };
	bool ok = false;

	text_copy(c.user, sizeof c.user, given->user);
	text_copy(c.password, sizeof c.password, given->password);
	for (size_t i = 0; i < a->n; i++)
		ok |= sodium_memcmp(&a->user[i], &c, sizeof c) == 0;
	sodium_memzero(&c, sizeof c);
	return ok;
}
