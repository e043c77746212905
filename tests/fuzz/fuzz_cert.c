/* Certificates and keys in all forms they come in: the first byte chooses.
 *   W a chain from the wire    P a chain in PEM    A an anchor    K a key
 */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "proto/cert.h"
#include "proto/key.h"
#include "proto/name.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

#define NOW_S INT64_C(1900000000) /* when the corpus is valid */

/* The anchor that issued the corpus, */
static const char anchor[] =
	"-----BEGIN CERTIFICATE-----\n"
	"MIIBQjCB9aADAgECAhQzsFGL4FphR7nCg12T5tfTrI6KFjAFBgMrZXAwDzENMAsG\n"
	"A1UEAwwEaG9tZTAeFw0yNjExMjEwOTM1MjdaFw00NjAxMjAwOTM1MjdaMA8xDTAL\n"
	"BgNVBAMMBGhvbWUwKjAFBgMrZXADIQBC0TsdKgBcI3v/j9SWtB8N7ZMY/BHh3xN9\n"
	"X/lbkP6/+qNjMGEwHQYDVR0OBBYEFICF5eCCHmOfRIZwMO30iZPBGIf3MB8GA1Ud\n"
	"IwQYMBaAFICF5eCCHmOfRIZwMO30iZPBGIf3MA8GA1UdEwEB/wQFMAMBAf8wDgYD\n"
	"VR0PAQH/BAQDAgIEMAUGAytlcANBAASISJ6yj1NrjvHfyQd1rWfGDuSbWcql4N3S\n"
	"2mOyG/09O8B/VamWF9VRsZwCf5RXcmfMtF7oxso7qrxY5A0fvww=\n"
	"-----END CERTIFICATE-----\n";

/* and the node whose chain the PEM seeds hold. */
static const struct node_key node = {
	{ 0x7c, 0x31, 0xc8, 0x24, 0xd7, 0xed, 0xe3, 0xa1, 0x6a, 0x49, 0xdc,
	  0x79, 0x61, 0x43, 0xc7, 0x0f, 0x05, 0x04, 0x43, 0x8b, 0xa6, 0x3f,
	  0x16, 0x1d, 0x27, 0x98, 0x05, 0xc0, 0xac, 0xe6, 0xf2, 0xa0 }
};

static struct trust *trust;

static void check_identity(const struct identity *id)
{
	const struct node_hash h = hash_of_key(&id->key);
	const struct node_id i = id_of_hash(&h);

	assert(hash_equal(&h, &id->hash) && id_equal(&i, &id->id));
	assert(id->n_names <= CERT_NAMES_MAX);
	for (size_t n = 0; n < id->n_names; n++)
		assert(name_short_is_valid(id->names[n]));
}

static void check_wire(const uint8_t *data, size_t len)
{
	struct identity id;
	enum cert_verdict v = cert_check(trust, data, len, NOW_S, &id);

	assert(cert_verdict_text(v) != NULL);
	if (v == CERT_OK)
		check_identity(&id);
}

static void check_pem(const uint8_t *data, size_t len)
{
	uint8_t chain[CHAIN_BYTES_MAX];
	size_t n;

	if (chain_from_pem(chain, sizeof chain, &n, data, len, &node, trust) <
	    0)
		return;
	assert(n <= sizeof chain);
	check_wire(chain, n);
}

static void check_anchor(const uint8_t *data, size_t len)
{
	struct trust *t;
	size_t n;

	if (trust_from_pem(&t, data, len) < 0)
		return;
	assert(trust_der(t, &n) != NULL && n > 0);
	trust_free(t);
}

static void check_key(const uint8_t *data, size_t len)
{
	static const struct node_hash ca;
	struct sign_key k;
	uint8_t sig[SIG_LEN];

	if (!sign_key_parse(&k, (const char *)data, len))
		return;
	key_sign(sig, &k, SIGN_CLOSE, &ca, data, 1);
	assert(key_verify(sig, &k.public, SIGN_CLOSE, &ca, data, 1));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	if (trust == NULL &&
	    trust_from_pem(&trust, anchor, sizeof anchor - 1) < 0)
		abort();
	if (len == 0)
		return 0;
	switch (data[0]) {
	case 'W':
		check_wire(data + 1, len - 1);
		break;
	case 'P':
		check_pem(data + 1, len - 1);
		break;
	case 'A':
		check_anchor(data + 1, len - 1);
		break;
	case 'K':
		check_key(data + 1, len - 1);
		break;
	}
	return 0;
}
