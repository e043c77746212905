#include "node/config/config_schema.h"

#include <string.h>

#include "proto/base/mem.h"
#include "proto/base/text.h"

/* A typing error is at most this far from what was meant. */
#define HINT_DISTANCE_MAX 3

#define AT(member)         .offset = offsetof(struct config, member)
#define AT_PEER(member)    .offset = offsetof(struct config_peer, member)
#define AT_SERVICE(member) .offset = offsetof(struct config_service, member)

const struct config_section config_sections[] = {
	{ "node", "this node", false },
	{ "discovery", "finding neighbours", false },
	{ "peer", "a neighbour to dial, one section each", true },
	{ "tun", "the device for the overlay's IPv6 addresses", false },
	{ "socks", "the SOCKS5 port, which knows .fuse names", false },
	{ "service", "a port that the overlay may reach, one section each",
	  true },
	{ "admin", "the control socket of the qanat command", false },
};
const size_t n_config_sections = ARRAY_LEN(config_sections);

const struct config_key config_keys[] = {
	{ "node", "name", &config_short_name, AT(node.name), .sample = "alpha",
	  .help = "shown to neighbours; else the name of the host" },
	{ "node", "listen", &config_udp_listen, AT(node.listen),
	  .def = "[::]:4433",
	  .help = "UDP addresses for sessions; [::] means 0.0.0.0 too" },
	{ "node", "state", &config_path, AT(node.state),
	  .def = "/var/lib/qanat", .max = 200,
	  .help = "folder of ca.crt, cert.crt, key.pem and the database" },
	{ "node", "transit", &config_transit, AT(node.transit), .def = "on",
	  .help = "relay for others" },
	{ "node", "direct", &config_on_off, AT(node.direct), .def = "on",
	  .help = "send to neighbours without the session around it; off "
		  "hides from the wire whether we talk or relay" },
	{ "node", "sealed", &config_sealed, AT(node.sealed), .def = "auto",
	  .help = "carry circuits past QUIC under the session's keys; auto: "
		  "where a link carries much and is not full" },
	{ "node", "gso", &config_on_off, AT(node.gso), .def = "on",
	  .help = "hand the kernel many packets at once (UDP_SEGMENT); off "
		  "for network drivers that spoil them" },
	{ "node", "flood-below", &config_number, AT(node.flood_below),
	  .def = "64", .max = 4096, .unit = "nodes",
	  .help = "smaller networks are searched by floods, larger ones by "
		  "steered probes; 0: always steered" },
	{ "node", "packet-protection", &config_protection,
	  AT(node.packet_protection), .def = "auto",
	  .help = "who encrypts packets; auto: the fastest that is here" },
	{ "node", "memory", &config_number, AT(node.memory), .def = "64",
	  .max = 16384, .unit = "MiB",
	  .help = "what peers may have us hold for apps that are slow, beyond "
		  "256 KiB for each of them" },
	{ "node", "spin", &config_number, AT(node.spin), .def = "0",
	  .max = 10000, .unit = "us",
	  .help = "look for packets so long after the last before sleeping; "
		  "answers come sooner, at up to a whole core",
	  .is_live = true },
	{ "node", "log", &config_log_level, AT(node.log), .def = "info",
	  .help = "what is logged", .is_live = true },

	{ "discovery", "lan", &config_on_off, AT(discovery.lan), .def = "on",
	  .help = "find neighbours on the same wire by beacons" },
	{ "discovery", "interfaces", &config_patterns, AT(discovery.interfaces),
	  .sample = "eth* wlan*",
	  .help = "where to send beacons; default: all real interfaces" },

	{ "peer", "address", &config_addresses, AT_PEER(address),
	  .sample = "bravo.example.net:4433",
	  .help = "where it listens: IP address or DNS name; port 4433 if "
		  "none is given",
	  .is_required = true, .is_live = true },

	{ "tun", "enabled", &config_on_off, AT(tun.enabled), .def = "on",
	  .help = "off: SOCKS only, no privilege needed" },
	{ "tun", "name", &config_device, AT(tun.name), .def = "qanat0",
	  .help = "of the device" },
	{ "tun", "mtu", &config_number_or_auto, AT(tun.mtu), .def = "auto",
	  .min = 1280, .max = 9000, .unit = "bytes", .help = "largest packet" },
	{ "tun", "offload", &config_on_off, AT(tun.offload), .def = "on",
	  .help = "pass many packets to and from the kernel as one" },
	{ "tun", "splice", &config_on_off, AT(tun.splice), .def = "on",
	  .help = "carry TCP as streams, which recover from loss on their "
		  "own, where the other node does so too",
	  .is_live = true },
	{ "tun", "bpf", &config_on_off, AT(tun.bpf), .def = "on",
	  .help = "have the kernel itself turn packets of spliced TCP back, "
		  "where it lets us" },

	{ "socks", "listen", &config_socks_listen, AT(socks.listen),
	  .def = "127.0.0.1:1080", .help = "TCP addresses, or off" },
	{ "socks", "passwords", &config_path, AT(socks.passwords), .max = 200,
	  .sample = "/etc/qanat/socks.passwords",
	  .help = "file of user:password lines, mode 0600; without it any "
		  "will do: each has channels of its own" },

	{ "service", "port", &config_number, AT_SERVICE(port), .min = 1,
	  .max = 65535, .sample = "80",
	  .help = "on our name and overlay address", .is_required = true,
	  .is_live = true },
	{ "service", "proto", &config_proto, AT_SERVICE(proto), .def = "tcp",
	  .help = "what is published", .is_live = true },
	{ "service", "to", &config_to, AT_SERVICE(to),
	  .sample = "127.0.0.1:8080",
	  .help = "where it goes; default: our overlay address, same port",
	  .is_live = true },
	{ "service", "allow", &config_allow, AT_SERVICE(allow),
	  .sample = "alice bob",
	  .help = "who may: * is every node of the cluster, else short names "
		  "or ids; default: nobody",
	  .is_live = true },

	{ "admin", "socket", &config_path, AT(admin.socket),
	  .def = "/run/qanat/qanat.sock", .max = 107,
	  .help = "unix socket, mode 0660" },
	{ "admin", "group", &config_group, AT(admin.group), .max = 63,
	  .sample = "adm", .help = "its members may use the socket too" },
};
const size_t n_config_keys = ARRAY_LEN(config_keys);
_Static_assert(ARRAY_LEN(config_keys) <= CONFIG_KEYS_MAX,
	       "the parser has a place for every key");

