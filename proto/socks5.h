/* SOCKS5 messages: RFC 1928 and RFC 1929 (user/password).  Server side.
 *
 * Parsers look at a growing buffer: SOCKS_MORE until the message is whole;
 * `*used` is then its length.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum socks_verdict {
	SOCKS_OK,
	SOCKS_MORE,
	SOCKS_NOT_SOCKS5, /* another version, or HTTP: close without a reply */
	SOCKS_MALFORMED,
	SOCKS_ADDRESS_TYPE, /* reply 8 */
	SOCKS_COMMAND,      /* reply 7 */
	SOCKS_FRAGMENT,     /* UDP fragments are not supported: drop */
};

enum socks_method {
	SOCKS_NO_AUTH = 0,
	SOCKS_PASSWORD = 2,
	SOCKS_NO_METHOD = 0xff,
};

enum socks_command {
	SOCKS_CONNECT = 1,
	SOCKS_BIND = 2,
	SOCKS_UDP_ASSOCIATE = 3,
};

/* RFC 1928 6 */
enum socks_reply {
	SOCKS_REPLY_OK = 0,
	SOCKS_REPLY_FAILURE = 1,
	SOCKS_REPLY_NOT_ALLOWED = 2,
	SOCKS_REPLY_NET_UNREACHABLE = 3,
	SOCKS_REPLY_HOST_UNREACHABLE = 4,
	SOCKS_REPLY_REFUSED = 5,
	SOCKS_REPLY_TTL_EXPIRED = 6,
	SOCKS_REPLY_COMMAND = 7,
	SOCKS_REPLY_ADDRESS_TYPE = 8,
};

enum socks_address_type {
	SOCKS_IPV4 = 1,
	SOCKS_DOMAIN = 3,
	SOCKS_IPV6 = 4,
};

struct socks_address {
	enum socks_address_type type;
	uint8_t ip[16];   /* 4 or 16 bytes used */
	char domain[256]; /* NUL-terminated; no NUL inside */
	uint16_t port;
};

struct socks_greeting {
	bool no_auth;
	bool password;
};

struct socks_credentials {
	char user[256];
	char password[256];
};

struct socks_request {
	enum socks_command command;
	struct socks_address address;
};

struct socks_datagram {
	struct socks_address address;
	const uint8_t *payload; /* borrowed */
	size_t len;
};

enum socks_verdict socks_greeting_parse(struct socks_greeting *out,
					const uint8_t *data, size_t len,
					size_t *used);
enum socks_verdict socks_credentials_parse(struct socks_credentials *out,
					   const uint8_t *data, size_t len,
					   size_t *used);
/* On SOCKS_ADDRESS_TYPE and SOCKS_COMMAND the caller replies and closes. */
enum socks_verdict socks_request_parse(struct socks_request *out,
				       const uint8_t *data, size_t len,
				       size_t *used);
enum socks_verdict socks_datagram_parse(struct socks_datagram *out,
					const uint8_t *data, size_t len);

/* Each writes into `out` and returns the length. */
#define SOCKS_REPLY_BYTES_MAX 262
size_t socks_method_write(uint8_t out[2], enum socks_method m);
size_t socks_auth_write(uint8_t out[2], bool ok);
size_t socks_reply_write(uint8_t out[SOCKS_REPLY_BYTES_MAX],
			 enum socks_reply reply,
			 const struct socks_address *bound);
/* The header in front of a UDP payload. */
size_t socks_datagram_header_write(uint8_t out[SOCKS_REPLY_BYTES_MAX],
				   const struct socks_address *from);
