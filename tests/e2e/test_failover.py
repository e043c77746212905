"""A diamond, A - B - D and A - C - D: what breaks is gone round, and no
program that is running notices."""

import contextlib
import hashlib
import os
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


@pytest.fixture
def whole(lab):
    """Every wire in order, and a session on each."""
    a, b, c, d = lab.daemons()
    for n in (b, c):
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
    """One way is cut and healed, then the other."""
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
        assert second is not first
        mark = a.mark()
        second.cut()
        a.log_wait("session down", mark, timeout=20)
        at = progress()
        wait_for("the first way again", lambda: progress() > at + 4, timeout=30)
    second.heal()
    assert arrived(lab) == want


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
