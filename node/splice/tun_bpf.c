#include "node/splice/tun_bpf.h"

#include <errno.h>
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/pkt_cls.h>
#include <linux/pkt_sched.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "node/io/netlink.h"
#include "proto/base/mem.h"
#include "proto/limits.h"

struct tun_bpf {
	int map;
};

/* ---- the system call ---- */

static int bpf(int command, union bpf_attr *attr, size_t len)
{
	long rv = syscall(SYS_bpf, command, attr, len);

	return rv < 0 ? -errno : (int)rv;
}

struct ports {
	uint16_t src, dst;
};

static int map_new(void)
{
	union bpf_attr attr = {
		.map_type = BPF_MAP_TYPE_HASH,
		.key_size = sizeof(struct tun_bpf_key),
		.value_size = sizeof(struct ports),
		.max_entries = 2 * SPLICE_FLOWS_MAX,
		.map_flags = BPF_F_NO_PREALLOC,
		.map_name = "qanat_spliced",
	};

	return bpf(BPF_MAP_CREATE, &attr, sizeof attr);
}

/* ---- the program ---- */

enum {
	/* Of the packet, which begins with its IPv6 header (RFC 8200 3). */
	NEXT_HEADER_AT = 6,
	KEY_AT = 8, /* both addresses and both ports, in a row */
	SRC_AT = KEY_AT,
	DST_AT = 24,
	PORTS_AT = 40,
	FLAGS_AT = 53,
	CHECKSUM_AT = 56,
	HEADERS = 60,
	VERSION_MASK = 0xf0,
	VERSION_6 = 0x60,
	FIN_SYN_RST = 0x07,
	/* Of the stack: the key, as the packet has it. */
	KEY = -40,
	KEY_SRC = KEY,
	KEY_DST = KEY + DST_AT - KEY_AT,
	KEY_PORTS = KEY + PORTS_AT - KEY_AT,
};

_Static_assert(sizeof(struct tun_bpf_key) == PORTS_AT + 4 - KEY_AT,
	       "the key is what the packet has in a row");

/* Registers: 0 is what a call returns, 1 to 5 are its arguments and do not
 * outlive it, 10 is the stack.  Here 6 is the sk_buff, 7 the new ports, 9 the
 * packet. */
#define OP(c, d, s, o, i)                                                      \
	{                                                                      \
		.code = (c), .dst_reg = (d), .src_reg = (s), .off = (o),       \
		.imm = (i)                                                     \
	}
#define MOVE(d, s)        OP(BPF_ALU64 | BPF_MOV | BPF_X, d, s, 0, 0)
#define SET(d, i)         OP(BPF_ALU64 | BPF_MOV | BPF_K, d, 0, 0, i)
#define ADD(d, i)         OP(BPF_ALU64 | BPF_ADD | BPF_K, d, 0, 0, i)
#define AND(d, i)         OP(BPF_ALU64 | BPF_AND | BPF_K, d, 0, 0, i)
#define LOAD(w, d, s, o)  OP(BPF_LDX | BPF_MEM | BPF_##w, d, s, o, 0)
#define STORE(w, d, o, s) OP(BPF_STX | BPF_MEM | BPF_##w, d, s, o, 0)
#define CALL(f)           OP(BPF_JMP | BPF_CALL, 0, 0, 0, BPF_FUNC_##f)
#define EXIT()            OP(BPF_JMP | BPF_EXIT, 0, 0, 0, 0)
/* Jumps are to where the packet is left alone: mended by program_end(). */
#define LEAVE_UNLESS_IS(d, i) OP(BPF_JMP | BPF_JNE | BPF_K, d, 0, 0, i)
#define LEAVE_IF_IS(d, i)     OP(BPF_JMP | BPF_JEQ | BPF_K, d, 0, 0, i)
#define LEAVE_IF_OVER(d, s)   OP(BPF_JMP | BPF_JGT | BPF_X, d, s, 0, 0)
/* One load of 64 bits in two parts. */
#define LOAD_MAP(d, fd)                                                        \
	OP(BPF_LD | BPF_DW | BPF_IMM, d, BPF_PSEUDO_MAP_FD, 0, fd),            \
		OP(0, 0, 0, 0, 0)
#define OF_SKB(field) ((int16_t)offsetof(struct __sk_buff, field))

static bool is_leave(const struct bpf_insn *i)
{
	return BPF_CLASS(i->code) == BPF_JMP && BPF_OP(i->code) != BPF_CALL &&
	       BPF_OP(i->code) != BPF_EXIT;
}

/* The last two are those that leave the packet alone. */
static void program_end(struct bpf_insn *at, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (is_leave(&at[i]))
			at[i].off = (int16_t)(n - 2 - i - 1);
}

