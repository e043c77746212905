/* The byte budget of protocol.md 4.3, measured with ngtcp2 itself: real
 * connections in memory, a session and inside it a channel. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <gnutls/gnutls.h>
#include <ngtcp2/ngtcp2.h>
#include <ngtcp2/ngtcp2_crypto.h>
#include <ngtcp2/ngtcp2_crypto_gnutls.h>

#include "proto/base/mem.h"
#include "proto/base/time.h"
#include "proto/limits.h"
#include "proto/masque.h"
#include "proto/joiner.h"
#include "proto/packet.h"
#include "tests/support/certs.h"

#define PRIORITY                                                               \
	"NORMAL:-VERS-ALL:+VERS-TLS1.3:-CIPHER-ALL:+AES-128-GCM:"              \
	"-GROUP-ALL:+GROUP-X25519:%DISABLE_TLS13_COMPAT_MODE"

/* Time stands still: nothing is lost, nothing is late. */
#define NOW NS_PER_S

/* So far from the last one that was acknowledged (none), that a number needs
 * its four bytes. */
#define PKT_NUM_LONG INT32_MAX

#define DATAGRAM_MAX 65535
#define PACKET_MAX   2048

struct end {
	ngtcp2_crypto_conn_ref ref;
	ngtcp2_conn *conn;
	gnutls_session_t tls;
	gnutls_certificate_credentials_t cred;
	bool is_up;
	size_t got_len;
	uint8_t got[PACKET_MAX];
};

struct pair {
	struct test_cert cert;
	struct end client;
	struct end server;
	size_t udp_max;
	uint32_t first_pkt_num;
};

static ngtcp2_conn *conn_of(ngtcp2_crypto_conn_ref *ref)
{
	return ((struct end *)ref->user_data)->conn;
}

/* Different at each call, the same in each run. */
static void fill(uint8_t *out, size_t len)
{
	static uint8_t next;

	for (size_t i = 0; i < len; i++)
		out[i] = (uint8_t)(next + i);
	next = (uint8_t)(next + 41);
}

static void rand_cb(uint8_t *out, size_t len, const ngtcp2_rand_ctx *ctx)
{
	(void)ctx;
	fill(out, len);
}

static int new_cid_cb(ngtcp2_conn *conn, ngtcp2_cid *cid, uint8_t *token,
		      size_t len, void *user_data)
{
	(void)conn;
	(void)user_data;
	fill(cid->data, len);
	cid->datalen = len;
	fill(token, NGTCP2_STATELESS_RESET_TOKENLEN);
	return 0;
}

static int handshake_completed_cb(ngtcp2_conn *conn, void *user_data)
{
	(void)conn;
	((struct end *)user_data)->is_up = true;
	return 0;
}

static int recv_datagram_cb(ngtcp2_conn *conn, uint32_t flags,
			    const uint8_t *data, size_t len, void *user_data)
{
	struct end *e = user_data;

	(void)conn;
	(void)flags;
	assert_in_range(len, 1, sizeof e->got);
	memcpy(e->got, data, len);
	e->got_len = len;
	return 0;
}

static const ngtcp2_callbacks callbacks = {
	.client_initial = ngtcp2_crypto_client_initial_cb,
	.recv_client_initial = ngtcp2_crypto_recv_client_initial_cb,
	.recv_crypto_data = ngtcp2_crypto_recv_crypto_data_cb,
	.handshake_completed = handshake_completed_cb,
	.encrypt = ngtcp2_crypto_encrypt_cb,
	.decrypt = ngtcp2_crypto_decrypt_cb,
	.hp_mask = ngtcp2_crypto_hp_mask_cb,
	.recv_retry = ngtcp2_crypto_recv_retry_cb,
	.rand = rand_cb,
	.get_new_connection_id = new_cid_cb,
	.update_key = ngtcp2_crypto_update_key_cb,
	.delete_crypto_aead_ctx = ngtcp2_crypto_delete_crypto_aead_ctx_cb,
	.delete_crypto_cipher_ctx = ngtcp2_crypto_delete_crypto_cipher_ctx_cb,
	.recv_datagram = recv_datagram_cb,
	.get_path_challenge_data = ngtcp2_crypto_get_path_challenge_data_cb,
	.version_negotiation = ngtcp2_crypto_version_negotiation_cb,
};

