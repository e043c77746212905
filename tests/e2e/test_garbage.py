"""Noise on every door that is open to others: it is counted, closed or ignored,
and the node goes on."""

import contextlib
import http.client
import json
import os
import socket

import pytest

import socks
from netlab import PATIENCE, SOCKS_PORT, UDP_PORT, dice, wait_for

BEACON_PORT = 4434


@pytest.fixture(scope="module")
def lab(make_lab):
    """A and B on a wire, and X, who is nobody, on another wire of A."""
    lab = make_lab("garbage")
    a = lab.node("a")
    b = lab.node("b", {"service web": {"port": 80, "to": "127.0.0.1:8080", "allow": "*"}})
    lab.wire(a, b)
    lab.wire(a, lab.host("x"))
    lab.start()
    root = lab.dir / "www"
    root.mkdir()
    (root / "index.html").write_text("fine")
    b.web(root)
    a.ping(b)
    return lab


@pytest.fixture
def a(lab):
    """A, which must be well after the test as before."""
    a, b = lab.hosts["a"], lab.hosts["b"]
    assert a.reaches(b)
    yield a
    a.check()
    assert a.reaches(b), "the TUN"
    assert a.curl(f"http://{b.fuse}/").stdout == "fine", "SOCKS"
    assert a.ask("status"), "the control socket"


@pytest.fixture
def rng():
    return dice()


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("localhost", timeout=10 * PATIENCE)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self.path))


def api(node, method, url, body=None, headers={}):
    """One request to the control API: status and body."""
    with contextlib.closing(UnixConnection(node.sock)) as c:
        c.request(method, url, body, headers)
        r = c.getresponse()
        return r.status, r.read()


def counters(node):
    status, body = api(node, "GET", "/v1/counters")
    assert status == 200
    return json.loads(body)


# UDP

def quic_long(rng, version, kind, body):
    """A long header with ids of its own (RFC 9000 17.2)."""
    first = 0xc0 | kind << 4
    return bytes([first]) + version.to_bytes(4, "big") + b"\x08" + rng.randbytes(8) + b"\x08" + rng.randbytes(8) + body


def datagrams(rng):
    for size in (0, 1, 2, 4, 5, 20, 21, 42, 43, 44, 100, 1199, 1200, 1472, 8000):
        yield rng.randbytes(size)
    for _ in range(300):
        yield rng.randbytes(rng.randrange(1400))
    for _ in range(100):  # an Initial, full size, whose protection is wrong
        yield quic_long(rng, 1, 0, b"\x00\x44\xb0" + rng.randbytes(1200))
    for kind in (1, 2, 3):
        yield quic_long(rng, 1, kind, rng.randbytes(1200))
    for version in (0, 0x0a0a0a0a, 0x6b3343cf, 0xffffffff):
        yield quic_long(rng, version, 0, rng.randbytes(1200))
    for _ in range(100):  # a short header with an id that nobody has
        yield bytes([0x40 | rng.randrange(0x40)]) + rng.randbytes(rng.randrange(20, 1300))


def test_udp(a, lab, rng):
    x, wire = lab.hosts["x"], lab.wires[1]
    before = counters(a)["udp"]["received"]
    n = 0
    with x.socket(kind=socket.SOCK_DGRAM) as s:
        for data in datagrams(rng):
            s.sendto(data, (wire.address(a), UDP_PORT))
            n += 1
    wait_for("the noise to be read", lambda: counters(a)["udp"]["received"] - before >= n / 2)
    got = counters(a)["sessions"]
    print(got)
    assert got["udp_garbage"] > 0
    assert got["udp_unknown"] >= 50
    assert got["version"] > 0


def test_an_answer_is_not_larger_than_what_asked(a, lab, rng):
    """The node is no amplifier for those who forge an address: three times at
    most, and a reset is shorter than what caused it."""
    x, wire = lab.hosts["x"], lab.wires[1]
    n_answers = 0
    for data in list(datagrams(rng))[::20]:
        with x.socket(kind=socket.SOCK_DGRAM) as s:
            s.settimeout(0.1)
            s.sendto(data, (wire.address(a), UDP_PORT))
            answers = 0
            with contextlib.suppress(TimeoutError):
                while True:
                    answers += len(s.recv(65536))
                    n_answers += 1
            if data:
                assert answers <= (3 * len(data) if data[0] & 0x80 else len(data) - 1)
    assert n_answers > 0


