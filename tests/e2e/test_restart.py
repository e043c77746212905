"""What a node keeps, and what its friends do, when it dies and comes back, and
when a cable between them does."""

import contextlib
import signal
import subprocess
import time

import pytest

import socks
from netlab import PATIENCE, SOCKS_PORT, wait_for
from test_garbage import counters

TEXT = "still the same page"


@pytest.fixture(scope="module")
def lab(make_lab):
    """A - B - C, and C has a page."""
    lab = make_lab("restart")
    a, b = lab.nodes("a", "b", sections={"node": {"log": "debug"}})
    c = lab.node("c", {"node": {"log": "debug"}, "service web": {"port": 8080, "to": "127.0.0.1:8080", "allow": "*"}})
    lab.wire(a, b)
    lab.wire(b, c)
    lab.start()
    root = lab.dir / "www"
    root.mkdir()
    (root / "index.html").write_text(TEXT)
    (root / "big").write_bytes(bytes(50_000_000))
    c.web(root)
    return lab


def works(lab):
    a, c = lab.hosts["a"], lab.hosts["c"]
    wait_for("a to reach c", lambda: a.reaches(c, 1), timeout=20)
    assert a.curl(f"http://{c.fuse}:8080/").stdout == TEXT


@pytest.mark.parametrize("who", ["a", "b", "c"])
def test_kill_9_and_restart(lab, who):
    """The database is kept: who was known is known again at once."""
    works(lab)
    node = lab.hosts[who]
    # Peers are committed at most a second after they were learnt.
    wait_for("the database", lambda: any(node.state.glob("**/data.mdb")) or any(node.state.glob("*.mdb")))
    node.kill()
    lab.start(node)
    works(lab)
    assert "set aside" not in node.text()


def test_kill_9_and_restart_of_all(lab):
    works(lab)
    for n in lab.daemons():
        n.kill()
    lab.start()
    works(lab)


def test_the_database_is_read_again(lab):
    works(lab)
    for who, n_peers in (("a", 1), ("b", 2), ("c", 1)):
        node = lab.hosts[who]
        node.stop()
        lab.start(node)
        found = node.log_wait(r"database read: peers=(\d+) routes=(\d+)", node.started)
        assert int(found.group(1)) >= n_peers
        assert who != "a" or int(found.group(2)) >= 1
    # A route that is read is opened at once, without a probe.
    a = lab.hosts["a"]
    wait_for("the neighbour", lambda: any(x["state"] == "up" for x in a.ask("links")["links"]))
    works(lab)
    assert counters(a)["router"]["connect_reused"] > 0


def test_without_beacons_the_database_is_enough(lab):
    """B, once met by beacons, is found by what A has stored of it."""
    works(lab)
    a = lab.hosts["a"]
    a.stop()
    a.sections["discovery"]["lan"] = "off"
    lab.start(a)
    works(lab)
    a.stop()
    a.sections["discovery"]["lan"] = "on"
    lab.start(a)


def test_a_cable_is_cut_and_healed(lab):
    works(lab)
    a, c = lab.hosts["a"], lab.hosts["c"]
    for wire in lab.wires:
        wire.cut()
        wait_for(f"{wire} to be missed", lambda: not a.reaches(c, 0.3), timeout=20)
        wire.heal()
        works(lab)


@pytest.fixture
def cut(lab):
    """The wire B - C without its plug, right now: nobody has noticed yet."""
    works(lab)
    wire = lab.wires[1]
    wire.cut()
    yield wire
    wire.heal()
    works(lab)


def test_socks_tells_of_a_cut(lab, cut):
    """Within the deadline of a probe."""
    with lab.hosts["a"].socket() as s:
        s.settimeout(8 * PATIENCE)
        s.connect(("127.0.0.1", SOCKS_PORT))
        assert socks.connect(s, lab.hosts["c"].fuse, 8080) == socks.UNREACHABLE


def test_icmpv6_tells_of_a_cut(lab, cut):
    a, c = lab.hosts["a"], lab.hosts["c"]
    wait_for("a to be told", lambda: "unreachable" in a.run(
        "ping", "-6", "-n", "-c", 1, "-W", 1, c.address, check=False).stdout, timeout=8)


def test_a_channel_at_rest_survives_a_switch(lab):
    """A's way to C breaks and comes back while nobody speaks; more than 20 s
    later, for so long a node keeps a channel without a circuit, they do."""
    works(lab)
    a, b, c = lab.daemons()
    b.kill()
    mark = a.mark()
    lab.start(b)
    a.log_wait(f"circuit open: .*dest={c.fuse}", mark, timeout=20)
    mark = c.mark()
    quiet_until = time.monotonic() + 22
    wait_for("time to pass", lambda: time.monotonic() > quiet_until, timeout=30, interval=0.2)
    assert not c.log_find("channel down", mark)
    assert a.reaches(c)


@contextlib.contextmanager
def slow_download(lab):
    """curl at A of C's file, 50 s long; yields it when it runs.  What the kernel
    has for it, some MB perhaps, it reads before it sees that the end has come."""
    out = lab.dir / "got"
    out.unlink(missing_ok=True)
    child = lab.hosts["a"].popen(
        "curl", "-sS", "-g", "--noproxy", "", "--proxy", f"socks5h://127.0.0.1:{SOCKS_PORT}", "--limit-rate", "1M",
        "-o", out, f"http://{lab.hosts['c'].fuse}:8080/big", stderr=subprocess.PIPE)
    wait_for("the download", lambda: out.exists() and out.stat().st_size > 500_000)
    assert child.poll() is None
    yield child
    child.kill()
    child.communicate()


def is_told(child, within):
    """The program learns that it is over, and not by a time-out of its own."""
    _, err = child.communicate(timeout=within * PATIENCE)
    return child.returncode in (18, 56) and b"timed out" not in err


def test_a_download_from_a_node_that_restarts_is_reset(lab):
    works(lab)
    c = lab.hosts["c"]
    with slow_download(lab) as child:
        c.kill()
        lab.start(c)
        assert is_told(child, 15)
    works(lab)


def test_a_download_from_a_node_that_dies_is_reset(lab):
    """After the 20 s for which another way is hoped for."""
    works(lab)
    c = lab.hosts["c"]
    with slow_download(lab) as child:
        c.kill()
        assert is_told(child, 40)
    lab.start(c)
    works(lab)


@pytest.mark.parametrize("who", ["a", "b", "c"])
def test_a_stop_during_a_download(lab, who):
    """It drains for a few seconds, not until the end."""
    works(lab)
    node = lab.hosts[who]
    with slow_download(lab):
        start = time.monotonic()
        node.stop()
        assert time.monotonic() - start < 6 * PATIENCE
    lab.start(node)
    works(lab)


def test_sighup_with_a_mistake_changes_nothing(lab):
    works(lab)
    a = lab.hosts["a"]
    good = a.conf.read_text()
    a.conf.write_text(good + "\n[node]\nlog = everything\n")
    mark = a.mark()
    a.process.send_signal(signal.SIGHUP)
    a.log_wait("reload failed, nothing was changed: ", mark)
    a.conf.write_text(good)
    mark = a.mark()
    a.process.send_signal(signal.SIGHUP)
    a.log_wait("reloaded", mark)
    works(lab)
