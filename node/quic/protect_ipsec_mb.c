/* Packet protection by libipsec-mb, whose AES-GCM uses the widest registers
 * that the CPU has.  The library is loaded when it is chosen: who does without
 * it need not have it. */
#ifdef HAVE_IPSEC_MB

#include <dlfcn.h>
#include <immintrin.h>
#include <link.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#define LINUX /* its header aligns keys then */
#include <intel-ipsec-mb.h>
#include <sodium.h>

#include "node/quic/protect_ops.h"
#include "proto/base/mem.h"

#define TEXT_(x)     #x
#define TEXT(x)      TEXT_(x)
#define LIBRARY(abi) "libIPSec_MB.so." TEXT(abi)
#define ABI          1

_Static_assert(IMB_VERSION_NUM >> 16 == ABI, "the header is of that library");

enum {
	MASK_BYTES = 5,
	BLOCK_BYTES = 16,
};

struct ipsec_mb {
	struct protect protect;
	void *library;
	uint64_t features;
	/* For 16 and for 32 bytes of key. */
	aes_gcm_pre_t expand[2];
	aes_gcm_enc_dec_t seal[2], open[2];
	keyexp_t schedule[2];
};

struct key {
	struct protect_key key;
	size_t size; /* of all of this */
	union {
		aes_gcm_enc_dec_t run;
		int n_rounds;
	};
	union {
		struct gcm_key_data gcm;
		_Alignas(BLOCK_BYTES) uint8_t rounds[15 * BLOCK_BYTES];
	};
};

static const struct key *own(const struct protect_key *k)
{
	return (const struct key *)k;
}

/* ---- the library ---- */

static void close_backend(struct protect *p)
{
	struct ipsec_mb *m = (struct ipsec_mb *)p;

	dlclose(m->library);
	free(m);
}

static void take(struct ipsec_mb *out, const IMB_MGR *mgr)
{
	out->features = mgr->features;
	out->expand[0] = mgr->gcm128_pre;
	out->expand[1] = mgr->gcm256_pre;
	out->seal[0] = mgr->gcm128_enc;
	out->seal[1] = mgr->gcm256_enc;
	out->open[0] = mgr->gcm128_dec;
	out->open[1] = mgr->gcm256_dec;
	out->schedule[0] = mgr->keyexp_128;
	out->schedule[1] = mgr->keyexp_256;
}

/* The library tests all of itself when it starts, three megabytes of code, of
 * which a few hundred kilobytes are run ever again: what else is in memory of
 * it only makes us look large. */
static int forget_code(struct dl_phdr_info *info, size_t size, void *base)
{
	uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);

	(void)size;
	if (info->dlpi_addr != (ElfW(Addr))(uintptr_t)base)
		return 0;
	for (size_t i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *ph = &info->dlpi_phdr[i];
		uintptr_t from = info->dlpi_addr + ph->p_vaddr;
		uintptr_t to = from + ph->p_memsz;

		from &= ~(page - 1);
		if (ph->p_type == PT_LOAD && (ph->p_flags & PF_W) == 0)
			madvise((void *)from, to - from, MADV_DONTNEED);
	}
	return 1;
}

static void shrink(const struct ipsec_mb *m)
{
	void *symbol = dlsym(m->library, "alloc_mb_mgr");
	Dl_info info;

	if (dladdr(symbol, &info) != 0)
		dl_iterate_phdr(forget_code, info.dli_fbase);
}

/* Of all that its manager holds only some functions are needed, which have no
 * state. */
static const char *ask_library(struct ipsec_mb *m)
{
	IMB_MGR *(*new_mgr)(uint64_t);
	void (*init)(IMB_MGR *, IMB_ARCH *);
	void (*free_mgr)(IMB_MGR *);
	unsigned (*version)(void);
	IMB_MGR *mgr;
	bool good;

	*(void **)&new_mgr = dlsym(m->library, "alloc_mb_mgr");
	*(void **)&init = dlsym(m->library, "init_mb_mgr_auto");
	*(void **)&free_mgr = dlsym(m->library, "free_mb_mgr");
	*(void **)&version = dlsym(m->library, "imb_get_version");
	if (new_mgr == NULL || init == NULL || free_mgr == NULL ||
	    version == NULL || version() < IMB_VERSION_NUM)
		return "the library is older than the build";
	mgr = new_mgr(0);
	if (mgr == NULL)
		return "the library does not start";
	init(mgr, NULL);
	take(m, mgr);
	/* Its own test of itself is a part of starting it. */
	good = (m->features & IMB_FEATURE_SELF_TEST_PASS) != 0;
	free_mgr(mgr);
	if (!good)
		return "the library fails its own test";
	if ((m->features & IMB_CPUFLAGS_SSE) != IMB_CPUFLAGS_SSE)
		return "this CPU has no AES instructions";
	shrink(m);
	return NULL;
}

static struct protect *open_backend(char *why, size_t why_cap)
{
	struct ipsec_mb *m = mem_new(m);
	const char *refusal;

