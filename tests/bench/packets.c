/* A flow of small UDP packets, for the bench: as many as one core can make,
 * and what of them arrives.
 *
 *   packets receive ADDRESS PORT           until it grows quiet
 *   packets send ADDRESS PORT SECONDS BYTES SEGMENTS
 *
 * The receiver prints {"packets": N, "seconds": from the first to the last}.
 * The sender hands so many packets at once to the kernel, which cuts them
 * (UDP_SEGMENT): 1 for a program that knows nothing of that.
 */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "tests/support/bench_tool.h"

#define BATCH      64
#define BYTES_MAX  65536
#define CONTROL    64
#define BUFFER     (4 << 20)
#define PATIENCE_S 10 /* for the first packet */
#define QUIET_MS   400

static uint8_t bytes[BATCH][BYTES_MAX];
static struct iovec iov[BATCH];
static struct mmsghdr msgs[BATCH];
static uint8_t control[BATCH][CONTROL];

static int socket_new(int option)
{
	int fd = socket(AF_INET6, SOCK_DGRAM, 0);
	int no = 0, size = BUFFER;

	if (fd < 0)
		bench_die("socket");
	setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &no, sizeof no);
	setsockopt(fd, SOL_SOCKET, option, &size, sizeof size);
	return fd;
}

static void batch_init(size_t len)
{
	for (int i = 0; i < BATCH; i++) {
		iov[i] = (struct iovec){ bytes[i], len };
		msgs[i].msg_hdr.msg_iov = &iov[i];
		msgs[i].msg_hdr.msg_iovlen = 1;
	}
}

static void timeout_set(int fd, int64_t ms)
{
	struct timeval t = { ms / 1000, ms % 1000 * 1000 };

	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &t, sizeof t);
}

/* Packets in one message: those that the kernel has put together (UDP_GRO) are
 * of one size, but for the last. */
static uint64_t packets_in(struct mmsghdr *m)
{
	struct cmsghdr *c = CMSG_FIRSTHDR(&m->msg_hdr);
	int size = 0;

	if (c != NULL && c->cmsg_level == SOL_UDP && c->cmsg_type == UDP_GRO)
		memcpy(&size, CMSG_DATA(c), sizeof size);
	if (size <= 0)
		return 1;
	return (m->msg_len + (unsigned)size - 1) / (unsigned)size;
}

static void control_reset(int n)
{
	for (int i = 0; i < n; i++) {
		msgs[i].msg_hdr.msg_control = control[i];
		msgs[i].msg_hdr.msg_controllen = CONTROL;
	}
}

static void receive(const char *address, const char *port)
{
	struct sockaddr_in6 a = bench_address(address, port);
	int64_t first = 0, last = 0;
	uint64_t n = 0;
	int fd = socket_new(SO_RCVBUFFORCE), got, yes = 1;

	if (bind(fd, (struct sockaddr *)&a, sizeof a) != 0)
		bench_die("bind");
	setsockopt(fd, SOL_UDP, UDP_GRO, &yes, sizeof yes);
	puts("ready");
	fflush(stdout);
	batch_init(BYTES_MAX);
	control_reset(BATCH);
	timeout_set(fd, PATIENCE_S * 1000);
	while ((got = recvmmsg(fd, msgs, BATCH, MSG_WAITFORONE, NULL)) > 0) {
		last = bench_now_ns();
		if (first == 0) {
			first = last;
			timeout_set(fd, QUIET_MS);
		}
		for (int i = 0; i < got; i++)
			n += packets_in(&msgs[i]);
		control_reset(got);
	}
	printf("{\"packets\": %llu, \"seconds\": %.6f}\n",
	       (unsigned long long)n, (double)(last - first) / 1e9);
}

static void send_all(const char *address, const char *port, double seconds,
		     int len, int segments)
{
	struct sockaddr_in6 a = bench_address(address, port);
	int64_t end = bench_now_ns() + (int64_t)(seconds * 1e9);
	int fd = socket_new(SO_SNDBUFFORCE);

	if (connect(fd, (struct sockaddr *)&a, sizeof a) != 0)
		bench_die("connect");
	if (segments > 1 &&
	    setsockopt(fd, SOL_UDP, UDP_SEGMENT, &len, sizeof len) != 0)
		bench_die("UDP_SEGMENT");
	batch_init((size_t)len * (size_t)segments);
	while (bench_now_ns() < end) {
		/* An ICMP error of an earlier one is told here: go on. */
		if (sendmmsg(fd, msgs, BATCH, 0) < 0 && errno == EINVAL)
			bench_die("sendmmsg");
	}
}

int main(int argc, char **argv)
{
	if (argc == 4 && strcmp(argv[1], "receive") == 0) {
		receive(argv[2], argv[3]);
		return 0;
	}
	if (argc == 7 && strcmp(argv[1], "send") == 0 && atoi(argv[5]) > 0 &&
	    atoi(argv[6]) > 0 && atoi(argv[5]) * atoi(argv[6]) < BYTES_MAX) {
		send_all(argv[2], argv[3], atof(argv[4]), atoi(argv[5]),
			 atoi(argv[6]));
		return 0;
	}
	fprintf(stderr,
		"usage: packets receive ADDRESS PORT\n"
		"       packets send ADDRESS PORT SECONDS BYTES SEGMENTS\n");
	return 2;
}
