"""A small SOCKS5 client (RFC 1928, 1929) on a socket that the caller made."""

import ipaddress
import struct

CONNECT, ASSOCIATE = 1, 3
OK, FAILED, NOT_ALLOWED, NET_UNREACHABLE, UNREACHABLE, REFUSED = 0, 1, 2, 3, 4, 5


def read(s, n):
    """Exactly n bytes."""
    got = b""
    while len(got) < n:
        more = s.recv(n - len(got))
        if not more:
            raise EOFError(f"closed after {len(got)} of {n} bytes")
        got += more
    return got


def write_address(host, port):
    try:
        ip = ipaddress.ip_address(host)
    except ValueError:
        name = host.encode()
        return struct.pack("!BB", 3, len(name)) + name + struct.pack("!H", port)
    return bytes([1 if ip.version == 4 else 4]) + ip.packed + struct.pack("!H", port)


def read_address(s):
    kind, = read(s, 1)
    if kind == 3:
        host = read(s, read(s, 1)[0]).decode()
    else:
        host = str(ipaddress.ip_address(read(s, {1: 4, 4: 16}[kind])))
    return host, struct.unpack("!H", read(s, 2))[0]


def greet(s):
    s.sendall(b"\x05\x01\x00")
    assert read(s, 2) == b"\x05\x00"


def login(s, user, password):
    """User and password; whether they are taken."""
    s.sendall(b"\x05\x01\x02")
    assert read(s, 2) == b"\x05\x02"
    u, p = user.encode(), password.encode()
    s.sendall(bytes([1, len(u)]) + u + bytes([len(p)]) + p)
    return read(s, 2) == b"\x01\x00"


def ask(s, host, port, command=CONNECT):
    s.sendall(bytes([5, command, 0]) + write_address(host, port))


def reply(s):
    """The reply's code and the address bound."""
    version, code, zero = read(s, 3)
    assert (version, zero) == (5, 0)
    return code, read_address(s)


def connect(s, host, port):
    """The reply's code; after OK the socket is a pipe to host:port."""
    greet(s)
    ask(s, host, port)
    return reply(s)[0]


def wrap(host, port, payload):
    """A datagram for the relay of an association."""
    return b"\x00\x00\x00" + write_address(host, port) + payload


def unwrap(datagram):
    assert datagram[:3] == b"\x00\x00\x00", datagram[:3]
    kind = datagram[3]
    n = {1: 4, 4: 16}.get(kind) or 1 + datagram[4]
    return datagram[4 + n + 2:]
