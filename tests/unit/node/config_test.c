#include "node/config/config.h"

#include <errno.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "proto/base/mem.h"

#define GOLDEN "docs/qanat.conf.example"

/* A struct config is over a megabyte: on the heap, one for all tests. */
static struct config *c;
static char why[512];

static int set_up(void **state)
{
	(void)state;
	c = mem_new(c);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	free(c);
	return 0;
}

static int parse(const char *text)
{
	why[0] = '\0';
	return config_parse(c, text, strlen(text), "q.conf", why, sizeof why);
}

static char *printed(const struct config *of)
{
	char *text;
	size_t size;
	FILE *f = open_memstream(&text, &size);

	config_print(f, of);
	fclose(f);
	return text;
}

static void an_empty_file_gives_the_defaults(void **state)
{
	char at[ENDPOINT_TEXT_MAX];

	(void)state;
	assert_int_equal(parse(""), 0);
	assert_string_equal(c->node.name, "");
	assert_int_equal(c->node.listen.n, 2);
	endpoint_text(at, &c->node.listen.at[0]);
	assert_string_equal(at, "[::]:4433");
	endpoint_text(at, &c->node.listen.at[1]);
	assert_string_equal(at, "0.0.0.0:4433");
	assert_string_equal(c->node.state, "/var/lib/qanat");
	assert_int_equal(c->node.transit, TRANSIT_ON);
	assert_int_equal(c->node.log, LOG_LEVEL_INFO);
	assert_true(c->discovery.lan);
	assert_int_equal(c->discovery.interfaces.n, 0);
	assert_int_equal(c->n_peers, 0);
	assert_true(c->tun.enabled);
	assert_string_equal(c->tun.name, "qanat0");
	assert_int_equal(c->tun.mtu, 0);
	assert_true(c->socks.enabled);
	assert_int_equal(c->socks.listen.n, 1);
	endpoint_text(at, &c->socks.listen.at[0]);
	assert_string_equal(at, "127.0.0.1:1080");
	assert_int_equal(c->n_services, 0);
	assert_string_equal(c->admin.socket, "/run/qanat/qanat.sock");
}

static const char full[] = "\xef\xbb\xbf[node]\r\n"
			   "name = alpha\r\n"
			   "  listen = [::]:4433 , 192.0.2.1:5000\n"
			   "listen = [fe80::1%lo]:1\n"
			   "state=/tmp/q\n"
			   "transit = last-resort ; relay if needed\n"
			   "log: debug\n"
			   "# a comment\n"
			   "[discovery]\n"
			   "lan = off\n"
			   "interfaces = eth* wlan*\n"
			   "[peer bravo]\n"
			   "address = bravo.example.net:4433, 192.0.2.7\n"
			   "\taddress = [2001:db8::7]:9\n"
			   "[ peer  charlie ]\n"
			   "address = 198.51.100.1:4433\n"
			   "[tun]\n"
			   "enabled = off\n"
			   "name = mesh0\n"
			   "mtu = 1400\n"
			   "[socks]\n"
			   "listen = off\n"
			   "passwords = /etc/qanat/pw\n"
			   "[service web]\n"
			   "port = 80\n"
			   "to = 127.0.0.1:8080\n"
			   "allow = *\n"
			   "[service dns]\n"
			   "port = 53\n"
			   "proto = both\n"
			   "allow = Alice bob.fuse, faqmce7yybsswacf.FUSE\n"
			   "[admin]\n"
			   "socket = /tmp/q.sock\n"
			   "group = adm";

