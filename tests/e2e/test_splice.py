"""TCP through the TUN that ends in the local kernel and goes as a stream: apps
must see no difference from packets, and what cannot go so goes as packets."""

import contextlib
import hashlib
import os
import select
import socket
import struct
import threading
import time

import pytest

from netlab import BPF, LabError, PATIENCE, wait_for
from servers import Echo, Sshd
from test_garbage import counters

PORTS = {"echo": 7, "ssh": 2222, "test": 5201, "none": 5202, "silent": 5203}
SERVICES = {f"service {name}": {"port": port, "allow": "*"} for name, port in PORTS.items()}
SERVICES["service loop"] = {"port": 80, "to": "127.0.0.1:8080", "allow": "*"}
SERVICES["service closed"] = {"port": 5204, "allow": "nobody-we-know"}


def build(lab, splice_a="on", splice_c="on"):
    """A - B - C, with services at C.  The kernel rewrites packets at A alone."""
    a = lab.node("a", {"tun": {"splice": splice_a}})
    b = lab.node("b", {"tun": {"splice": "off"}})
    c = lab.node("c", {"tun": {"splice": splice_c, "bpf": "off"}, **SERVICES})
    lab.wire(a, b, static=True)
    lab.wire(b, c, static=True)
    lab.start()
    a.ping(c)
    c.ping(a)
    return lab


@pytest.fixture(scope="module")
def lab(make_lab):
    return build(make_lab("splice"))


@pytest.fixture(scope="module")
def a(lab):
    return lab.hosts["a"]


@pytest.fixture(scope="module")
def c(lab):
    return lab.hosts["c"]


def splicing(node):
    return counters(node)["splicing"]


@pytest.fixture
def spliced(a, c):
    """What is done in the test was not done by packets."""
    before = splicing(a), splicing(c)
    yield
    assert splicing(a)["joined"] > before[0]["joined"]
    assert splicing(c)["served"] > before[1]["served"]
    for node, then in ((a, before[0]), (c, before[1])):
        for name in ("elsewhere", "blocked", "no_room", "full"):
            assert splicing(node)[name] == then[name], (node, name)


@contextlib.contextmanager
def listener(node, port=PORTS["test"], backlog=16):
    with node.socket(socket.AF_INET6) as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        s.bind((node.address, port))
        s.listen(backlog)
        yield s


@contextlib.contextmanager
def pair(a, c, port=PORTS["test"]):
    """A connection: the app's end and the service's."""
    with listener(c, port) as server, a.socket(socket.AF_INET6) as app:
        app.connect((c.address, port))
        service, _ = server.accept()
        with service:
            service.settimeout(15 * PATIENCE)
            yield app, service


def read_all(s):
    got = hashlib.sha256()
    while more := s.recv(1 << 20):
        got.update(more)
    return got.hexdigest()


def push(s, data):
    """Sends it and ends, in a thread of its own."""
    thread = threading.Thread(target=lambda: (s.sendall(data), s.shutdown(socket.SHUT_WR)), daemon=True)
    thread.start()
    return thread


def reset(s):
    s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    s.close()


def sees_reset(s):
    with pytest.raises(ConnectionResetError):
        while s.recv(65536):
            pass


def test_the_service_sees_the_app_and_the_app_the_service(a, c, spliced):
    with pair(a, c) as (app, service):
        assert service.getpeername()[:2] == (a.address, app.getsockname()[1])
        assert service.getsockname()[:2] == (c.address, PORTS["test"])
        assert app.getpeername()[:2] == (c.address, PORTS["test"])
        assert app.getsockname()[0] == a.address


@pytest.mark.parametrize("size", [0, 1, 1_000_000, 50_000_000])
def test_a_transfer_arrives_whole_both_ways(a, c, spliced, size):
    up, down = os.urandom(size), os.urandom(size)
    with pair(a, c) as (app, service):
        pushers = [push(app, up), push(service, down)]
        got = {}
        readers = [threading.Thread(target=lambda s=s: got.update({s: read_all(s)})) for s in (app, service)]
        for t in readers:
            t.start()
        for t in readers + pushers:
            t.join()
        assert got[app] == hashlib.sha256(down).hexdigest()
        assert got[service] == hashlib.sha256(up).hexdigest()


def test_an_end_in_one_direction_leaves_the_other_open(a, c, spliced):
    with pair(a, c) as (app, service):
        app.sendall(b"question")
        app.shutdown(socket.SHUT_WR)
        assert read_all(service) == hashlib.sha256(b"question").hexdigest()
        for _ in range(3):
            service.sendall(b"answer")
            assert app.recv(100) == b"answer"
        service.shutdown(socket.SHUT_WR)
        assert app.recv(100) == b""


