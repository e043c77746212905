#include "tests/support/protect_all.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <cmocka.h>

size_t protect_open_all(struct protect *out[PROTECT_CHOICES])
{
	char why[256];
	size_t n = 0;

	for (int i = PROTECT_GNUTLS; i < PROTECT_CHOICES; i++) {
		if (protect_new(&out[n], (enum protect_choice)i, why,
				sizeof why) == 0)
			n++;
		else
			print_message("not here: %s\n", why);
	}
	return n;
}