static int program_load(int map)
{
	struct bpf_insn program[] = {
		/* A TCP segment over IPv6, of which all that counts is there,
		 * and which neither begins nor ends anything. */
		MOVE(6, 1),
		LOAD(W, 9, 6, OF_SKB(data)),
		LOAD(W, 2, 6, OF_SKB(data_end)),
		MOVE(3, 9),
		ADD(3, HEADERS),
		LEAVE_IF_OVER(3, 2),
		LOAD(B, 3, 9, 0),
		AND(3, VERSION_MASK),
		LEAVE_UNLESS_IS(3, VERSION_6),
		LOAD(B, 3, 9, NEXT_HEADER_AT),
		LEAVE_UNLESS_IS(3, IPPROTO_TCP),
		LOAD(B, 3, 9, FLAGS_AT),
		AND(3, FIN_SYN_RST),
		LEAVE_UNLESS_IS(3, 0),
		/* Of a flow. */
		LOAD(DW, 3, 9, SRC_AT),
		STORE(DW, 10, KEY_SRC, 3),
		LOAD(DW, 3, 9, SRC_AT + 8),
		STORE(DW, 10, KEY_SRC + 8, 3),
		LOAD(DW, 3, 9, DST_AT),
		STORE(DW, 10, KEY_DST, 3),
		LOAD(DW, 3, 9, DST_AT + 8),
		STORE(DW, 10, KEY_DST + 8, 3),
		LOAD(W, 3, 9, PORTS_AT),
		STORE(W, 10, KEY_PORTS, 3),
		LOAD_MAP(1, map),
		MOVE(2, 10),
		ADD(2, KEY),
		CALL(map_lookup_elem),
		LEAVE_IF_IS(0, 0),
		LOAD(W, 7, 0, 0),
		/* Addresses that change places leave the checksum as it is. */
		LOAD(DW, 1, 10, KEY_SRC),
		LOAD(DW, 2, 10, KEY_SRC + 8),
		LOAD(DW, 3, 10, KEY_DST),
		LOAD(DW, 4, 10, KEY_DST + 8),
		STORE(DW, 9, SRC_AT, 3),
		STORE(DW, 9, SRC_AT + 8, 4),
		STORE(DW, 9, DST_AT, 1),
		STORE(DW, 9, DST_AT + 8, 2),
		STORE(W, 9, PORTS_AT, 7),
		MOVE(1, 6),
		SET(2, CHECKSUM_AT),
		LOAD(W, 3, 10, KEY_PORTS),
		MOVE(4, 7),
		SET(5, sizeof(struct ports)),
		CALL(l4_csum_replace),
		/* Out of the device it went into. */
		LOAD(W, 1, 6, OF_SKB(ifindex)),
		SET(2, BPF_F_INGRESS),
		CALL(redirect),
		EXIT(),
		SET(0, TC_ACT_UNSPEC),
		EXIT(),
	};
	const size_t n = sizeof program / sizeof *program;
	union bpf_attr attr = {
		.prog_type = BPF_PROG_TYPE_SCHED_CLS,
		.insns = (uintptr_t)program,
		.insn_cnt = (uint32_t)n,
		.license = (uintptr_t) "",
		.prog_name = "qanat_splice",
	};

	program_end(program, n);
	return bpf(BPF_PROG_LOAD, &attr, sizeof attr);
}

/* ---- at the device ---- */

static int queue_add(int nl, int index)
{
	static const char kind[] = "clsact";
	const struct tcmsg body = { .tcm_ifindex = index,
				    .tcm_handle = TC_H_MAKE(TC_H_CLSACT, 0),
				    .tcm_parent = TC_H_CLSACT };
	struct netlink_request r;

	netlink_begin(&r, RTM_NEWQDISC, NLM_F_CREATE | NLM_F_EXCL, &body,
		      sizeof body);
	netlink_add(&r, TCA_KIND, kind, sizeof kind);
	return netlink_send(nl, &r);
}

static int filter_add(int nl, int index, int program)
{
	static const char kind[] = "bpf", name[] = "qanat";
	const uint32_t flags = TCA_BPF_FLAG_ACT_DIRECT;
	const struct tcmsg body = {
		.tcm_ifindex = index,
		.tcm_parent = TC_H_MAKE(TC_H_CLSACT, TC_H_MIN_EGRESS),
		.tcm_info = TC_H_MAKE(1U << 16, htons(ETH_P_IPV6)),
	};
	struct netlink_request r;
	struct rtattr *options;

	netlink_begin(&r, RTM_NEWTFILTER, NLM_F_CREATE | NLM_F_EXCL, &body,
		      sizeof body);
	netlink_add(&r, TCA_KIND, kind, sizeof kind);
	options = netlink_add(&r, TCA_OPTIONS, NULL, 0);
	netlink_add(&r, TCA_BPF_FD, &program, sizeof program);
	netlink_add(&r, TCA_BPF_NAME, name, sizeof name);
	netlink_add(&r, TCA_BPF_FLAGS, &flags, sizeof flags);
	netlink_nest_end(&r, options);
	return netlink_send(nl, &r);
}

static int attach(int index, int program)
{
	int nl = netlink_open();
	int rv;

	if (nl < 0)
		return nl;
	rv = queue_add(nl, index);
	if (rv == 0)
		rv = filter_add(nl, index, program);
	close(nl);
	return rv;
}

int tun_bpf_open(struct tun_bpf **out, int index)
{
	int map = map_new();
	int program, rv;

	if (map < 0)
		return map;
	program = program_load(map);
	rv = program < 0 ? program : attach(index, program);
	if (program >= 0)
		close(program);
	if (rv < 0) {
		close(map);
		return rv;
	}
	*out = mem_new(*out);
	(*out)->map = map;
	return 0;
}

void tun_bpf_close(struct tun_bpf *b)
{
	if (b == NULL)
		return;
	close(b->map);
	free(b);
}

/* ---- flows ---- */

void tun_bpf_add(struct tun_bpf *b, const struct tun_bpf_key *key,
		 uint16_t src_port, uint16_t dst_port)
{
	const struct ports ports = { .src = src_port, .dst = dst_port };
	union bpf_attr attr = { .key = (uintptr_t)key,
				.value = (uintptr_t)&ports };

	if (b == NULL)
		return;
	attr.map_fd = (uint32_t)b->map;
	bpf(BPF_MAP_UPDATE_ELEM, &attr, sizeof attr);
}

void tun_bpf_remove(struct tun_bpf *b, const struct tun_bpf_key *key)
{
	union bpf_attr attr = { .key = (uintptr_t)key };

	if (b == NULL)
		return;
	attr.map_fd = (uint32_t)b->map;
	bpf(BPF_MAP_DELETE_ELEM, &attr, sizeof attr);
}