static void tls_make(struct end *e, unsigned flags, struct test_cert *cert)
{
	const gnutls_datum_t alpn = { (unsigned char *)"budget", 6 };

	e->ref = (ngtcp2_crypto_conn_ref){ conn_of, e };
	assert_int_equal(gnutls_certificate_allocate_credentials(&e->cred), 0);
	assert_int_equal(gnutls_init(&e->tls, flags), 0);
	assert_int_equal(gnutls_priority_set_direct(e->tls, PRIORITY, NULL), 0);
	if ((flags & GNUTLS_SERVER) != 0) {
		ngtcp2_crypto_gnutls_configure_server_session(e->tls);
		assert_int_equal(gnutls_certificate_set_x509_key(
					 e->cred, &cert->crt, 1, cert->key),
				 0);
	} else {
		ngtcp2_crypto_gnutls_configure_client_session(e->tls);
	}
	gnutls_session_set_ptr(e->tls, &e->ref);
	gnutls_credentials_set(e->tls, GNUTLS_CRD_CERTIFICATE, e->cred);
	assert_int_equal(gnutls_alpn_set_protocols(e->tls, &alpn, 1, 0), 0);
}

static void settings_make(ngtcp2_settings *s, ngtcp2_transport_params *p,
			  const struct pair *pair)
{
	ngtcp2_settings_default(s);
	s->initial_ts = NOW;
	s->max_tx_udp_payload_size = pair->udp_max;
	s->no_tx_udp_payload_size_shaping = 1;
	s->no_pmtud = 1;
	s->initial_pkt_num = pair->first_pkt_num;
	ngtcp2_transport_params_default(p);
	p->max_datagram_frame_size = DATAGRAM_MAX;
}

static ngtcp2_path path_of(struct end *local, struct end *remote)
{
	/* Compared as bytes only; any will do that differ. */
	static struct sockaddr_in6 at[2] = {
		{ .sin6_family = AF_INET6, .sin6_port = 1 },
		{ .sin6_family = AF_INET6, .sin6_port = 2 },
	};
	size_t i = local < remote ? 0 : 1;

	return (ngtcp2_path){
		.local = { (struct sockaddr *)&at[i], sizeof at[0] },
		.remote = { (struct sockaddr *)&at[1 - i], sizeof at[0] },
	};
}

static void client_start(struct pair *p)
{
	ngtcp2_path path = path_of(&p->client, &p->server);
	ngtcp2_cid dcid = { .datalen = NGTCP2_MIN_INITIAL_DCIDLEN };
	ngtcp2_cid scid = { .datalen = SESSION_CID_BYTES };
	ngtcp2_transport_params params;
	ngtcp2_settings settings;

	tls_make(&p->client, GNUTLS_CLIENT, NULL);
	settings_make(&settings, &params, p);
	fill(dcid.data, dcid.datalen);
	fill(scid.data, scid.datalen);
	assert_int_equal(ngtcp2_conn_client_new(&p->client.conn, &dcid, &scid,
						&path, NGTCP2_PROTO_VER_V1,
						&callbacks, &settings, &params,
						NULL, &p->client),
			 0);
	ngtcp2_conn_set_tls_native_handle(p->client.conn, p->client.tls);
}

static void server_start(struct pair *p, const uint8_t *first, size_t len)
{
	ngtcp2_path path = path_of(&p->server, &p->client);
	ngtcp2_cid scid = { .datalen = SESSION_CID_BYTES };
	ngtcp2_transport_params params;
	ngtcp2_settings settings;
	ngtcp2_pkt_hd hd;

	assert_int_equal(ngtcp2_accept(&hd, first, len), 0);
	tls_make(&p->server, GNUTLS_SERVER | GNUTLS_NO_AUTO_SEND_TICKET,
		 &p->cert);
	settings_make(&settings, &params, p);
	params.original_dcid = hd.dcid;
	params.original_dcid_present = 1;
	fill(scid.data, scid.datalen);
	assert_int_equal(ngtcp2_conn_server_new(&p->server.conn, &hd.scid,
						&scid, &path, hd.version,
						&callbacks, &settings, &params,
						NULL, &p->server),
			 0);
	ngtcp2_conn_set_tls_native_handle(p->server.conn, p->server.tls);
}

