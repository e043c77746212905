#include "node/store/store_check.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/mem.h"

/* LMDB 0.9's data format 1, as its own documentation and source give it: a page
 * is  pgno(8) pad(2) flags(2) lower(2) upper(2) pointers(2 each) … nodes;  the
 * length in pages of an overflow run is where lower and upper are. */
enum {
	PAGE_HEADER = 16,
	NODE_HEADER = 8,
	DB_BYTES = 48,
	META_MAGIC_AT = PAGE_HEADER,
	META_VERSION_AT = PAGE_HEADER + 4,
	META_FREE_AT = PAGE_HEADER + 24,
	META_MAIN_AT = META_FREE_AT + DB_BYTES,
	META_LAST_AT = META_MAIN_AT + DB_BYTES,
	META_TXN_AT = META_LAST_AT + 8,
	META_BYTES = META_TXN_AT + 8,

	PAGE_BRANCH = 0x01,
	PAGE_LEAF = 0x02,
	PAGE_OVERFLOW = 0x04,
	PAGE_META = 0x08,

	NODE_BIG = 0x01, /* the data is the number of an overflow page */
	NODE_DB = 0x02,  /* the data is a named database */

	DB_INTEGER_KEY = 0x08,
	KEY_MAX = 511,
	DEPTH_MAX = 31, /* one under LMDB's cursor stack */
	N_METAS = 2,
};
#define META_MAGIC   UINT32_C(0xBEEFC0DE)
#define META_VERSION 1
#define NO_PAGE      UINT64_MAX

struct check {
	const uint8_t *file;
	size_t len;
	size_t page_bytes;
	uint64_t last_page, txn;
	uint8_t *seen; /* a bit a page: in use, or free */
	const char *bad;
};

enum tree_kind {
	TREE_FREE, /* the list of free pages */
	TREE_MAIN, /* the named databases */
	TREE_NAMED,
};

struct tree {
	uint16_t flags, depth;
	uint64_t n_branch, n_leaf, n_overflow, n_entries, root;
};

struct walk {
	struct check *c;
	enum tree_kind kind;
	const struct tree *want;
	struct tree have; /* counted */
	/* Keys ascend through the whole tree. */
	const uint8_t *key;
	size_t key_len;
	bool may_equal; /* after a separator: the same key may follow */
};

static uint16_t get16(const uint8_t *p)
{
	uint16_t x;

	memcpy(&x, p, sizeof x);
	return x;
}

static uint32_t get32(const uint8_t *p)
{
	uint32_t x;

	memcpy(&x, p, sizeof x);
	return x;
}

static uint64_t get64(const uint8_t *p)
{
	uint64_t x;

	memcpy(&x, p, sizeof x);
	return x;
}

static bool fail(struct check *c, const char *reason)
{
	if (c->bad == NULL)
		c->bad = reason;
	return false;
}

static struct tree tree_read(const uint8_t *p)
{
	return (struct tree){
		.flags = get16(p + 4),
		.depth = get16(p + 6),
		.n_branch = get64(p + 8),
		.n_leaf = get64(p + 16),
		.n_overflow = get64(p + 24),
		.n_entries = get64(p + 32),
		.root = get64(p + 40),
	};
}

/* A page belongs to one place. */
static bool claim(struct check *c, uint64_t page)
{
	uint8_t bit = (uint8_t)(1 << (page & 7));

	if (page < N_METAS || page > c->last_page)
		return fail(c, "a page number is out of range");
	if (c->seen[page >> 3] & bit)
		return fail(c, "a page is used twice");
	c->seen[page >> 3] |= bit;
	return true;
}

/* Free pages may lie past the end of the file; those in use may not. */
static const uint8_t *page_get(struct check *c, uint64_t page)
{
	const uint8_t *p;

	if (!claim(c, page))
		return NULL;
	if ((page + 1) * c->page_bytes > c->len) {
		fail(c, "the file is cut short");
		return NULL;
	}
	p = c->file + page * c->page_bytes;
	if (get64(p) != page) {
		fail(c, "a page has another's number");
		return NULL;
	}
	return p;
}

static const uint8_t *overflow_get(struct walk *w, uint64_t page, size_t len)
{
	struct check *c = w->c;
	uint64_t n = (PAGE_HEADER - 1 + len) / c->page_bytes + 1;
	const uint8_t *p = page_get(c, page);

	if (p == NULL)
		return NULL;
	if (get16(p + 10) != PAGE_OVERFLOW || get32(p + 12) != n) {
		fail(c, "an overflow page is damaged");
		return NULL;
	}
	for (uint64_t i = 1; i < n; i++) {
		if (!claim(c, page + i))
			return NULL;
	}
	if ((page + n) * c->page_bytes > c->len) {
		fail(c, "the file is cut short");
		return NULL;
	}
	w->have.n_overflow += n;
	return p + PAGE_HEADER;
}

