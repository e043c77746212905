"""The same wires with the kernel forwarding and nothing on them: what the
machine can do, no rival."""

from candidates.base import Candidate


class Bare(Candidate):
    name = "bare wire"
    kind = "bare"
    roles = frozenset({"hop", "chain", "socks", "socks chain", "lossy"})

    def prepare(self):
        route(self)

    def address(self, host):
        """On the last wire, as seen from A."""
        wire, _ = list(self.neighbours(host))[0]
        return self.outer(wire, host)

    def proxy(self, client, server):
        return "none", 0, self.address(server)


def route(candidate):
    """Routes of IPv4 along a line, in both directions."""
    hosts, wires = candidate.hosts(), candidate.lab.wires
    candidate.forward()
    for i, host in enumerate(hosts):
        for n, wire in enumerate(wires):
            if n > i:  # beyond the neighbour on the right
                via = candidate.outer(wires[i], hosts[i + 1])
            elif n < i - 1:
                via = candidate.outer(wires[i - 1], hosts[i - 1])
            else:
                continue
            host.run("ip", "route", "add", f"10.77.{n}.0/24", "via", via)
