/* A cable with delay, loss and a rate, between two network namespaces, for the
 * bench: the kernels it runs on may have no netem.
 *
 *   impair NS_A DEV_A NS_B DEV_B DELAY_US LOSS_PPM RATE_KBIT QUEUE_MS SEED
 *
 * Each end is a TAP device.  Every frame is lost with the same probability,
 * waits for its turn at the rate (0: any), and then for the delay, which holds
 * for each direction.  What would wait longer than the queue is dropped.
 * Prints "ready" when both devices are there; runs until it is ended.
 */
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <poll.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#include "tests/support/bench_tool.h"

#define FRAME_BYTES_MAX 2048
#define FRAMES_MAX      16384 /* in flight, each way; a power of two */

struct frame {
	int64_t at; /* to be delivered */
	uint16_t len;
	uint8_t data[FRAME_BYTES_MAX];
};

/* One direction. */
struct pipe {
	int from, to;
	uint32_t head, tail;
	int64_t free_at; /* the cable is taken until then */
	struct frame *frames;
};

static struct {
	int64_t delay_ns, queue_ns;
	uint64_t rate_kbit;
	uint32_t loss_ppm;
	uint64_t dice;
} opt;

/* xorshift64*: the same seed loses the same frames. */
static bool is_lost(void)
{
	opt.dice ^= opt.dice >> 12;
	opt.dice ^= opt.dice << 25;
	opt.dice ^= opt.dice >> 27;
	return (opt.dice * UINT64_C(2685821657736338717) >> 32) % 1000000 <
	       opt.loss_ppm;
}

static int tap_open(const char *ns, const char *dev)
{
	struct ifreq req = { .ifr_flags = IFF_TAP | IFF_NO_PI };
	char path[256];
	int fd;

	snprintf(path, sizeof path, "/run/netns/%s", ns);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || setns(fd, CLONE_NEWNET) != 0)
		bench_die(path);
	close(fd);
	snprintf(req.ifr_name, sizeof req.ifr_name, "%s", dev);
	fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0 || ioctl(fd, TUNSETIFF, &req) != 0)
		bench_die(dev);
	return fd;
}

static void pipe_take(struct pipe *p, int64_t now)
{
	struct frame *f;
	ssize_t n;

	/* A round of so many, so that the other tasks get their turn. */
	for (int i = 0; i < 256; i++) {
		f = &p->frames[p->tail % FRAMES_MAX];
		n = read(p->from, f->data, sizeof f->data);
		if (n < 0)
			return;
		if (p->free_at < now)
			p->free_at = now;
		if (is_lost() || p->free_at - now > opt.queue_ns ||
		    p->tail - p->head == FRAMES_MAX - 1)
			continue;
		if (opt.rate_kbit != 0)
			p->free_at += n * 8 * 1000000 / (int64_t)opt.rate_kbit;
		f->at = p->free_at + opt.delay_ns;
		f->len = (uint16_t)n;
		p->tail++;
	}
}

static void pipe_deliver(struct pipe *p, int64_t now)
{
	struct frame *f;

	for (; p->head != p->tail; p->head++) {
		f = &p->frames[p->head % FRAMES_MAX];
		if (f->at > now)
			return;
		/* A device that is down or full loses it, as a cable does. */
		if (write(p->to, f->data, f->len) < 0)
			continue;
	}
}

static int64_t pipe_deadline(const struct pipe *p)
{
	return p->head == p->tail ? INT64_MAX
				  : p->frames[p->head % FRAMES_MAX].at;
}

static void run(struct pipe p[2])
{
	struct pollfd fds[2] = { { .fd = p[0].from, .events = POLLIN },
				 { .fd = p[1].from, .events = POLLIN } };
	struct timespec wait;
	int64_t now, next;

	for (;;) {
		now = bench_now_ns();
		for (int i = 0; i < 2; i++) {
			pipe_take(&p[i], now);
			pipe_deliver(&p[i], now);
		}
		next = pipe_deadline(&p[0]);
		if (pipe_deadline(&p[1]) < next)
			next = pipe_deadline(&p[1]);
		now = bench_now_ns();
		if (next == INT64_MAX)
			next = now + BENCH_NS_PER_S;
		else if (next < now)
			next = now;
		wait.tv_sec = (next - now) / BENCH_NS_PER_S;
		wait.tv_nsec = (next - now) % BENCH_NS_PER_S;
		ppoll(fds, 2, &wait, NULL);
	}
}

int main(int argc, char **argv)
{
	struct pipe p[2] = { 0 };
	int a, b;

	if (argc != 10) {
		fprintf(stderr, "usage: impair NS_A DEV_A NS_B DEV_B DELAY_US "
				"LOSS_PPM RATE_KBIT QUEUE_MS SEED\n");
		return 2;
	}
	opt.delay_ns = atoll(argv[5]) * 1000;
	opt.loss_ppm = (uint32_t)atoll(argv[6]);
	opt.rate_kbit = (uint64_t)atoll(argv[7]);
	opt.queue_ns = atoll(argv[8]) * 1000000;
	opt.dice = (uint64_t)atoll(argv[9]) * 2 + 1;
	a = tap_open(argv[1], argv[2]);
	b = tap_open(argv[3], argv[4]);
	p[0] = (struct pipe){ .from = a, .to = b };
	p[1] = (struct pipe){ .from = b, .to = a };
	for (int i = 0; i < 2; i++) {
		p[i].frames = calloc(FRAMES_MAX, sizeof *p[i].frames);
		if (p[i].frames == NULL)
			bench_die("memory");
	}
	/* A wait is as long as it says, not 50 us longer. */
	prctl(PR_SET_TIMERSLACK, 1);
	puts("ready");
	fflush(stdout);
	run(p);
}