static int key_compare(const struct walk *w, const uint8_t *key, size_t len)
{
	size_t min = len < w->key_len ? len : w->key_len;
	int d;

	if (w->kind == TREE_FREE) {
		uint64_t a = get64(w->key), b = get64(key);

		return (a > b) - (a < b);
	}
	d = memcmp(w->key, key, min);
	return d != 0 ? d : (w->key_len > len) - (w->key_len < len);
}

static bool key_follows(struct walk *w, const uint8_t *key, size_t len,
			bool is_separator)
{
	if (len == 0 || len > KEY_MAX || (w->kind == TREE_FREE && len != 8))
		return fail(w->c, "a key has a wrong length");
	if (w->key != NULL &&
	    key_compare(w, key, len) >= (w->may_equal ? 1 : 0))
		return fail(w->c, "keys are out of order");
	w->key = key;
	w->key_len = len;
	w->may_equal = is_separator;
	return true;
}

/* A list of free pages: count(8), then their numbers, descending. */
static bool free_list(struct walk *w, const uint8_t *key, const uint8_t *p,
		      size_t len)
{
	uint64_t n, last = NO_PAGE;

	if (len < 8 || get64(key) > w->c->txn)
		return fail(w->c, "the list of free pages is damaged");
	n = get64(p);
	if (n > len / 8 - 1)
		return fail(w->c, "the list of free pages is damaged");
	for (uint64_t i = 1; i <= n; i++) {
		uint64_t page = get64(p + 8 * i);

		if (page >= last)
			return fail(w->c, "the list of free pages is damaged");
		if (!claim(w->c, page))
			return false;
		last = page;
	}
	return true;
}

static bool walk_tree(struct check *c, enum tree_kind kind,
		      const struct tree *want);

struct node {
	uint16_t flags;
	const uint8_t *key;
	size_t key_len;
	uint64_t low; /* data length, or (branch) page number */
	size_t bytes; /* in the page, rounded up to even */
};

/* Node `i` of a page whose header is good. */
static bool node_read(struct check *c, const uint8_t *page, size_t i,
		      bool is_branch, struct node *out)
{
	size_t upper = get16(page + 14);
	size_t at = get16(page + PAGE_HEADER + 2 * i);
	const uint8_t *p = page + at;
	size_t data;

	if (at < upper || (at & 1) || at + NODE_HEADER > c->page_bytes)
		return fail(c, "a node is out of its page");
	out->flags = get16(p + 4);
	out->key = p + NODE_HEADER;
	out->key_len = get16(p + 6);
	out->low = get16(p) | (uint64_t)get16(p + 2) << 16;
	if (is_branch) {
		out->low |= (uint64_t)out->flags << 32;
		data = 0;
	} else {
		data = out->flags & NODE_BIG ? 8 : (size_t)out->low;
	}
	out->bytes = (NODE_HEADER + out->key_len + data + 1) & ~(size_t)1;
	if (out->bytes > c->page_bytes - at)
		return fail(c, "a node is out of its page");
	return true;
}

static bool leaf_node(struct walk *w, const struct node *n)
{
	const uint8_t *data = n->key + n->key_len;
	struct tree named;

	if (!key_follows(w, n->key, n->key_len, false))
		return false;
	w->have.n_entries++;
	if (w->kind == TREE_MAIN) {
		if (n->flags != NODE_DB || n->low != DB_BYTES)
			return fail(w->c, "a database's entry is damaged");
		named = tree_read(data);
		return walk_tree(w->c, TREE_NAMED, &named);
	}
	if (n->flags & ~NODE_BIG)
		return fail(w->c, "a node has unknown flags");
	if (n->flags & NODE_BIG)
		data = overflow_get(w, get64(data), (size_t)n->low);
	if (data == NULL)
		return false;
	return w->kind != TREE_FREE ||
	       free_list(w, n->key, data, (size_t)n->low);
}

