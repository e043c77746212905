"""Circuit packets go past QUIC, where both ends of a link want it: A - B - C, all of
whom do so from the first packet on, and D behind B, who does not."""

import hashlib
import os
import subprocess

import pytest

from netlab import PATIENCE, SEALED, SOCKS_PORT, wait_for
from test_garbage import counters

pytestmark = pytest.mark.skipif(SEALED == "off", reason="QANAT_SEALED is off")

MIB = 1024 * 1024
ALWAYS = {"service web": {"port": 8080, "allow": "*"}, "node": {"sealed": "always"}}


@pytest.fixture(scope="module")
def lab(make_lab):
    lab = make_lab("sealed")
    a, b, c = lab.nodes("a", "b", "c", sections=ALWAYS)
    d = lab.node("d", {**ALWAYS, "node": {"sealed": "off"}})
    for left, right in ((a, b), (b, c), (b, d)):
        lab.wire(left, right)
    lab.start()
    root = lab.dir / "www"
    root.mkdir()
    (root / "file").write_bytes(os.urandom(MIB) * 64)
    for n in (c, d):
        a.ping(n, 20)
        n.web(root, n.address)
    return lab


@pytest.fixture(scope="module")
def want(lab):
    return hashlib.sha256((lab.dir / "www" / "file").read_bytes()).hexdigest()


def link(node, peer):
    return next(l for l in node.ask("links")["links"] if l["display_name"] == peer and l["state"] == "up")


def packets(node, peer):
    """Circuit packets of its session with that peer: all of them, and the sealed ones."""
    l = link(node, peer)
    return (l["rx_packets"] + l["tx_packets"], l["rx_sealed_packets"] + l["tx_sealed_packets"])


def fetch(lab, node, socks, ends):
    """The hash of a download by A, and what it adds to the packets between two nodes."""
    a = lab.hosts["a"]
    out = lab.dir / "got"
    before = packets(*ends)
    a.curl(f"http://[{node.address}]:8080/file", "-f", "-o", out, socks=socks, timeout=60)
    return hashlib.sha256(out.read_bytes()).hexdigest(), *(n - was for n, was in zip(packets(*ends), before))


@pytest.mark.parametrize("socks", [True, False], ids=["socks", "tun"])
def test_circuits_go_past_quic(lab, want, socks):
    a, b, c = (lab.hosts[n] for n in "abc")
    for ends in ((a, "b"), (b, "c")):
        got, n, n_sealed = fetch(lab, c, socks, ends)
        assert got == want
        assert n > 64 * MIB / 1500
        assert n_sealed > 0.9 * n, f"{n_sealed} of {n}"
        assert link(*ends)["is_sealing"]
    assert not a.log_find("loses packets")


def test_a_neighbour_that_does_not_want_it_gets_quic(lab, want):
    got, n, n_sealed = fetch(lab, lab.hosts["d"], True, (lab.hosts["b"], "d"))
    assert got == want
    assert n > 64 * MIB / 1500
    assert n_sealed == 0


def test_a_wire_that_loses_them_alone(lab, want):
    """Whatever knows QUIC and nothing else: QUIC has the packets back."""
    a, b, c = (lab.hosts[n] for n in "abc")
    out = lab.dir / "got"
    out.unlink(missing_ok=True)
    doubted = counters(c)["sessions"]["seal_doubted"]
    child = a.popen("curl", "-sS", "-f", "-g", "--noproxy", "", "--proxy", f"socks5h://127.0.0.1:{SOCKS_PORT}",
                    "--limit-rate", "16M", "--max-time", 60 * PATIENCE, "-o", out,
                    f"http://[{c.address}]:8080/file", stderr=subprocess.PIPE)
    try:
        wait_for("the start of the file", lambda: out.exists() and out.stat().st_size > 8 * MIB)
        b.run("nft", "add table inet middlebox")
        b.run("nft", "add chain inet middlebox in { type filter hook input priority 0; }")
        b.run("nft", 'add rule inet middlebox in iifname "to-c" udp dport 4433 @th,64,8 1 counter drop')
        _, err = child.communicate(timeout=70 * PATIENCE)
    finally:
        b.run("nft", "delete table inet middlebox", check=False)
    assert child.returncode == 0, err.decode()
    assert hashlib.sha256(out.read_bytes()).hexdigest() == want
    assert counters(c)["sessions"]["seal_doubted"] > doubted
