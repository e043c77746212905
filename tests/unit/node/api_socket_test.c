/* Who may talk to the control socket, and whose it is. */
#include "tests/unit/node/api_help.h"

static void a_second_daemon_is_refused(void **state)
{
	struct api *first = api;

	(void)state;
	assert_int_equal(start(""), -EADDRINUSE);
	assert_non_null(strstr(why, "is in use by another qanatd"));
	api = first;
	assert_int_equal(status_of(request("GET /v1/hello", "")), 200);
}

static void a_stale_socket_is_replaced(void **state)
{
	char copy[120];
	struct stat st;

	(void)state;
	/* A second name keeps the inode when the first daemon removes it. */
	snprintf(copy, sizeof copy, "%s.old", path);
	assert_int_equal(link(path, copy), 0);
	api_free(api);
	api = NULL;
	local_run_some(loop);
	assert_int_equal(rename(copy, path), 0);
	assert_int_equal(start(""), 0);
	assert_int_equal(status_of(request("GET /v1/hello", "")), 200);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode, S_IFSOCK | 0660);
}

static void a_file_in_the_place_of_the_socket_stays(void **state)
{
	(void)state;
	api_free(api);
	api = NULL;
	close(open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
	assert_int_equal(start(""), -EEXIST);
	assert_non_null(strstr(why, "exists, and is not a socket"));
	assert_int_equal(access(path, F_OK), 0);
}

static void an_unknown_group_is_told(void **state)
{
	(void)state;
	api_free(api);
	api = NULL;
	assert_int_equal(start("no-such-group"), -ENOENT);
	assert_non_null(strstr(why, "there is no group \"no-such-group\""));
}

/* Runs as another user: can it talk?  The socket's own mode is opened for all,
 * so that the second check is the one that is tested. */
static int status_for(gid_t primary, gid_t extra)
{
	static const char text[] = "GET /v1/hello HTTP/1.1\r\nHost: q\r\n"
				   "Connection: close\r\n\r\n";
	int fds[2], status = 0;
	struct answer a = { .fd = -1 };
	pid_t pid;

	assert_int_equal(chmod(path, 0666), 0);
	assert_int_equal(chmod(dir, 0755), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		int fd = -1, ok = setgroups(1, &extra) == 0 &&
				  setgid(primary) == 0 && setuid(NOBODY) == 0;
		struct msghdr m = { .msg_iov = &(struct iovec){ "x", 1 },
				    .msg_iovlen = 1 };
		union {
			char buf[CMSG_SPACE(sizeof(int))];
			struct cmsghdr align;
		} u;

		if (ok)
			fd = dial();
		memset(&u, 0, sizeof u);
		m.msg_control = u.buf;
		m.msg_controllen = sizeof u.buf;
		CMSG_FIRSTHDR(&m)->cmsg_level = SOL_SOCKET;
		CMSG_FIRSTHDR(&m)->cmsg_type = SCM_RIGHTS;
		CMSG_FIRSTHDR(&m)->cmsg_len = CMSG_LEN(sizeof fd);
		memcpy(CMSG_DATA(CMSG_FIRSTHDR(&m)), &fd, sizeof fd);
		_exit(sendmsg(fds[1], &m, 0) == 1 ? 0 : 1);
	}
	waitpid(pid, &status, 0);
	assert_int_equal(status, 0);
	{
		char x;
		union {
			char buf[CMSG_SPACE(sizeof(int))];
			struct cmsghdr align;
		} u;
		struct msghdr m = { .msg_iov = &(struct iovec){ &x, 1 },
				    .msg_iovlen = 1,
				    .msg_control = u.buf,
				    .msg_controllen = sizeof u.buf };

		assert_int_equal(recvmsg(fds[0], &m, 0), 1);
		memcpy(&a.fd, CMSG_DATA(CMSG_FIRSTHDR(&m)), sizeof a.fd);
	}
	close(fds[0]);
	close(fds[1]);
	assert_true(local_send(loop, a.fd, text, strlen(text)));
	assert_true(local_run_until(loop, answer_is_over, &a));
	close(a.fd);
	return status_of(&a);
}

static void only_root_us_and_the_group_may_talk(void **state)
{
	const gid_t ours = 54321, other = 54322;
	const struct group *g = getgrnam("adm");

	(void)state;
	if (geteuid() != 0 || g == NULL) {
		print_message("not root, or no group adm: ");
		skip();
	}
	assert_int_equal(status_for(ours, other), 403);
	assert_int_equal(api_counters(api)->n_refused, 1);
	api_free(api);
	api = NULL;
	local_run_some(loop);
	assert_int_equal(start("adm"), 0);
	assert_int_equal(status_for(ours, other), 403);
	assert_int_equal(status_for(g->gr_gid, other), 200);
	assert_int_equal(status_for(ours, g->gr_gid), 200);
}

static void many_connections_are_bounded(void **state)
{
	int fds[API_CONNECTIONS_MAX + 10]; /* ten wait in the kernel */

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(fds); i++) {
		if (i % 10 == 0)
			local_run_some(loop);
		fds[i] = dial();
	}
	local_run_some(loop);
	for (size_t i = 0; i < ARRAY_LEN(fds); i++)
		close(fds[i]);
	local_run_some(loop);
	assert_int_equal(status_of(request("GET /v1/hello", "")), 200);
}

int main(void)
{
#define CASE(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		CASE(a_second_daemon_is_refused),
		CASE(a_stale_socket_is_replaced),
		CASE(a_file_in_the_place_of_the_socket_stays),
		CASE(an_unknown_group_is_told),
		CASE(only_root_us_and_the_group_may_talk),
		CASE(many_connections_are_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
