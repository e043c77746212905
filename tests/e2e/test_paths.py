"""Paths that are found by trees and steered probes, as in a large network: the
setting flood-below is 0, so that nothing is flooded while a tree stands."""

import concurrent.futures
import contextlib
import hashlib
import os
import subprocess
import time

import pytest

import netlab
from netlab import LabError, PATIENCE, SANITIZED, SOCKS_PORT, dice, wait_for
from servers import Sshd
from test_garbage import counters
from test_topologies import met, random_graph

MIB = 1024 * 1024
STEERED = {"node": {"flood-below": 0}}
# About a minute on two cores that have nothing else to do; QANAT_NODES asks for fewer.
N = int(os.environ.get("QANAT_NODES") or (12 if SANITIZED else 32))
WORKERS = 4


def network(lab, n, edges):
    nodes = lab.nodes(*(f"n{i:02}" for i in range(n)), sections=STEERED)
    for i, j in edges:
        lab.wire(nodes[i], nodes[j])
    lab.start()
    return nodes


def roots_seen(node):
    """The roots of the trees as this node sees them; None for those it is not in."""
    return [t["root"] and t["root"]["id"] for t in node.ask("trees")["trees"]]


def agreed(nodes):
    """The roots, if all these nodes see the same four; else None."""
    seen = {tuple(roots_seen(n)) for n in nodes}
    one = seen.pop()
    return one if not seen and None not in one else None


def lowest(nodes, tree):
    """Who is to be the root of a tree, by the rule and not by asking."""
    return min(nodes, key=lambda n: hashlib.sha256(b"root" + bytes([tree]) + n.id).digest())


def wait_agreed(nodes, timeout):
    want = tuple(lowest(nodes, t).fuse for t in range(4))
    wait_for(f"{len(nodes)} nodes to agree on the roots", lambda: agreed(nodes) == want, timeout, 0.5)
    return want


def ping_all(pairs, timeout=10):
    """Every pair, some at the same time; what failed is in the exception."""
    def one(pair):
        with contextlib.suppress(LabError):
            pair[0].ping(pair[1], timeout)
            return None
        return f"{pair[0]} to {pair[1]}"
    with concurrent.futures.ThreadPoolExecutor(WORKERS) as pool:
        failed = [text for text in pool.map(one, pairs) if text]
    assert not failed, f"{len(failed)} of {len(pairs)} pairs: {', '.join(failed[:20])}"


def component(nodes, edges, alive):
    """The largest set of living nodes that ways join."""
    left, best = set(alive), []
    while left:
        seen, todo = set(), [min(left)]
        while todo:
            i = todo.pop()
            if i in seen:
                continue
            seen.add(i)
            todo += [b if a == i else a for a, b in edges if i in (a, b) and {a, b} <= alive]
        left -= seen
        best = max(best, sorted(seen), key=len)
    return [nodes[i] for i in best]


def test_many_nodes_and_their_roots(make_short_lab):
    """Every pair pings; then the roots are killed one after the other, and the
    others elect new ones and go on."""
    rng = dice()
    edges = random_graph(rng, N, N)
    print(f"edges {edges}")
    lab = make_short_lab("many")
    nodes = network(lab, N, edges)
    met(lab)
    wait_agreed(nodes, 40)
    ping_all([(a, b) for a in nodes for b in nodes if a is not b], 60)
    # Before the records are where they belong a few may flood.
    n_floods = sum(counters(n)["router"]["flood_last_resort"] for n in nodes)
    assert n_floods < N * N / 2
    alive = set(range(N))
    for tree in range(4):
        there = component(nodes, edges, alive)
        root = lowest(there, tree)
        root.kill()
        alive.discard(nodes.index(root))
        there = component(nodes, edges, alive)
        wait_agreed(there, 60)
        pairs = [(a, b) for a in there for b in there if a is not b]
        ping_all(rng.sample(pairs, min(len(pairs), 40)), 60)


