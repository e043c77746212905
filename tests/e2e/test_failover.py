"""A diamond, A - B - D and A - C - D: what breaks is gone round, and no
program that is running notices."""

import contextlib
import datetime
import hashlib
import os
import re
import subprocess
import time

import pytest

from netlab import PATIENCE, SOCKS_PORT, wait_for

MIB = 1024 * 1024


@pytest.fixture(scope="module")
def lab(make_lab):
    lab = make_lab("diamond")
    a, b, c = lab.nodes("a", "b", "c")
    d = lab.node("d", {"service web": {"port": 8080, "allow": "*"}})
    for left, right in ((a, b), (b, d), (a, c), (c, d)):
        lab.wire(left, right)
    lab.start()
    root = lab.dir / "www"
    root.mkdir()
    (root / "file").write_bytes(os.urandom(MIB) * 64)
    d.web(root, d.address)
    return lab


@pytest.fixture(scope="module")
def want(lab):
    return hashlib.sha256((lab.dir / "www" / "file").read_bytes()).hexdigest()


def interfaces_up(node):
    return {x["interface"] for x in node.ask("links")["links"] if x["state"] == "up"}


@pytest.fixture
def whole(lab):
    """Every wire in order, and a session on each."""
    a, b, c, d = lab.daemons()
    for n in (b, c):
        wait_for(f"both links of {n}", lambda: len(interfaces_up(n)) == 2, timeout=40)
        for end in (a, d):
            wait_for(f"{n} to reach {end}", lambda: n.reaches(end, 1), timeout=40)
    a.ping(d)
    return lab


@contextlib.contextmanager
def download(lab, socks, rate):
    """curl of 64 MiB at `rate` MiB/s; yields how to ask for its progress."""
    a, d = lab.hosts["a"], lab.hosts["d"]
    out = lab.dir / "got"
    out.unlink(missing_ok=True)
    proxy = ["--proxy", f"socks5h://127.0.0.1:{SOCKS_PORT}"] if socks else []
    child = a.popen("curl", "-sS", "-f", "-g", "--noproxy", "", *proxy, "--limit-rate", f"{rate}M",
                    "--max-time", 90 * PATIENCE, "-o", out, f"http://[{d.address}]:8080/file",
                    stderr=subprocess.PIPE)
    yield lambda: out.stat().st_size / MIB if out.exists() else 0
    _, err = child.communicate(timeout=100 * PATIENCE)
    assert child.returncode == 0, err.decode()


def arrived(lab):
    return hashlib.sha256((lab.dir / "got").read_bytes()).hexdigest()


def in_use(lab):
    """The wire of A that carries the download."""
    ab, _, ac, _ = lab.wires
    before = ab.bytes(), ac.bytes()
    wait_for("the download to move", lambda: ab.bytes() + ac.bytes() - sum(before) > MIB)
    return ab if ab.bytes() - before[0] > ac.bytes() - before[1] else ac


@pytest.mark.parametrize("way", ["socks", "tun"])
@pytest.mark.parametrize("how", ["cut", "swallow"])
def test_a_download_outlives_its_wire(whole, want, how, way):
    """The cable is pulled, or loses everything in silence."""
    lab = whole
    with download(lab, way == "socks", 16) as progress:
        wait_for("a quarter of the file", lambda: progress() > 16)
        wire = in_use(lab)
        mark = lab.hosts["a"].mark()
        getattr(wire, how)()
        at, start = progress(), time.monotonic()
        wait_for("the rest to flow", lambda: progress() > at + 8, timeout=30)
        print(f"{wire} {how}: 8 MiB more after {time.monotonic() - start:.2f} s")
    # A device that is gone says nothing of what the kernel can do.
    assert not lab.hosts["a"].log_find("kernel refuses UDP segmentation", mark)
    {"cut": wire.heal, "swallow": wire.restore}[how]()
    assert arrived(lab) == want


def test_a_pulled_cable_is_noticed_at_once(whole):
    """Both ends lose the carrier, and have nothing to say at that moment."""
    lab = whole
    wire = lab.wires[0]
    ends = [(n, n.mark()) for n, _ in wire.ends]
    wire.cut()
    try:
        for n, mark in ends:
            n.log_wait("session down", mark, timeout=1)
    finally:
        wire.heal()
    for n, mark in ends:
        n.log_wait("session up", mark, timeout=30)


def test_an_interface_that_is_down_is_noticed_by_sending(make_short_lab):
    """Without beacons nobody watches the interfaces."""
    lab = make_short_lab("down")
    a, b = lab.nodes("a", "b", sections={"discovery": {"lan": "off"}})
    wire = lab.wire(a, b, static=True)
    lab.start()
    a.ping(b)
    pings = a.popen("ping", "-6", "-i", "0.1", b.address, stdout=subprocess.DEVNULL)
    mark = a.mark()
    wire.cut()
    a.log_wait("session down.*the interface is down", mark, timeout=0.5)
    pings.kill()
    wire.heal()
    a.ping(b)


