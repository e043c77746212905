#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "proto/base/mem.h"
#include "proto/endpoint.h"

#define L63 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

/* NULL: not an address. */
static const struct {
	const char *why, *text;
	uint16_t default_port;
	const char *want;
} addresses[] = {
	{ "IPv4", "192.0.2.1:4433", 0, "192.0.2.1:4433" },
	{ "IPv6", "[2001:db8::1]:4433", 0, "[2001:db8::1]:4433" },
	{ "IPv6, long form", "[2001:DB8:0:0:0:0:0:1]:1", 0, "[2001:db8::1]:1" },
	{ "the greatest port", "192.0.2.1:65535", 0, "192.0.2.1:65535" },
	{ "a port over the default", "192.0.2.1:1", 4433, "192.0.2.1:1" },
	{ "the default port", "192.0.2.1", 4433, "192.0.2.1:4433" },
	{ "the default port, brackets", "[::1]", 4433, "[::1]:4433" },
	{ "the default port, no brackets", "2001:db8::1", 4433,
	  "[2001:db8::1]:4433" },
	{ "any", "[::]:4433", 0, "[::]:4433" },
	{ "the loopback's scope by name", "[fe80::1%lo]:1", 0,
	  "[fe80::1%lo]:1" },
	{ "the loopback's scope by number", "[fe80::1%1]:1", 0,
	  "[fe80::1%lo]:1" },
	{ "a scope that is not there now", "[fe80::1%4294967295]:1", 0,
	  "[fe80::1%4294967295]:1" },

	{ "empty", "", 4433, NULL },
	{ "no port and no default", "192.0.2.1", 0, NULL },
	{ "no port in brackets", "[::1]", 0, NULL },
	{ "IPv6 without brackets needs the default", "2001:db8::1", 0, NULL },
	{ "port 0", "192.0.2.1:0", 4433, NULL },
	{ "port 65536", "192.0.2.1:65536", 4433, NULL },
	{ "a signed port", "192.0.2.1:+1", 4433, NULL },
	{ "an empty port", "192.0.2.1:", 4433, NULL },
	{ "an empty port after brackets", "[::1]:", 4433, NULL },
	{ "no colon after brackets", "[::1]4433", 4433, NULL },
	{ "open bracket", "[::1", 4433, NULL },
	{ "closing bracket alone", "::1]:1", 4433, NULL },
	{ "IPv4 in brackets", "[192.0.2.1]:1", 4433, NULL },
	{ "a name", "host.example:4433", 0, NULL },
	{ "three parts", "192.0.2:1", 0, NULL },
	{ "a blank in front", " 192.0.2.1:1", 0, NULL },
	{ "a blank behind", "192.0.2.1:1 ", 0, NULL },
	{ "an unknown interface", "[fe80::1%nosuchif0]:1", 0, NULL },
	{ "an empty scope", "[fe80::1%]:1", 0, NULL },
	{ "scope 0", "[fe80::1%0]:1", 0, NULL },
	{ "a scope on IPv4", "192.0.2.1%lo:1", 0, NULL },
};

static void each_text_is_read_or_refused(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(addresses); i++) {
		char text[ENDPOINT_TEXT_MAX] = "nothing";
		union endpoint e;
		bool ok = endpoint_parse(&e, addresses[i].text,
					 addresses[i].default_port);

		if (ok != (addresses[i].want != NULL))
			fail_msg("%s", addresses[i].why);
		if (!ok)
			continue;
		endpoint_text(text, &e);
		if (strcmp(text, addresses[i].want) != 0)
			fail_msg("%s: %s", addresses[i].why, text);
	}
}

