#include "proto/masque.h"

#include <string.h>

#include "proto/base/buf.h"
#include "proto/base/view.h"

/* RFC 9297 2.1: stream ids have 62 bits. */
#define QUARTER_STREAM_ID_MAX ((UINT64_C(1) << 60) - 1)

enum masque_verdict http_datagram_parse(struct http_datagram *out,
					const uint8_t *data, size_t len)
{
	struct view v = view_of(data, len);
	uint64_t quarter = view_varint(&v);
	uint64_t context = view_varint(&v);

	if (v.bad || quarter > QUARTER_STREAM_ID_MAX)
		return MASQUE_MALFORMED;
	*out = (struct http_datagram){ .stream_id = (int64_t)(quarter * 4),
				       .context = context,
				       .payload = v.pos,
				       .len = view_left(&v) };
	return MASQUE_OK;
}

size_t http_datagram_header_write(uint8_t out[HTTP_DATAGRAM_HEADER_MAX],
				  int64_t stream_id, uint64_t context)
{
	struct buf b = buf_of(out, HTTP_DATAGRAM_HEADER_MAX);

	buf_varint(&b, (uint64_t)stream_id / 4);
	buf_varint(&b, context);
	return b.len;
}

enum masque_verdict capsule_parse(struct capsule *out, const uint8_t *data,
				  size_t len, size_t *used)
{
	struct view v = view_of(data, len);
	uint64_t type = view_varint(&v);
	uint64_t value_len = view_varint(&v);
	const uint8_t *value;

	if (v.bad)
		return MASQUE_MORE;
	if (value_len > CAPSULE_BYTES_MAX)
		return MASQUE_TOO_LONG;
	value = view_bytes(&v, (size_t)value_len);
	if (v.bad)
		return MASQUE_MORE;
	*out = (struct capsule){ .type = type,
				 .value = value,
				 .len = (size_t)value_len };
	*used = len - view_left(&v);
	return MASQUE_OK;
}

static size_t capsule_write(struct buf *out, uint64_t type, const void *value,
			    size_t len)
{
	buf_varint(out, type);
	buf_varint(out, len);
	buf_bytes(out, value, len);
	return out->bad ? 0 : out->len;
}

/* 4 or 16; 0 for any other version. */
static size_t ip_len(uint8_t version)
{
	return version == 4 ? 4 : version == 6 ? 16 : 0;
}

/* RFC 9484 4.7.1: the bits behind the prefix must be zero. */
static bool prefix_is_clean(const uint8_t *ip, size_t len, uint8_t prefix_len)
{
	if (prefix_len > len * 8)
		return false;
	for (size_t bit = prefix_len; bit < len * 8; bit++)
		if ((ip[bit / 8] & 0x80 >> bit % 8) != 0)
			return false;
	return true;
}

/* Reads one entry; false if it is malformed. */
static bool address_read(struct capsule_address *out, uint8_t *version,
			 struct view *v)
{
	uint64_t request_id = view_varint(v);
	size_t len;

	*version = view_u8(v);
	len = ip_len(*version);
	memset(out, 0, sizeof *out);
	out->request_id = request_id;
	view_copy(v, out->addr.b, len);
	out->prefix_len = view_u8(v);
	return !v->bad && len != 0 &&
	       prefix_is_clean(out->addr.b, len, out->prefix_len);
}

enum masque_verdict capsule_addresses_parse(struct capsule_address *out,
					    size_t max, size_t *n,
					    const struct capsule *c)
{
	bool is_request = c->type == CAPSULE_ADDRESS_REQUEST;
	struct view v = view_of(c->value, c->len);

	*n = 0;
	if (!is_request && c->type != CAPSULE_ADDRESS_ASSIGN)
		return MASQUE_MALFORMED;
	/* RFC 9484 4.7.2: at least one entry, and none with the id that marks
	 * an assignment nobody asked for. */
	if (is_request && c->len == 0)
		return MASQUE_MALFORMED;
	while (view_left(&v) != 0) {
		struct capsule_address a;
		uint8_t version;

		if (!address_read(&a, &version, &v) ||
		    (is_request && a.request_id == 0))
			return MASQUE_MALFORMED;
		if (version == 6 && *n < max)
			out[(*n)++] = a;
	}
	return MASQUE_OK;
}

size_t capsule_address_assign_write(uint8_t *out, size_t cap,
				    const struct capsule_address *a)
{
	uint8_t value[8 + 1 + sizeof a->addr.b + 1];
	struct buf v = buf_of(value, sizeof value);
	struct buf b = buf_of(out, cap);

	buf_varint(&v, a->request_id);
	buf_u8(&v, 6);
	buf_bytes(&v, a->addr.b, sizeof a->addr.b);
	buf_u8(&v, a->prefix_len);
	if (v.bad)
		return 0;
	return capsule_write(&b, CAPSULE_ADDRESS_ASSIGN, value, v.len);
}

struct range {
	uint8_t version;
	uint8_t protocol;
	uint8_t start[16];
	uint8_t end[16];
};

static bool range_read(struct range *r, struct view *v)
{
	size_t len;

	memset(r, 0, sizeof *r);
	r->version = view_u8(v);
	len = ip_len(r->version);
	view_copy(v, r->start, len);
	view_copy(v, r->end, len);
	r->protocol = view_u8(v);
	return !v->bad && len != 0 && memcmp(r->start, r->end, len) <= 0;
}

/* RFC 9484 4.7.3: by version, then protocol, then address, without overlap. */
static bool range_is_before(const struct range *a, const struct range *b)
{
	if (a->version != b->version)
		return a->version < b->version;
	if (a->protocol != b->protocol)
		return a->protocol < b->protocol;
	return memcmp(a->end, b->start, sizeof a->end) < 0;
}

enum masque_verdict capsule_routes_parse(struct capsule_route *out, size_t max,
					 size_t *n, const struct capsule *c)
{
	struct view v = view_of(c->value, c->len);
	struct range last = { 0 };

	*n = 0;
	if (c->type != CAPSULE_ROUTE_ADVERTISEMENT)
		return MASQUE_MALFORMED;
	while (view_left(&v) != 0) {
		struct capsule_route *to = &out[*n];
		struct range r;

		if (!range_read(&r, &v) || !range_is_before(&last, &r))
			return MASQUE_MALFORMED;
		last = r;
		if (r.version != 6 || *n == max)
			continue;
		memcpy(to->start.b, r.start, sizeof r.start);
		memcpy(to->end.b, r.end, sizeof r.end);
		to->protocol = r.protocol;
		(*n)++;
	}
	return MASQUE_OK;
}

size_t capsule_route_write(uint8_t *out, size_t cap,
			   const struct capsule_route *r)
{
	uint8_t value[1 + 2 * sizeof r->start.b + 1];
	struct buf v = buf_of(value, sizeof value);
	struct buf b = buf_of(out, cap);

	buf_u8(&v, 6);
	buf_bytes(&v, r->start.b, sizeof r->start.b);
	buf_bytes(&v, r->end.b, sizeof r->end.b);
	buf_u8(&v, r->protocol);
	return capsule_write(&b, CAPSULE_ROUTE_ADVERTISEMENT, value, v.len);
}
