#include "proto/base/mem.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#ifdef __GLIBC__
#include <malloc.h>
#endif

static void out_of_memory(void)
{
	fputs("out of memory\n", stderr);
	abort();
}

void *mem_calloc(size_t n, size_t size)
{
	void *p = calloc(n != 0 ? n : 1, size != 0 ? size : 1);

	if (p == NULL)
		out_of_memory();
	return p;
}

void *mem_realloc(void *p, size_t n, size_t size)
{
	size_t total;

	if (__builtin_mul_overflow(n, size, &total))
		out_of_memory();
	p = realloc(p, total != 0 ? total : 1);
	if (p == NULL)
		out_of_memory();
	return p;
}

char *mem_strdup(const char *s)
{
	size_t len = strlen(s) + 1;

	return memcpy(mem_calloc(len, 1), s, len);
}

void *mem_pages(size_t size)
{
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		out_of_memory();
	/* Mappings side by side are one to the kernel, and a huge page there
	 * would make all of them resident. */
	madvise(p, size, MADV_NOHUGEPAGE);
	return p;
}

void mem_pages_free(void *p, size_t size)
{
	munmap(p, size);
}

void mem_pages_clear(void *p, size_t size)
{
	madvise(p, size, MADV_DONTNEED);
#ifdef __SANITIZE_ADDRESS__
	mprotect(p, size, PROT_NONE);
#endif
}

void mem_pages_open(void *p, size_t size)
{
#ifdef __SANITIZE_ADDRESS__
	mprotect(p, size, PROT_READ | PROT_WRITE);
#endif
#ifdef MADV_POPULATE_WRITE
	/* All at once, and not at one fault each. */
	madvise(p, size, MADV_POPULATE_WRITE);
#else
	(void)p;
	(void)size;
#endif
}

void mem_trim(void)
{
#ifdef __GLIBC__
	malloc_trim(0);
#endif
}
