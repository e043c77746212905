/* The control socket: making it, and who is at its other end. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#define API_NO_GROUP ((gid_t)-1)

/* A listening socket of mode 0660, or -errno with `why`.  `*gid` is that of
 * `group`, API_NO_GROUP for "". */
int api_socket_open(const char *path, const char *group, gid_t *gid, char *why,
		    size_t why_cap);

/* Root, our own user, or a member of the group. */
bool api_socket_peer_is_allowed(int fd, gid_t gid);
