/* What it costs to carry datagrams from one end of a connection to the other in
 * memory, by each backend of packet protection, and whether keys change on the
 * way: ngtcp2 asks for that at 2^23 packets.
 *
 *   protect [MILLIONS OF PACKETS [BACKEND]]
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <cmocka.h>

#include "tests/support/protect_count.h"
#include "tests/support/quic_pair.h"

enum {
	DATAGRAM_BYTES = 1300,
	TURN = 64, /* packets between acknowledgements */
	MILLION = 1000 * 1000,
};

static double cpu_s(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static bool measure(enum protect_choice choice, uint64_t n)
{
	struct counted_protect counted;
	struct protect *protect;
	struct quic_pair *p;
	char why[256];
	double start;

	if (protect_new(&protect, choice, why, sizeof why) < 0) {
		printf("%-9s %s\n", protect_choice_text(choice), why);
		return false;
	}
	protect_count(&counted, protect);
	p = quic_pair_new(&(struct quic_pair_config){
		.client = &counted.protect, .server = &counted.protect });
	quic_pair_connect(p);
	while (quic_udp_payload(p->client.quic) < DATAGRAM_BYTES + 100)
		quic_pair_run(p, NS_PER_S);
	start = cpu_s();
	for (uint64_t i = 0; i < n; i++) {
		quic_pair_datagram(&p->client, DATAGRAM_BYTES);
		if (i % TURN == 0)
			quic_pair_run(p, NS_PER_US);
	}
	printf("%-9s %.0f ns a packet, both ends; %llu of %llu arrived; "
	       "keys changed %u times\n",
	       protect_name(protect), 1e9 * (cpu_s() - start) / (double)n,
	       (unsigned long long)p->server.n_datagrams, (unsigned long long)n,
	       /* Two ends; and the next key is always ready. */
	       counted.n_keys[PROTECT_OPEN] / 2 - 2);
	quic_pair_free(p);
	protect_free(protect);
	return true;
}

int main(int argc, char **argv)
{
	uint64_t n = argc > 1 ? strtoull(argv[1], NULL, 10) * MILLION : MILLION;
	bool did = false;

	for (int i = PROTECT_GNUTLS; i < PROTECT_CHOICES; i++) {
		enum protect_choice c = (enum protect_choice)i;

		if (argc <= 2 || strcmp(argv[2], protect_choice_text(c)) == 0)
			did |= measure(c, n);
	}
	return did ? EXIT_SUCCESS : EXIT_FAILURE;
}