@pytest.mark.skipif(not Sshd.is_there(), reason="no sshd")
def test_a_node_that_moves_keeps_its_ssh(make_short_lab):
    """M is plugged into A's end of a row, then into the other: what is logged
    in at it goes on."""
    lab = make_short_lab("moves")
    a, b, c = lab.nodes("a", "b", "c", sections=STEERED)
    m = lab.node("m", {**STEERED, "service ssh": {"port": 2222, "allow": "*"}})
    lab.wire(a, b)
    lab.wire(b, c)
    first = lab.wire(c, m)
    lab.start()
    met(lab)
    a.ping(m, 30)
    with Sshd(m) as sshd:
        session = a.popen(*sshd.login(), "cat", stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        try:
            for text in (b"before\n", b"still before\n"):
                session.stdin.write(text)
                session.stdin.flush()
                assert session.stdout.readline() == text
            lab.wire(b, m)
            first.cut()
            session.stdin.write(b"after\n")
            session.stdin.flush()
            start = time.monotonic()
            assert session.stdout.readline() == b"after\n"
            print(f"moved: the session went on after {time.monotonic() - start:.2f} s")
        finally:
            session.kill()
            session.wait()


def drop_large_packets(relay, dev):
    """A relay that loses what it should carry, and now and then lets a packet
    through, which keeps its sessions up."""
    relay.run("nft", "add table inet dropper")
    relay.run("nft", "add chain inet dropper out { type filter hook output priority 0; }")
    relay.run("nft", f'add rule inet dropper out oifname "{dev}" udp length > 700 '
                     "limit rate over 20/second counter drop")


def left_and_named(lab, flood_below):
    """True: traffic has left the dropper, and it is named.  False: traffic was
    gone before there was a proof."""
    sections = {"node": {"flood-below": flood_below}}
    a, b, c = lab.nodes("a", "b", "c", sections=sections)
    d = lab.node("d", {**sections, "service web": {"port": 8080, "allow": "*"}})
    for left, right in ((a, b), (b, d), (a, c), (c, d)):
        lab.wire(left, right)
    lab.start()
    met(lab)
    root = lab.dir / "www"
    root.mkdir()
    data = os.urandom(MIB) * 64
    (root / "file").write_bytes(data)
    d.web(root, d.address)
    a.ping(d, 30)
    out = lab.dir / "got"
    child = a.popen("curl", "-sS", "-f", "-g", "--noproxy", "", "--proxy", f"socks5h://127.0.0.1:{SOCKS_PORT}",
                    "--limit-rate", "8M", "--max-time", 120 * PATIENCE, "-o", out,
                    f"http://[{d.address}]:8080/file", stderr=subprocess.PIPE)

    def size():
        return out.stat().st_size / MIB if out.exists() else 0
    wait_for("the start", lambda: size() > 8, 30)
    before = [w.bytes() for w in lab.wires]
    wait_for("more", lambda: size() > 12, 30)
    moved = [w.bytes() - was for w, was in zip(lab.wires, before)]
    relay = b if moved[0] > moved[2] else c
    # Its session with A lives: else it would be a broken link, which both know of.
    pings = a.popen("ping", "-6", "-q", "-i", "0.1", relay.address, stdout=subprocess.DEVNULL)
    a.ping(relay)
    mark = a.mark()
    drop_large_packets(relay, "to-a")
    at, start = size(), time.monotonic()
    wait_for("the rest to flow", lambda: size() > at + 8, 40)
    print(f"left {relay}: 8 MiB more after {time.monotonic() - start:.2f} s")
    _, err = child.communicate(timeout=130 * PATIENCE)
    assert child.returncode == 0, err.decode()
    assert out.read_bytes() == data

    # Whichever of the circuits over that link has noticed first names it.
    def blamed():
        for target in ("d", relay.name):
            link = a.ask("trace", target)["blamed"]
            if link:
                return target, {link["from"]["name"], link["to"]["name"]}
        return None
    try:
        target, names = wait_for("the trace to name it", blamed, 10)
    except LabError:
        return False
    finally:
        netlab.end(pings)
        relay.run("nft", "delete table inet dropper")
    assert relay.name in names
    assert "avoided: the link from" in a.qanat("trace", target).stdout
    assert a.log_find("a link on a path loses packets and is avoided", mark)
    return True


@pytest.mark.parametrize("flood_below", [0, 64], ids=["steered", "flooded"])
def test_a_relay_that_drops_in_silence_is_left_and_named(make_short_lab, flood_below):
    for attempt in range(3):
        lab = make_short_lab(f"dropper{attempt}")
        if left_and_named(lab, flood_below):
            return
        lab.stop()
    raise AssertionError("left three times, and never named")


def test_steering_by_hand(make_short_lab):
    """qanat path: pinned circuits carry, avoided nodes are gone round."""
    lab = make_short_lab("steer")
    a, b, c, d = lab.nodes("a", "b", "c", "d", sections=STEERED)
    for left, right in ((a, b), (b, d), (a, c), (c, d)):
        lab.wire(left, right)
    lab.start()
    met(lab)
    a.ping(d, 30)

    def path():
        found = [p for p in a.ask("path")["paths"] if p["target"]["name"] == "d"]
        return found[0] if found else {"carries": None, "spare": None}

    def relays(circuit):
        hops = [x["hops"] for x in a.ask("circuits")["circuits"] if x["circuit"] == circuit]
        return [h["node"]["name"] for h in hops[0]] if hops else []
    wait_for("a spare", lambda: path()["spare"], 20)
    one = path()
    assert sorted(relays(one["carries"])[:-1] + relays(one["spare"])[:-1]) == ["b", "c"]
    assert a.qanat("path", "pin", "d").stdout == "d: pin\n"
    assert path()["is_pinned"]
    assert a.qanat("path", "auto", "d").stdout == "d: auto\n"
    assert not path()["is_pinned"]
    used = relays(path()["carries"])[0]
    assert a.qanat("path", "avoid", used).stdout == f"{used}: avoid\n"

    def gone_round():
        a.ping(d)
        return used not in relays(path()["carries"])
    wait_for(f"traffic to leave {used}", gone_round, 20)
    assert a.qanat("path", "auto", used).returncode == 0
    again = a.qanat("path", "auto", used, check=False)
    assert again.returncode == 1 and "neither pinned nor avoided" in again.stderr
    assert a.qanat("path", "pin", check=False).returncode == 2