static void deliver(struct pair *p, struct end *to, const uint8_t *data,
		    size_t len)
{
	struct end *from = to == &p->client ? &p->server : &p->client;
	ngtcp2_path path = path_of(to, from);

	to->got_len = 0;
	assert_int_equal(
		ngtcp2_conn_read_pkt(to->conn, &path, NULL, data, len, NOW), 0);
}

/* All that `from` has to say by itself. */
static void flush(struct pair *p, struct end *from)
{
	struct end *to = from == &p->client ? &p->server : &p->client;
	uint8_t packet[PACKET_MAX];
	ngtcp2_ssize n;

	while ((n = ngtcp2_conn_write_pkt(from->conn, NULL, NULL, packet,
					  sizeof packet, NOW)) > 0) {
		if (to->conn == NULL)
			server_start(p, packet, (size_t)n);
		deliver(p, to, packet, (size_t)n);
	}
	assert_int_equal(n, 0);
}

/* Both ends are up, and `sender` has had no acknowledgement of a 1-RTT packet,
 * so that its packet numbers are as long as they get. */
static void pair_start(struct pair *p, size_t udp_max, uint32_t first_pkt_num,
		       bool client_sends)
{
	memset(p, 0, sizeof *p);
	p->udp_max = udp_max;
	p->first_pkt_num = first_pkt_num;
	test_cert_make(&p->cert, NULL, &(struct test_spec){ .cn = "budget" });
	client_start(p);
	flush(p, &p->client);
	flush(p, &p->server);
	flush(p, &p->client);
	assert_true(p->client.is_up && p->server.is_up);
	if (!client_sends)
		flush(p, &p->server);
}

static void end_stop(struct end *e)
{
	ngtcp2_conn_del(e->conn);
	gnutls_deinit(e->tls);
	gnutls_certificate_free_credentials(e->cred);
}

static void pair_stop(struct pair *p)
{
	end_stop(&p->client);
	end_stop(&p->server);
	test_cert_free(&p->cert);
}

/* The packet's length, 0 if the datagram does not fit one. */
static size_t write_datagram(struct end *from, uint8_t *packet,
			     const uint8_t *data, size_t len)
{
	ngtcp2_vec v = { .base = (uint8_t *)data, .len = len };
	int accepted = 0;
	ngtcp2_ssize n = ngtcp2_conn_writev_datagram(
		from->conn, NULL, NULL, packet, PACKET_MAX, &accepted,
		NGTCP2_WRITE_DATAGRAM_FLAG_NONE, 0, &v, 1, NOW);

	assert_true(n >= 0);
	assert_int_equal(accepted != 0, n > 0);
	return (size_t)n;
}

static struct end *sender_of(struct pair *p, bool client_sends)
{
	return client_sends ? &p->client : &p->server;
}

static struct end *receiver_of(struct pair *p, bool client_sends)
{
	return client_sends ? &p->server : &p->client;
}

static const struct {
	const char *path;
	size_t udp;     /* UDP payload of the wire */
	size_t circuit; /* circuit payload: a channel's packet */
	size_t ip;      /* CONNECT-IP's MTU */
} rows[] = {
	{ "IPv4 over 1500", 1472, 1440, 1410 },
	{ "IPv6 over 1500", 1452, 1420, 1390 },
	{ "IPv6 over 1280", 1232, 1200, 1170 },
};

/* A stream id whose quarter is the largest in one byte. */
#define STREAM_ID 252

static size_t http_datagram(uint8_t *out, size_t ip_len)
{
	size_t n = http_datagram_header_write(out, STREAM_ID, 0);

	fill(out + n, ip_len);
	return n + ip_len;
}