static bool walk_page(struct walk *w, uint64_t number, unsigned depth)
{
	struct check *c = w->c;
	const uint8_t *page = page_get(c, number);
	size_t n, lower, upper, total = 0;
	bool is_branch;

	if (page == NULL)
		return false;
	lower = get16(page + 12);
	upper = get16(page + 14);
	is_branch = get16(page + 10) == PAGE_BRANCH;
	if ((!is_branch && get16(page + 10) != PAGE_LEAF) ||
	    lower < PAGE_HEADER || (lower & 1) || lower > upper ||
	    upper > c->page_bytes)
		return fail(c, "a page's header is damaged");
	n = (lower - PAGE_HEADER) / 2;
	/* Branches lead deeper until, and only until, the known depth; LMDB
	 * lets those of the free list alone shrink to one key. */
	if (is_branch != (depth < w->want->depth) ||
	    n < (is_branch && w->kind != TREE_FREE ? 2u : 1u))
		return fail(c, "a tree has a wrong shape");
	*(is_branch ? &w->have.n_branch : &w->have.n_leaf) += 1;

	for (size_t i = 0; i < n; i++) {
		struct node node;

		if (!node_read(c, page, i, is_branch, &node))
			return false;
		total += node.bytes;
		if (!is_branch) {
			if (!leaf_node(w, &node))
				return false;
			continue;
		}
		/* The first key of a branch stands for "anything less". */
		if (i > 0 && !key_follows(w, node.key, node.key_len, true))
			return false;
		if (!walk_page(w, node.low, depth + 1))
			return false;
	}
	if (total != c->page_bytes - upper)
		return fail(c, "nodes overlap");
	return true;
}

static bool walk_tree(struct check *c, enum tree_kind kind,
		      const struct tree *want)
{
	struct walk w = { .c = c, .kind = kind, .want = want };

	if (want->flags != (kind == TREE_FREE ? DB_INTEGER_KEY : 0) ||
	    want->depth > DEPTH_MAX)
		return fail(c, "a database's flags are damaged");
	if (want->root == NO_PAGE) {
		if (want->depth != 0)
			return fail(c, "a tree has a wrong shape");
	} else if (want->depth == 0) {
		return fail(c, "a tree has a wrong shape");
	} else if (!walk_page(&w, want->root, 1)) {
		return false;
	}
	if (w.have.n_branch != want->n_branch ||
	    w.have.n_leaf != want->n_leaf ||
	    w.have.n_overflow != want->n_overflow ||
	    w.have.n_entries != want->n_entries)
		return fail(c, "a tree's counts are wrong");
	return true;
}

/* Chooses as LMDB does: the later transaction; the first if they are equal. */
static const uint8_t *meta_pick(struct check *c)
{
	const uint8_t *meta[N_METAS];
	uint64_t txn[N_METAS];

	if (c->len < PAGE_HEADER + META_BYTES) {
		fail(c, "the file is cut short");
		return NULL;
	}
	c->page_bytes = get32(c->file + META_FREE_AT);
	if (c->page_bytes < 4096 || c->page_bytes > 32768 ||
	    (c->page_bytes & (c->page_bytes - 1))) {
		fail(c, "the page size is damaged");
		return NULL;
	}
	if (c->len < N_METAS * c->page_bytes) {
		fail(c, "the file is cut short");
		return NULL;
	}
	for (unsigned i = 0; i < N_METAS; i++) {
		const uint8_t *p = c->file + i * c->page_bytes;

		meta[i] = p;
		txn[i] = get64(p + META_TXN_AT);
		if (get64(p) != i || get16(p + 10) != PAGE_META ||
		    get32(p + META_MAGIC_AT) != META_MAGIC ||
		    get32(p + META_VERSION_AT) != META_VERSION ||
		    get32(p + META_FREE_AT) != c->page_bytes ||
		    (txn[i] != 0 && (txn[i] & 1) != i)) {
			fail(c, "a meta page is damaged");
			return NULL;
		}
	}
	return meta[txn[0] < txn[1]];
}

const char *store_check(const uint8_t *file, size_t len)
{
	struct check c = { .file = file, .len = len };
	const uint8_t *meta = meta_pick(&c);
	struct tree tree;

	if (meta == NULL)
		return c.bad;
	c.txn = get64(meta + META_TXN_AT);
	c.last_page = get64(meta + META_LAST_AT);
	/* Free pages at the end may never have been written, but not for
	 * ever more than the file has. */
	if (c.last_page < N_METAS - 1 || c.last_page / 16 > len / c.page_bytes)
		return "the number of pages is damaged";
	c.seen = mem_calloc((size_t)c.last_page / 8 + 1, 1);
	tree = tree_read(meta + META_FREE_AT);
	if (walk_tree(&c, TREE_FREE, &tree)) {
		tree = tree_read(meta + META_MAIN_AT);
		walk_tree(&c, TREE_MAIN, &tree);
	}
	free(c.seen);
	return c.bad;
}
