"""Packets to a neighbour go past the session: A and B with two wires between them,
C behind B, and D, a neighbour of A that does not want it."""

import hashlib
import os
import subprocess

import pytest

from netlab import DIRECT, PATIENCE, SOCKS_PORT, wait_for

pytestmark = pytest.mark.skipif(DIRECT != "on", reason="QANAT_DIRECT is off")

MIB = 1024 * 1024
SERVICE = {"service web": {"port": 8080, "allow": "*"}}


@pytest.fixture(scope="module")
def lab(make_lab):
    lab = make_lab("direct")
    a, b, c = lab.node("a"), lab.node("b", SERVICE), lab.node("c", SERVICE)
    d = lab.node("d", {**SERVICE, "node": {"direct": "off"}})
    for left, right in ((a, b), (a, b), (b, c), (a, d)):
        lab.wire(left, right)
    lab.start()
    root = lab.dir / "www"
    root.mkdir()
    (root / "file").write_bytes(os.urandom(MIB) * 64)
    for n in (b, c, d):
        a.ping(n)
        n.web(root, n.address)
    return lab


@pytest.fixture(scope="module")
def want(lab):
    return hashlib.sha256((lab.dir / "www" / "file").read_bytes()).hexdigest()


def packets(node):
    """Circuit packets of all its sessions: all of them, and those that went past one."""
    links = node.ask("links")["links"]
    return (sum(l["rx_packets"] + l["tx_packets"] for l in links),
            sum(l["rx_direct_packets"] + l["tx_direct_packets"] for l in links))


def direct_over(node, device):
    return sum(l["rx_direct_packets"] for l in node.ask("links")["links"] if l["interface"] == device)


def fetch(lab, node, socks):
    """What a download from `node` adds to A's packets."""
    a = lab.hosts["a"]
    out = lab.dir / "got"
    before = packets(a)
    a.curl(f"http://[{node.address}]:8080/file", "-f", "-o", out, socks=socks, timeout=60)
    return hashlib.sha256(out.read_bytes()).hexdigest(), *(n - was for n, was in zip(packets(a), before))


@pytest.mark.parametrize("socks", [True, False], ids=["socks", "tun"])
def test_a_neighbours_packets_go_past_the_session(lab, want, socks):
    a, b = lab.hosts["a"], lab.hosts["b"]
    assert a.ask("status")["direct"] is True
    got, n, n_direct = fetch(lab, b, socks)
    assert got == want
    assert n > 64 * MIB / 1500
    assert n_direct > 0.9 * n, f"{n_direct} of {n}"
    # Nothing was lost by the counts of either end, and nobody is blamed.
    hold = a.ask("circuits")["circuits"]
    assert any(c["channel"] and c["channel"]["is_direct"] for c in hold)
    assert not a.log_find("loses packets") and not b.log_find("loses packets")


@pytest.mark.parametrize("name", ["c", "d"], ids=["behind a relay", "a neighbour that does not want it"])
def test_others_packets_take_the_session(lab, want, name):
    got, n, n_direct = fetch(lab, lab.hosts[name], True)
    assert got == want
    assert n > 64 * MIB / 1500
    # A is in touch with B meanwhile: trees and the like are no circuit packets.
    assert n_direct < 0.01 * n, f"{n_direct} of {n}"


@pytest.mark.parametrize("socks", [True, False], ids=["socks", "tun"])
@pytest.mark.parametrize("how", ["cut", "swallow"])
def test_a_download_outlives_its_wire(lab, want, how, socks):
    """From a neighbour, with a second wire: a circuit of one hop as well."""
    a, b = lab.hosts["a"], lab.hosts["b"]
    wires = lab.wires[:2]
    wait_for("both sessions", lambda: sum(
        l["state"] == "up" and l["display_name"] == "b" for l in a.ask("links")["links"]) == 2, timeout=40)
    out = lab.dir / "got"
    out.unlink(missing_ok=True)
    proxy = ["--proxy", f"socks5h://127.0.0.1:{SOCKS_PORT}"] if socks else []
    child = a.popen("curl", "-sS", "-f", "-g", "--noproxy", "", *proxy, "--limit-rate", "8M", "--max-time",
                    90 * PATIENCE, "-o", out, f"http://[{b.address}]:8080/file", stderr=subprocess.PIPE)

    def progress():
        return out.stat().st_size / MIB if out.exists() else 0

    wait_for("the start of the file", lambda: progress() > 4)
    before = [w.bytes() for w in wires]
    wait_for("some more", lambda: sum(w.bytes() for w in wires) > sum(before) + MIB)
    wire = max(wires, key=lambda w: w.bytes() - before[wires.index(w)])
    other = f"to-b{'' if wire is wires[1] else 2}"
    at = direct_over(a, other)
    getattr(wire, how)()
    try:
        wait_for("packets past the other wire's session", lambda: direct_over(a, other) > at + 1000, timeout=30)
        _, err = child.communicate(timeout=100 * PATIENCE)
    finally:
        {"cut": wire.heal, "swallow": wire.restore}[how]()
    assert child.returncode == 0, err.decode()
    assert hashlib.sha256(out.read_bytes()).hexdigest() == want
