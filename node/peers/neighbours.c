#include "node/peers/neighbours.h"

#include <inttypes.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "discovery/dialer.h"
#include "discovery/peers.h"
#include "discovery/peers_record.h"
#include "node/config/config.h"
#include "node/peers/lan_beacons.h"
#include "node/io/loop.h"
#include "node/peers/resolve.h"
#include "node/store/store.h"
#include "proto/base/log.h"
#include "proto/base/mem.h"
#include "proto/name.h"

/* A name that is being looked up for a dial. */
struct asked {
	struct asked *next;
	struct neighbours *neighbours;
	struct resolve_ask *ask;
	uint32_t no;
};

struct neighbours {
	struct loop *loop;
	struct sessions *sessions;
	struct store *store;
	const struct credentials *credentials;
	struct peers *peers;
	struct dialer *dialer;
	struct resolve *resolve;
	struct asked *asked;
	struct lan_beacons *lan;
	struct timer timer;
	bool is_due; /* the dialler is to be asked */
};

static void ask_again(struct timer *t)
{
	struct neighbours *nb = container_of(t, struct neighbours, timer);

	nb->is_due = true;
}

/* ---- configuration ---- */

static void set_statics(struct neighbours *nb, const struct config *config)
{
	struct peer_config *list = mem_calloc(CONFIG_PEERS_MAX, sizeof *list);
	const char *(*addresses)[CONFIG_LIST_MAX] =
		mem_calloc(CONFIG_PEERS_MAX, sizeof *addresses);
	size_t n_left_out;

	for (size_t i = 0; i < config->n_peers; i++) {
		const struct config_peer *p = &config->peers[i];

		for (size_t j = 0; j < p->address.n; j++)
			addresses[i][j] = p->address.item[j];
		list[i] = (struct peer_config){ .name = p->name,
						.addresses = addresses[i],
						.n_addresses = p->address.n };
	}
	n_left_out = peers_set_statics(nb->peers, list, config->n_peers,
				       loop_now(nb->loop));
	if (n_left_out > 0)
		log_warn("some peer addresses are not used: count=%zu",
			 n_left_out);
	free(addresses);
	free(list);
	nb->is_due = true;
}

static void hint_came(void *ctx, const struct beacon_hint *hint,
		      uint32_t ifindex)
{
	struct neighbours *nb = ctx;

	peers_handle_hint(nb->peers, &hint->id, &hint->at, ifindex,
			  hint->is_fresh, loop_now(nb->loop));
	nb->is_due = true;
}

static void network_changed(void *ctx)
{
	struct neighbours *nb = ctx;

	sessions_network_changed(nb->sessions);
	peers_handle_network_changed(nb->peers, loop_now(nb->loop));
	nb->is_due = true;
}

static const struct lan_beacon_events lan_events = {
	.hint = hint_came,
	.changed = network_changed,
};

struct neighbours *neighbours_new(struct loop *l, struct sessions *sessions,
				  const struct credentials *c,
				  const struct config *config,
				  struct store *store)
{
	struct neighbours *nb = mem_new(nb);
	struct rng rng;
	uint8_t seed[32];

	randombytes_buf(seed, sizeof seed);
	rng_init_bytes(&rng, seed);
	nb->loop = l;
	nb->sessions = sessions;
	nb->credentials = c;
	nb->store = store;
	nb->timer.fire = ask_again;
	nb->peers = peers_new(&c->self.id, &rng, loop_wall_ms(l), loop_now(l));
	nb->dialer = dialer_new(nb->peers, loop_now(l));
	nb->resolve = resolve_new(l);
	set_statics(nb, config);
	if (config->discovery.lan)
		nb->lan = lan_beacons_new(l, config, c, &lan_events, nb);
	return nb;
}

void neighbours_reload(struct neighbours *nb, const struct config *config)
{
	set_statics(nb, config);
	lan_beacons_reload(nb->lan, config);
}

/* ---- the database ---- */

bool neighbours_load(struct neighbours *nb, struct router *r,
		     const void *record, size_t len)
{
	int64_t now_s = (int64_t)(loop_wall_ms(nb->loop) / 1000);
	struct peer_record pr;
	struct identity who;

	if (!peers_record_parse(&pr, record, len) ||
	    cert_check(nb->credentials->trust, pr.chain, pr.chain_len, now_s,
		       &who) != CERT_OK ||
	    peers_load(nb->peers, &pr, &who, loop_now(nb->loop)) != PEERS_OK)
		return false;
	router_identity_add(r, &who, pr.chain, pr.chain_len);
	nb->is_due = true;
	return true;
}

