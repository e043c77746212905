/* Users and passwords of the SOCKS server, from a file of user:password lines
 * that only its owner may read. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "proto/socks5.h"

#define SOCKS_USERS_MAX 256

struct socks_auth;

/* 0, or -errno with a text for the user. */
int socks_auth_load(struct socks_auth **out, const char *path, char *why,
		    size_t cap);
void socks_auth_free(struct socks_auth *a); /* NULL is allowed */

/* Takes the same time whatever matches. */
bool socks_auth_check(const struct socks_auth *a,
		      const struct socks_credentials *given);
