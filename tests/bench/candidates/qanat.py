"""Ourselves."""

import netlab
from candidates.base import SOCKS_PORT, Candidate

SERVICES = {
    "service web": {"port": 8080, "allow": "*"},
    "service iperf": {"port": 5201, "proto": "both", "allow": "*"},
    "service packets": {"port": 7000, "proto": "udp", "allow": "*"},
}


class Qanat(Candidate):
    name = "qanat"
    kind = "own"
    roles = frozenset({"hop", "chain", "socks", "socks chain", "lossy", "diamond"})
    static_wires = True

    @classmethod
    def make_lab(cls):
        return netlab.Lab("bench")

    def make_host(self, name):
        return self.lab.node(name, SERVICES)

    def prepare(self):
        # Each asks openssl, which would be timed.
        self.addresses = {h: h.address for h in self.hosts()}
        self.names = {h: h.fuse for h in self.hosts()}

    def start(self, host):
        host.start()

    def kill(self, host):
        host.kill()

    def roots(self):
        return [h.process.pid for h in self.hosts() if h.process]

    def check(self):
        self.lab.check()

    def address(self, host):
        return self.addresses[host]

    def proxy(self, client, server):
        return "127.0.0.1", SOCKS_PORT, self.names[server]
