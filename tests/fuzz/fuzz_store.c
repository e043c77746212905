/* A damaged database.  The input is a list of patches, offset(3) length(1)
 * bytes, to the file of a small database: what store_check() lets through,
 * LMDB must be able to read and to write without a crash. */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "node/store/store_check.h"
#include "node/store/store_db.h"
#include "node/store/store_queue.h"
#include "proto/base/mem.h"
#include "proto/base/view.h"
#include "tests/support/check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static struct store_file file;
static char path[320];
static uint8_t *image, *work;
static size_t image_len;

static void remove_all(void)
{
	char name[320];

	unlink(path);
	snprintf(name, sizeof name, "%.200s/db/lock.mdb", file.dir);
	unlink(name);
	snprintf(name, sizeof name, "%.200s/db", file.dir);
	rmdir(name);
}

static void remove_at_exit(void)
{
	remove_all();
	rmdir(file.dir);
}

static void commit(uint32_t from, uint32_t to, size_t bytes)
{
	struct store_queue q;
	struct store_result r;
	struct change *batch;

	store_queue_init(&q);

	for (uint32_t i = from; i < to; i++) {
		bool is_del = i % 5 == 4;
		uint8_t *value = is_del ? NULL : mem_calloc(1 + bytes, 1);

		store_queue_put(&q, (enum store_db)(i % STORE_DBS), &i,
				sizeof i, value, is_del ? 0 : i * 7 % bytes);
	}
	batch = store_queue_take(&q);
	/* A failure is an answer, too: only a crash is not. */
	store_file_commit(&file, batch, &r);
	store_batch_free(batch);
}

static void make_image(void)
{
	struct store_result r;
	struct stat st;
	FILE *f;

	strcpy(file.dir, access("/dev/shm", W_OK) == 0
				 ? "/dev/shm/qanat-fuzz-XXXXXX"
				 : "/tmp/qanat-fuzz-XXXXXX");
	check(mkdtemp(file.dir) != NULL);
	atexit(remove_at_exit);
	snprintf(path, sizeof path, "%.200s/db/data.mdb", file.dir);
	check(store_file_open(&file, &r));
	commit(0, 200, 700);
	commit(100, 160, 9000); /* on pages of their own */
	commit(0, 40, 20);      /* and free ones */
	store_file_close(&file);
	check(stat(path, &st) == 0);
	image_len = (size_t)st.st_size;
	image = mem_calloc(image_len, 1);
	work = mem_calloc(image_len, 1);
	f = fopen(path, "rb");
	check(f != NULL && fread(image, 1, image_len, f) == image_len);
	fclose(f);
	check(store_check(image, image_len) == NULL);
}

static size_t patch(const uint8_t *data, size_t len)
{
	struct view v = view_of(data, len);
	size_t out_len = image_len;

	memcpy(work, image, image_len);
	while (view_left(&v) >= 4) {
		size_t at = view_be24(&v) % image_len;
		size_t n = view_u8(&v);

		if (n == 0) { /* cut here */
			out_len = at;
			continue;
		}
		for (; n > 0 && view_left(&v) > 0 && at < image_len; n--)
			work[at++] = view_u8(&v);
	}
	return out_len;
}

static void count(void *ctx, const void *key, size_t key_len, const void *value,
		  size_t len)
{
	(void)key;
	(void)value;
	*(size_t *)ctx += key_len + len;
}

static void remove_set_aside(void)
{
	char name[320];

	for (int i = 1; i <= 8; i++) {
		snprintf(name, sizeof name, "%.200s/db.bad-%d/data.mdb",
			 file.dir, i);
		unlink(name);
		snprintf(name, sizeof name, "%.200s/db.bad-%d/lock.mdb",
			 file.dir, i);
		unlink(name);
		snprintf(name, sizeof name, "%.200s/db.bad-%d", file.dir, i);
		rmdir(name);
	}
}

static void write_work(size_t len)
{
	char dir[320];
	int fd;

	remove_all();
	snprintf(dir, sizeof dir, "%.200s/db", file.dir);
	check(mkdir(dir, 0700) == 0);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	check(fd >= 0 && write(fd, work, len) == (ssize_t)len);
	close(fd);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct store_result r;
	size_t n = 0, work_len;

	if (image == NULL)
		make_image();
	work_len = patch(data, len);
	if (store_check(work, work_len) != NULL)
		return 0;
	write_work(work_len);
	if (!store_file_open(&file, &r) || r.was_set_aside) {
		/* Whole as a file, but its schema is not. */
		store_file_close(&file);
		check(r.is_newer || r.was_set_aside);
		remove_set_aside();
		return 0;
	}
	for (int db = 0; db < STORE_DBS; db++)
		store_file_load(&file, (enum store_db)db, count, count, &n, &r);
	commit(0, 250, 300);
	commit(50, 120, 7000);
	store_file_close(&file);
	return 0;
}
