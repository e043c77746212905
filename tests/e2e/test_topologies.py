"""Networks of other shapes, whose nodes find each other by beacons alone."""

import pytest

import netlab
import test_certs
from netlab import SANITIZED, dice


def met(lab):
    """Waits until every wire carries a session."""
    for wire in lab.wires:
        (one, _), (other, _) = wire.ends
        one.log_wait(f"session up: .*peer={other.fuse}", timeout=20)
    return lab


def ring(lab, n):
    nodes = lab.nodes(*"abcdefgh"[:n])
    for i in range(n):
        lab.wire(nodes[i - 1], nodes[i])
    lab.start()
    return met(lab)


def test_ring_of_six(make_short_lab):
    lab = ring(make_short_lab("ring"), 6)
    nodes = lab.daemons()
    for one in nodes:
        for other in nodes:
            one.ping(other)


WIRES = {
    "IPv4 only": {"v6": False},
    "IPv6 only": {"v4": False},
    "1280 bytes": {"mtu": 1280},
    "1280 bytes, IPv6 only": {"mtu": 1280, "v4": False},
    "9000 bytes": {"mtu": 9000},
}


@pytest.mark.parametrize("static", [False, True], ids=["by beacons", "by configuration"])
@pytest.mark.parametrize("kind", WIRES)
def test_wires(make_short_lab, kind, static):
    """A - B - C over wires of one kind: found, pinged, and full packets both ways."""
    lab = make_short_lab("wires")
    service = {"service web": {"port": 8080, "allow": "*"}}
    a, b, c = lab.nodes("a", "b", "c", sections=service)
    if static:
        for n in (a, b, c):
            n.sections["discovery"]["lan"] = "off"
    for left, right in ((a, b), (b, c)):
        lab.wire(left, right, static=static, **WIRES[kind])
    lab.start()
    met(lab)
    a.ping(c)
    text = "0123456789" * 200_000
    root = lab.dir / "www"
    root.mkdir()
    (root / "page").write_text(text)
    c.web(root, c.address)
    for socks in (True, False):
        assert a.curl(f"http://[{c.address}]:8080/page", socks=socks).stdout == text


# Of the wire in the middle, and of circuits over it.  What is left for UDP lies on
# both sides of 1232, which a session needs for a whole packet of QUIC's least size.
HIDDEN = {
    "a WireGuard tunnel": (1420, 1360),
    "the least of IPv6": (1280, 1220),
    "hardly enough for QUIC": (1240, 1168),
}


@pytest.mark.parametrize(("mtu", "circuit_mtu"), HIDDEN.values(), ids=HIDDEN)
def test_narrow_wire_that_nobody_sees(make_short_lab, mtu, circuit_mtu):
    """a - [a router - a narrow wire - a router] - b - c: the devices of a and b say 1500."""
    lab = make_short_lab("narrow")
    sections = {"discovery": {"lan": "off"}, "service web": {"port": 8080, "allow": "*"}}
    a, b, c = lab.nodes("a", "b", "c", sections=sections)
    left, right = lab.host("left"), lab.host("right")
    near = lab.wire(a, left, v6=False)
    middle = lab.wire(left, right, v6=False, mtu=mtu)
    far = lab.wire(right, b, v6=False)
    lab.wire(b, c, static=True)
    for host, towards in ((a, near.address(left)), (left, middle.address(right)),
                          (right, middle.address(left)), (b, far.address(right))):
        host.run("ip", "route", "add", "default", "via", towards)
    for router in (left, right):
        router.sysctl("net.ipv4.ip_forward", 1)
    a.sections["peer b"] = {"address": far.address(b, netlab.UDP_PORT)}
    lab.start()
    for one, other in ((a, b), (b, c)):
        one.log_wait(f"session up: .*peer={other.fuse}", timeout=20)
    for one, other in ((a, c), (c, a), (a, b)):
        one.ping(other)
    netlab.wait_for("the search for the MTU", lambda: a.ask("links")["links"][0]["mtu_bytes"] == circuit_mtu)
    text = "0123456789" * 100_000
    root = lab.dir / "www"
    root.mkdir()
    (root / "page").write_text(text)
    c.web(root, c.address)
    for socks in (True, False):
        assert a.curl(f"http://[{c.address}]:8080/page", socks=socks).stdout == text