def test_an_end_from_the_service(a, c, spliced):
    with pair(a, c) as (app, service):
        service.shutdown(socket.SHUT_WR)
        assert app.recv(100) == b""
        app.sendall(b"still here")
        assert service.recv(100) == b"still here"


def test_a_reset_from_the_app(a, c, spliced):
    with pair(a, c) as (app, service):
        app.sendall(b"x")
        assert service.recv(1) == b"x"
        reset(app)
        sees_reset(service)


def test_a_reset_from_the_service(a, c, spliced):
    with pair(a, c) as (app, service):
        app.sendall(b"x")
        assert service.recv(1) == b"x"
        reset(service)
        sees_reset(app)


def test_what_the_service_does_not_read_resets_the_app(a, c, spliced):
    """The kernel has acknowledged it, but nobody will have it."""
    with pair(a, c) as (app, service):
        app.sendall(b"x" * 100_000)
        wait_for("data at the service", lambda: len(service.recv(1000, socket.MSG_PEEK)) == 1000)
        service.close()
        sees_reset(app)


def test_refused_at_once(a, c):
    with a.socket(socket.AF_INET6) as app:
        before = splicing(a)["asked"]
        with pytest.raises(ConnectionRefusedError):
            app.connect((c.address, PORTS["none"]))
        assert splicing(a)["asked"] > before


def test_not_published_is_told_as_to_a_packet(a, c):
    for port in (5204, 5299):
        with a.socket(socket.AF_INET6) as app, pytest.raises(PermissionError):
            app.connect((c.address, port))


def test_nobody_there(a, c):
    """An address in the cluster that is no node's."""
    with a.socket(socket.AF_INET6) as app:
        with pytest.raises(OSError) as e:
            app.connect((c.address[:-4] + "1234", 80))
        assert not isinstance(e.value, TimeoutError)


def test_a_silent_service_is_silence_to_the_app(a, c):
    """As its queue is full it does not answer; later it does."""
    with listener(c, PORTS["silent"], backlog=0) as server, contextlib.ExitStack() as stack:
        with c.inside():
            full = stack.enter_context(socket.socket(socket.AF_INET6))
        full.connect((c.address, PORTS["silent"]))
        app = stack.enter_context(a.socket(socket.AF_INET6))
        app.setblocking(False)
        app.connect_ex((c.address, PORTS["silent"]))
        assert select.select([], [app], [], 1.5)[1] == []
        server.accept()[0].close()
        assert select.select([], [app], [], 15 * PATIENCE)[1] == [app]
        assert app.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0


def test_a_service_that_listens_elsewhere(lab, a, c, tmp_path_factory):
    root = tmp_path_factory.mktemp("www")
    (root / "index.html").write_text("elsewhere")
    c.web(root)
    before = splicing(a)["joined"]
    assert a.curl(f"http://[{c.address}]/", socks=False).stdout == "elsewhere"
    assert splicing(a)["joined"] > before


def test_answers_to_each_keystroke(a, c, spliced):
    """Nothing waits for more to come."""
    with contextlib.closing(Echo(c, c.address, PORTS["echo"])), a.socket(socket.AF_INET6) as app:
        app.connect((c.address, PORTS["echo"]))
        for i in range(200):
            app.sendall(bytes([i]))
            assert app.recv(10) == bytes([i])


def test_a_bulk_transfer_does_not_starve_the_others(a, c, spliced):
    """They share a channel: an answer waits for what is under way, not for all
    that the other has."""
    to = c.address, PORTS["echo"]
    moved = [0]
    with contextlib.closing(Echo(c, *to)), pair(a, c) as (app, service), a.socket(socket.AF_INET6) as other:
        end = threading.Event()

        def pump():
            while not end.is_set():
                app.sendall(b"x" * 65536)
            app.shutdown(socket.SHUT_WR)

        def drain():
            while more := service.recv(1 << 20):
                moved[0] += len(more)
        threads = [threading.Thread(target=f, daemon=True) for f in (pump, drain)]
        for t in threads:
            t.start()
        other.connect(to)
        meanwhile = []
        for _ in range(50):
            before = moved[0]
            other.sendall(b"k")
            assert other.recv(1) == b"k"
            meanwhile.append(moved[0] - before)
        end.set()
        for t in threads:
            t.join()
    assert max(meanwhile) < 64 << 20, meanwhile


@pytest.mark.skipif(not Sshd.is_there(), reason="no sshd")
def test_ssh(a, c, spliced):
    with Sshd(c) as sshd:
        try:
            assert a.run(*sshd.login(), "echo $SSH_CONNECTION").stdout.split()[::2] == [a.address, c.address]
        except LabError as e:
            raise LabError(f"{e}\nsshd: {sshd.log.read_text()}") from None


