"""What programs see through A's SOCKS port over three hops."""

import base64
import contextlib
import hashlib
import os
import socket
import subprocess
import time

import pytest

import line
import socks
from netlab import LabError, PATIENCE, SANITIZED, SOCKS_PORT
from servers import Echo

MIB = 1024 * 1024
BIG_FILE = (128 if SANITIZED else 1024) * MIB


@pytest.fixture(scope="module")
def lab(make_lab):
    return line.build(make_lab("socks"))


@pytest.fixture(scope="module")
def a(lab):
    return lab.hosts["a"]


@pytest.fixture(scope="module")
def d(lab):
    return lab.hosts["d"]


@pytest.fixture(scope="module")
def echo(d):
    with contextlib.closing(Echo(d, d.address, 7)) as server:
        yield server


@pytest.fixture
def door(a):
    """A connection to A's SOCKS port."""
    with a.socket() as s:
        s.connect(("127.0.0.1", SOCKS_PORT))
        yield s


def test_curl_by_name(a, d):
    assert a.curl(f"http://{d.fuse}:8080/").stdout == line.PAGE


def test_curl_by_address(a, d):
    assert a.curl(f"http://[{d.address}]:8080/").stdout == line.PAGE


def test_the_full_digest_is_held_against_the_key(d, door, a):
    assert a.curl(f"http://{d.fuse_in_full}:8080/").stdout == line.PAGE
    other = base64.b32encode(d.key_hash[:10] + bytes(22)).decode().lower().rstrip("=") + ".fuse"
    assert socks.connect(door, other, 8080) == socks.UNREACHABLE


def test_curl_to_a_published_service(a, d):
    assert a.curl(f"http://{d.fuse}/").stdout == line.PAGE


def test_curl_with_a_label_in_front_of_the_name(a, d):
    assert a.curl(f"http://www.{d.fuse}/").stdout == line.PAGE


def test_services_are_for_those_whom_they_allow(lab, d, door):
    assert lab.hosts["b"].curl(f"http://{d.fuse}:90/").stdout == line.PAGE
    assert socks.connect(door, d.fuse, 90) == socks.NOT_ALLOWED


@pytest.mark.parametrize("port", [12345, 91], ids=["not published", "allowed to nobody"])
def test_a_closed_port_is_not_allowed(d, door, port):
    assert socks.connect(door, d.fuse, port) == socks.NOT_ALLOWED


def test_a_port_where_nobody_listens_is_refused(d, door):
    assert socks.connect(door, d.fuse, 99) == socks.REFUSED


@pytest.mark.parametrize("port,code", [
    (80, socks.OK), (8080, socks.OK), (12345, socks.NOT_ALLOWED), (99, socks.REFUSED),
])
def test_a_node_serves_its_own_users(d, port, code):
    for host in (d.fuse, d.address):
        with d.socket() as s:
            s.connect(("127.0.0.1", SOCKS_PORT))
            assert socks.connect(s, host, port) == code
    if code == socks.OK:
        assert d.curl(f"http://{d.fuse}:{port}/").stdout == line.PAGE


def test_half_close(d, door):
    """The client ends its direction first, and still gets the whole reply."""
    with d.socket(socket.AF_INET6) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((d.address, 5201))
        listener.listen(1)
        assert socks.connect(door, d.fuse, 5201) == socks.OK
        peer, _ = listener.accept()
    door.sendall(b"question")
    door.shutdown(socket.SHUT_WR)
    with peer:
        peer.settimeout(15 * PATIENCE)
        assert socks.read(peer, 8) == b"question"
        assert peer.recv(1) == b""
        peer.sendall(b"answer")
    assert socks.read(door, 6) == b"answer"
    assert door.recv(1) == b""


@pytest.mark.parametrize("user,password,taken", [
    ("carol", "correct horse", True), ("carol", "wrong horse", False), ("carol", "", False), ("eve", "", False),
])
def test_user_and_password(lab, d, user, password, taken):
    with lab.hosts["c"].socket() as s:
        s.connect(("127.0.0.1", SOCKS_PORT))
        assert socks.login(s, user, password) == taken
        if taken:
            socks.ask(s, d.fuse, 8080)
            assert socks.reply(s)[0] == socks.OK


def test_no_password_where_one_is_asked_for(lab):
    with lab.hosts["c"].socket() as s:
        s.connect(("127.0.0.1", SOCKS_PORT))
        s.sendall(b"\x05\x01\x00")
        assert socks.read(s, 2) == b"\x05\xff"