def test_another_path_is_tried_when_nobody_answers(make_short_lab):
    """The circuit a - b - d opens, but what is long gets lost on it: a - c - e - d."""
    lab = make_short_lab("silent")
    a, b, c, d, e = lab.nodes("a", "b", "c", "d", "e")
    lab.wire(a, b)
    bad = lab.wire(b, d)
    for left, right in ((a, c), (c, e), (e, d)):
        lab.wire(left, right)
    lab.start()
    met(lab)
    for n in (b, d):
        netlab.wait_for(f"{n} to know its MTU", lambda: all(s["mtu_bytes"] > 1400 for s in n.ask("links")["links"]))
    bad.swallow_long(1000)
    try:
        a.ping(d)
        # Path tests may have found it out before, if there was a spare by then.
        path = next(p for p in a.ask("path")["paths"] if p["target"]["id"] == d.fuse)
        hops = next(x["hops"] for x in a.ask("circuits")["circuits"] if x["circuit"] == path["carries"])
        assert [hop["node"]["id"] for hop in hops] == [n.fuse for n in (c, e, d)]
    finally:
        bad.restore()


def random_graph(rng, n, extra):
    """Edges of a connected graph: a random tree, and some more."""
    edges = {(rng.randrange(i), i) for i in range(1, n)}
    while len(edges) < n - 1 + extra:
        i, j = sorted(rng.sample(range(n), 2))
        edges.add((i, j))
    return sorted(edges)


def test_random_graph_of_sixteen(make_short_lab):
    rng = dice()
    edges = random_graph(rng, 16, 8)
    print(f"edges {edges}")
    lab = make_short_lab("random")
    nodes = lab.nodes(*"abcdefghijklmnop")
    for i, j in edges:
        lab.wire(nodes[i], nodes[j])
    lab.start()
    met(lab)
    pairs = [(x, y) for x in nodes for y in nodes if x is not y]
    for one, other in rng.sample(pairs, 20 if SANITIZED else 60):
        one.ping(other)


def test_certificates_of_other_tools(make_short_lab, tmp_path):
    """A cluster whose CA, intermediate and nodes openssl and certtool have made."""
    lab = make_short_lab("foreign")
    test_certs.openssl_ca(tmp_path, "p256")
    ca = netlab.Authority(tmp_path)
    nodes = [lab.node(n, ca=ca, identity=False) for n in "abc"]
    leaf = tmp_path / "leaf.cnf"
    template = tmp_path / "template"
    for n, tool in zip(nodes, ("openssl", "certtool", "qanat")):
        key, cert = n.state / "key.pem", n.state / "cert.crt"
        if tool == "openssl":
            leaf.write_text(test_certs.OPENSSL_LEAF.replace("alice", n.name))
            netlab.run("openssl", "genpkey", "-algorithm", "ed25519", "-out", key)
            netlab.run("openssl", "req", "-new", "-key", key, "-subj", f"/CN={n.name}", "-out", n.dir / "csr")
            netlab.run("openssl", "x509", "-req", "-in", n.dir / "csr", "-CA", tmp_path / "ca.crt", "-CAkey",
                       tmp_path / "ca.key", "-CAcreateserial", "-days", 9, "-extfile", leaf, "-extensions", "leaf",
                       "-out", cert)
        elif tool == "certtool":
            template.write_text(test_certs.CERTTOOL_LEAF.replace("alice", n.name))
            netlab.run("certtool", "--generate-privkey", "--key-type", "ed25519", "--outfile", key)
            netlab.run("certtool", "--generate-certificate", "--load-privkey", key, "--load-ca-certificate",
                       tmp_path / "ca.crt", "--load-ca-privkey", tmp_path / "ca.key", "--template", template,
                       "--outfile", cert)
        else:
            netlab.run(netlab.BUILD / "qanat", "keygen", "--dir", n.state, "--name", n.name)
            n.sign()
        key.chmod(0o600)
        (n.state / "ca.crt").write_bytes((tmp_path / "ca.crt").read_bytes())
    lab.wire(nodes[0], nodes[1])
    lab.wire(nodes[1], nodes[2])
    lab.start()
    met(lab)
    for one in nodes:
        for other in nodes:
            one.ping(other)
