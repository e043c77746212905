#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#include "node/api/api_body.h"
#include "node/api/api_parts.h"
#include "proto/base/mem.h"
#include "node/api/ping.h"
#include "node/api/trace.h"

/* A path may have to be found first, and a channel to be opened on it. */
#define CONNECT_LIMIT_NS                                                       \
	(PROBE_DEADLINE_MAX_MS * NS_PER_MS + HANDSHAKE_INNER_NS + 2 * NS_PER_S)

#define TRACE_LIMIT_NS (5 * NS_PER_S)

/* A request that waits for a ping, and then perhaps for a trace; both end
 * before their job does. */
struct job {
	struct job *prev, *next;
	struct api_handlers *handlers;
	api_call_no call;
	bool is_trace;
	struct node_id id;
	struct ping *ping; /* of the target */
	struct ping_result result;
	struct circuit_info circuit;
	struct trace *trace;
};

static void job_free(struct job *j)
{
	if (j->ping != NULL)
		ping_cancel(j->ping);
	if (j->trace != NULL)
		trace_cancel(j->trace);
	DL_DELETE(j->handlers->jobs, j);
	free(j);
}

void api_jobs_cancel(struct api_handlers *h)
{
	while (h->jobs != NULL)
		job_free(h->jobs);
}

static void job_reply(struct job *j, int status, json_t *body)
{
	api_reply(j->handlers->api, j->call, status, body);
	job_free(j);
}

/* ---- figures ---- */

static json_t *loss_percent(const struct ping_result *r)
{
	unsigned lost = r->n_sent - r->n_received;

	if (r->n_sent == 0)
		return json_null();
	return json_real((double)(lost * 1000 / r->n_sent) / 10);
}

struct spread {
	nsec min, avg, max;
};

static struct spread spread_of(const struct ping_result *r)
{
	struct spread s = { TIME_NEVER, TIME_NEVER, TIME_NEVER };
	nsec sum = 0, max = 0;

	for (unsigned i = 0; i < r->n_sent; i++) {
		if (r->rtt[i] == TIME_NEVER)
			continue;
		s.min = time_min(s.min, r->rtt[i]);
		max = r->rtt[i] > max ? r->rtt[i] : max;
		sum += r->rtt[i];
	}
	if (r->n_received > 0) {
		s.avg = sum / r->n_received;
		s.max = max;
	}
	return s;
}

static json_t *rtts(const struct ping_result *r)
{
	json_t *a = json_array();

	for (unsigned i = 0; i < r->n_sent; i++)
		json_array_append_new(a, api_ms(r->rtt[i]));
	return a;
}

/* ---- failures ---- */

static void reply_failed(struct job *j)
{
	const struct ping_result *r = &j->result;
	const struct node *n = j->handlers->node;
	json_t *node = api_node(n, &j->id);
	const char *name = json_string_value(json_object_get(node, "name"));
	const char *hint = NULL;
	char message[256];

	if (name == NULL)
		name = json_string_value(json_object_get(node, "id"));
	if (!r->is_up && r->is_proved) {
		snprintf(message, sizeof message,
			 "no path to %s: every way was tried", name);
		hint = "is it running, and is one of its links up?";
	} else if (!r->is_up) {
		snprintf(message, sizeof message,
			 "no path to %s was found in time", name);
	} else {
		snprintf(message, sizeof message,
			 "%s is connected, but its echo is not: %s", name,
			 stream_error_text(r->why));
	}
	json_decref(node);
	job_reply(
		j, 502,
		api_error(r->is_up ? "no-echo" : "unreachable", message, hint));
}

static bool has_failed(const struct ping_result *r)
{
	return !r->is_up || (r->why != STREAM_OK && r->n_received == 0);
}

/* ---- ping ---- */

static void reply_ping(struct job *j)
{
	const struct node *n = j->handlers->node;
	const struct ping_result *r = &j->result;
	struct spread s = spread_of(r);
	json_t *o = json_object();

	json_object_set_new(o, "node", api_node(n, &j->id));
	json_object_set_new(o, "connect_ms",
			    r->connect > 0 ? api_ms(r->connect) : json_null());
	json_object_set_new(o, "circuit",
			    j->circuit.circuit != 0
				    ? json_integer(j->circuit.circuit)
				    : json_null());
	json_object_set_new(o, "n_hops",
			    json_integer((json_int_t)j->circuit.hops.n));
	json_object_set_new(o, "sent", json_integer(r->n_sent));
	json_object_set_new(o, "received", json_integer(r->n_received));
	json_object_set_new(o, "loss_percent", loss_percent(r));
	json_object_set_new(o, "rtt_ms", rtts(r));
	json_object_set_new(o, "rtt_min_ms", api_ms(s.min));
	json_object_set_new(o, "rtt_avg_ms", api_ms(s.avg));
	json_object_set_new(o, "rtt_max_ms", api_ms(s.max));
	job_reply(j, 200, o);
}

/* ---- trace ---- */

