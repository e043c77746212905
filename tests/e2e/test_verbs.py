"""What `qanat` tells of a living network, A - B - C, held against what the test
knows of it."""

import pytest

from netlab import BUILD, PROTECTION, SPLICE, wait_for


@pytest.fixture(scope="module")
def lab(make_lab):
    lab = make_lab("verbs")
    a, b, c = lab.nodes("a", "b", "c")
    lab.wire(a, b)
    lab.wire(b, c)
    lab.start()
    a.ping(c)
    return lab


@pytest.fixture(scope="module")
def a(lab):
    return lab.hosts["a"]


def node_object(n):
    return {"name": n.name, "id": n.fuse, "address": n.address}


def test_status(a):
    status = a.ask("status")
    assert status["node"] == node_object(a)
    assert status["pid"] == a.process.pid
    assert status["cluster"]["prefix"] == ":".join(a.address.split(":")[:3]) + "::/48"
    # Whether the kernel lets us is its own affair.
    assert isinstance(status["tun"].pop("bpf"), bool)
    assert status["tun"] == {"enabled": True, "up": True, "name": "qanat0", "splice": SPLICE == "on"}
    assert status["store"]["state"] == "ok"
    assert status["peers"]["connected"] == 1
    assert status["packet_protection"] in ({"gnutls", "ipsec-mb"} if PROTECTION == "auto" else {PROTECTION})
    assert status["windows"]["limit_bytes"] == 64 << 20
    text = a.qanat("status").stdout
    assert a.address in text and a.fuse in text
    assert f"packets by {status['packet_protection']}\n" in text


def test_peers(lab, a):
    peers = {p["node"]["id"]: p for p in a.ask("peers")["peers"]}
    b, c = lab.hosts["b"], lab.hosts["c"]
    assert set(peers) == {b.fuse, c.fuse}
    assert peers[b.fuse]["node"] == node_object(b)
    assert peers[b.fuse]["path"] == "direct" and peers[b.fuse]["is_verified"]
    assert peers[c.fuse]["path"] == "circuit"
    assert (peers[c.fuse]["via"], peers[c.fuse]["n_hops"]) == (node_object(b), 2)


def test_links(lab, a):
    link, = a.ask("links")["links"]
    assert link["node"] == node_object(lab.hosts["b"])
    assert (link["state"], link["interface"]) == ("up", "to-b")


def test_routes(lab, a):
    b, c = lab.hosts["b"], lab.hosts["c"]
    for argv in ([], ["c"], [c.fuse], [c.address]):
        route = a.ask("routes", *argv)["routes"][0]
        assert route["target"] == node_object(c)
        assert [h["node"] for h in route["hops"]] == [node_object(b), node_object(c)]


def test_circuits_have_a_role_at_every_node(lab, a):
    c = lab.hosts["c"]
    for n, role in zip(lab.daemons(), ("origin", "transit", "target")):
        roles = [x["role"] for x in n.ask("circuits")["circuits"]
                 if (x["origin"], x["target"]) == (node_object(a), node_object(c))]
        assert roles == [role]


def test_ping(lab, a):
    for dst in ("c", "c.fuse", lab.hosts["c"].fuse, lab.hosts["c"].address):
        got = a.ask("ping", dst, "-c", 3)
        assert got["node"] == node_object(lab.hosts["c"])
        assert (got["sent"], got["n_hops"]) == (3, 2)
        assert got["received"] >= 1


def test_trace(lab, a):
    b, c = lab.hosts["b"], lab.hosts["c"]
    hops = a.ask("trace", "c")["hops"]
    assert [h["node"] for h in hops] == [node_object(b), node_object(c)]
    assert all(h["is_signed"] and h["rtt_ms"] > 0 for h in hops)
    # The packets of the circuit itself, which an echo went over at least.
    assert all(h["packets"] > 0 and h["loss_percent"] is not None for h in hops)
    lines = a.qanat("trace", "c").stdout.splitlines()
    assert [line.split()[1] for line in lines[-2:]] == ["b", "c"]


@pytest.mark.parametrize("verb", ["ping", "trace"])
@pytest.mark.parametrize("dst,code,message", [
    ("aaaaaaaaaaaaaaaa.fuse", 1, "no path to aaaaaaaaaaaaaaaa.fuse"),
    ("nobody", 1, "is the name of no node that is known here"),
    ("no_name", 2, ""),
    ("fdcc:1234:5678::1", 2, "cluster"),
])
def test_what_cannot_be_reached(a, verb, dst, code, message):
    done = a.qanat(verb, dst, check=False)
    assert done.returncode == code, done.stderr
    assert message in done.stderr
    assert done.stdout == ""


def test_check_and_version(a):
    assert a.run(BUILD / "qanat", "check", a.conf).returncode == 0
    daemon = a.run(BUILD / "qanatd", "--version").stdout.split()[1]
    assert a.ask("version")["qanatd"] == daemon


def test_reload(a):
    a.sections["service extra"] = {"port": 4444, "allow": "*"}
    a.write_conf()
    assert a.qanat("reload").returncode == 0
    assert [s["name"] for s in a.ask("status")["services"]] == ["extra"]
    good = a.conf.read_text()
    a.conf.write_text(good + "[nonsense]\n")
    done = a.qanat("reload", check=False)
    assert done.returncode == 1 and "unknown section [nonsense]" in done.stderr
    assert [s["name"] for s in a.ask("status")["services"]] == ["extra"]
    a.conf.write_text(good)


def test_without_a_daemon(lab):
    done = lab.hosts["a"].run(BUILD / "qanat", "status", "--socket", "/run/qanat/nobody.sock", check=False)
    assert done.returncode == 2
    assert "qanatd is not running (no /run/qanat/nobody.sock)" in done.stderr


def test_a_killed_daemon_leaves_a_socket_that_tells_nothing(lab):
    """And the next one takes it over."""
    c = lab.hosts["c"]
    c.kill()
    done = c.qanat("status", check=False)
    assert done.returncode == 2
    assert "qanatd is not running" in done.stderr
    lab.start(c)
    wait_for("the control socket", lambda: c.qanat("status", check=False).returncode == 0)