const struct config_section *config_section_find(const char *name)
{
	for (size_t i = 0; i < n_config_sections; i++) {
		if (strcmp(config_sections[i].name, name) == 0)
			return &config_sections[i];
	}
	return NULL;
}

const struct config_key *config_key_find(const char *section, const char *key)
{
	for (size_t i = 0; i < n_config_keys; i++) {
		if (strcmp(config_keys[i].section, section) == 0 &&
		    strcmp(config_keys[i].key, key) == 0)
			return &config_keys[i];
	}
	return NULL;
}

/* A short word that is all typing errors is no match. */
static bool is_nearer(const char *typed, const char *known, unsigned *best)
{
	unsigned d = text_distance(typed, known, HINT_DISTANCE_MAX + 1);

	if (d >= *best || d >= strlen(known))
		return false;
	*best = d;
	return true;
}

void config_section_hint(char *out, size_t cap, const char *name)
{
	unsigned best = HINT_DISTANCE_MAX + 1;

	*out = '\0';
	for (size_t i = 0; i < n_config_sections; i++) {
		const struct config_section *s = &config_sections[i];

		if (is_nearer(name, s->name, &best))
			snprintf(out, cap, " (did you mean [%s%s]?)", s->name,
				 s->is_named ? " NAME" : "");
	}
}

void config_key_hint(char *out, size_t cap, const char *section,
		     const char *key)
{
	unsigned best = HINT_DISTANCE_MAX + 1;

	*out = '\0';
	for (size_t i = 0; i < n_config_keys; i++) {
		const struct config_key *k = &config_keys[i];

		if (strcmp(k->section, section) == 0 &&
		    is_nearer(key, k->key, &best))
			snprintf(out, cap, " (did you mean \"%s\"?)", k->key);
	}
	for (size_t i = 0; i < n_config_keys && *out == '\0'; i++) {
		const struct config_key *k = &config_keys[i];

		if (strcmp(k->key, key) == 0)
			snprintf(out, cap, " (it belongs to [%s])", k->section);
	}
}