static size_t circuit_packet(uint8_t *out, const uint8_t *payload, size_t len)
{
	size_t n = packet_header_write(out, PACKET_WHOLE, LABEL_MASK, 0);

	memcpy(out + n, payload, len);
	return n + len;
}

static void channel_packets_take_what_the_table_says(void **state)
{
	(void)state;
	for (size_t i = 0; i < 2 * ARRAY_LEN(rows); i++) {
		bool client_sends = i % 2 == 0;
		size_t circuit = rows[i / 2].circuit, ip = rows[i / 2].ip;
		uint8_t data[PACKET_MAX], packet[PACKET_MAX];
		struct http_datagram d;
		struct end *to;
		struct pair p;
		size_t len;

		pair_start(&p, circuit, PKT_NUM_LONG, client_sends);
		to = receiver_of(&p, client_sends);
		len = http_datagram(data, ip + 1);
		assert_int_equal(write_datagram(sender_of(&p, client_sends),
						packet, data, len),
				 0);
		len = http_datagram(data, ip);
		assert_int_equal(write_datagram(sender_of(&p, client_sends),
						packet, data, len),
				 circuit);
		assert_int_equal(circuit - ip, CHANNEL_OVERHEAD);

		deliver(&p, to, packet, circuit);
		assert_int_equal(http_datagram_parse(&d, to->got, to->got_len),
				 MASQUE_OK);
		assert_int_equal(d.len, ip);
		assert_memory_equal(d.payload, data + len - ip, ip);
		pair_stop(&p);
	}
}

static void session_packets_take_what_the_table_says(void **state)
{
	(void)state;
	for (size_t i = 0; i < 2 * ARRAY_LEN(rows); i++) {
		bool client_sends = i % 2 == 0;
		size_t circuit = rows[i / 2].circuit, udp = rows[i / 2].udp;
		uint8_t payload[PACKET_MAX], data[PACKET_MAX];
		uint8_t packet[PACKET_MAX];
		struct packet got;
		struct end *to;
		struct pair p;
		size_t len;

		pair_start(&p, udp, PKT_NUM_LONG, client_sends);
		to = receiver_of(&p, client_sends);
		fill(payload, sizeof payload);
		len = circuit_packet(data, payload, circuit + 1);
		assert_int_equal(write_datagram(sender_of(&p, client_sends),
						packet, data, len),
				 0);
		len = circuit_packet(data, payload, circuit);
		assert_int_equal(write_datagram(sender_of(&p, client_sends),
						packet, data, len),
				 udp);
		assert_int_equal(udp - circuit, SESSION_OVERHEAD);

		deliver(&p, to, packet, udp);
		assert_int_equal(packet_parse(&got, to->got, to->got_len),
				 PACKET_OK);
		assert_int_equal(got.len, circuit);
		assert_memory_equal(got.payload, payload, circuit);
		pair_stop(&p);
	}
}

static void a_whole_ip_packet_crosses_a_channel_in_a_session(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		uint8_t data[PACKET_MAX], inner[PACKET_MAX];
		uint8_t middle[PACKET_MAX], outer[PACKET_MAX];
		struct pair session, channel;
		struct http_datagram d;
		struct packet got;
		size_t len;

		pair_start(&session, rows[i].udp, PKT_NUM_LONG, true);
		pair_start(&channel, rows[i].circuit, PKT_NUM_LONG, true);
		len = http_datagram(data, rows[i].ip);
		len = write_datagram(&channel.client, inner, data, len);
		len = circuit_packet(middle, inner, len);
		len = write_datagram(&session.client, outer, middle, len);
		assert_int_equal(len, rows[i].udp);

		deliver(&session, &session.server, outer, len);
		assert_int_equal(packet_parse(&got, session.server.got,
					      session.server.got_len),
				 PACKET_OK);
		deliver(&channel, &channel.server, got.payload, got.len);
		assert_int_equal(http_datagram_parse(&d, channel.server.got,
						     channel.server.got_len),
				 MASQUE_OK);
		assert_true(d.stream_id == STREAM_ID);
		assert_int_equal(d.len, rows[i].ip);
		pair_stop(&channel);
		pair_stop(&session);
	}
}

