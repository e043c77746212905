/* The options of a UDP socket that QUIC packets go through. */
#pragma once

#include <stdbool.h>

/* What is needed: 0 or -errno.  And what is good to have. */
int udp_option_set(int fd, int family);
/* Whether the kernel gathers datagrams on reading. */
bool udp_option_gro(int fd);
