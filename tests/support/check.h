/* A condition that a fuzz target holds its parser to, in every build. */
#pragma once

#include <stdio.h>
#include <stdlib.h>

#define check(condition)                                                       \
	do {                                                                   \
		if (!(condition)) {                                            \
			fprintf(stderr, "%s:%d: broken: %s\n", __FILE__,       \
				__LINE__, #condition);                         \
			abort();                                               \
		}                                                              \
	} while (0)
