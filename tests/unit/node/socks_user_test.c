/* Users and passwords of the SOCKS server. */
#include "tests/support/fake_stream.h"
#include "tests/unit/node/socks_help.h"

static void password_file(struct fixture *f, char path[32], const char *text,
			  mode_t mode)
{
	int fd;

	strcpy(path, "/tmp/socks_test_XXXXXX");
	fd = mkstemp(path);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	assert_int_equal(fchmod(fd, mode), 0);
	close(fd);
	text_copy(f->config->socks.passwords, sizeof f->config->socks.passwords,
		  path);
}

/* Logs in, connects, and comes back with the tag of the stream. */
static struct dest_tag tag_of(struct fixture *f, const char *said, size_t len)
{
	reconnect(f);
	client_sends(f, "\5\2\0\2", 4);
	client_gets(f, "\5\2", 2);
	client_sends(f, said, len);
	client_gets(f, "\1\0", 2);
	ask(f, SOCKS_CONNECT, f->host, 80);
	local_run_some(f->loop);
	return asked(f)->tag;
}

static void any_user_is_a_tag_without_a_file(void **state)
{
	struct fixture *f = *state;
	static const struct {
		const char *said;
		size_t len;
	} users[] = {
		{ "\1\3tor\0", 6 }, { "\1\3tor\1x", 7 }, { "\1\3rot\0", 6 },
		{ "\1\1t\2or", 6 }, { "\1\2to\1r", 6 },
	};
	struct dest_tag tags[ARRAY_LEN(users)];

	begin(f);
	for (size_t i = 0; i < ARRAY_LEN(users); i++) {
		struct dest_tag again;

		tags[i] = tag_of(f, users[i].said, users[i].len);
		again = tag_of(f, users[i].said, users[i].len);
		assert_memory_equal(&again, &tags[i], sizeof again);
		for (size_t k = 0; k < i; k++)
			assert_memory_not_equal(&tags[k], &tags[i],
						sizeof tags[i]);
	}
}

static void without_a_user_there_is_no_tag(void **state)
{
	static const struct dest_tag none;
	struct fixture *f = *state;

	begin(f);
	greet(f);
	ask(f, SOCKS_CONNECT, f->host, 80);
	local_run_some(f->loop);
	assert_memory_equal(&asked(f)->tag, &none, sizeof none);
}

static void a_password_file_is_required_to_match(void **state)
{
	struct fixture *f = *state;
	char path[32];
	static const struct {
		const char *said;
		size_t len;
		bool ok;
	} cases[] = {
		{ "\1\3ann\6secret", 12, true },
		{ "\1\3bob\4a:b ", 10, true },
		{ "\1\3ann\5secre", 11, false },
		{ "\1\3ann\7secrets", 13, false },
		{ "\1\3bob\6secret", 12, false },
		{ "\1\3eve\0", 6, false },
		{ "\1\0\0", 3, false },
	};

	password_file(f, path, "# users\n\nann:secret\r\nbob:a:b \n", 0600);
	begin(f);
	unlink(path);
	client_sends(f, "\5\1\0", 3);
	client_gets(f, "\5\377", 2);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		reconnect(f);
		client_sends(f, "\5\2\0\2", 4);
		client_gets(f, "\5\2", 2);
		client_sends(f, cases[i].said, cases[i].len);
		client_gets(f, cases[i].ok ? "\1\0" : "\1\1", 2);
		if (!cases[i].ok)
			assert_int_equal(local_next(f->loop, f->fd), LOCAL_EOF);
	}
	assert_int_equal(socks_counts(f->socks)->n_auth_failed, 6);
}

static void a_bad_password_file_is_explained(void **state)
{
	struct fixture *f = *state;
	static char long_line[700];
	const struct {
		const char *text;
		mode_t mode;
		int rv;
		const char *why;
	} cases[] = {
		{ "ann:x\n", 0640, -EPERM, "can be read by others" },
		{ "ann:x\n", 0604, -EPERM, "Run: chmod 600" },
		{ "ann:x\nbob\n", 0600, -EINVAL, ":2: want user:password" },
		{ ":x\n", 0600, -EINVAL, ":1: want user:password" },
		{ "# nobody\n", 0600, -EINVAL, "no user:password line" },
		{ long_line, 0600, -EINVAL, "longer than 255" },
	};

	memset(long_line, 'a', sizeof long_line - 1);
	memcpy(long_line, "ann:", 4);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		char path[32];
		int rv;

		password_file(f, path, cases[i].text, cases[i].mode);
		rv = socks_start(f->socks, f->config, f->why, sizeof f->why);
		unlink(path);
		assert_int_equal(rv, cases[i].rv);
		assert_non_null(strstr(f->why, cases[i].why));
	}
	text_copy(f->config->socks.passwords, sizeof f->config->socks.passwords,
		  "/nonexistent");
	assert_int_equal(
		socks_start(f->socks, f->config, f->why, sizeof f->why),
		-ENOENT);
	assert_non_null(strstr(f->why, "/nonexistent"));
}

static void a_port_in_use_is_explained(void **state)
{
	struct fixture *f = *state;
	uint16_t port;
	int fd = local_server(&port);

	f->config->socks.listen.n = 2;
	f->config->socks.listen.at[1] = local_at(port);
	assert_int_equal(
		socks_start(f->socks, f->config, f->why, sizeof f->why),
		-EADDRINUSE);
	assert_non_null(strstr(f->why, "for SOCKS: address already in use"));
	close(fd);
}

int main(void)
{
#define CASE(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		CASE(any_user_is_a_tag_without_a_file),
		CASE(without_a_user_there_is_no_tag),
		CASE(a_password_file_is_required_to_match),
		CASE(a_bad_password_file_is_explained),
		CASE(a_port_in_use_is_explained),
	};

	signal(SIGPIPE, SIG_IGN); /* as the daemon does */
	return cmocka_run_group_tests(tests, NULL, NULL);
}
