/* Protobuf by hand, for messages which our own writer would never write. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "proto/base/buf.h"

/* Field numbers are below 16, lengths below 16384. */
void pb_bytes(struct buf *out, unsigned number, const void *data, size_t len);
void pb_uint(struct buf *out, unsigned number, uint64_t x);

/* A byte in hexadecimal, 64 times: a signature. */
#define HEX64(b) HEX16(b) HEX16(b) HEX16(b) HEX16(b)
#define HEX16(b) b b b b b b b b b b b b b b b b
