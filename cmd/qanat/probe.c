#include <stdio.h>
#include <time.h>

#include "cmd/qanat/client.h"
#include "cmd/qanat/print.h"
#include "cmd/qanat/say.h"
#include "cmd/qanat/verbs.h"

static const char ping_usage[] =
	"usage: qanat ping DST [-c COUNT] [-i MS] [--timeout MS] [--json]\n"
	"\n"
	"The way to DST (a name, an id or an address) and back, end to end\n"
	"over the overlay.  Exit code 1 if nothing comes back.\n"
	"\n"
	"  -c, --count COUNT  how many (default 4)\n"
	"  -i, --interval MS  between two (default 1000; with --json 200)\n"
	"  --timeout MS       for each answer (default 2000)\n" OPTIONS_USAGE;

static const char trace_usage[] =
	"usage: qanat trace DST [--json]\n"
	"\n"
	"The circuit to DST, and the way to each node on it and back.\n"
	"\n" OPTIONS_USAGE;

/* ---- ping ---- */

struct totals {
	unsigned sent, received;
	double min, max, sum;
};

static json_t *ping_body(const struct options *o, uint64_t count)
{
	json_t *body = json_pack("{s:s, s:I}", "dst", o->arg[0], "count",
				 (json_int_t)count);

	if (o->interval_ms != 0)
		json_object_set_new(body, "interval_ms",
				    json_integer((json_int_t)o->interval_ms));
	if (o->timeout_ms != 0)
		json_object_set_new(body, "timeout_ms",
				    json_integer((json_int_t)o->timeout_ms));
	return body;
}

static void print_first(const json_t *reply)
{
	const json_t *node = json_object_get(reply, "node");
	char connect[VALUE_MAX];
	long long n_hops = member_int(reply, "n_hops");

	value_ms(connect, json_object_get(reply, "connect_ms"));
	printf("%s   %s   %lld hop%s", node_name(node),
	       member_text(node, "address"), n_hops, n_hops == 1 ? "" : "s");
	if (json_is_number(json_object_get(reply, "connect_ms")))
		printf("   connected in %s", connect);
	putchar('\n');
}

static void print_reply(struct totals *t, const json_t *reply)
{
	const json_t *rtt = json_array_get(json_object_get(reply, "rtt_ms"), 0);
	double ms = json_number_value(rtt);
	char text[VALUE_MAX];

	t->sent++;
	if (!json_is_number(rtt)) {
		printf("%u  no answer\n", t->sent);
	} else {
		value_ms(text, rtt);
		printf("%u  %s\n", t->sent, text);
		t->min = t->received == 0 || ms < t->min ? ms : t->min;
		t->max = ms > t->max ? ms : t->max;
		t->sum += ms;
		t->received++;
	}
	fflush(stdout);
}

static void print_totals(const struct totals *t)
{
	printf("%u sent, %u received, %.1f%% lost", t->sent, t->received,
	       100.0 * (t->sent - t->received) / t->sent);
	if (t->received > 0)
		printf(", rtt min/avg/max %.2f/%.2f/%.2f ms", t->min,
		       t->sum / t->received, t->max);
	putchar('\n');
}

static void pause_ms(uint64_t ms)
{
	const struct timespec t = { .tv_sec = (time_t)(ms / 1000),
				    .tv_nsec = (long)(ms % 1000) * 1000000 };

	nanosleep(&t, NULL);
}

/* One request each, so that every answer is seen as it comes. */
static int ping(const struct options *o)
{
	uint64_t count = o->count != 0 ? o->count : 4;
	struct totals t = { .sent = 0 };
	json_t *reply;
	int rv;

	for (uint64_t i = 0; i < count; i++) {
		if (i > 0)
			pause_ms(o->interval_ms != 0 ? o->interval_ms : 1000);
		rv = client_post(o, "/v1/ping", ping_body(o, 1), &reply);
		if (rv != EXIT_DONE && i == 0)
			return rv;
		if (rv == EXIT_DONE && i == 0)
			print_first(reply);
		if (rv == EXIT_DONE) {
			print_reply(&t, reply);
			json_decref(reply);
		} else {
			t.sent++;
		}
	}
	print_totals(&t);
	return t.received > 0 ? EXIT_DONE : EXIT_NO;
}

int cmd_ping(int argc, char **argv)
{
	struct options o = { .json = false };
	json_t *reply;
	int rv = options_parse(&o, argc, argv, 1, 1, OPTIONS_PING, ping_usage);
	bool any;

	if (rv >= 0)
		return rv;
	if (!o.json)
		return ping(&o);
	rv = client_post(&o, "/v1/ping",
			 ping_body(&o, o.count != 0 ? o.count : 4), &reply);
	if (rv != EXIT_DONE)
		return rv;
	any = member_int(reply, "received") > 0;
	client_print_json(reply);
	return any ? EXIT_DONE : EXIT_NO;
}

/* ---- trace ---- */

static void print_hops(const json_t *hops)
{
	static const char *const columns[] = { "HOP",  "NODE", "RTT",    "LOSS",
					       "COST", "MTU",  "SIGNED", NULL };
	struct table *t = table_new(columns);
	char rtt[VALUE_MAX], loss[VALUE_MAX], cost[VALUE_MAX];
	const json_t *h;
	size_t i;

	json_array_foreach(hops, i, h)
	{
		value_ms(rtt, json_object_get(h, "rtt_ms"));
		value_percent(loss, json_object_get(h, "loss_percent"));
		value_ms(cost, json_object_get(h, "cost_ms"));
		table_putf(t, "%lld", (long long)member_int(h, "hop"));
		table_put(t, node_name(json_object_get(h, "node")));
		table_put(t, rtt);
		table_put(t, loss);
		table_put(t, cost);
		table_putf(t, "%lld", (long long)member_int(h, "mtu_bytes"));
		table_put(t, json_is_true(json_object_get(h, "is_signed"))
				     ? "yes"
				     : "no");
	}
	table_print(t, stdout);
}

static void print_blamed(const json_t *blamed)
{
	char age[VALUE_MAX];

	if (!json_is_object(blamed))
		return;
	value_s(age, json_object_get(blamed, "s_ago"));
	printf("avoided: the link from %s to %s lost packets %s ago\n",
	       node_name(json_object_get(blamed, "from")),
	       node_name(json_object_get(blamed, "to")), age);
}

static void print_trace(const json_t *reply)
{
	const json_t *node = json_object_get(reply, "node");
	char age[VALUE_MAX];

	value_s(age, json_object_get(reply, "opened_s_ago"));
	printf("circuit %lld to %s   %s   mtu %lld   opened %s ago\n",
	       (long long)member_int(reply, "circuit"), node_name(node),
	       member_text(node, "address"),
	       (long long)member_int(reply, "mtu_bytes"), age);
	print_hops(json_object_get(reply, "hops"));
	print_blamed(json_object_get(reply, "blamed"));
}

int cmd_trace(int argc, char **argv)
{
	struct options o = { .json = false };
	json_t *reply;
	int rv = options_parse(&o, argc, argv, 1, 1, 0, trace_usage);

	if (rv >= 0)
		return rv;
	rv = client_post(&o, "/v1/trace", json_pack("{s:s}", "dst", o.arg[0]),
			 &reply);
	if (rv != EXIT_DONE)
		return rv;
	if (o.json)
		return client_print_json(reply);
	print_trace(reply);
	json_decref(reply);
	return EXIT_DONE;
}