def test_two_hundred_at_once(a, c, spliced):
    with contextlib.closing(Echo(c, c.address, PORTS["echo"])), contextlib.ExitStack() as stack:
        to = c.address, PORTS["echo"]
        apps = [stack.enter_context(a.socket(socket.AF_INET6)) for _ in range(200)]
        for app in apps:
            app.setblocking(False)
            app.connect_ex(to)
        for app in apps:
            app.settimeout(15 * PATIENCE)
            wait_for("the connection", lambda: app.connect_ex(to) in (0, 106))
        for i, app in enumerate(apps):
            app.sendall(b"%d" % i)
        for i, app in enumerate(apps):
            assert app.recv(100) == b"%d" % i


def test_many_short_ones_leave_nothing_behind(a, c, spliced):
    with contextlib.closing(Echo(c, c.address, PORTS["echo"])):
        to = c.address, PORTS["echo"]
        for _ in range(300):
            with a.socket(socket.AF_INET6) as app:
                app.connect(to)
                app.sendall(b"x")
                assert app.recv(1) == b"x"
    for node in (a, c):
        wait_for(f"no flow left at {node}", lambda: splicing(node)["flows"] == 0 and splicing(node)["open"] == 0, 30)


def test_the_same_ports_again(a, c, spliced):
    """An app that binds its port connects anew at once."""
    ports = set()
    with listener(c) as server:
        for _ in range(5):
            with a.socket(socket.AF_INET6) as app:
                app.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                app.bind((a.address, 45678))
                app.connect((c.address, PORTS["test"]))
                service, peer = server.accept()
                ports.add(peer[1])
                with service:
                    service.sendall(b"x")
                    assert app.recv(1) == b"x"
                    reset(app)
                    sees_reset(service)
    assert ports == {45678}


@pytest.mark.skipif(BPF == "off", reason="QANAT_BPF is off")
@pytest.mark.parametrize("offload", ["on", "off"])
def test_the_kernel_rewrites_at_both_ends(make_short_lab, offload):
    """Only what begins and ends a flow comes up to the daemons, and the last packets."""
    lab = make_short_lab("kernel")
    a = lab.node("a", {"tun": {"offload": offload, "splice": "on"}})
    c = lab.node("c", {"tun": {"offload": offload, "splice": "on"}, **SERVICES})
    lab.wire(a, c, static=True)
    lab.start()
    a.ping(c)
    before = [splicing(node)["back"] for node in (a, c)]
    data = os.urandom(20_000_000)
    with pair(a, c) as (app, service):
        pushers = [push(app, data), push(service, data)]
        assert read_all(service) == read_all(app) == hashlib.sha256(data).hexdigest()
        for p in pushers:
            p.join()
    for node, n in zip((a, c), before):
        assert node.ask("status")["tun"]["bpf"] is True
        assert splicing(node)["back"] - n < len(data) / 65536


def test_without_offload(make_short_lab):
    """Packets one by one, with checksums that are complete."""
    lab = make_short_lab("plain")
    a = lab.node("a", {"tun": {"offload": "off", "splice": "on", "bpf": "off"}})
    c = lab.node("c", {"tun": {"offload": "off", "splice": "on", "bpf": "off"}, **SERVICES})
    lab.wire(a, c, static=True)
    lab.start()
    a.ping(c)
    data = os.urandom(3_000_000)
    with pair(a, c) as (app, service):
        pusher = push(app, data)
        assert read_all(service) == hashlib.sha256(data).hexdigest()
        pusher.join()
    assert splicing(a)["joined"] == 1


@pytest.mark.parametrize("sides", [("on", "off"), ("off", "on"), ("off", "off")])
def test_packets_where_one_does_not_splice(make_short_lab, sides):
    lab = build(make_short_lab("mixed"), *sides)
    a, c = lab.hosts["a"], lab.hosts["c"]
    data = os.urandom(2_000_000)
    for _ in range(3):
        with pair(a, c) as (app, service):
            assert service.getpeername()[0] == a.address
            pusher = push(app, data)
            assert read_all(service) == hashlib.sha256(data).hexdigest()
            pusher.join()
    assert splicing(a)["joined"] == 0
    # It is asked once, and then known.
    assert splicing(a)["elsewhere"] == (1 if sides[0] == "on" else 0)


