"""What is measured: which tables there are, and how their figures are had."""

import json
import statistics
import time

import measure
import netlab
import quiet
from topology import DIAMOND, LINES, Cable, ground


class Figure:
    """One column; `better` says which end of it is good."""

    def __init__(self, key, title, better, digits):
        self.key, self.title, self.better, self.digits = key, title, better, digits


GBIT = Figure("rate", "Gbit/s", "more", 3)
MBIT = Figure("rate", "TCP, Mbit/s", "more", 1)
CPU = Figure("cpu", "CPU s/GB", "less", 2)
LOADED = Figure("loaded", "ping meanwhile, ms", "less", 2)
IDLE = Figure("idle", "ping, idle, ms", "less", 3)
START = Figure("start", "start to first ping, ms", "less", 0)
RSS = Figure("rss", "peak RSS, MB", "less", 1)
PACKETS = Figure("packets", "100-byte packets, 1000/s", "more", 0)
PACKETS_GSO = Figure("packets_gso", "same, sent by 32 (GSO)", "more", 0)
FIRST_BYTE = Figure("first", "first byte, ms", "less", 2)
CONNS = Figure("conns", "done of 1000/s", "more", 0)
CONNS_LATE = Figure("late", "first byte then, 99 %, ms", "less", 1)
SOCKS = Figure("socks", "SOCKS, Mbit/s", "more", 1)
KILLED = Figure("killed", "relay killed, s", "less", 2)
SILENT = Figure("silent", "relay drops all, s", "less", 2)
ANEW = Figure("anew", "found and opened, /s", "more", 0)
REOPENED = Figure("reopened", "opened on a kept route, /s", "more", 0)


FIRST = Figure("first", "first ping, ms", "less", 1)
CIRCUIT = Figure("circuit", "its circuit, ms", "less", 0)
QUIET_RSS = Figure("rss", "RSS, MB", "less", 1)
SESSION = Figure("session", "each further one, kB", "less", 1)
NEIGHBOURS_RSS = Figure("idle", "RSS with 8, MB", "less", 1)
TRAFFIC = Figure("traffic", "a link's traffic, kB/s", "less", 3)


class Table:
    def __init__(self, key, title, *figures):
        self.key, self.title, self.figures = key, title, figures


TABLES = (
    Table("hop.1", "One hop, one TCP stream", GBIT, CPU, LOADED),
    Table("hop.8", "One hop, eight TCP streams", GBIT, CPU, LOADED),
    Table("hop", "One hop, all else", IDLE, START, RSS, PACKETS, PACKETS_GSO),
    Table("chain.1", "Three hops, A – B – C – D, one TCP stream", GBIT, CPU, LOADED),
    Table("chain.8", "Three hops, eight TCP streams", GBIT, CPU, LOADED),
    Table("chain", "Three hops, all else", IDLE, START, RSS),
    Table("socks", "SOCKS, one hop", GBIT, CPU, FIRST_BYTE, CONNS, CONNS_LATE),
    Table("socks.chain", "SOCKS, three hops", GBIT, CPU, FIRST_BYTE, CONNS, CONNS_LATE),
    Table("loss.0.1", "Three hops of 10 ms and 50 Mbit/s, each of which loses 0.1 %", MBIT, SOCKS),
    Table("loss.1", "Three hops of 10 ms and 50 Mbit/s, each of which loses 1 %", MBIT, SOCKS),
    Table("diamond", "Outage seen by 20 pings a second in a diamond, A – B – D and A – C – D", KILLED, SILENT),
    Table("quiet", "Three idle hops", FIRST, CIRCUIT, QUIET_RSS, TRAFFIC),
    Table("neighbours", "Idle neighbours", NEIGHBOURS_RSS, SESSION),
    Table("setups", "Circuits through one relay, a core for its router alone, quotas lifted", ANEW, REOPENED),
)


class Size:
    """How long everything takes.  `is_smoke`: only whether it works."""

    def __init__(self, rounds, seconds, pings, n_setups, is_smoke=False):
        self.rounds, self.seconds, self.pings = rounds, seconds, pings
        self.n_setups, self.is_smoke = n_setups, is_smoke


FULL = Size(5, 5, 200, 300)
QUICK = Size(2, 2, 100, 200)
SMOKE = Size(1, 1, 20, 10, is_smoke=True)


def keyed(table, **values):
    return {(table, key): v for key, v in values.items()}


class Scenario:
    """One ground and what is asked of it: measure() yields pieces of a dict of
    (table, figure) to number, so that what failed takes nothing with it that
    was had before."""
    key = ""
    role = ""

    def ground(self, kind, size):
        raise NotImplementedError

    def prepare(self, g, size):
        """Once for each ground."""

    def measure(self, g, size):
        raise NotImplementedError