static void every_key_is_read(void **state)
{
	char at[ENDPOINT_TEXT_MAX];

	(void)state;
	if (parse(full) != 0)
		fail_msg("%s", why);
	assert_string_equal(c->node.name, "alpha");
	assert_int_equal(c->node.listen.n, 4);
	endpoint_text(at, &c->node.listen.at[1]);
	assert_string_equal(at, "0.0.0.0:4433");
	endpoint_text(at, &c->node.listen.at[2]);
	assert_string_equal(at, "192.0.2.1:5000");
	endpoint_text(at, &c->node.listen.at[3]);
	assert_string_equal(at, "[fe80::1%lo]:1");
	assert_string_equal(c->node.state, "/tmp/q");
	assert_int_equal(c->node.transit, TRANSIT_LAST_RESORT);
	assert_int_equal(c->node.log, LOG_LEVEL_DEBUG);
	assert_false(c->discovery.lan);
	assert_int_equal(c->discovery.interfaces.n, 2);
	assert_string_equal(c->discovery.interfaces.item[1], "wlan*");
	assert_int_equal(c->n_peers, 2);
	assert_string_equal(c->peers[0].name, "bravo");
	assert_int_equal(c->peers[0].address.n, 3);
	assert_string_equal(c->peers[0].address.item[1], "192.0.2.7");
	assert_string_equal(c->peers[1].name, "charlie");
	assert_false(c->tun.enabled);
	assert_string_equal(c->tun.name, "mesh0");
	assert_int_equal(c->tun.mtu, 1400);
	assert_false(c->socks.enabled);
	assert_string_equal(c->socks.passwords, "/etc/qanat/pw");
	assert_int_equal(c->n_services, 2);
	assert_int_equal(c->services[0].proto, IPPROTO_TCP);
	assert_true(c->services[0].has_to);
	assert_string_equal(c->services[0].allow.item[0], "*");
	assert_int_equal(c->services[1].proto, 0);
	assert_false(c->services[1].has_to);
	assert_string_equal(c->services[1].allow.item[0], "alice");
	assert_string_equal(c->services[1].allow.item[1], "bob");
	assert_string_equal(c->services[1].allow.item[2], "faqmce7yybsswacf");
	assert_string_equal(c->admin.socket, "/tmp/q.sock");
	assert_string_equal(c->admin.group, "adm");
}

#define X10(s) s s s s s s s s s s

