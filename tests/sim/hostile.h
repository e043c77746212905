/* Some nodes of the network misbehave: they drop, alter, repeat and forge what
 * they send.  What must hold all the same: every attempt ends in time, nobody
 * is left with what is not true of the honest part of a path, and all that was
 * caused goes away.
 */
#pragma once

#include <stdbool.h>

struct life;

bool hostile_connect(struct life *l);