def test_beacons(a, lab, rng):
    x, wire = lab.hosts["x"], lab.wires[1]
    with x.socket(kind=socket.SOCK_DGRAM) as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        for size in [*range(0, 600, 7)] * 3:
            for to in (wire.address(a), "255.255.255.255"):
                with contextlib.suppress(OSError):
                    s.sendto(rng.randbytes(size), (to, BEACON_PORT))


# SOCKS

@contextlib.contextmanager
def door(a):
    with a.socket() as s:
        s.connect(("127.0.0.1", SOCKS_PORT))
        yield s


def is_closed(s):
    """The other end has closed, and has not let us through before."""
    with contextlib.suppress(ConnectionResetError):
        answer = b""
        while more := s.recv(4096):
            answer += more
        return answer in (b"", b"\x05\xff") or answer[:1] == b"\x05" and answer[1:2] != b"\x00"
    return True


SOCKS_NOISE = {
    "HTTP": b"GET http://example.com/ HTTP/1.1\r\nHost: example.com\r\n\r\n",
    "HTTP's CONNECT": b"CONNECT example.com:80 HTTP/1.1\r\n\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(64),
    "SOCKS4": b"\x04\x01\x00\x50\x7f\x00\x00\x01\x00",
    "zeros": bytes(1000),
    "no method": b"\x05\x00",
    "methods that nobody has": b"\x05\x03\x7d\x7e\x80",
}


@pytest.mark.parametrize("what", SOCKS_NOISE)
def test_socks_greetings(a, what):
    with door(a) as s:
        s.sendall(SOCKS_NOISE[what])
        assert is_closed(s)


@pytest.mark.parametrize("request_bytes", [
    b"\x04\x01\x00\x01\x7f\x00\x00\x01\x00\x50", b"\x05\x01\x00\x02\x7f\x00\x00\x01\x00\x50",
    b"\x05\x01\x00\x03\x00\x00\x50", b"\x05\x02\x00\x01\x7f\x00\x00\x01\x00\x50",
    b"\x05\x77\x00\x01\x7f\x00\x00\x01\x00\x50", b"\x05\x01\x00\x03\x05a\x00b\nc\x00\x50",
], ids=["version", "address type", "empty name", "BIND", "command", "control characters"])
def test_socks_requests(a, request_bytes):
    with door(a) as s:
        socks.greet(s)
        s.sendall(request_bytes)
        with contextlib.suppress(ConnectionResetError, EOFError):
            version, code = socks.read(s, 2)
            assert version == 5 and code != socks.OK


def test_socks_noise_after_a_greeting(a, rng):
    for _ in range(50):
        with door(a) as s:
            socks.greet(s)
            s.sendall(rng.randbytes(rng.randrange(1, 400)))


def test_socks_connections_that_say_nothing(a):
    """Many stay silent or end in the middle of a word; others are served."""
    with contextlib.ExitStack() as stack:
        for i in range(100):
            s = stack.enter_context(door(a))
            s.sendall(b"\x05\x01\x00\x05\x01"[:i % 6])
        assert a.curl(f"http://{a.lab.hosts['b'].fuse}/").stdout == "fine"


def test_socks_udp_relay(a, rng):
    """Noise and fragments at the relay of an association."""
    with door(a) as control, a.socket(kind=socket.SOCK_DGRAM) as udp:
        socks.greet(control)
        socks.ask(control, "0.0.0.0", 0, socks.ASSOCIATE)
        code, relay = socks.reply(control)
        assert code == socks.OK
        for size in range(0, 300):
            udp.sendto(rng.randbytes(size), relay)
        for fragment in range(1, 255, 11):
            udp.sendto(bytes([0, 0, fragment]) + socks.wrap(a.lab.hosts["b"].fuse, 7, b"x")[3:], relay)
        for size in (1, 1472, 9000, 60000):
            udp.sendto(socks.wrap(a.lab.hosts["b"].fuse, 7, bytes(size)), relay)


# The control socket

