#include "tests/support/quic_pair.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "node/quic/quic_conn.h"
#include "proto/base/mem.h"

enum {
	PACKET_MAX = 1472,
	BURST = 1024,
};

/* What datagrams hold. */
const char quic_pair_text[PACKET_MAX] =
	"All that is sent is the beginning of this.";

/* ---- what they are told ---- */

static void confirmed(void *ctx)
{
	(void)ctx;
}

static uint64_t stream_data(void *ctx, int64_t id, const uint8_t *data,
			    size_t len, bool is_last)
{
	struct quic_pair_end *e = ctx;

	(void)data;
	(void)is_last;
	e->n_stream_bytes += len;
	if (!e->keeps)
		quic_stream_consumed(e->quic, id, len);
	return 0;
}

static void stream_acked(void *ctx, int64_t id, size_t len)
{
	(void)ctx;
	(void)id;
	(void)len;
}

static void stream_ended(void *ctx, int64_t id, uint64_t error)
{
	(void)ctx;
	(void)id;
	(void)error;
}

static void stream_moved(void *ctx, int64_t id)
{
	(void)ctx;
	(void)id;
}

static void streams_allowed(void *ctx)
{
	(void)ctx;
}

static uint64_t datagram(void *ctx, const uint8_t *data, size_t len)
{
	struct quic_pair_end *e = ctx;

	if (memcmp(data, quic_pair_text, len) != 0)
		return 1;
	e->n_datagrams++;
	e->n_marked += quic_is_marked(e->quic);
	e->n_bytes += len;
	return 0;
}

static ngtcp2_ssize next_data(void *ctx, int64_t *id, int *is_last,
			      ngtcp2_vec *vec, size_t cap)
{
	static uint8_t zeros[4096];
	struct quic_pair_end *e = ctx;

	(void)cap;
	*is_last = 0;
	*id = e->n_to_send > 0 && !e->is_blocked ? e->stream : -1;
	if (*id < 0)
		return 0;
	vec->base = zeros;
	vec->len = e->n_to_send < sizeof zeros ? (size_t)e->n_to_send
					       : sizeof zeros;
	return 1;
}

static void wrote(void *ctx, int64_t id, size_t len)
{
	struct quic_pair_end *e = ctx;

	(void)id;
	e->n_to_send -= len;
}

static void blocked(void *ctx, int64_t id)
{
	struct quic_pair_end *e = ctx;

	(void)id;
	e->is_blocked = true;
}

static void unblocked(void *ctx, int64_t id)
{
	struct quic_pair_end *e = ctx;

	(void)id;
	e->is_blocked = false;
}

static const struct quic_events events = {
	.confirmed = confirmed,
	.stream_data = stream_data,
	.stream_acked = stream_acked,
	.stream_closed = stream_ended,
	.stream_reset = stream_ended,
	.stream_stopped = stream_ended,
	.stream_unblocked = unblocked,
	.streams_allowed = streams_allowed,
	.datagram = datagram,
	.next_data = next_data,
	.wrote = wrote,
	.blocked = blocked,
	.shut = stream_moved,
};

/* ---- life ---- */

static void set_address(ngtcp2_sockaddr_in *out, uint16_t port)
{
	memset(out, 0, sizeof *out);
	out->sin_family = AF_INET;
	out->sin_port = port;
}

static void open_end(struct quic_pair_end *e, struct quic_pair *p,
		     const struct protect *protect, const char *name,
		     uint16_t port, uint16_t other)
{
	static const uint8_t reset_key[32] = { 1 };
	ngtcp2_sockaddr_in local, remote;

	e->pair = p;
	e->stream = -1;
	test_node_make(&e->cert, &p->ca, name);
	test_credentials(&e->credentials, &p->ca, &e->cert, NULL);
	e->tls = quic_tls_new(&e->credentials, protect);
	assert_non_null(e->tls);
	e->table = quic_table_new(e->tls, reset_key);
	set_address(&local, port);
	set_address(&remote, other);
	ngtcp2_path_storage_init(&e->path, (const ngtcp2_sockaddr *)&local,
				 sizeof local, (const ngtcp2_sockaddr *)&remote,
				 sizeof remote, NULL);
}

static struct quic_config config_of(struct quic_pair_end *e, bool is_channel)
{
	return (struct quic_config){ .is_channel = is_channel,
				     .udp_payload_max = PACKET_MAX,
				     .wall_s = TEST_NOW_S,
				     .events = &events,
				     .ctx = e };
}

static void set_priority(struct quic *q, const char *priority)
{
	if (priority != NULL)
		assert_int_equal(
			gnutls_priority_set_direct(q->tls, priority, NULL), 0);
}

