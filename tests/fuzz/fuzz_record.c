/* A record as a replica keeps it. */
#include <stddef.h>
#include <stdint.h>

#include "proto/msg.h"
#include "tests/support/check.h"
#include "tests/support/msgs.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static uint8_t stored[RECORD_BYTES_MAX];
	static struct record r, again;
	size_t n;

	if (!record_parse(&r, data, len))
		return 0;
	check(record_fault(&r) == NULL);
	n = record_write(stored, sizeof stored, &r);
	check(n != 0);
	check(record_parse(&again, stored, n));
	check(record_equal(&r, &again));
	return 0;
}
