#include <ctype.h>
#include <string.h>
#include <strings.h>

#include "node/config/config_schema.h"
#include "proto/base/text.h"
#include "proto/endpoint.h"
#include "proto/limits.h"
#include "proto/name.h"

/* ---- endpoints ---- */

static bool endpoint_value(union endpoint *out, const char *text, char *why,
			   size_t cap)
{
	if (!endpoint_parse(out, text, 0)) {
		snprintf(why, cap,
			 "\"%s\" is not an IP address with a port, as in "
			 "127.0.0.1:80 or [::1]:80",
			 text);
		return false;
	}
	return true;
}

static void endpoint_put(FILE *f, const union endpoint *e)
{
	char text[ENDPOINT_TEXT_MAX];

	endpoint_text(text, e);
	fputs(text, f);
}

/* Calls `add` for each item of a list that commas or blanks part. */
static bool each_item(const char *text, char *why, size_t cap,
		      bool (*add)(void *list, const char *item, char *why,
				  size_t cap),
		      void *list)
{
	char item[CONFIG_TEXT_MAX];
	bool any = false;

	while (*(text += strspn(text, ", \t")) != '\0') {
		size_t len = strcspn(text, ", \t");

		if (len >= sizeof item)
			return refuse(why, cap, "an item is too long");
		memcpy(item, text, len);
		item[len] = '\0';
		if (!add(list, item, why, cap))
			return false;
		text += len;
		any = true;
	}
	return any || refuse(why, cap, "empty");
}

static bool endpoint_add(void *p, const char *item, char *why, size_t cap)
{
	struct config_endpoints *list = p;

	if (list->n == CONFIG_LIST_MAX) {
		snprintf(why, cap, "more than %d", CONFIG_LIST_MAX);
		return false;
	}
	if (!endpoint_value(&list->at[list->n], item, why, cap))
		return false;
	list->n++;
	return true;
}

static bool endpoints_parse(void *base, const struct config_key *k,
			    const char *text, char *why, size_t cap)
{
	return each_item(text, why, cap, endpoint_add, field(base, k));
}

static bool endpoints_print(FILE *f, const void *base,
			    const struct config_key *k, size_t i)
{
	const struct config_endpoints *list = field_read(base, k);

	if (i >= list->n)
		return false;
	endpoint_put(f, &list->at[i]);
	return true;
}

static void endpoints_clear(void *base, const struct config_key *k)
{
	memset(field(base, k), 0, sizeof(struct config_endpoints));
}

static bool is_listed(const struct config_endpoints *list,
		      const union endpoint *e)
{
	for (size_t i = 0; i < list->n; i++) {
		if (endpoint_equal(&list->at[i], e))
			return true;
	}
	return false;
}

/* One socket serves one address family: [::] means both. */
static bool udp_listen_add(void *p, const char *item, char *why, size_t cap)
{
	struct config_endpoints *list = p;
	union endpoint at, any = { .in = { .sin_family = AF_INET } };
	char text[ENDPOINT_TEXT_MAX];

	if (!endpoint_value(&at, item, why, cap))
		return false;
	if (!is_listed(list, &at) && !endpoint_add(list, item, why, cap))
		return false;
	if (at.sa.sa_family != AF_INET6 ||
	    !IN6_IS_ADDR_UNSPECIFIED(&at.in6.sin6_addr))
		return true;
	any.in.sin_port = at.in6.sin6_port;
	endpoint_text(text, &any);
	return is_listed(list, &any) || endpoint_add(list, text, why, cap);
}

static bool udp_listen_parse(void *base, const struct config_key *k,
			     const char *text, char *why, size_t cap)
{
	return each_item(text, why, cap, udp_listen_add, field(base, k));
}

const struct config_type config_udp_listen = {
	.form = "list of address:port",
	.is_list = true,
	.parse = udp_listen_parse,
	.print = endpoints_print,
	.clear = endpoints_clear,
};

static bool socks_listen_parse(void *base, const struct config_key *k,
			       const char *text, char *why, size_t cap)
{
	struct config *c = base;

	if (strcmp(text, "off") == 0) {
		if (c->socks.listen.n > 0)
			return refuse(why, cap, "cannot be off and an address");
		c->socks.enabled = false;
		return true;
	}
	c->socks.enabled = true;
	return endpoints_parse(base, k, text, why, cap);
}

