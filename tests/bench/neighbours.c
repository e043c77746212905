/* What neighbours cost a daemon in memory when they have nothing to say.
 *
 *   neighbours QANATD N SECONDS
 *
 * Starts a daemon on the loopback, and in this process N nodes which dial it,
 * one after the other.  Prints what is resident of the daemon, in MB, with a
 * few of them, and what each of the others has added, in kB; both after it was
 * quiet for so many seconds.  A session sleeps after five, and then wakes as
 * often.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "node/overlay.h"
#include "node/quic/protect.h"
#include "node/quic/window.h"
#include "proto/base/mem.h"
#include "tests/support/bench_tool.h"
#include "tests/support/certs.h"
#include "tests/support/local_io.h"

/* The first ones bring in what all share. */
#define FEW         8
#define NODES_MAX   400
#define PATIENCE_NS (30 * NS_PER_S)

struct crowd {
	struct loop *loop;
	struct protect *protect;
	struct test_cert ca;
	char dir[TEST_PATH_MAX];
	pid_t daemon;
	union endpoint at;
	struct member {
		struct crowd *crowd;
		struct test_cert cert;
		struct credentials credentials;
		struct overlay *overlay;
	} * members;
	size_t n, n_wanted, n_up;
	nsec since; /* the last one came up */
	struct timer timer;
	nsec settle;
};

/* ---- the daemon ---- */

static void make_files(struct crowd *c)
{
	struct test_spec spec = { .cn = "hub", .around_s = time(NULL) };
	struct test_cert hub;
	char text[1024];

	test_dir_make(c->dir);
	test_cert_make(&hub, &c->ca, &spec);
	test_dir_credentials(c->dir, &c->ca, &hub, NULL);
	test_cert_free(&hub);
	snprintf(text, sizeof text,
		 "[node]\nname = hub\nstate = %s\nlisten = 127.0.0.1:%u\n"
		 "log = warn\n[discovery]\nlan = off\n[tun]\nenabled = off\n"
		 "[socks]\nlisten = off\n[admin]\nsocket = %s/sock\n",
		 c->dir, ntohs(c->at.in.sin_port), c->dir);
	test_file_write(c->dir, "conf", 0644, text);
}

static void start_daemon(struct crowd *c, const char *binary)
{
	char conf[TEST_PATH_MAX + 8];

	c->at = local_udp_free();
	make_files(c);
	snprintf(conf, sizeof conf, "%s/conf", c->dir);
	c->daemon = fork();
	if (c->daemon < 0)
		bench_die("fork");
	if (c->daemon == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		execl(binary, binary, "--config", conf, (char *)NULL);
		bench_die(binary);
	}
}

static void stop_daemon(struct crowd *c)
{
	char db[TEST_PATH_MAX + 8];

	kill(c->daemon, SIGTERM);
	waitpid(c->daemon, NULL, 0);
	snprintf(db, sizeof db, "%s/db", c->dir);
	test_dir_remove(db);
	test_dir_remove(c->dir);
}

static double resident_kb(const struct crowd *c)
{
	char path[64], line[256];
	double kb = -1;
	FILE *f;

	snprintf(path, sizeof path, "/proc/%d/status", c->daemon);
	f = fopen(path, "r");
	if (f == NULL)
		bench_die("the daemon is gone");
	while (kb < 0 && fgets(line, sizeof line, f) != NULL)
		sscanf(line, "VmRSS: %lf", &kb);
	fclose(f);
	return kb;
}

/* ---- its neighbours ---- */

static void dial(struct crowd *c, struct member *m)
{
	const struct session_dial d = { .remote = c->at, .no = 1 };

	if (sessions_dial(m->overlay->sessions, &d) != 0)
		bench_die("a dial");
}

static bool session_up(void *ctx, const struct session_info *s,
		       const uint8_t *chain, size_t chain_len)
{
	struct member *m = ctx;

	(void)s;
	(void)chain;
	(void)chain_len;
	m->crowd->n_up++;
	m->crowd->since = loop_now(m->crowd->loop);
	return true;
}

/* The daemon may not have begun to listen. */
static void session_down(void *ctx, const struct session_info *s)
{
	struct member *m = ctx;

	if (s->is_up)
		bench_die("a session has ended");
	dial(m->crowd, m);
}

