/* Any text as an address and as an endpoint; any bytes as an endpoint's wire
 * form.  What is accepted must survive being written and read again. */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "proto/addr.h"
#include "proto/endpoint.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void check_addr(const char *text)
{
	char again[ADDR_TEXT_MAX];
	struct addr a, b;

	if (!addr_parse(&a, text))
		return;
	addr_text(again, &a);
	assert(addr_parse(&b, again) && addr_equal(&a, &b));
}

static void check_endpoint(const char *text, uint16_t port)
{
	char host[256], again[ENDPOINT_TEXT_MAX];
	uint8_t wire[ENDPOINT_WIRE_MAX];
	union endpoint a, b;

	if (endpoint_split(host, &port, text, port))
		assert(port != 0 && strlen(host) > 0);
	if (!endpoint_parse(&a, text, port))
		return;
	endpoint_text(again, &a);
	assert(endpoint_parse(&b, again, 0) && endpoint_equal(&a, &b));
	assert(endpoint_read(&b, wire, endpoint_write(wire, &a)));
}

static void check_wire(const uint8_t *data, size_t len)
{
	uint8_t wire[ENDPOINT_WIRE_MAX];
	union endpoint e;

	if (!endpoint_read(&e, data, len))
		return;
	assert(endpoint_write(wire, &e) == len);
	assert(memcmp(wire, data, len) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	char *text = malloc(len + 1);

	if (text == NULL)
		abort();
	if (len != 0)
		memcpy(text, data, len);
	text[len] = '\0';
	check_addr(text);
	check_endpoint(text, 0);
	check_endpoint(text, 4433);
	check_wire(data, len);
	free(text);
	return 0;
}