static json_t *trace_hop(const struct job *j, const struct trace_result *r,
			 size_t i)
{
	const struct trace_hop *h = &r->hop[i];
	json_t *o = api_hop(j->handlers->node, &j->circuit.hops.hop[i]);
	json_t *loss = json_null();

	if (h->n_packets > 0)
		loss = json_real((double)(h->n_missing * 1000 / h->n_packets) /
				 10);
	json_object_set_new(o, "hop", json_integer((json_int_t)i + 1));
	json_object_set_new(o, "rtt_ms", api_ms(h->rtt));
	json_object_set_new(o, "loss_percent", loss);
	json_object_set_new(o, "packets",
			    json_integer((json_int_t)h->n_packets));
	json_object_set_new(o, "is_signed", json_boolean(h->rtt != TIME_NEVER));
	return o;
}

static json_t *blamed_on_the_way(const struct node *n,
				 const struct node_id *target)
{
	struct hold_info hold;

	return router_hold_find(n->overlay->router, target, &hold)
		       ? api_blamed(n, &hold)
		       : json_null();
}

static void trace_is_done(void *ctx, const struct trace_result *r)
{
	struct job *j = ctx;
	const struct node *n = j->handlers->node;
	const struct circuit_info *c = &j->circuit;
	json_t *o = json_object(), *hops = json_array();

	j->trace = NULL;
	for (size_t i = 0; i < c->hops.n; i++)
		json_array_append_new(hops, trace_hop(j, r, i));
	json_object_set_new(o, "node", api_node(n, &j->id));
	json_object_set_new(o, "circuit", json_integer(c->circuit));
	json_object_set_new(o, "mtu_bytes", json_integer(c->mtu));
	json_object_set_new(o, "opened_s_ago",
			    api_s(loop_now(n->loop) - c->opened));
	json_object_set_new(o, "connect_ms",
			    j->result.connect > 0 ? api_ms(j->result.connect)
						  : json_null());
	json_object_set_new(o, "hops", hops);
	json_object_set_new(o, "blamed", blamed_on_the_way(n, &j->id));
	job_reply(j, 200, o);
}

/* ---- both ---- */

static void target_done(void *ctx, const struct ping_result *r)
{
	struct job *j = ctx;
	struct node *n = j->handlers->node;
	struct channel *c;

	j->ping = NULL;
	j->result = *r;
	c = dest_channel(n->overlay->dests, &j->id);
	if (c == NULL || !router_circuit_get(n->overlay->router,
					     channel_circuit(c), &j->circuit))
		memset(&j->circuit, 0, sizeof j->circuit);
	if (has_failed(r))
		reply_failed(j);
	else if (j->is_trace && j->circuit.circuit != 0)
		j->trace = trace_new(&n->overlay->traces, n->loop,
				     n->overlay->router, &j->circuit,
				     trace_is_done, j);
	else if (j->is_trace)
		job_reply(j, 502,
			  api_error("unreachable",
				    "the path broke while it was traced",
				    "try again"));
	else
		reply_ping(j);
}

static json_t *begin(struct api_handlers *h, const struct api_request *r,
		     struct ping_config *config, bool is_trace, int *status)
{
	struct node *n = h->node;
	const char *dst;
	json_t *error = NULL;
	struct job *j;
	nsec limit;

	dst = api_text(r->body, "dst", &error);
	if (error != NULL) {
		*status = 400;
		return error;
	}
	if (!api_target(n, dst, &config->id, &error, status))
		return error;
	if (id_equal(&config->id, &n->credentials.self.id)) {
		*status = 400;
		return api_error("self", "that is this node itself", NULL);
	}
	j = mem_new(j);
	j->handlers = h;
	j->is_trace = is_trace;
	j->id = config->id;
	DL_APPEND(h->jobs, j);
	limit = CONNECT_LIMIT_NS + config->count * config->interval +
		2 * config->timeout + (is_trace ? TRACE_LIMIT_NS : 0);
	j->call = api_defer(r, limit);
	j->ping = ping_new(n->loop, n->overlay->dests, config, target_done, j);
	return NULL;
}

json_t *api_post_ping(void *ctx, const struct api_request *r, int *status)
{
	static const char *const known[] = { "dst", "count", "interval_ms",
					     "timeout_ms", NULL };
	struct ping_config config;
	json_t *error = NULL;

	api_only(r->body, known, &error);
	config.count = (unsigned)api_number(r->body, "count", 4, 1,
					    PING_COUNT_MAX, &error);
	config.interval = NS_PER_MS * api_number(r->body, "interval_ms", 200,
						 10, 10000, &error);
	config.timeout = NS_PER_MS * api_number(r->body, "timeout_ms", 2000, 10,
						60000, &error);
	if (error != NULL) {
		*status = 400;
		return error;
	}
	return begin(ctx, r, &config, false, status);
}

json_t *api_post_trace(void *ctx, const struct api_request *r, int *status)
{
	static const char *const known[] = { "dst", NULL };
	struct ping_config config = {
		.count = 1,
		.timeout = 2 * NS_PER_S,
	};
	json_t *error = NULL;

	api_only(r->body, known, &error);
	if (error != NULL) {
		*status = 400;
		return error;
	}
	return begin(ctx, r, &config, true, status);
}