static const struct {
	const char *why;
	const char *text;
	const char *message;
} refused[] = {
	{ "a typing error in a key", "[node]\n\nlistn = [::]:1\n",
	  "q.conf:3: unknown key \"listn\" in [node] (did you mean "
	  "\"listen\"?)" },
	{ "a key of another section", "[node]\nmtu = 1400\n",
	  "q.conf:2: unknown key \"mtu\" in [node] (it belongs to [tun])" },
	{ "a key like no other", "[node]\nwombat = 1\n",
	  "q.conf:2: unknown key \"wombat\" in [node]" },
	{ "a typing error in a section", "[nod]\n",
	  "q.conf:1: unknown section [nod] (did you mean [node]?)" },
	{ "a typing error in a named section", "[per bravo]\naddress = x:1\n",
	  "q.conf:1: unknown section [per bravo] (did you mean [peer "
	  "NAME]?)" },
	{ "a section of a later version", "\n[exit]\noffer = off\n",
	  "q.conf:2: unknown section [exit]" },
	{ "a key before any section", "listen = [::]:1\n",
	  "q.conf:1: \"listen\" stands before any section" },
	{ "a number under its range", "[node]\n[tun]\nmtu = 99\n",
	  "q.conf:3: [tun] mtu = 99: not in 1280..9000" },
	{ "a number over its range", "[tun]\nmtu = 9001\n",
	  "q.conf:2: [tun] mtu = 9001: not in 1280..9000" },
	{ "no number", "[tun]\nmtu = 0x600\n",
	  "q.conf:2: [tun] mtu = 0x600: not in 1280..9000" },
	{ "port 0", "[service a]\nport = 0\n",
	  "q.conf:2: [service a] port = 0: not in 1..65535" },
	{ "neither on nor off", "[tun]\nenabled = yes\n",
	  "q.conf:2: [tun] enabled = yes: neither on nor off" },
	{ "an empty value", "[tun]\nenabled =\n",
	  "q.conf:2: [tun] enabled = : neither on nor off" },
	{ "an empty list", "[node]\nlisten = , ,\n",
	  "q.conf:2: [node] listen = , ,: empty" },
	{ "a word that is none", "[node]\ntransit = maybe\n",
	  "q.conf:2: [node] transit = maybe: not one of on, last-resort, "
	  "off" },
	{ "a log level that is none", "[node]\nlog = loud\n",
	  "q.conf:2: [node] log = loud: not one of error, warn, info, debug" },
	{ "a protocol that is none", "[service a]\nproto = sctp\n",
	  "q.conf:2: [service a] proto = sctp: not one of tcp, udp, both" },
	{ "a listen address without port", "[node]\nlisten = 127.0.0.1\n",
	  "q.conf:2: [node] listen = 127.0.0.1: \"127.0.0.1\" is not an IP "
	  "address with a port, as in 127.0.0.1:80 or [::1]:80" },
	{ "a host name to listen on", "[socks]\nlisten = localhost:1\n",
	  "q.conf:2: [socks] listen = localhost:1: \"localhost:1\" is not an "
	  "IP address with a port, as in 127.0.0.1:80 or [::1]:80" },
	{ "off and an address", "[socks]\nlisten = [::1]:1\nlisten = off\n",
	  "q.conf:3: [socks] listen = off: cannot be off and an address" },
	{ "a bad peer address", "[peer a]\naddress = a b:x\n",
	  "q.conf:2: [peer a] address = a b:x: \"b:x\" is not an address, as "
	  "in host.example.net:4433, 192.0.2.1:4433 or [2001:db8::1]:4433" },
	{ "a relative path", "[node]\nstate = var\n",
	  "q.conf:2: [node] state = var: not an absolute path" },
	{ "a socket path over sun_path",
	  "[admin]\nsocket = /" X10("abcdefghijk") "\n",
	  "q.conf:2: [admin] socket = /" X10(
		  "abcdefghijk") ": longer than 107 bytes" },
	{ "a device name with a slash", "[tun]\nname = a/b\n",
	  "q.conf:2: [tun] name = a/b: not the name of a device (1..15 "
	  "characters, no / : % or blank)" },
	{ "a device name too long", "[tun]\nname = abcdefghijklmnop\n",
	  "q.conf:2: [tun] name = abcdefghijklmnop: not the name of a device "
	  "(1..15 characters, no / : % or blank)" },
	{ "a node name with a dot", "[node]\nname = a.b\n",
	  "q.conf:2: [node] name = a.b: not a name (a-z, 0-9, inner hyphens; "
	  "at most 63)" },
	{ "a group with a blank", "[admin]\ngroup = a b\n",
	  "q.conf:2: [admin] group = a b: not the name of a group" },
	{ "an allowed name that is none", "[service a]\nallow = al!ce\n",
	  "q.conf:2: [service a] allow = al!ce: \"al!ce\" is neither *, a "
	  "name nor an id" },
	{ "a path for an interface", "[discovery]\ninterfaces = eth0 /dev\n",
	  "q.conf:2: [discovery] interfaces = eth0 /dev: \"/dev\" is not a "
	  "pattern for interfaces" },
	{ "a key twice", "[tun]\nmtu = 1400\nmtu = 1401\n",
	  "q.conf:3: \"mtu\" again in [tun]: it is in line 2 already" },
	{ "a section twice", "[tun]\n[node]\n[tun]\n",
	  "q.conf:3: [tun] again: it is in line 1 already" },
	{ "a peer twice", "[peer a]\naddress = x:1\n[peer a]\naddress = y:1\n",
	  "q.conf:3: [peer a] again: it is in line 1 already" },
	{ "a peer without name", "[peer]\n",
	  "q.conf:1: [peer] needs a name: [peer NAME]" },
	{ "a section that takes no name", "[tun zero]\n",
	  "q.conf:1: [tun] takes no name" },
	{ "a bad name in a section", "[peer A_b]\n",
	  "q.conf:1: [peer A_b]: a name is a-z, 0-9 and inner hyphens, and "
	  "not an id" },
	{ "a peer without address", "[node]\n[peer a]\n\n[tun]\n",
	  "q.conf:2: [peer a] has no address" },
	{ "a service without port, last", "[service a]\nallow = *\n\n\n",
	  "q.conf:1: [service a] has no port" },
	{ "two services on one port",
	  "[service a]\nport = 5\n[service b]\nport = 5\nproto = both\n",
	  "q.conf:3: [service b] has port 5, as [service a] in line 1" },
	{ "no equals sign", "[node]\nlisten\n[nod]\n",
	  "q.conf:2: neither [section], key = value nor a comment" },
	{ "an open bracket", "\n[node\n",
	  "q.conf:2: neither [section], key = value nor a comment" },
	{ "a long section name", "[peer " X10("abcdefghi") "]\naddress = x:1\n",
	  "q.conf:1: the section's name is too long" },
};

static void mistakes_are_refused_with_line_and_reason(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(refused); i++) {
		if (parse(refused[i].text) != -EINVAL)
			fail_msg("%s: taken", refused[i].why);
		if (strcmp(why, refused[i].message) != 0)
			fail_msg("%s:\n got  %s\n want %s", refused[i].why, why,
				 refused[i].message);
	}
}

static void a_mistake_changes_nothing(void **state)
{
	char *before, *after;

	(void)state;
	assert_int_equal(parse(full), 0);
	before = printed(c);
	assert_int_equal(parse("[node]\nname = other\n[tun]\nmtu = 1\n"),
			 -EINVAL);
	after = printed(c);
	assert_string_equal(before, after);
	free(before);
	free(after);
}

