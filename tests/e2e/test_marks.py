"""A relay of a full link marks packets in place of dropping them: A and D both send to C,
over B and a slow wire."""

import contextlib
import hashlib
import os
import subprocess
import sys

import pytest

import netlab
from netlab import wait_for
from test_garbage import counters

sys.path.insert(0, str(netlab.REPO / "tests" / "bench"))
from topology import Cable, ImpairedWire  # noqa: E402

PORTS = 5201, 5202
# What is sealed past QUIC does not wait at B.
SECTIONS = {"node": {"sealed": "off"}, "tun": {"splice": "off"}, "service web": {"port": 8080, "allow": "*"},
            **{f"service tcp{port}": {"port": port, "allow": "*"} for port in PORTS}}
CABLE = Cable(delay_ms=2, rate_mbit=30)


@pytest.fixture(scope="module")
def lab(make_lab):
    subprocess.run(["make", "-s", f"MODE={netlab.BUILD.name}", "bench-tools"], cwd=netlab.REPO, check=True, timeout=600)
    lab = make_lab("marks")
    a, d, b, c = lab.nodes("a", "d", "b", "c", sections=SECTIONS)
    lab.wire(a, b, static=True)
    lab.wire(d, b, static=True)
    ImpairedWire(lab, b, c, CABLE, static=True)
    lab.start()
    for n in (a, d):
        n.ping(c, 20)
    return lab


class Counts:
    """What has been counted since."""

    def __init__(self, node):
        self.node, self.before = node, counters(node)

    def __call__(self, part, name):
        return counters(self.node)[part][name] - self.before[part][name]


def echoed_marks(node):
    """Segments of which TCP's peer has said that they came marked."""
    lines = [line.split() for line in node.run("cat", "/proc/net/netstat").stdout.splitlines()]
    named = dict(zip(*(line for line in lines if line[0] == "TcpExt:")))
    return int(named["TCPDeliveredCE"])


@contextlib.contextmanager
def floods(lab):
    """A and D send to C as fast as TCP lets them."""
    c, running = lab.hosts["c"], []
    try:
        for port in PORTS:
            running.append(c.popen("iperf3", "-s", "-1", "-p", port, stdout=subprocess.DEVNULL))
            wait_for("iperf3", lambda: c.run("ss", "-Hltn", f"sport = :{port}").stdout)
        for name, port in zip("ad", PORTS):
            running.append(lab.hosts[name].popen("iperf3", "-c", c.address, "-p", port, "-t", 120,
                                                 stdout=subprocess.DEVNULL))
        yield
    finally:
        for process in reversed(running):
            netlab.end(process)
        # What the kernel still had to send would be counted in the next test.
        wait_for("the last segments", lambda: not any(sending(n) for n in lab.hosts.values()), 60)


def sending(node):
    """Whether TCP of it has something to send."""
    states = [word for s in ("established", "fin-wait-1", "closing", "last-ack", "close-wait") for word in ("state", s)]
    return node.run("ss", "-Htn", *states).stdout.strip() != ""


def with_ecn(lab, value):
    for n in lab.hosts.values():
        n.sysctl("net.ipv4.tcp_ecn", value)


def test_apps_with_ecn_are_told_by_marks(lab):
    a, d, b, c = (lab.hosts[name] for name in "adbc")
    at_b, at_c, before = Counts(b), Counts(c), echoed_marks(a) + echoed_marks(d)
    with_ecn(lab, 1)
    with floods(lab):
        wait_for("a mark to come back", lambda: echoed_marks(a) + echoed_marks(d) > before, 60)
    assert at_b("sessions", "queue_marked") >= at_c("tun", "marked") > 0
    assert at_b("sessions", "queue_late") == 0
    assert at_c("tun", "unmarkable") == 0


def test_apps_without_it_are_told_by_losses(lab):
    a, d, b, c = (lab.hosts[name] for name in "adbc")
    at_b, at_c, before = Counts(b), Counts(c), echoed_marks(a) + echoed_marks(d)
    with_ecn(lab, 0)
    with floods(lab):
        wait_for("a loss at the end", lambda: at_c("tun", "unmarkable") > 0, 60)
    assert at_b("sessions", "queue_marked") >= at_c("tun", "unmarkable")
    assert at_b("sessions", "queue_late") == 0
    assert at_c("tun", "marked") == 0
    assert echoed_marks(a) + echoed_marks(d) == before


def test_streams_that_are_marked_bring_all(lab):
    b, c = lab.hosts["b"], lab.hosts["c"]
    at_b = Counts(b)
    root = lab.dir / "www"
    root.mkdir()
    data = os.urandom(1 << 20) * 24
    (root / "file").write_bytes(data)
    downloads = []
    for name in "ad":
        n = lab.hosts[name]
        n.web(root, n.address)
        downloads.append((lab.dir / f"from-{name}", n))
    running = [c.popen("curl", "-sS", "-f", "--proxy", f"socks5h://127.0.0.1:{netlab.SOCKS_PORT}", "-o", out,
                       f"http://{n.fuse}:8080/file") for out, n in downloads]
    for process in running:
        assert process.wait(120 * netlab.PATIENCE) == 0
    for out, _ in downloads:
        assert hashlib.sha256(out.read_bytes()).digest() == hashlib.sha256(data).digest()
    assert at_b("sessions", "queue_marked") > 0
    assert at_b("sessions", "queue_late") == 0
