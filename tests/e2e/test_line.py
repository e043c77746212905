"""What programs see through the TUN over three hops."""

import contextlib
import hashlib
import json
import os
import re
import socket
import subprocess
import threading

import pytest

import line
from netlab import LabError, PATIENCE, wait_for
from servers import Echo, Sshd


@pytest.fixture(scope="module")
def lab(make_lab):
    return line.build(make_lab("line"))


@pytest.fixture(scope="module")
def a(lab):
    return lab.hosts["a"]


@pytest.fixture(scope="module")
def d(lab):
    return lab.hosts["d"]


def test_every_pair_pings(lab):
    nodes = lab.daemons()
    for one in nodes:
        for other in nodes:
            one.ping(other)


IP_AND_ICMP = 48


def ping_whole(a, d, mtu):
    """A packet of `mtu` bytes that nobody may cut: what ping says."""
    done = a.run("ping", "-6", "-n", "-c", 1, "-W", 1, "-M", "do", "-s", mtu - IP_AND_ICMP, d.address, check=False)
    return done.returncode == 0, done.stdout + done.stderr


def test_packets_of_every_size_up_to_the_mtu(a, d):
    """1280 bytes always pass; a larger one that does not fit this path, over
    IPv6 wires perhaps, is answered with the size that does."""
    for size in (IP_AND_ICMP, 1000, 1279, 1280):
        wait_for(f"an answer of {size} bytes", lambda: ping_whole(a, d, size)[0])
    mtu = json.loads(a.run("ip", "-j", "link", "show", "qanat0").stdout)[0]["mtu"]
    passed, text = ping_whole(a, d, mtu)
    if not passed:
        mtu = int(re.search(r"mtu[=:] ?(\d+)", text).group(1))
        assert mtu >= 1280
        wait_for(f"an answer of {mtu} bytes", lambda: ping_whole(a, d, mtu)[0])


@pytest.mark.parametrize("size", [1500, 4000, 20000])
def test_what_the_kernel_cuts_arrives_whole(a, d, size):
    """Larger than the TUN's packets: it goes in fragments, both ways."""
    wait_for(f"an answer of {size} bytes",
             lambda: a.run("ping", "-6", "-n", "-c", 1, "-W", 1, "-s", size, d.address, check=False).returncode == 0)
    with contextlib.closing(Echo(d, d.address, 7)):
        udp_echoes(a, d, 7, os.urandom(size))
    with pytest.raises(PermissionError):
        udp_echoes(a, d, 8, os.urandom(size))


def test_curl(a, d):
    assert a.curl(f"http://[{d.address}]:8080/", socks=False).stdout == line.PAGE


def test_curl_to_a_published_service(a, d):
    """Which listens on another address than D's own."""
    assert a.curl(f"http://[{d.address}]/", socks=False).stdout == line.PAGE


def test_iperf3(a, d):
    d.popen("iperf3", "-s", "-1", "-B", d.address, stdout=subprocess.DEVNULL)
    wait_for("iperf3", lambda: d.run("ss", "-Hltn", "sport = :5201").stdout)
    out = a.run("iperf3", "-6", "-c", d.address, "-t", 2, "-f", "m").stdout
    rate = float(re.search(r"([\d.]+) Mbits/sec.*receiver", out).group(1))
    assert rate > 1


@pytest.mark.skipif(not Sshd.is_there(), reason="no sshd")
def test_ssh(a, d):
    data = os.urandom(300_000).hex()
    with Sshd(d) as sshd:
        try:
            assert a.run(*sshd.login(), "echo $SSH_CONNECTION").stdout.split()[::2] == [a.address, d.address]
            assert a.run(*sshd.login(), "cat", input=data).stdout == data
        except LabError as e:
            raise LabError(f"{e}\nsshd: {sshd.log.read_text()}") from None


def udp_echoes(host, d, port, data=b"through the tun"):
    with host.socket(socket.AF_INET6, socket.SOCK_DGRAM) as udp:
        udp.connect((d.address, port))
        udp.settimeout(1)

        def echoed():
            with contextlib.suppress(TimeoutError):
                udp.send(data)
                return udp.recv(65536) == data
        wait_for("the echo", echoed)


def test_udp_echo(a, d):
    with contextlib.closing(Echo(d, d.address, 7)):
        udp_echoes(a, d, 7)


def test_udp_echo_by_a_published_service(lab, a, d):
    """Which listens on another address than D's own."""
    with contextlib.closing(Echo(d, "127.0.0.1", 7)):
        udp_echoes(a, d, 53)
        udp_echoes(lab.hosts["b"], d, 54)
        with pytest.raises(PermissionError):
            udp_echoes(a, d, 54)


def test_an_upload_arrives_whole(a, d):
    data = os.urandom(20_000_000)
    got = hashlib.sha256()
    with d.socket(socket.AF_INET6) as listener, a.socket(socket.AF_INET6) as s:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((d.address, 5201))
        listener.listen(1)
        s.connect((d.address, 5201))
        peer, _ = listener.accept()
        pusher = threading.Thread(target=lambda: (s.sendall(data), s.shutdown(socket.SHUT_WR)))
        pusher.start()
        with peer:
            peer.settimeout(60 * PATIENCE)
            while more := peer.recv(1 << 20):
                got.update(more)
        pusher.join()
    assert got.digest() == hashlib.sha256(data).digest()