static void names_are_split_from_their_ports(void **state)
{
	static const struct {
		const char *text;
		uint16_t default_port;
		const char *host; /* NULL: refused */
		uint16_t port;
	} rows[] = {
		{ "host.example:4433", 0, "host.example", 4433 },
		{ "host.example", 99, "host.example", 99 },
		{ "a_b.example:1", 0, "a_b.example", 1 },
		{ "[::1]:2", 0, "::1", 2 },
		{ "[fe80::1%eth0.7]:2", 0, "fe80::1%eth0.7", 2 },
		{ "fe80::1%eth0", 3, "fe80::1%eth0", 3 },
		{ "192.0.2.1:5", 0, "192.0.2.1", 5 },
		{ "host.example.:5", 0, "host.example.", 5 },
		{ ":5", 1, NULL, 0 },
		{ "[]:5", 1, NULL, 0 },
		{ "host.example:", 1, NULL, 0 },
		{ "host.example:http", 1, NULL, 0 },
		{ "ho st:1", 1, NULL, 0 },
		{ "ho/st:1", 1, NULL, 0 },
		{ "-host:1", 1, NULL, 0 },
		{ ".host:1", 1, NULL, 0 },
		{ "host%eth0:1", 1, NULL, 0 },
		{ "[host]:1", 1, NULL, 0 },
		{ "host\n:1", 1, NULL, 0 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		char host[256] = "";
		uint16_t port = 0;
		bool ok = endpoint_split(host, &port, rows[i].text,
					 rows[i].default_port);

		if (ok != (rows[i].host != NULL))
			fail_msg("\"%s\"", rows[i].text);
		if (ok &&
		    (strcmp(host, rows[i].host) != 0 || port != rows[i].port))
			fail_msg("\"%s\": \"%s\" %u", rows[i].text, host, port);
	}
}

static void a_host_has_at_most_255_bytes(void **state)
{
	char host[256], text[300];
	uint16_t port;

	(void)state;
	snprintf(text, sizeof text, "%s:1", L63 "." L63 "." L63 "." L63);
	assert_true(endpoint_split(host, &port, text, 0));
	assert_int_equal(strlen(host), 255);
	snprintf(text, sizeof text, "%s:1", L63 "." L63 "." L63 "." L63 "a");
	assert_false(endpoint_split(host, &port, text, 0));
}

static union endpoint parsed(const char *text)
{
	union endpoint e;

	assert_true(endpoint_parse(&e, text, 0));
	return e;
}

static void the_wire_form_is_fixed(void **state)
{
	static const uint8_t v4[] = { 4, 0x11, 0x51, 192, 0, 2, 1 };
	static const uint8_t v6[] = { 6, 0x11, 0x51, 0x20, 1, 0xd, 0xb8,
				      0, 0,    0,    0,    0, 0,   0,
				      0, 0,    0,    0,    1 };
	const union endpoint a = parsed("192.0.2.1:4433");
	const union endpoint b = parsed("[2001:db8::1]:4433");
	uint8_t wire[ENDPOINT_WIRE_MAX];
	union endpoint back;

	(void)state;
	assert_int_equal(endpoint_write(wire, &a), sizeof v4);
	assert_memory_equal(wire, v4, sizeof v4);
	assert_true(endpoint_read(&back, v4, sizeof v4));
	assert_true(endpoint_equal(&back, &a));

	assert_int_equal(endpoint_write(wire, &b), sizeof v6);
	assert_memory_equal(wire, v6, sizeof v6);
	assert_true(endpoint_read(&back, v6, sizeof v6));
	assert_true(endpoint_equal(&back, &b));
}

static void a_wire_form_must_fit_exactly(void **state)
{
	uint8_t wire[ENDPOINT_WIRE_MAX + 1] = { 6, 0x11, 0x51 };
	union endpoint e;

	(void)state;
	for (size_t len = 0; len <= sizeof wire; len++) {
		wire[0] = 6;
		assert_int_equal(endpoint_read(&e, wire, len), len == 19);
		wire[0] = 4;
		assert_int_equal(endpoint_read(&e, wire, len), len == 7);
	}
	for (int family = 0; family < 256; family++) {
		wire[0] = (uint8_t)family;
		assert_int_equal(endpoint_read(&e, wire, 19), family == 6);
	}
	wire[0] = 4;
	wire[1] = wire[2] = 0;
	assert_false(endpoint_read(&e, wire, 7));
}

static void scope_stays_off_the_wire(void **state)
{
	const union endpoint scoped = parsed("[fe80::1%lo]:1");
	const union endpoint plain = parsed("[fe80::1]:1");
	uint8_t a[ENDPOINT_WIRE_MAX], b[ENDPOINT_WIRE_MAX];

	(void)state;
	assert_false(endpoint_equal(&scoped, &plain));
	assert_int_equal(endpoint_write(a, &scoped), ENDPOINT_WIRE_MAX);
	assert_int_equal(endpoint_write(b, &plain), ENDPOINT_WIRE_MAX);
	assert_memory_equal(a, b, ENDPOINT_WIRE_MAX);
}

static void each_part_makes_a_difference(void **state)
{
	static const char *const texts[] = {
		"192.0.2.1:1",       "192.0.2.1:2",     "192.0.2.2:1",
		"[2001:db8::1]:1",   "[2001:db8::1]:2", "[2001:db8::2]:1",
		"[2001:db8::1%1]:1",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		for (size_t j = 0; j < ARRAY_LEN(texts); j++) {
			const union endpoint a = parsed(texts[i]);
			const union endpoint b = parsed(texts[j]);

			assert_int_equal(endpoint_equal(&a, &b), i == j);
		}
	}
}

static void the_length_is_the_families(void **state)
{
	const union endpoint a = parsed("192.0.2.1:1"), b = parsed("[::1]:1");
	const union endpoint none = { 0 };
	char text[ENDPOINT_TEXT_MAX];

	(void)state;
	assert_int_equal(endpoint_len(&a), sizeof(struct sockaddr_in));
	assert_int_equal(endpoint_len(&b), sizeof(struct sockaddr_in6));
	endpoint_text(text, &none);
	assert_string_equal(text, "-");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_text_is_read_or_refused),
		cmocka_unit_test(names_are_split_from_their_ports),
		cmocka_unit_test(a_host_has_at_most_255_bytes),
		cmocka_unit_test(the_wire_form_is_fixed),
		cmocka_unit_test(a_wire_form_must_fit_exactly),
		cmocka_unit_test(scope_stays_off_the_wire),
		cmocka_unit_test(each_part_makes_a_difference),
		cmocka_unit_test(the_length_is_the_families),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
