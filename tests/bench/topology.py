"""Lines and diamonds of namespaces with one candidate in them."""

import contextlib
import subprocess
import time

import netlab
import measure

TOOLS = netlab.BUILD / "tests" / "bench"  # the bench's own programs


class Cable:
    """What a wire does to packets, in each direction."""

    def __init__(self, delay_ms=0, loss=0.0, rate_mbit=0, queue_ms=50):
        self.delay_ms, self.loss, self.rate_mbit, self.queue_ms = delay_ms, loss, rate_mbit, queue_ms


class ImpairedWire(netlab.Wire):
    """A wire whose packets pass by our own relay."""

    def __init__(self, lab, a, b, cable, **kw):
        self.lab, self.cable = lab, cable
        super().__init__(lab, a, b, **kw)

    def plug(self):
        (a, at_a), (b, at_b) = self.ends
        c = self.cable
        self.relay = a.popen(TOOLS / "impair", a.ns, at_a, b.ns, at_b, int(c.delay_ms * 1000), int(c.loss * 1e6),
                             int(c.rate_mbit * 1000), c.queue_ms, len(self.lab.wires), stdout=subprocess.PIPE)
        if self.relay.stdout.readline() != b"ready\n":
            raise netlab.LabError("the impairment relay does not start")


class Ground:
    """A lab with one candidate's daemons in it."""

    def __init__(self, kind, pairs, cable=None):
        self.lab = kind.make_lab()
        try:
            self.candidate = kind(self.lab)
            for name in sorted({n for pair in pairs for n in pair}):
                self.candidate.make_host(name)
            for a, b in pairs:
                a, b = self.lab.hosts[a], self.lab.hosts[b]
                if cable:
                    ImpairedWire(self.lab, a, b, cable, static=kind.static_wires)
                else:
                    self.lab.wire(a, b, static=kind.static_wires)
            self.hosts = self.candidate.hosts()
            self.first, self.last = self.hosts[0], self.hosts[-1]
            self.candidate.prepare()
            self.use_cubic()
        except BaseException:
            self.close()
            raise

    def use_cubic(self):
        """For every program that is measured, whatever carries it.  A kernel
        whose own choice is another one may not let a namespace choose: then its
        routes do, those that a candidate makes included."""
        for host in self.lab.hosts.values():
            done = host.run("sysctl", "-qw", "net.ipv4.tcp_congestion_control=cubic", check=False)
            if done.returncode == 0:
                continue
            for family, table in (("-4", "main"), ("-4", "local"), ("-6", "main")):
                for line in host.run("ip", "-o", family, "route", "show", "table", table).stdout.splitlines():
                    words = [w for w in line.split() if w not in ("linkdown", "\\")]
                    if words[0] not in ("unreachable", "broadcast", "multicast") and "congctl" not in words:
                        host.run("ip", family, "route", "replace", *words, "table", table, "congctl", "cubic")

    def address(self):
        return self.candidate.address(self.last)

    def start_ms(self):
        """Starts them, A last, when all others have found each other; how long
        A took to its first answer from the far end."""
        c = self.candidate
        for host in self.hosts[1:]:
            c.start(host)
        second = self.hosts[1]
        netlab.wait_for(f"{c.name} to be ready", lambda: self.has_address(second) and self.has_address(self.last),
                        c.ready_s)
        if second is not self.last:
            measure.first_ping_ms(second, self.address(), c.ready_s)
        else:
            time.sleep(0.5)  # whatever it does at its start, in peace
        before = time.monotonic()
        c.start(self.first)
        measure.first_ping_ms(self.first, self.address(), c.ready_s)
        took = (time.monotonic() - before) * 1000
        c.check()
        self.use_cubic()
        return took

    def start(self):
        """Starts them, for those that carry no pings as well."""
        for host in reversed(self.hosts):
            self.candidate.start(host)
        self.use_cubic()

    def has_address(self, host):
        try:
            wanted = self.candidate.address(host)
        except netlab.LabError:
            return False
        words = host.run("ip", "-o", "addr", "show").stdout.replace("/", " ").split()
        return wanted in words

    def close(self):
        try:
            if hasattr(self, "candidate"):
                self.candidate.close()
        finally:
            self.lab.close()


LINES = {2: [("a", "b")], 4: [("a", "b"), ("b", "c"), ("c", "d")]}
DIAMOND = [("a", "b"), ("b", "d"), ("a", "c"), ("c", "d")]


@contextlib.contextmanager
def ground(kind, pairs, cable=None):
    g = Ground(kind, pairs, cable)
    try:
        yield g
        g.candidate.check()
    finally:
        g.close()
