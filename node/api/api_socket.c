#include "node/api/api_socket.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "proto/base/mem.h"
#include "proto/base/text.h"

#define BACKLOG         16
#define PEER_GROUPS_MAX 65536 /* NGROUPS_MAX of Linux */

static int fail(int rv, const char *path, const char *what, char *why,
		size_t cap)
{
	snprintf(why, cap, "%s: %s: %s", path, what, strerror(-rv));
	return rv;
}

static int folder_make(const char *path, char *why, size_t cap)
{
	char folder[sizeof(struct sockaddr_un)];
	char *slash;

	text_copy(folder, sizeof folder, path);
	slash = strrchr(folder, '/');
	if (slash == NULL || slash == folder)
		return 0;
	*slash = '\0';
	if (mkdir(folder, 0755) == 0) {
		/* Whatever our umask is, others must get to the socket. */
		if (chmod(folder, 0755) < 0)
			return fail(-errno, folder, "cannot set its mode", why,
				    cap);
	} else if (errno != EEXIST) {
		return fail(-errno, folder, "cannot be made", why, cap);
	}
	return 0;
}

/* What an earlier run left behind goes; what lives, or is no socket, stays. */
static int stale_remove(const struct sockaddr_un *at, char *why, size_t cap)
{
	struct stat st;
	int fd, rv;

	if (lstat(at->sun_path, &st) < 0)
		return errno == ENOENT ? 0
				       : fail(-errno, at->sun_path,
					      "cannot be looked at", why, cap);
	if (!S_ISSOCK(st.st_mode)) {
		snprintf(why, cap, "%s: exists, and is not a socket",
			 at->sun_path);
		return -EEXIST;
	}
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return fail(-errno, at->sun_path, "no socket", why, cap);
	rv = connect(fd, (const struct sockaddr *)at, sizeof *at) < 0 ? -errno
								      : 0;
	close(fd);
	if (rv != -ECONNREFUSED) {
		snprintf(why, cap, "%s is in use by another qanatd",
			 at->sun_path);
		return -EADDRINUSE;
	}
	if (unlink(at->sun_path) < 0)
		return fail(-errno, at->sun_path, "cannot be removed", why,
			    cap);
	return 0;
}

static int group_find(const char *group, gid_t *gid, char *why, size_t cap)
{
	const struct group *g;

	*gid = API_NO_GROUP;
	if (*group == '\0')
		return 0;
	errno = 0;
	g = getgrnam(group);
	if (g == NULL) {
		snprintf(why, cap,
			 "there is no group \"%s\". Make it (groupadd), or "
			 "change group in [admin]",
			 group);
		return -ENOENT;
	}
	*gid = g->gr_gid;
	return 0;
}

static int listen_at(const struct sockaddr_un *at, gid_t gid, char *why,
		     size_t cap)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	const char *what = "cannot be bound";
	mode_t mask;
	int rv;

	if (fd < 0)
		return fail(-errno, at->sun_path, "no socket", why, cap);
	/* Closed to all until it has its owner and mode. */
	mask = umask(0777);
	rv = bind(fd, (const struct sockaddr *)at, sizeof *at);
	umask(mask);
	if (rv < 0)
		goto fail;
	what = "cannot be given to the group";
	if (gid != API_NO_GROUP && chown(at->sun_path, (uid_t)-1, gid) < 0)
		goto fail;
	what = "cannot set its mode";
	if (chmod(at->sun_path, 0660) < 0)
		goto fail;
	what = "cannot be listened on";
	if (listen(fd, BACKLOG) < 0)
		goto fail;
	return fd;

fail:
	rv = fail(-errno, at->sun_path, what, why, cap);
	close(fd);
	return rv;
}

int api_socket_open(const char *path, const char *group, gid_t *gid, char *why,
		    size_t why_cap)
{
	struct sockaddr_un at = { .sun_family = AF_UNIX };
	int rv;

	if (!text_copy(at.sun_path, sizeof at.sun_path, path))
		return fail(-ENAMETOOLONG, path, "control socket", why,
			    why_cap);
	rv = group_find(group, gid, why, why_cap);
	if (rv == 0)
		rv = folder_make(path, why, why_cap);
	if (rv == 0)
		rv = stale_remove(&at, why, why_cap);
	return rv < 0 ? rv : listen_at(&at, *gid, why, why_cap);
}

static bool has_group(int fd, gid_t gid)
{
	socklen_t len = PEER_GROUPS_MAX * sizeof(gid_t);
	gid_t *groups = mem_calloc(PEER_GROUPS_MAX, sizeof *groups);
	bool found = false;

	if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups, &len) == 0) {
		for (size_t i = 0; i < len / sizeof *groups; i++)
			found |= groups[i] == gid;
	}
	free(groups);
	return found;
}

bool api_socket_peer_is_allowed(int fd, gid_t gid)
{
	struct ucred peer;
	socklen_t len = sizeof peer;

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) < 0)
		return false;
	if (peer.uid == 0 || peer.uid == geteuid())
		return true;
	return gid != API_NO_GROUP && (peer.gid == gid || has_group(fd, gid));
}
