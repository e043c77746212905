"""What the bench asks of whatever it measures.

A candidate is one way to join machines, set up in the namespaces of one lab:
prepare() writes its files once the wires are there and is not timed; start()
runs it on one host and is.  What it runs in the background goes through
spawn(), so that its processor time, its memory and its end are known.
"""

import shutil
import signal
import subprocess

import netlab

SOCKS_PORT = 1080
PORT = 4500  # of the tunnels, on every host
# Where a shell may not look, but the daemons are.
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class Candidate:
    name = ""
    programs = ()       # which it needs
    packages = ()       # whose versions are told with the figures
    roles = frozenset()  # of "hop", "chain", "socks", "socks chain", "lossy", "diamond"
    kind = "rival"      # "own", "rival", or "bare": no ratio is made with it
    is_standing = False  # dear to start: one lab serves all rounds
    static_wires = False
    ready_s = 20
    settle_s = 3        # before something is broken on purpose

    def __init__(self, lab):
        self.lab = lab
        self.running = {}

    @classmethod
    def missing(cls):
        return [p for p in cls.programs if not shutil.which(p, path=PATH)]

    @classmethod
    def make_lab(cls):
        return netlab.Lab("bench", ca=False)

    def make_host(self, name):
        return self.lab.host(name)

    def prepare(self):
        pass

    def start(self, host):
        pass

    def address(self, host):
        """Where programs on other hosts reach this one, once it runs."""
        raise NotImplementedError

    def proxy(self, client, server):
        """SOCKS: address and port of the proxy that the client uses, and the
        name or address by which it then asks for the server."""
        raise NotImplementedError

    def close(self):
        pass

    # Its processes

    def spawn(self, host, *argv, **kw):
        with open(host.dir / "daemon.log", "ab") as log:
            kw.setdefault("stdin", subprocess.DEVNULL)
            child = host.popen(*argv, stdout=log, stderr=log, **kw)
        self.running.setdefault(host.name, []).append(child)
        return child

    def kill(self, host):
        """As the power cut does it."""
        for child in self.running.pop(host.name, []):
            netlab.end(child, signal.SIGKILL)

    def roots(self):
        """The processes that were started, without their children."""
        return [c.pid for children in self.running.values() for c in children]

    def check(self):
        for name, children in self.running.items():
            for c in children:
                if c.poll() is not None:
                    log = self.lab.dir / name / "daemon.log"
                    raise netlab.LabError(f"{self.name} on {name} ended by itself, exit {c.returncode}:\n"
                                          + log.read_text(errors="replace")[-2000:])

    # The network around it

    def hosts(self):
        return list(self.lab.hosts.values())

    def number(self, host):
        return self.hosts().index(host) + 1

    def neighbours(self, host):
        """(wire, the host at its other end), of every wire."""
        for wire in self.lab.wires:
            ends = [h for h, _ in wire.ends]
            if host in ends:
                yield wire, ends[1 - ends.index(host)]

    def outer(self, wire, host):
        """The IPv4 address of `host` on this wire."""
        return wire.addresses[host.name][0]

    def inner(self, host):
        return f"10.88.0.{self.number(host)}"

    def forward(self, *hosts):
        for h in hosts or self.hosts():
            h.sysctl("net.ipv4.ip_forward", 1)
            h.sysctl("net.ipv6.conf.all.forwarding", 1)


class Inner4(Candidate):
    """One whose hosts are 10.88.0.1, 10.88.0.2, … inside."""

    def address(self, host):
        return self.inner(host)