@pytest.mark.parametrize("data", [
    b"\x00" * 100 + b"\r\n\r\n", b"GET\r\n\r\n", b"GET /v1/status HTTP/9.9\r\n\r\n", b"GET " + b"/" * 70000 + b" HTTP/1.1\r\n\r\n",
    b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 20000 + b"\r\n",
    b"POST /v1/ping HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999\r\n\r\n",
    b"POST /v1/ping HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n",
], ids=["zeros", "no path", "version", "long path", "many fields", "huge length", "negative length"])
def test_control_socket_noise(a, data):
    """Closed, refused, or left to the limit of idle connections."""
    answer = b""
    with socket.socket(socket.AF_UNIX) as s:
        s.settimeout(1)
        with contextlib.suppress(ConnectionResetError, BrokenPipeError, TimeoutError):
            s.connect(str(a.sock))
            s.sendall(data)
            s.shutdown(socket.SHUT_WR)
            while more := s.recv(65536):
                answer += more
    assert not answer.startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize("method,url,body,headers,want", [
    ("GET", "/", None, {}, 404), ("GET", "/v1/nothing", None, {}, 404), ("GET", "/v1/../etc/passwd", None, {}, 404),
    ("DELETE", "/v1/status", None, {}, 405), ("GET", "/v1/reload", None, {}, 405),
    ("POST", "/v1/ping", "{", {"Content-Type": "application/json"}, 400),
    ("POST", "/v1/ping", "[" * 30000, {"Content-Type": "application/json"}, 400),
    ("POST", "/v1/ping", '{"dst": 7}', {"Content-Type": "application/json"}, 400),
    ("GET", "/v1/status", None, {"Origin": "http://evil.example"}, 403),
], ids=["root", "unknown", "dots", "DELETE", "GET of a POST", "half JSON", "deep JSON", "wrong type", "browser"])
def test_control_socket_requests(a, method, url, body, headers, want):
    assert api(a, method, url, body, headers)[0] == want


def test_control_socket_takes_no_large_body(a):
    """It may close before it has read all of it."""
    with contextlib.suppress(ConnectionResetError, BrokenPipeError):
        assert api(a, "POST", "/v1/ping", "x" * 70000, {"Content-Type": "application/json"})[0] == 413


def test_control_connections_that_say_nothing(a):
    with contextlib.ExitStack() as stack:
        for _ in range(40):
            s = stack.enter_context(socket.socket(socket.AF_UNIX))
            s.connect(str(a.sock))
            s.sendall(b"GET /v1/st")
        assert a.ask("status")


def test_control_socket_is_for_its_owner_alone(a):
    assert os.stat(a.sock).st_mode & 0o777 == 0o660
    done = a.run("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "curl", "-sS", "--unix-socket",
                 a.sock, "http://localhost/v1/status", check=False)
    assert "200" not in done.stdout and done.returncode != 0


# The TUN

def test_noise_into_the_tun(a, lab, rng):
    """Packets of apps that the mesh does not carry: other protocols, ports of
    nobody, addresses of nobody, fragments."""
    b = lab.hosts["b"]
    for protocol in (socket.IPPROTO_ICMPV6, 41, 47, 50, 58, 132, 253):
        with a.inside(), socket.socket(socket.AF_INET6, socket.SOCK_RAW, protocol) as s:
            for size in (0, 1, 8, 60, 1300):
                with contextlib.suppress(OSError):
                    s.sendto(rng.randbytes(size), (b.address, 0))
    with a.socket(socket.AF_INET6, socket.SOCK_DGRAM) as s:
        for port in (1, 53, 4433, 4434, 65535):
            for size in (0, 1200, 1362, 4000, 60000):
                with contextlib.suppress(OSError):
                    s.sendto(bytes(size), (b.address, port))


def unreachable(a, address):
    out = a.run("ping", "-6", "-n", "-c", 1, "-W", 8 * PATIENCE, address, check=False)
    return "nreachable" in out.stdout + out.stderr


def test_an_address_of_nobody_is_unreachable(a):
    prefix = a.address.split(":")[:3]
    wait_for("ICMPv6 to tell", lambda: unreachable(a, ":".join(prefix) + ":1:2:3:4:5"), timeout=8)


def test_an_address_of_another_cluster_is_unreachable(a):
    assert unreachable(a, "fdcc:1234:5678:1:2:3:4:5")