class Line(Scenario):
    def __init__(self, key, role, n):
        self.key, self.role, self.n = key, role, n

    def ground(self, kind, size):
        return ground(kind, LINES[self.n])

    def measure(self, g, size):
        yield keyed(self.key, start=g.start_ms() if g.candidate.kind != "bare" else None)
        yield keyed(self.key, idle=measure.ping_idle_ms(g, size.pings))
        for streams in (1,) if size.is_smoke else (1, 8):
            got = measure.tcp(g, streams, size.seconds, omit=0 if size.is_smoke else 1)
            if g.candidate.kind == "bare":
                got["cpu"] = None
            yield keyed(f"{self.key}.{streams}", **got)
        if self.n == 2:
            yield keyed(self.key, packets=measure.packets_per_ms(g, size.seconds, 1))
            yield keyed(self.key, packets_gso=measure.packets_per_ms(g, size.seconds, 32))
        yield keyed(self.key, rss=measure.rss_peak_mb(g.candidate))


class Socks(Scenario):
    def __init__(self, key, role, n):
        self.key, self.role, self.n = key, role, n

    def ground(self, kind, size):
        return ground(kind, LINES[self.n])

    def prepare(self, g, size):
        g.start()
        measure.web(g)
        netlab.wait_for("the proxy", lambda: measure.conns(g, 20, 0.1)["done"] == 2, g.candidate.ready_s, 0.2)

    def measure(self, g, size):
        yield keyed(self.key, first=measure.conns(g, 40, min(size.seconds, 2))["median_ms"])
        short = measure.conns(g, 1000, size.seconds)
        yield keyed(self.key, conns=short["per_s"], late=short["p99_ms"])
        got = measure.download(g, size.seconds)
        if g.candidate.kind == "bare":
            got["cpu"] = None
        yield keyed(self.key, **got)


class Loss(Scenario):
    role = "lossy"

    def __init__(self, percent):
        self.key, self.percent = f"loss.{percent}", float(percent)

    def ground(self, kind, size):
        cable = Cable(delay_ms=10, loss=self.percent / 100, rate_mbit=50)
        return ground(kind, LINES[2 if size.is_smoke else 4], cable)

    def prepare(self, g, size):
        g.start_ms()

    def measure(self, g, size):
        # It takes some round trips of 60 ms to know what such a way carries.
        seconds = size.seconds if size.is_smoke else max(6, 2 * size.seconds)
        got = measure.tcp(g, 1, seconds, omit=0 if size.is_smoke else 2)
        yield keyed(self.key, rate=got["rate"] * 1000)
        if "socks chain" in g.candidate.roles and g.candidate.kind == "own":
            measure.web(g)
            yield keyed(self.key, socks=measure.download(g, seconds)["rate"] * 1000)


class Diamond(Scenario):
    key = "diamond"
    role = "diamond"
    patience_s = 75

    def __init__(self, how):
        self.how = how

    def ground(self, kind, size):
        return ground(kind, DIAMOND)

    def prepare(self, g, size):
        for host in g.hosts:
            g.candidate.start(host)
        for host in g.hosts[1:3]:
            netlab.wait_for("its address", lambda: g.has_address(host), g.candidate.ready_s)
            measure.first_ping_ms(host, g.address(), g.candidate.ready_s)
        measure.first_ping_ms(g.first, g.address(), g.candidate.ready_s)
        if not size.is_smoke:
            time.sleep(g.candidate.settle_s)

    def silence(self, g, relay):
        for wire, _ in g.candidate.neighbours(relay):
            wire.swallow()

    def measure(self, g, size):
        break_it = g.candidate.kill if self.how == "killed" else lambda relay: self.silence(g, relay)
        yield keyed("diamond", **{self.how: measure.outage_s(g, break_it, self.patience_s)})


class Setups(Scenario):
    """No ground: one process plays the relay and both ends."""
    key = "setups"
    role = ""

    def measure(self, g, size):
        out = netlab.run(measure.TOOLS / "setups", size.n_setups).stdout
        yield keyed("setups", **json.loads(out))


class Quiet(Scenario):
    """A ground of its own: its nodes are started anew."""
    key = "quiet"
    role = ""

    def measure(self, g, size):
        yield keyed("quiet", **quiet.take(size))


class Neighbours(Scenario):
    """No ground: one process plays them all, on the loopback."""
    key = "neighbours"
    role = ""

    def measure(self, g, size):
        n, seconds = (12, 1) if size.is_smoke else (100, 12)
        out = netlab.run(measure.TOOLS / "neighbours", netlab.BUILD / "qanatd", n, seconds).stdout
        yield keyed("neighbours", **json.loads(out))


SCENARIOS = (Line("hop", "hop", 2), Line("chain", "chain", 4),
             Socks("socks", "socks", 2), Socks("socks.chain", "socks chain", 4),
             Loss("0.1"), Loss("1"), Diamond("killed"), Diamond("silent"), Setups(), Quiet(), Neighbours())
# Each kind of them once.
SMOKE_SCENARIOS = tuple(SCENARIOS[i] for i in (0, 2, 5, 6, 8, 9, 10))


def median(values):
    values = [v for v in values if v is not None]
    return statistics.median(values) if values else None