static void accept_first(struct quic_pair *p, const struct quic_config *config,
			 const char *priority, const uint8_t *data, size_t len,
			 uint8_t ecn)
{
	ngtcp2_version_cid vc;
	ngtcp2_pkt_hd hd;
	struct quic *q;

	assert_int_equal(
		quic_table_find(p->server.table, data, len, &q, &hd, &vc),
		QUIC_INITIAL);
	p->server.quic = quic_accept(p->server.table, &p->server.path.path, &hd,
				     NULL, config, p->now);
	assert_non_null(p->server.quic);
	set_priority(p->server.quic, priority);
	quic_read(p->server.quic, &p->server.path.path, ecn, data, len, p->now);
}

struct quic_pair *quic_pair_new(const struct quic_pair_config *c)
{
	struct quic_pair *p = mem_new(p);
	struct quic_config config;
	uint8_t first[PACKET_MAX];
	uint8_t ecn;
	size_t len;

	p->now = NS_PER_S;
	p->trip = QUIC_PAIR_TRIP_NS;
	test_ca_make(&p->ca, "pair");
	open_end(&p->client, p, c->client, "client", 1, 2);
	open_end(&p->server, p, c->server, "server", 2, 1);
	config = config_of(&p->client, c->is_channel);
	p->client.quic = quic_connect(p->client.table, &p->client.path.path,
				      &config, p->now);
	assert_non_null(p->client.quic);
	set_priority(p->client.quic, c->priority);
	len = quic_write(p->client.quic, NULL, &ecn, first, sizeof first,
			 p->now);
	config = config_of(&p->server, c->is_channel);
	accept_first(p, &config, c->priority, first, len, ecn);
	return p;
}

static void close_end(struct quic_pair_end *e)
{
	quic_free(e->quic);
	quic_table_free(e->table);
	quic_tls_free(e->tls);
	credentials_deinit(&e->credentials);
	test_cert_free(&e->cert);
}

void quic_pair_free(struct quic_pair *p)
{
	close_end(&p->client);
	close_end(&p->server);
	test_cert_free(&p->ca);
	free(p);
}

/* ---- packets ---- */

static void carry(struct quic_pair *p, struct quic_pair_end *to,
		  const uint8_t *data, size_t len, uint8_t ecn)
{
	p->n_packets++;
	if (p->is_lost != NULL && p->is_lost(p, data, len))
		return;
	if (p->is_congested)
		ecn = NGTCP2_ECN_CE;
	quic_read(to->quic, &to->path.path, ecn, data, len, p->now);
}

static bool write_all(struct quic_pair *p, struct quic_pair_end *from,
		      struct quic_pair_end *to)
{
	static uint8_t packets[BURST][PACKET_MAX];
	size_t len[BURST], n = 0;
	uint8_t ecn[BURST];

	while (n < BURST &&
	       (len[n] = quic_write(from->quic, NULL, &ecn[n], packets[n],
				    sizeof packets[n], p->now)) > 0)
		n++;
	if (n == 0)
		return false;
	quic_rest(from->quic, p->now);
	p->now += p->trip;
	for (size_t i = 0; i < n; i++)
		carry(p, to, packets[i], len[i], ecn[i]);
	return true;
}

void quic_pair_run(struct quic_pair *p, nsec ns)
{
	nsec next;

	for (bool more = true; more;) {
		more = write_all(p, &p->client, &p->server);
		more |= write_all(p, &p->server, &p->client);
	}
	next = time_min(quic_rest(p->client.quic, p->now),
			quic_rest(p->server.quic, p->now));
	if (next > p->now + ns)
		next = p->now + ns;
	if (next > p->now)
		p->now = next;
	quic_handle_timeout(p->client.quic, p->now);
	quic_handle_timeout(p->server.quic, p->now);
}

void quic_pair_connect(struct quic_pair *p)
{
	nsec end = p->now + NS_PER_S;

	while (quic_state(p->client.quic) == QUIC_HANDSHAKE ||
	       quic_state(p->server.quic) == QUIC_HANDSHAKE) {
		assert_true(p->now < end);
		quic_pair_run(p, NS_PER_MS);
	}
	assert_int_equal(quic_state(p->client.quic), QUIC_CONFIRMED);
	assert_int_equal(quic_state(p->server.quic), QUIC_CONFIRMED);
}

void quic_pair_datagram(struct quic_pair_end *from, size_t len)
{
	static uint8_t packet[PACKET_MAX];
	struct quic_pair *p = from->pair;
	struct quic_pair_end *to = from == &p->client ? &p->server : &p->client;
	const ngtcp2_vec vec = { (uint8_t *)(uintptr_t)quic_pair_text, len };
	nsec end = p->now + NS_PER_S;
	bool accepted = false;
	uint8_t ecn;
	size_t n;

	assert_in_range(len, 1, sizeof quic_pair_text - 1);
	while (!accepted) {
		assert_true(p->now < end);
		n = quic_write_datagram(from->quic, &ecn, packet, sizeof packet,
					&vec, 1, &accepted, p->now);
		if (n == 0) {
			quic_pair_run(p, NS_PER_MS);
			continue;
		}
		quic_rest(from->quic, p->now);
		carry(p, to, packet, n, ecn);
		p->now += NS_PER_US;
	}
}