def test_a_download_outlives_a_relay(whole, want):
    """kill -9 of the node in the middle, which comes back later."""
    lab = whole
    with download(lab, True, 16) as progress:
        wait_for("a quarter of the file", lambda: progress() > 16)
        wire = in_use(lab)
        relay = wire.ends[1][0]
        relay.kill()
    lab.start(relay)
    assert arrived(lab) == want


def test_a_download_survives_two_cuts(whole, want):
    """The way in use is cut and healed; then that which is in use by then."""
    lab = whole
    with download(lab, True, 8) as progress:
        wait_for("the start", lambda: progress() > 8)
        first = in_use(lab)
        a = lab.hosts["a"]
        mark = a.mark()
        first.cut()
        a.log_wait("session down", mark, timeout=20)
        at = progress()
        wait_for("the second way", lambda: progress() > at + 4, timeout=30)
        mark = a.mark()
        first.heal()
        a.log_wait("session up", mark, timeout=30)
        second = in_use(lab)
        mark = a.mark()
        second.cut()
        a.log_wait("session down", mark, timeout=20)
        at = progress()
        wait_for("the other way", lambda: progress() > at + 4, timeout=30)
    second.heal()
    assert arrived(lab) == want


@contextlib.contextmanager
def pinging(lab):
    """20 pings a second from A to D; yields what tells when answers came."""
    a, d = lab.hosts["a"], lab.hosts["d"]
    log = lab.dir / "pings"
    with open(log, "w") as out:
        child = a.popen("ping", "-6", "-n", "-D", "-i", "0.05", "-s", 1000, d.address, stdout=out)
    try:
        yield lambda: [float(t) for t in re.findall(r"\[([\d.]+)\].*time=", log.read_text())]
    finally:
        child.kill()
        child.wait()


def carrying(lab, times):
    """The relay in use, once there is a spare that was measured."""
    a = lab.hosts["a"]

    def path():
        return [p for p in a.ask("path")["paths"] if p["target"]["name"] == "d" and p["spare"]]
    wait_for("a spare", path, timeout=40)
    seen = len(times())
    ab, _, ac, _ = lab.wires
    before = ab.bytes(), ac.bytes()
    wait_for("more pings", lambda: len(times()) > seen + 30, timeout=20)
    return lab.hosts["b" if ab.bytes() - before[0] > ac.bytes() - before[1] else "c"]


def longest_gap(times, since):
    seen = [t for t in times() if t > since - 0.5]
    return max(b - a for a, b in zip(seen, seen[1:]))


def logged_at(node, pattern, since):
    line = node.log_wait(rf"^(\S+) .*{pattern}", since)
    return datetime.datetime.fromisoformat(line.group(1).replace("Z", "+00:00")).timestamp()


def test_pings_leave_a_silent_relay_before_its_session_ends(whole):
    lab = whole
    a = lab.hosts["a"]
    with pinging(lab) as times:
        relay = carrying(lab, times)
        wires = [w for w in lab.wires if relay in [n for n, _ in w.ends]]
        mark, at = a.mark(), time.time()
        for wire in wires:
            wire.swallow()
        broken = time.time()
        wait_for("pings again", lambda: len([t for t in times() if t > broken]) > 10, timeout=30)
        ended = logged_at(a, "session down.*the peer does not answer", mark)
        print(f"{relay} silent: {longest_gap(times, at):.2f} s without an answer")
        assert min(t for t in times() if t > broken) < ended
    for wire in wires:
        wire.restore()


def test_a_killed_relay_is_known_to_be_gone(whole):
    """Its kernel says so; nobody waits for silence to tell."""
    lab = whole
    a = lab.hosts["a"]
    with pinging(lab) as times:
        relay = carrying(lab, times)
        mark, at = a.mark(), time.time()
        relay.kill()
        a.log_wait("session down.*nobody listens there any more", mark, timeout=10)
        seen = len(times())
        wait_for("pings again", lambda: len(times()) > seen + 10, timeout=30)
        print(f"{relay} killed: {longest_gap(times, at):.2f} s without an answer")
    lab.start(relay)


def test_two_wires_between_the_same_two(make_short_lab):
    """As WiFi and Ethernet: a session on each, and one stands in for the other."""
    lab = make_short_lab("twins")
    a, d = lab.node("a"), lab.node("d", {"service web": {"port": 8080, "allow": "*"}})
    wires = lab.wire(a, d), lab.wire(a, d)
    lab.start()
    wait_for("two sessions", lambda: len(a.ask("links")["links"]) == 2, timeout=20)
    root = lab.dir / "www"
    root.mkdir()
    (root / "file").write_bytes(os.urandom(MIB) * 48)
    d.web(root, d.address)
    with download(lab, True, 16) as progress:
        wait_for("the start", lambda: progress() > 8)
        before = [w.bytes() for w in wires]
        wait_for("more", lambda: progress() > 12)
        used = max(zip(wires, before), key=lambda pair: pair[0].bytes() - pair[1])[0]
        used.cut()
    assert arrived(lab) == hashlib.sha256((root / "file").read_bytes()).hexdigest()
    used.heal()
    wait_for("two sessions again", lambda: len([x for x in a.ask("links")["links"] if x["state"] == "up"]) == 2, 30)