@contextlib.contextmanager
def association(a):
    """UDP ASSOCIATE: the UDP socket, and where its relay is."""
    with a.socket() as control, a.socket(kind=socket.SOCK_DGRAM) as udp:
        control.connect(("127.0.0.1", SOCKS_PORT))
        socks.greet(control)
        socks.ask(control, "0.0.0.0", 0, socks.ASSOCIATE)
        code, relay = socks.reply(control)
        assert code == socks.OK
        yield udp, relay


def echo_once(udp, relay, host, payload):
    """Datagrams may be lost: asks again until the answer is there."""
    end = time.monotonic() + 15 * PATIENCE
    udp.settimeout(1)
    while time.monotonic() < end:
        udp.sendto(socks.wrap(host, 7, payload), relay)
        with contextlib.suppress(TimeoutError):
            while True:
                if socks.unwrap(udp.recv(65536)) == payload:
                    return
    raise LabError(f"no echo of {len(payload)} bytes by {host}")


def test_udp_echo(a, d, echo):
    with association(a) as (udp, relay):
        for host in (d.fuse, d.address):
            for size in (1, 100, 1200):
                echo_once(udp, relay, host, os.urandom(size))


def test_udp_echo_by_oneself(d, echo):
    with association(d) as (udp, relay):
        for size in (0, 1, 9000):
            echo_once(udp, relay, d.fuse, os.urandom(size))


def test_500_connections_at_once(a, d, echo):
    n = 500
    with contextlib.ExitStack() as stack:
        conns = [stack.enter_context(a.socket()) for _ in range(n)]
        for s in conns:
            s.settimeout(30 * PATIENCE)
            s.connect(("127.0.0.1", SOCKS_PORT))
            s.sendall(b"\x05\x01\x00")
        for s in conns:
            assert socks.read(s, 2) == b"\x05\x00"
            socks.ask(s, d.fuse, 7)
        for i, s in enumerate(conns):
            assert socks.reply(s)[0] == socks.OK, f"connection {i}"
        # All are open now; each carries bytes of its own.
        sent = [hashlib.sha256(b"%d" % i).digest() * 64 for i in range(n)]
        for s, data in zip(conns, sent):
            s.sendall(data)
        for i, (s, data) in enumerate(zip(conns, sent)):
            assert socks.read(s, len(data)) == data, f"connection {i}"


@pytest.fixture
def big_file(lab):
    """The name of a file of pseudo-random bytes at D's web server, and its hash."""
    path = lab.dir / "www" / "big"
    made = subprocess.run(
        ["sh", "-c", f"head -c {BIG_FILE} /dev/zero | openssl enc -aes-128-ctr -nosalt "
         f"-K 00112233445566778899aabbccddeeff -iv {'00' * 16} | tee {path} | sha256sum"],
        check=True, capture_output=True, text=True)
    yield path.name, made.stdout.split()[0]
    path.unlink()


def test_a_big_file_arrives_whole(a, d, big_file):
    name, want = big_file
    limit = 240 * PATIENCE
    got = a.run("bash", "-c", "set -o pipefail; curl -sSf --noproxy '' "
                f"--proxy socks5h://127.0.0.1:{SOCKS_PORT} http://{d.fuse}:8080/{name} | sha256sum", timeout=limit)
    assert got.stdout.split()[0] == want


# What goes wrong, and how the program learns of it

@pytest.mark.parametrize("host,codes,why", [
    ("aaaaaaaaaaaaaaaa.fuse", {socks.UNREACHABLE}, "no such node"),
    ("nobody.fuse", {socks.UNREACHABLE}, "no such short name"),
    ("-bad-.fuse", {socks.UNREACHABLE}, "malformed"),
    ("a_b.fuse", {socks.UNREACHABLE}, "malformed"),
    ("fdcc:1234:5678::1", {socks.NET_UNREACHABLE, socks.UNREACHABLE, socks.NOT_ALLOWED}, "of another cluster"),
    ("example.com", {socks.NOT_ALLOWED}, "not of the overlay"),
    ("192.0.2.1", {socks.NOT_ALLOWED}, "not of the overlay"),
])
def test_what_is_not_there_is_told_at_once(door, host, codes, why):
    start = time.monotonic()
    assert socks.connect(door, host, 80) in codes, why
    assert time.monotonic() - start < 8 * PATIENCE