def test_a_firewall_that_lets_nothing_begin_from_outside(make_short_lab):
    """The usual one, which knows connections, is no hindrance."""
    lab = build(make_short_lab("firewall"))
    a, c = lab.hosts["a"], lab.hosts["c"]
    a.run("nft", "add table inet guard")
    a.run("nft", "add chain inet guard in { type filter hook input priority 0; policy accept; }")
    a.run("nft", "add rule inet guard in iifname qanat0 ct state established,related accept")
    a.run("nft", "add rule inet guard in iifname qanat0 drop")
    with pair(a, c) as (app, service):
        service.sendall(b"x")
        assert app.recv(1) == b"x"
    assert splicing(a)["joined"] == 1


def test_a_host_that_does_not_let_its_own_in(make_short_lab):
    """No SYN comes in from the TUN at all: TCP goes as packets after a moment."""
    lab = build(make_short_lab("deaf"))
    a, c = lab.hosts["a"], lab.hosts["c"]
    a.run("nft", "add table inet guard")
    a.run("nft", "add chain inet guard in { type filter hook input priority 0; policy accept; }")
    a.run("nft", "add rule inet guard in iifname qanat0 tcp flags & (syn | ack) == syn drop")
    for _ in range(2):
        with a.socket(socket.AF_INET6) as app, listener(c) as server:
            app.connect((c.address, PORTS["test"]))
            server.settimeout(15 * PATIENCE)
            app.sendall(b"x")
            while True:
                service, _ = server.accept()
                with service, contextlib.suppress(ConnectionResetError):
                    service.settimeout(15 * PATIENCE)
                    if service.recv(1) == b"x":
                        break
    assert splicing(a)["blocked"] == 1
    a.log_wait("TCP is not spliced for a while")


def test_a_download_outlives_its_relay(make_short_lab):
    lab = make_short_lab("relay")
    a, b, c, d = lab.nodes("a", "b", "c", "d", sections={"tun": {"splice": "on"}})
    d.sections.update(SERVICES)
    for one, other in ((a, b), (b, d), (a, c), (c, d)):
        lab.wire(one, other, static=True)
    lab.start()
    a.ping(d)
    wait_for("two ways", lambda: len(a.ask("circuits")["circuits"]) >= 2, 30)
    data = os.urandom(1 << 20)
    count = 60
    want = hashlib.sha256(data * count).hexdigest()
    with pair(a, d) as (app, service):
        def send():
            for _ in range(count):
                service.sendall(data)
                time.sleep(0.01)
            service.shutdown(socket.SHUT_WR)
        pusher = threading.Thread(target=send, daemon=True)
        pusher.start()
        got = hashlib.sha256(app.recv(65536, socket.MSG_WAITALL))
        relay = max((b, c), key=lambda n: sum(w.bytes() for w in lab.wires if n in [h for h, _ in w.ends]))
        relay.kill()
        while more := app.recv(1 << 20):
            got.update(more)
        pusher.join()
    assert got.hexdigest() == want
    assert splicing(a)["joined"] == 1


@pytest.mark.parametrize("which", ["a", "c"])
def test_a_daemon_that_stops_resets_its_apps(make_short_lab, which):
    lab = build(make_short_lab("stop"))
    a, c = lab.hosts["a"], lab.hosts["c"]
    with pair(a, c) as (app, service):
        app.sendall(b"x")
        assert service.recv(1) == b"x"
        lab.hosts[which].stop()
        sees_reset(app)
        sees_reset(service)
    lab.start(lab.hosts[which])
    lab.hosts[which].ping(c if which == "a" else a)
    with pair(a, c) as (app, service):
        service.sendall(b"anew")
        assert app.recv(100) == b"anew"


def test_a_daemon_that_is_killed_resets_the_other_ends_app(make_short_lab):
    lab = build(make_short_lab("kill"))
    a, c = lab.hosts["a"], lab.hosts["c"]
    with pair(a, c) as (app, service):
        app.sendall(b"x")
        assert service.recv(1) == b"x"
        c.kill()
        app.settimeout(60 * PATIENCE)
        sees_reset(app)
        lab.start(c)
        c.ping(a)
        # What was there before goes as packets, and nobody knows it there.
        with pytest.raises(ConnectionResetError):
            while True:
                service.send(b"anyone?")
                time.sleep(0.05)


def test_switched_off_and_on_by_a_reload(make_short_lab):
    lab = build(make_short_lab("reload"))
    a, c = lab.hosts["a"], lab.hosts["c"]
    with pair(a, c) as (app, service):
        for word, is_on in (("off", False), ("on", True)):
            a.sections["tun"]["splice"] = word
            a.write_conf()
            assert a.ask("reload")["needs_restart"] == ""
            assert a.ask("status")["tun"]["splice"] == is_on
            before = splicing(a)["asked"]
            with pair(a, c, PORTS["none"]) as (_, other):
                other.sendall(b"x")
            assert (splicing(a)["asked"] > before) == is_on
        service.sendall(b"as before")
        assert app.recv(100) == b"as before"