static void route_event(void *ctx, const struct route_proof *route)
{
	(void)ctx;
	(void)route;
}

static void identity(void *ctx, const struct identity *who,
		     const uint8_t *chain, size_t chain_len)
{
	(void)ctx;
	(void)who;
	(void)chain;
	(void)chain_len;
}

static void record(void *ctx, const struct record *record)
{
	(void)ctx;
	(void)record;
}

static const struct overlay_events events = {
	.session_up = session_up,
	.session_down = session_down,
	.route_added = route_event,
	.route_gone = route_event,
	.identity = identity,
	.record = record,
};

static void add_member(struct crowd *c)
{
	struct member *m = &c->members[c->n++];
	char name[32];
	struct test_spec spec = { .cn = name, .around_s = time(NULL) };
	union endpoint at = local_at(0);

	snprintf(name, sizeof name, "node%zu", c->n);
	m->crowd = c;
	test_cert_make(&m->cert, &c->ca, &spec);
	test_credentials(&m->credentials, &c->ca, &m->cert, NULL);
	m->overlay = overlay_new(
		c->loop,
		&(struct overlay_config){ .credentials = &m->credentials,
					  .protect = c->protect,
					  .memory = WINDOW_POOL_BYTES,
					  .display_name = name,
					  .transit = true,
					  .direct = true,
					  .flood_below = FLOOD_BELOW },
		&events, m);
	if (m->overlay == NULL ||
	    udp_listen(sessions_udp(m->overlay->sessions), &at) != 0)
		bench_die("a node");
	dial(c, m);
}

static void turn_end(void *ctx)
{
	struct crowd *c = ctx;
	bool did;

	if (c->n_up == c->n && c->n < c->n_wanted)
		add_member(c);
	do {
		did = false;
		for (size_t i = 0; i < c->n; i++)
			did |= overlay_flush(c->members[i].overlay);
	} while (did);
	for (size_t i = 0; i < c->n; i++)
		overlay_set_timer(c->members[i].overlay);
}

static void look(struct timer *t)
{
	struct crowd *c = container_of(t, struct crowd, timer);
	nsec now = loop_now(c->loop);

	if (c->n_up == c->n_wanted && now >= c->since + c->settle)
		loop_stop(c->loop);
	else if (now > c->since + PATIENCE_NS)
		bench_die("a session does not come up");
	else
		loop_timer_set(c->loop, t, now + NS_PER_S / 10);
}

/* With `n` of them, and all quiet. */
static double resident_with(struct crowd *c, size_t n)
{
	c->n_wanted = n;
	loop_turn(c->loop);
	c->since = loop_now(c->loop);
	loop_timer_set(c->loop, &c->timer, c->since + 1);
	loop_run(c->loop);
	return resident_kb(c);
}

static struct crowd *crowd_new(const char *binary, size_t n)
{
	struct crowd *c = mem_new(c);
	struct test_spec ca = { .cn = "crowd",
				.role = TEST_CA,
				.around_s = time(NULL) };
	char why[256];

	c->members = mem_calloc(n, sizeof *c->members);
	c->timer.fire = look;
	test_cert_make(&c->ca, NULL, &ca);
	start_daemon(c, binary);
	if (protect_new(&c->protect, PROTECT_AUTO, why, sizeof why) != 0)
		bench_die(why);
	c->loop = loop_new();
	loop_on_turn_end(c->loop, turn_end, c);
	return c;
}

int main(int argc, char **argv)
{
	int n = argc == 4 ? atoi(argv[2]) : 0;
	int seconds = argc == 4 ? atoi(argv[3]) : 0;
	struct crowd *c;
	double few, all;

	if (n <= FEW || n > NODES_MAX || seconds <= 0) {
		fprintf(stderr,
			"usage: neighbours QANATD N SECONDS, %d < N <= %d\n",
			FEW, NODES_MAX);
		return 2;
	}
	c = crowd_new(argv[1], (size_t)n);
	c->settle = (nsec)seconds * NS_PER_S;
	few = resident_with(c, FEW);
	all = resident_with(c, (size_t)n);
	printf("{\"idle\": %.2f, \"session\": %.1f}\n", few / 1024,
	       (all - few) / (n - FEW));
	stop_daemon(c);
	return 0;
}
