#include "node/channel/stream_self.h"

#include <stdlib.h>

#include <utlist.h>

#include "node/channel/channel_conn.h"
#include "proto/base/mem.h"

enum {
	ASKING,
	ASKED,
	ENDS,
	DATAGRAMS_BYTES_MAX = 512 << 10, /* that wait for the turn's end */
};

struct self_pair {
	struct self_pair *prev, *next;
	struct self_pair *next_marked;
	struct self_streams *set;
	bool is_marked;
	bool is_handed_over; /* to whoever answers requests */
	struct node_hash key_hash;
	struct stream *end[ENDS];
	size_t n_consumed[ENDS]; /* by this end, not told to the other yet */
	enum stream_error why;   /* one of them was closed */
};

static size_t end_of(const struct stream *s)
{
	return s->is_server_side ? ASKED : ASKING;
}

static void mark(struct self_pair *p)
{
	if (p->is_marked)
		return;
	p->is_marked = true;
	p->next_marked = p->set->marked;
	p->set->marked = p;
}

static struct stream *end_new(struct self_pair *p, size_t end,
			      const struct identity *self,
			      enum stream_kind kind, const char *host,
			      uint16_t port)
{
	struct stream *s = stream_new(&self->id, kind, host, port, NULL, NULL);

	s->pair = p;
	s->state = STREAM_ASKED;
	s->is_server_side = end == ASKED;
	p->end[end] = s;
	return s;
}

struct stream *self_stream_new(struct self_streams *set,
			       const struct identity *self,
			       enum stream_kind kind, const char *host,
			       uint16_t port, const struct stream_events *ev,
			       void *ctx)
{
	struct self_pair *p = mem_new(p);

	p->set = set;
	p->key_hash = self->hash;
	DL_APPEND(set->all, p);
	end_new(p, ASKED, self, kind, host, port);
	end_new(p, ASKING, self, kind, host, port);
	stream_set_events(p->end[ASKING], ev, ctx);
	mark(p);
	return p->end[ASKING];
}

/* ---- the end ---- */

static void pair_free(void *arg)
{
	struct self_pair *p = arg;

	stream_free(p->end[ASKING]);
	stream_free(p->end[ASKED]);
	free(p);
}

static void tell_ends(struct self_pair *p, enum stream_error why)
{
	for (size_t i = 0; i < ENDS; i++)
		stream_tell_closed(p->end[i], why);
}

static void pair_end(struct self_pair *p, enum stream_error why)
{
	DL_DELETE(p->set->all, p);
	if (p->is_marked)
		LL_DELETE2(p->set->marked, p, next_marked);
	p->is_marked = true; /* never again */
	tell_ends(p, why);
	loop_defer(p->set->loop, pair_free, p);
}

/* ---- what the users do ---- */

void self_stream_mark(struct stream *s)
{
	mark(s->pair);
}

void self_stream_consumed(struct stream *s, size_t len)
{
	s->pair->n_consumed[end_of(s)] += len;
	mark(s->pair);
}

void self_stream_closed(struct stream *s, enum stream_error why)
{
	if (s->pair->why == STREAM_OK)
		s->pair->why = why;
	mark(s->pair);
}

bool self_stream_write_datagram(struct stream *s, const uint8_t *data,
				size_t len)
{
	/* Empty ones take room too. */
	size_t size = sizeof(struct chunk_out) + len;

	if (s->n_out + size > DATAGRAMS_BYTES_MAX)
		return false;
	stream_append(s, data, len);
	s->n_out += size - len;
	mark(s->pair);
	return true;
}

/* ---- from one end to the other ---- */

static bool is_over(const struct self_pair *p)
{
	return p->end[ASKING]->is_silenced || p->end[ASKED]->is_silenced;
}

static void pass_datagrams(struct self_pair *p, struct stream *from,
			   struct stream *to)
{
	struct chunk_out *k;

	while ((k = from->out) != NULL && !is_over(p)) {
		from->unhanded = from->out = k->next;
		if (from->out == NULL)
			from->out_tail = &from->out;
		from->n_out -= sizeof *k + k->len;
		from->n_unhanded -= k->len;
		stream_received_datagram(to, k->data, k->len);
		chunk_out_free(k);
	}
}

static void pass_bytes(struct self_pair *p, struct stream *from,
		       struct stream *to)
{
	struct chunk_out *k;

	while ((k = from->unhanded) != NULL && !is_over(p)) {
		from->unhanded = k->next;
		from->n_unhanded -= k->len;
		k->handed = k->len;
		to->ev->data(to->ctx, k->data, k->len);
	}
}

static void pass(struct self_pair *p, struct stream *from, struct stream *to)
{
	size_t n = p->n_consumed[end_of(to)];

	p->n_consumed[end_of(to)] = 0;
	stream_acked(from, n);
	if (from->kind == STREAM_UDP)
		pass_datagrams(p, from, to);
	else
		pass_bytes(p, from, to);
	if (!is_over(p) && from->unhanded == NULL && from->is_end_written &&
	    !to->is_end_read && to->state == STREAM_OPEN)
		stream_received_end(to);
}

static void hand_over(struct self_pair *p, dest_request *request, void *ctx)
{
	p->is_handed_over = true;
	if (stream_expects(p->end[ASKING], &p->key_hash)) {
		request(ctx, p->end[ASKED]);
		return;
	}
	p->end[ASKED]->is_silenced = true;
	p->why = STREAM_HOST_UNKNOWN;
}

static void pair_flush(struct self_pair *p, dest_request *request, void *ctx)
{
	struct stream *asking = p->end[ASKING], *asked = p->end[ASKED];

	if (!p->is_handed_over && !is_over(p))
		hand_over(p, request, ctx);
	if (!is_over(p) && asked->state == STREAM_OPEN)
		stream_opened(asking);
	if (!is_over(p))
		pass(p, asking, asked);
	if (!is_over(p))
		pass(p, asked, asking);
	if (is_over(p))
		pair_end(p, p->why);
	else if (asking->is_end_read && asked->is_end_read)
		pair_end(p, STREAM_OK);
}

bool self_streams_flush(struct self_streams *set, dest_request *request,
			void *ctx)
{
	struct self_pair *list = set->marked;
	bool did_anything = list != NULL;

	/* What is marked anew waits for the caller's next round. */
	set->marked = NULL;
	while (list != NULL) {
		struct self_pair *p = list;

		list = p->next_marked;
		p->is_marked = false;
		pair_flush(p, request, ctx);
	}
	return did_anything;
}

void self_streams_free(struct self_streams *set)
{
	while (set->all != NULL) {
		struct self_pair *p = set->all;

		DL_DELETE(set->all, p);
		p->is_marked = true;
		tell_ends(p, STREAM_RESET);
		pair_free(p);
	}
	set->marked = NULL;
}