static bool socks_listen_print(FILE *f, const void *base,
			       const struct config_key *k, size_t i)
{
	const struct config *c = base;

	if (c->socks.enabled)
		return endpoints_print(f, base, k, i);
	if (i == 0)
		fputs("off", f);
	return i == 0;
}

const struct config_type config_socks_listen = {
	.form = "off | list of address:port",
	.is_list = true,
	.parse = socks_listen_parse,
	.print = socks_listen_print,
	.clear = endpoints_clear,
};

static bool to_parse(void *base, const struct config_key *k, const char *text,
		     char *why, size_t cap)
{
	struct config_service *s = base;

	s->has_to = endpoint_value(field(base, k), text, why, cap);
	return s->has_to;
}

static bool to_print(FILE *f, const void *base, const struct config_key *k,
		     size_t i)
{
	const struct config_service *s = base;

	if (i > 0 || !s->has_to)
		return false;
	endpoint_put(f, field_read(base, k));
	return true;
}

const struct config_type config_to = {
	.form = "address:port",
	.parse = to_parse,
	.print = to_print,
};

/* ---- lists of texts ---- */

static bool list_add(struct config_list *list, const char *item, char *why,
		     size_t cap)
{
	if (list->n == CONFIG_LIST_MAX) {
		snprintf(why, cap, "more than %d", CONFIG_LIST_MAX);
		return false;
	}
	text_copy(list->item[list->n], CONFIG_TEXT_MAX, item);
	list->n++;
	return true;
}

static bool list_print(FILE *f, const void *base, const struct config_key *k,
		       size_t i)
{
	const struct config_list *list = field_read(base, k);

	if (i >= list->n)
		return false;
	fputs(list->item[i], f);
	return true;
}

static void list_clear(void *base, const struct config_key *k)
{
	memset(field(base, k), 0, sizeof(struct config_list));
}

static bool pattern_add(void *list, const char *item, char *why, size_t cap)
{
	if (strchr(item, '/') != NULL) {
		snprintf(why, cap, "\"%s\" is not a pattern for interfaces",
			 item);
		return false;
	}
	return list_add(list, item, why, cap);
}

static bool patterns_parse(void *base, const struct config_key *k,
			   const char *text, char *why, size_t cap)
{
	return each_item(text, why, cap, pattern_add, field(base, k));
}

const struct config_type config_patterns = {
	.form = "list of patterns",
	.is_list = true,
	.parse = patterns_parse,
	.print = list_print,
	.clear = list_clear,
};

static bool address_add(void *list, const char *item, char *why, size_t cap)
{
	char host[256];
	uint16_t port;

	if (!endpoint_split(host, &port, item, QANAT_PORT)) {
		snprintf(why, cap,
			 "\"%s\" is not an address, as in "
			 "host.example.net:4433, 192.0.2.1:4433 or "
			 "[2001:db8::1]:4433",
			 item);
		return false;
	}
	return list_add(list, item, why, cap);
}

static bool addresses_parse(void *base, const struct config_key *k,
			    const char *text, char *why, size_t cap)
{
	return each_item(text, why, cap, address_add, field(base, k));
}

const struct config_type config_addresses = {
	.form = "list of host[:port]",
	.is_list = true,
	.parse = addresses_parse,
	.print = list_print,
	.clear = list_clear,
};

/* Kept in one form: lower case, without ".fuse". */
static bool allow_add(void *list, const char *item, char *why, size_t cap)
{
	char full[CONFIG_TEXT_MAX + 8];
	struct name name;
	size_t len = strlen(item);
	bool has_suffix = len > 5 && strcasecmp(item + len - 5, ".fuse") == 0;

	if (strcmp(item, "*") == 0)
		return list_add(list, item, why, cap);
	snprintf(full, sizeof full, "%s%s", item, has_suffix ? "" : ".fuse");
	if (name_parse(&name, full, strlen(full)) != NAME_OK ||
	    name.label[0] != '\0') {
		snprintf(why, cap, "\"%s\" is neither *, a name nor an id",
			 item);
		return false;
	}
	for (char *p = full; *p != '\0'; p++)
		*p = (char)tolower((unsigned char)*p);
	full[strlen(full) - 5] = '\0';
	return list_add(list, full, why, cap);
}

static bool allow_parse(void *base, const struct config_key *k,
			const char *text, char *why, size_t cap)
{
	return each_item(text, why, cap, allow_add, field(base, k));
}

const struct config_type config_allow = {
	.form = "* | list of names or ids",
	.is_list = true,
	.parse = allow_parse,
	.print = list_print,
	.clear = list_clear,
};
