#include <stdbool.h>
#include <string.h>

#include "node/store/store_db.h"
#include "proto/base/buf.h"
#include "proto/base/view.h"

#define RECORD_VERSION 1

/* CRC-32 (ISO-HDLC, as in Ethernet and zlib), four bits at a time. */
static uint32_t crc32_add(uint32_t crc, const void *data, size_t len)
{
	static const uint32_t table[16] = {
		0x00000000, 0x1db71064, 0x3b6e20c8, 0x26d930ac,
		0x76dc4190, 0x6b6b51f4, 0x4db26158, 0x5005713c,
		0xedb88320, 0xf00f9344, 0xd6d6a3e8, 0xcb61b38c,
		0x9b64c2b0, 0x86d3d2d4, 0xa00ae278, 0xbdbdf21c,
	};
	const uint8_t *p = data;

	crc = ~crc;
	for (size_t i = 0; i < len; i++) {
		crc ^= p[i];
		crc = crc >> 4 ^ table[crc & 15];
		crc = crc >> 4 ^ table[crc & 15];
	}
	return ~crc;
}

/* A record that strayed to another key or database is no good either. */
static uint32_t record_crc(const uint8_t *record, size_t len, const void *key,
			   size_t key_len, uint8_t db)
{
	uint32_t crc = crc32_add(0, &db, 1);

	crc = crc32_add(crc, key, key_len);
	return crc32_add(crc, record, len);
}

void store_record_write(uint8_t *out, const void *key, size_t key_len,
			uint8_t db, const void *payload, size_t len)
{
	struct buf b = buf_of(out, len + STORE_RECORD_EXTRA);

	buf_u8(&b, RECORD_VERSION);
	buf_be32(&b, (uint32_t)len);
	buf_bytes(&b, payload, len);
	buf_be32(&b, record_crc(out, b.len, key, key_len, db));
}

const uint8_t *store_record_parse(const uint8_t *data, size_t data_len,
				  const void *key, size_t key_len, uint8_t db,
				  size_t *len)
{
	struct view v = view_of(data, data_len);
	uint8_t version = view_u8(&v);
	uint32_t n = view_be32(&v);
	const uint8_t *payload = view_bytes(&v, n);
	uint32_t crc = view_be32(&v);

	if (v.bad || view_left(&v) != 0 || version != RECORD_VERSION ||
	    crc != record_crc(data, data_len - 4, key, key_len, db))
		return NULL;
	*len = n;
	return payload;
}