static void keep_peer(struct neighbours *nb, const struct node_id *id)
{
	const struct peer *p = peers_find(nb->peers, id);
	uint8_t record[PEER_RECORD_MAX];
	size_t len;

	if (p == NULL)
		return;
	len = peers_record_write(nb->peers, p, record, sizeof record,
				 loop_now(nb->loop));
	if (len > 0)
		store_put(nb->store, STORE_PEERS, id, sizeof *id, record, len);
}

static void keep_sighting(struct neighbours *nb, const struct peers_event *ev)
{
	char name[NAME_ID_TEXT_MAX], at[ENDPOINT_TEXT_MAX], text[256];

	name_of_id(name, &ev->id);
	endpoint_text(at, &ev->sighting.at);
	snprintf(text, sizeof text, "peer %s: node=%s at=%s error=\"%s\"",
		 sighting_word(ev->sighting.what), name, at,
		 peer_error_text(ev->sighting.error));
	store_put_event(nb->store, ev->sighting.when_ms, text);
}

static bool pump_events(struct neighbours *nb)
{
	struct peers_event ev;
	bool did_anything = false;

	while (peers_next_event(nb->peers, &ev)) {
		did_anything = true;
		switch (ev.type) {
		case PEER_CHANGED:
			keep_peer(nb, &ev.id);
			break;
		case PEER_GONE:
			store_del(nb->store, STORE_PEERS, &ev.id, sizeof ev.id);
			break;
		case PEER_SIGHTED:
			keep_sighting(nb, &ev);
			break;
		}
	}
	return did_anything;
}

size_t neighbours_free(struct neighbours *nb)
{
	size_t n_looking_up;

	if (nb == NULL)
		return 0;
	pump_events(nb); /* to the store; nobody is dialled any more */
	loop_timer_set(nb->loop, &nb->timer, TIME_NEVER);
	lan_beacons_free(nb->lan);
	while (nb->asked != NULL) {
		struct asked *a = nb->asked;

		nb->asked = a->next;
		resolve_cancel(a->ask);
		free(a);
	}
	n_looking_up = resolve_free(nb->resolve);
	dialer_free(nb->dialer);
	peers_free(nb->peers);
	free(nb);
	return n_looking_up;
}

/* ---- dialling ---- */

static void resolved(void *ctx, const union endpoint *list, size_t n)
{
	struct asked *a = ctx;
	struct neighbours *nb = a->neighbours;
	struct asked **p = &nb->asked;

	while (*p != a)
		p = &(*p)->next;
	*p = a->next;
	dialer_handle_resolved(nb->dialer, a->no, list, n, loop_now(nb->loop));
	nb->is_due = true;
	free(a);
}

static void look_up(struct neighbours *nb, const struct dial *d)
{
	struct asked *a = mem_new(a);

	a->neighbours = nb;
	a->no = d->no;
	a->next = nb->asked;
	nb->asked = a;
	a->ask = resolve_ask(nb->resolve, d->host, d->port, resolved, a);
}

static void dial(struct neighbours *nb, const struct dial *d)
{
	const struct session_dial sd = {
		.remote = d->at,
		.ifindex = d->ifindex,
		.has_id = d->has_id,
		.id = d->id,
		.no = d->no,
		.peer = d->peer,
	};
	peer_error error = sessions_dial(nb->sessions, &sd);
	char at[ENDPOINT_TEXT_MAX];

	endpoint_text(at, &d->at);
	log_debug("dialling: dial=%u at=%s", d->no, at);
	if (error != PEER_ERROR_NONE)
		dialer_handle_failed(nb->dialer, d->no, error,
				     loop_now(nb->loop));
}

static bool pump_dialer(struct neighbours *nb)
{
	nsec now = loop_now(nb->loop);
	bool did_anything = false;
	struct dial d;

	nb->is_due = false;
	while (dialer_next(nb->dialer, now, &d)) {
		did_anything = true;
		switch (d.type) {
		case DIAL_START:
			dial(nb, &d);
			break;
		case DIAL_RESOLVE:
			look_up(nb, &d);
			break;
		case DIAL_CANCEL:
			sessions_cancel(nb->sessions, d.no);
			break;
		}
	}
	loop_timer_set(nb->loop, &nb->timer, dialer_deadline(nb->dialer));
	return did_anything;
}

static bool pump_dismissed(struct neighbours *nb)
{
	bool did_anything = false;
	uint32_t session;

	while (peers_next_dismissed(nb->peers, &session)) {
		did_anything = true;
		log_info("session down, too many neighbours: session=%u",
			 session);
		sessions_close(nb->sessions, session, "too many neighbours");
	}
	return did_anything;
}

