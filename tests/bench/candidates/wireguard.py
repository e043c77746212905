"""wireguard-go.  It has no routing of its own: on a line its routes are static,
in a mesh babeld finds them."""

import contextlib
import itertools
import os
import pathlib

import netlab
from candidates.base import PORT, SOCKS_PORT, Inner4

SOCKETS = pathlib.Path("/var/run/wireguard")  # of every namespace
serial = itertools.count()


class WireGuard(Inner4):
    name = "wireguard-go"
    programs = ("wireguard-go", "wg")
    packages = ("wireguard-go",)
    roles = frozenset({"hop", "chain", "lossy"})
    devices = ()

    def prepare(self):
        self.devices = []
        self.keys = {}
        for host in self.hosts():
            private = netlab.run("wg", "genkey").stdout.strip()
            path = host.dir / "key"
            path.write_text(private)
            self.keys[host] = netlab.run("wg", "pubkey", input=private).stdout.strip()
        self.forward()

    def device(self, host, port, peers):
        """One device; `peers` are (host, its endpoint, what it may send)."""
        # Its control socket lies where all namespaces meet.
        dev = f"w{os.getpid() % 100000}x{next(serial)}"
        self.devices.append(dev)
        self.spawn(host, "env", "LOG_LEVEL=error", "wireguard-go", "-f", dev)
        netlab.wait_for("wireguard-go", (SOCKETS / f"{dev}.sock").exists, interval=0.002)
        more = []
        for peer, endpoint, allowed in peers:
            more += ["peer", self.keys[peer], "endpoint", endpoint, "allowed-ips", ",".join(allowed)]
        host.run("wg", "set", dev, "listen-port", port, "private-key", host.dir / "key", *more)
        return dev

    def start(self, host):
        peers, routes = [], []
        for wire, other in self.neighbours(host):
            beyond = [h for h in self.hosts() if (self.number(h) > self.number(host)) ==
                      (self.number(other) > self.number(host)) and h is not host]
            peers.append((other, f"{self.outer(wire, other)}:{PORT}", [f"{self.inner(h)}/32" for h in beyond]))
            routes += beyond
        dev = self.device(host, PORT, peers)
        commands = [f"addr add {self.inner(host)}/32 dev {dev}", f"link set {dev} up"]
        commands += [f"route add {self.inner(h)}/32 dev {dev}" for h in routes]
        host.run("ip", "-b", "-", input="\n".join(commands))

    def close(self):
        for dev in self.devices:
            with contextlib.suppress(FileNotFoundError):
                (SOCKETS / f"{dev}.sock").unlink()


class WireGuardBabel(WireGuard):
    """A device for each wire, and babeld over all of them."""
    name = "wireguard-go + babeld"
    programs = ("wireguard-go", "wg", "babeld")
    packages = ("wireguard-go", "babeld")
    roles = frozenset({"diamond"})
    ready_s = 60
    settle_s = 15

    def start(self, host):
        devices = []
        for wire, other in self.neighbours(host):
            port = PORT + self.lab.wires.index(wire)
            end = f"{self.outer(wire, other)}:{port}"
            dev = self.device(host, port, [(other, end, ("0.0.0.0/0", "::/0"))])
            n = self.lab.wires.index(wire)
            host.run("ip", "-b", "-", input=f"addr add fe80::{n}:{self.number(host)}/64 dev {dev}\n"
                     f"link set {dev} multicast on up")
            devices.append(dev)
        host.run("ip", "addr", "add", f"{self.inner(host)}/32", "dev", "lo")
        self.spawn(host, "babeld", "-I", "", "-S", host.dir / "babel-state",
                   "-C", f"redistribute local ip {self.inner(host)}/32 allow", "-C", "redistribute local deny",
                   *(word for dev in devices for word in ("-C", f"interface {dev} type tunnel")))


class MicroSocks(WireGuard):
    """A SOCKS server at the far end of wireguard-go."""
    name = "microsocks over wireguard-go"
    programs = ("wireguard-go", "wg", "microsocks")
    packages = ("wireguard-go", "microsocks")
    roles = frozenset({"socks", "socks chain"})

    def start(self, host):
        super().start(host)
        if host is self.hosts()[-1]:
            self.spawn(host, "microsocks", "-i", "0.0.0.0", "-p", str(SOCKS_PORT))

    def proxy(self, client, server):
        return self.inner(server), SOCKS_PORT, "127.0.0.1"