static void young_connections_spend_three_bytes_less(void **state)
{
	uint8_t data[PACKET_MAX], packet[PACKET_MAX];
	struct pair p;

	(void)state;
	/* What the worst case adds is the packet number alone. */
	pair_start(&p, 1440, 0, true);
	fill(data, sizeof data);
	assert_int_equal(write_datagram(&p.client, packet, data, 1000),
			 1000 + SESSION_OVERHEAD - LABEL_BYTES - 3);
	pair_stop(&p);
	pair_start(&p, 1440, PKT_NUM_LONG, true);
	assert_int_equal(write_datagram(&p.client, packet, data, 1000),
			 1000 + SESSION_OVERHEAD - LABEL_BYTES);
	pair_stop(&p);
}

/* Sends payload[from, to) as a part; what the joiner makes of it. */
static const uint8_t *send_part(struct pair *session, struct joiner *j,
				enum packet_part part, const uint8_t *payload,
				size_t len, size_t *whole_len)
{
	uint8_t data[PACKET_MAX], packet[PACKET_MAX];
	size_t n = packet_header_write(data, part, 1, 7);
	struct packet got;

	memcpy(data + n, payload, len);
	n = write_datagram(&session->client, packet, data, n + len);
	assert_in_range(n, 1, session->udp_max);
	deliver(session, &session->server, packet, n);
	assert_int_equal(packet_parse(&got, session->server.got,
				      session->server.got_len),
			 PACKET_OK);
	return joiner_handle(j, &got, NOW, whole_len);
}

static void an_inner_1280_crosses_the_least_wire_in_two_parts(void **state)
{
	const size_t room = CIRCUIT_MTU_MIN - PART_NUMBER_BYTES;
	uint8_t data[PACKET_MAX], inner[PACKET_MAX];
	struct joiners *all = joiners_new();
	struct joiner *j = joiner_new(all);
	struct pair session, channel;
	struct http_datagram d;
	const uint8_t *whole;
	size_t len, whole_len = 0;

	(void)state;
	pair_start(&session, NGTCP2_MAX_UDP_PAYLOAD_SIZE, PKT_NUM_LONG, true);
	pair_start(&channel, TUN_MTU_MIN + CHANNEL_OVERHEAD, PKT_NUM_LONG,
		   true);
	len = http_datagram(data, TUN_MTU_MIN);
	len = write_datagram(&channel.client, inner, data, len);
	assert_int_equal(len, TUN_MTU_MIN + CHANNEL_OVERHEAD);

	assert_null(
		send_part(&session, j, PACKET_FIRST, inner, room, &whole_len));
	whole = send_part(&session, j, PACKET_LAST, inner + room, len - room,
			  &whole_len);
	assert_non_null(whole);
	assert_int_equal(whole_len, len);
	deliver(&channel, &channel.server, whole, whole_len);
	assert_int_equal(http_datagram_parse(&d, channel.server.got,
					     channel.server.got_len),
			 MASQUE_OK);
	assert_int_equal(d.len, TUN_MTU_MIN);
	joiner_free(j);
	joiners_free(all);
	pair_stop(&channel);
	pair_stop(&session);
}

static void circuits_are_as_wide_as_wires_allow(void **state)
{
	(void)state;
	assert_int_equal(CIRCUIT_MTU_MAX, rows[0].circuit);
	/* No session has less room, before it knows its MTU or after. */
	assert_int_equal(CIRCUIT_MTU_MIN + SESSION_OVERHEAD,
			 NGTCP2_MAX_UDP_PAYLOAD_SIZE);
	assert_int_equal(SESSION_CID_BYTES, CHANNEL_CID_BYTES);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(channel_packets_take_what_the_table_says),
		cmocka_unit_test(session_packets_take_what_the_table_says),
		cmocka_unit_test(
			a_whole_ip_packet_crosses_a_channel_in_a_session),
		cmocka_unit_test(young_connections_spend_three_bytes_less),
		cmocka_unit_test(
			an_inner_1280_crosses_the_least_wire_in_two_parts),
		cmocka_unit_test(circuits_are_as_wide_as_wires_allow),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