bool neighbours_flush(struct neighbours *nb)
{
	bool did_anything = pump_dismissed(nb);

	if (nb->is_due && pump_dialer(nb))
		did_anything = true;
	if (pump_events(nb))
		did_anything = true;
	return did_anything;
}

void neighbours_minute(struct neighbours *nb)
{
	peers_set_wall(nb->peers, loop_wall_ms(nb->loop), loop_now(nb->loop));
}

/* ---- sessions ---- */

static void log_session(const char *text, const struct session_info *s)
{
	char name[NAME_ID_TEXT_MAX], at[ENDPOINT_TEXT_MAX];

	name_of_id(name, &s->peer.id);
	endpoint_text(at, &s->path.remote);
	if (s->is_up)
		log_info("%s: session=%u peer=%s name=%s at=%s reason=\"%s\"",
			 text, s->no, name, s->name, at, s->end_text);
	else
		log_info("%s: at=%s reason=\"%s\"", text, at, s->end_text);
}

bool neighbours_session_up(struct neighbours *nb, const struct session_info *s,
			   const uint8_t *chain, size_t chain_len)
{
	nsec now = loop_now(nb->loop);
	const struct peer_session up = {
		.session = s->no,
		.dialled = s->dial_peer,
		.who = &s->peer,
		.chain = chain,
		.chain_len = chain_len,
		.remote = s->path.remote,
		.ifindex = s->path.ifindex,
	};
	char name[NAME_ID_TEXT_MAX], at[ENDPOINT_TEXT_MAX];
	peer_no no = 0;

	nb->is_due = true;
	if (s->dial != 0)
		dialer_handle_up(nb->dialer, s->dial);
	if (peers_handle_session_up(nb->peers, &up, now, &no) != PEERS_OK)
		return false;
	name_of_id(name, &s->peer.id);
	endpoint_text(at, &s->path.remote);
	log_info("session up: session=%u peer=%s name=%s at=%s mtu=%u", s->no,
		 name, s->name, at, s->claim.mtu);
	return true;
}

/* A dial that met a node which is connected already: what was dialled is one
 * more address of it, and need not be tried again. */
static void meet_again(struct neighbours *nb, const struct session_info *s)
{
	const struct peer_session up = {
		.session = s->no,
		.dialled = s->dial_peer,
		.who = &s->peer,
		.chain = s->chain,
		.chain_len = s->chain_len,
		.remote = s->path.remote,
		.ifindex = s->path.ifindex,
	};
	nsec now = loop_now(nb->loop);
	peer_no no = 0;

	dialer_handle_up(nb->dialer, s->dial);
	if (peers_handle_session_up(nb->peers, &up, now, &no) == PEERS_OK)
		peers_handle_session_down(nb->peers, no, s->no, PEER_ERROR_NONE,
					  now);
}

/* Whose it is; NULL: nobody's, or nobody's any more. */
static const struct peer *owner_of(const struct neighbours *nb,
				   const struct session_info *s)
{
	const struct peer *p = peers_find(nb->peers, &s->peer.id);

	for (size_t i = 0; p != NULL && i < p->n_links; i++) {
		if (p->links[i].session == s->no)
			return p;
	}
	return NULL;
}

void neighbours_session_down(struct neighbours *nb,
			     const struct session_info *s)
{
	const struct peer *owner = owner_of(nb, s);
	nsec now = loop_now(nb->loop);

	nb->is_due = true;
	if (owner != NULL) {
		log_session("session down", s);
		peers_handle_session_down(nb->peers, owner->no, s->no, s->error,
					  now);
		return;
	}
	/* Not wanted, or dismissed. */
	if (s->is_up)
		return;
	if (s->dial != 0 && s->confirmed != 0) {
		meet_again(nb, s);
	} else if (s->dial != 0) {
		log_debug("dial failed: reason=\"%s\"", s->end_text);
		dialer_handle_failed(nb->dialer, s->dial, s->error, now);
	} else if (s->error >= PEER_ERROR_CERTIFICATE) {
		log_session("session refused", s);
	}
}

void neighbours_identity(struct neighbours *nb, const struct identity *who,
			 const uint8_t *chain, size_t chain_len)
{
	peers_handle_identity(nb->peers, who, chain, chain_len,
			      loop_now(nb->loop));
}

const struct peers *neighbours_peers(const struct neighbours *nb)
{
	return nb->peers;
}
