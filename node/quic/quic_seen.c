#include "node/quic/quic_seen.h"

#include <string.h>

#include "proto/limits.h"

uint64_t quic_seen_number(const struct quic_seen *w, const uint8_t *packet,
			  const uint8_t mask[QUIC_MASK_BYTES])
{
	const uint8_t *at = packet + 1 + SESSION_CID_BYTES;
	size_t len = ((packet[0] ^ mask[0]) & 3) + 1;
	uint64_t size = UINT64_C(1) << (8 * len), number = 0;

	for (size_t i = 0; i < len; i++)
		number = number << 8 | (uint8_t)(at[i] ^ mask[1 + i]);
	number |= w->next & ~(size - 1);
	if (number + size / 2 <= w->next)
		return number + size;
	if (number > w->next + size / 2 && number >= size)
		return number - size;
	return number;
}

/* Numbers from `next` up to `number` are new in the window. */
static void move_up(struct quic_seen *w, uint64_t number)
{
	if (number - w->next >= QUIC_SEEN_PACKETS)
		memset(w->bits, 0, sizeof w->bits);
	else
		for (uint64_t n = w->next; n <= number; n++)
			w->bits[n / 64 % QUIC_SEEN_WORDS] &=
				~(UINT64_C(1) << n % 64);
	w->next = number + 1;
}

bool quic_seen_add(struct quic_seen *w, uint64_t number)
{
	uint64_t *word = &w->bits[number / 64 % QUIC_SEEN_WORDS];
	uint64_t bit = UINT64_C(1) << number % 64;

	if (number >= w->next)
		move_up(w, number);
	else if (w->next - number > QUIC_SEEN_PACKETS || (*word & bit) != 0)
		return false;
	*word |= bit;
	return true;
}