	m->protect.ops = &protect_ipsec_mb;
	m->library = dlopen(LIBRARY(ABI), RTLD_NOW | RTLD_LOCAL);
	if (m->library == NULL) {
		snprintf(why, why_cap, "%s", dlerror());
		free(m);
		return NULL;
	}
	refusal = ask_library(m);
	if (refusal != NULL) {
		snprintf(why, why_cap, "%s: %s", LIBRARY(ABI), refusal);
		close_backend(&m->protect);
		return NULL;
	}
	return &m->protect;
}

/* Three times the speed of GnuTLS; with what older CPUs have hardly more than
 * its equal. */
static bool is_fast(const struct protect *p)
{
	const uint64_t wanted =
		IMB_CPUFLAGS_AVX512 | IMB_FEATURE_VAES | IMB_FEATURE_VPCLMULQDQ;

	return (((const struct ipsec_mb *)p)->features & wanted) == wanted;
}

/* ---- keys ---- */

static struct protect_key *key_new(const struct protect *p,
				   enum protect_use use, const uint8_t *key,
				   size_t len)
{
	const struct ipsec_mb *m = (const struct ipsec_mb *)p;
	_Alignas(BLOCK_BYTES) uint8_t unused[15 * BLOCK_BYTES];
	int size = len == 16 ? 0 : 1;
	size_t bytes = use == PROTECT_MASK
			       ? offsetof(struct key, rounds) + sizeof unused
			       : sizeof(struct key);
	struct key *k;

	bytes = (bytes + _Alignof(struct key) - 1) &
		~(_Alignof(struct key) - 1);
	k = aligned_alloc(_Alignof(struct key), bytes);
	if (k == NULL)
		abort();
	memset(k, 0, bytes);
	k->key.ops = p->ops;
	k->size = bytes;
	if (use == PROTECT_MASK) {
		k->n_rounds = size == 0 ? 10 : 14;
		m->schedule[size](key, k->rounds, unused);
		sodium_memzero(unused, sizeof unused);
	} else {
		k->run = use == PROTECT_SEAL ? m->seal[size] : m->open[size];
		m->expand[size](key, &k->gcm);
	}
	return &k->key;
}

static void key_free(struct protect_key *key)
{
	struct key *k = (struct key *)key;

	sodium_memzero(k, k->size);
	free(k);
}

/* ---- packets ---- */

static bool seal(const struct protect_key *k, uint8_t *dest,
		 const uint8_t *text, size_t len, const uint8_t *nonce,
		 const uint8_t *aad, size_t aad_len)
{
	struct gcm_context_data ctx;

	own(k)->run(&own(k)->gcm, &ctx, dest, text, len, nonce, aad, aad_len,
		    dest + len, PROTECT_TAG_BYTES);
	return true;
}

/* In the same time wherever they differ. */
static bool is_same_tag(const uint8_t *a, const uint8_t *b)
{
	uint64_t x[2], y[2];

	_Static_assert(sizeof x == PROTECT_TAG_BYTES, "all of it");
	memcpy(x, a, sizeof x);
	memcpy(y, b, sizeof y);
	return ((x[0] ^ y[0]) | (x[1] ^ y[1])) == 0;
}

static bool unseal(const struct protect_key *k, uint8_t *dest,
		   const uint8_t *text, size_t len, const uint8_t *nonce,
		   const uint8_t *aad, size_t aad_len)
{
	struct gcm_context_data ctx;
	uint8_t tag[PROTECT_TAG_BYTES];

	if (len < sizeof tag)
		return false;
	len -= sizeof tag;
	own(k)->run(&own(k)->gcm, &ctx, dest, text, len, nonce, aad, aad_len,
		    tag, sizeof tag);
	return is_same_tag(tag, text + len);
}

/* One block: a call into the library would cost more than the work. */
__attribute__((target("aes,sse2"))) static bool mask(
	const struct protect_key *k, uint8_t *dest, const uint8_t *sample)
{
	const __m128i *rounds = (const __m128i *)own(k)->rounds;
	__m128i x = _mm_loadu_si128((const __m128i *)sample);
	uint8_t block[BLOCK_BYTES];
	int i;

	x = _mm_xor_si128(x, rounds[0]);
	for (i = 1; i < own(k)->n_rounds; i++)
		x = _mm_aesenc_si128(x, rounds[i]);
	x = _mm_aesenclast_si128(x, rounds[i]);
	_mm_storeu_si128((__m128i *)block, x);
	memcpy(dest, block, MASK_BYTES);
	return true;
}

const struct protect_ops protect_ipsec_mb = {
	.name = "ipsec-mb",
	.open_backend = open_backend,
	.close_backend = close_backend,
	.is_fast = is_fast,
	.key_new = key_new,
	.key_free = key_free,
	.seal = seal,
	.open = unseal,
	.mask = mask,
};

#else
typedef int protect_ipsec_mb_is_not_built_in;
#endif