static void a_nul_byte_and_a_long_line_are_refused(void **state)
{
	static const char nul[] = "[node]\nna\0me = a\n";
	char line[1024];

	(void)state;
	assert_int_equal(
		config_parse(c, nul, sizeof nul - 1, "q.conf", why, sizeof why),
		-EINVAL);
	assert_string_equal(why, "q.conf:2: a NUL byte: is this a text file?");
	memset(line, 'x', sizeof line);
	memcpy(line, "[node]\nname = ", 14);
	line[sizeof line - 1] = '\0';
	assert_int_equal(parse(line), -EINVAL);
	assert_non_null(strstr(why, "q.conf:2: the line is longer than "));
}

static void lists_are_bounded(void **state)
{
	char text[4096] = "[node]\n";
	size_t len = strlen(text);

	(void)state;
	for (int i = 0; i <= CONFIG_LIST_MAX; i++) {
		if (i == CONFIG_LIST_MAX)
			assert_int_equal(parse(text), 0);
		len += (size_t)snprintf(text + len, sizeof text - len,
					"listen = [::1]:%d\n", i + 1);
	}
	assert_int_equal(parse(text), -EINVAL);
	assert_string_equal(why, "q.conf:18: [node] listen = [::1]:17: more "
				 "than 16");
}

static void peers_and_services_are_bounded(void **state)
{
	static const struct {
		const char *kind, *key;
		int max;
		const char *message;
	} kinds[] = {
		{ "peer", "address = h:1", CONFIG_PEERS_MAX,
		  "q.conf:513: more than 256 peers" },
		{ "service", "port = ", CONFIG_SERVICES_MAX,
		  "q.conf:129: more than 64 services" },
	};
	char *text = mem_calloc(32768, 1);

	(void)state;
	for (size_t k = 0; k < ARRAY_LEN(kinds); k++) {
		size_t len = 0;

		for (int i = 1; i <= kinds[k].max + 1; i++) {
			if (i == kinds[k].max + 1)
				assert_int_equal(parse(text), 0);
			len += (size_t)snprintf(
				text + len, 32768 - len, "[%s n%d]\n%s%d\n",
				kinds[k].kind, i, kinds[k].key, i);
		}
		assert_int_equal(parse(text), -EINVAL);
		assert_string_equal(why, kinds[k].message);
	}
	free(text);
}

static void what_is_printed_reads_back_the_same(void **state)
{
	static const char *const texts[] = { "", full };
	char *one, *two;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		assert_int_equal(parse(texts[i]), 0);
		one = printed(c);
		if (parse(one) != 0)
			fail_msg("%s in\n%s", why, one);
		two = printed(c);
		assert_string_equal(one, two);
		free(one);
		free(two);
	}
}

static void print_shows_what_is_in_force(void **state)
{
	char *text;

	(void)state;
	assert_int_equal(parse(full), 0);
	text = printed(c);
	assert_non_null(strstr(text, "[node]\nname = alpha\n"
				     "listen = [::]:4433\n"
				     "listen = 0.0.0.0:4433\n"
				     "listen = 192.0.2.1:5000\n"));
	assert_non_null(strstr(text, "transit = last-resort\n"));
	assert_non_null(strstr(text, "[socks]\nlisten = off\n"));
	assert_non_null(strstr(text, "[service dns]\nport = 53\n"
				     "proto = both\nallow = alice\n"));
	free(text);
}

/* UPDATE_GOLDEN=1 writes the file anew. */
static void the_example_is_the_schema(void **state)
{
	char *text, *file = mem_calloc(65536, 1);
	size_t size;
	FILE *f = open_memstream(&text, &size);

	(void)state;
	config_print_reference(f);
	fclose(f);
	if (getenv("UPDATE_GOLDEN") != NULL) {
		f = fopen(GOLDEN, "w");
		assert_non_null(f);
		assert_int_equal(fwrite(text, 1, size, f), size);
		fclose(f);
	}
	f = fopen(GOLDEN, "r");
	assert_non_null(f);
	assert_int_equal(fread(file, 1, 65535, f), size);
	fclose(f);
	assert_string_equal(file, text);
	free(file);
	free(text);
}

/* With the comments taken off the keys, it is a valid file too. */
static void the_example_can_be_used(void **state)
{
	char line[512], *text;
	size_t size;
	FILE *in = fopen(GOLDEN, "r");
	FILE *out = open_memstream(&text, &size);

	(void)state;
	assert_non_null(in);
	if (config_load(c, GOLDEN, why, sizeof why) != 0)
		fail_msg("%s", why);
	while (fgets(line, sizeof line, in) != NULL) {
		char *name = strstr(line, " NAME]");
		bool is_key = line[0] == ';' && line[1] != ' ';

		if (name != NULL)
			memcpy(name, " abcd]", 6);
		fputs(is_key ? line + 1 : line, out);
	}
	fclose(in);
	fclose(out);
	if (parse(text) != 0)
		fail_msg("%s", why);
	assert_int_equal(c->n_peers, 1);
	assert_int_equal(c->n_services, 1);
	assert_string_equal(c->admin.group, "adm");
	free(text);
}

static void files_that_cannot_be_read_are_told(void **state)
{
	char path[] = "/tmp/qanat-config-XXXXXX";
	int fd = mkstemp(path);
	char want[128];

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, 1024 * 1024 + 1), 0);
	close(fd);
	assert_int_equal(config_load(c, path, why, sizeof why), -EFBIG);
	snprintf(want, sizeof want, "%s: is larger than 1048576 bytes", path);
	assert_string_equal(why, want);
	unlink(path);
	assert_int_equal(config_load(c, path, why, sizeof why), -ENOENT);
	snprintf(want, sizeof want,
		 "%s: cannot be read: No such file or directory", path);
	assert_string_equal(why, want);
	assert_int_equal(config_load(c, "/tmp", why, sizeof why), -EISDIR);
	assert_string_equal(why, "/tmp: cannot be read: Is a directory");
}

static void a_file_nobody_may_read_is_told(void **state)
{
	char path[] = "/tmp/qanat-config-XXXXXX";
	int fd = mkstemp(path);

	(void)state;
	assert_true(fd >= 0);
	close(fd);
	chmod(path, 0);
	/* Root reads everything. */
	if (geteuid() == 0)
		assert_int_equal(seteuid(65534), 0);
	assert_int_equal(config_load(c, path, why, sizeof why), -EACCES);
	if (getuid() == 0)
		assert_int_equal(seteuid(0), 0);
	unlink(path);
	assert_non_null(strstr(why, "cannot be read: Permission denied"));
}

static void changed_keys_that_need_a_restart_are_named(void **state)
{
	struct config *was = mem_new(was);
	char out[256];

	(void)state;
	assert_int_equal(parse("[node]\nlog = info\n"), 0);
	*was = *c;
	assert_int_equal(parse("[node]\nlog = debug\n"
			       "[service a]\nport = 1\n"
			       "[peer b]\naddress = h:1\n"),
			 0);
	config_needs_restart(out, sizeof out, was, c);
	assert_string_equal(out, "");
	assert_int_equal(parse("[node]\nlisten = [::]:1\n[tun]\nmtu = 1300\n"
			       "[socks]\nlisten = off\n"),
			 0);
	config_needs_restart(out, sizeof out, was, c);
	assert_string_equal(out, "[node] listen, [tun] mtu, [socks] listen");
	config_needs_restart(out, 20, was, c);
	assert_true(strlen(out) < 20);
	free(was);
}

static void a_small_buffer_for_the_reason_is_kept_to(void **state)
{
	static const char text[] = "[node]\nlistn = 1\n";
	char small[8] = "1234567";

	(void)state;
	assert_int_equal(config_parse(c, text, strlen(text), "q.conf", small,
				      sizeof small),
			 -EINVAL);
	assert_string_equal(small, "q.conf:");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_empty_file_gives_the_defaults),
		cmocka_unit_test(every_key_is_read),
		cmocka_unit_test(mistakes_are_refused_with_line_and_reason),
		cmocka_unit_test(a_mistake_changes_nothing),
		cmocka_unit_test(a_nul_byte_and_a_long_line_are_refused),
		cmocka_unit_test(lists_are_bounded),
		cmocka_unit_test(peers_and_services_are_bounded),
		cmocka_unit_test(what_is_printed_reads_back_the_same),
		cmocka_unit_test(print_shows_what_is_in_force),
		cmocka_unit_test(the_example_is_the_schema),
		cmocka_unit_test(the_example_can_be_used),
		cmocka_unit_test(files_that_cannot_be_read_are_told),
		cmocka_unit_test(a_file_nobody_may_read_is_told),
		cmocka_unit_test(changed_keys_that_need_a_restart_are_named),
		cmocka_unit_test(a_small_buffer_for_the_reason_is_kept_to),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
