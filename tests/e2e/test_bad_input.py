"""What a daemon says and does when its files, its disk or its rights are not
as they should be.  It starts and fails at once, or goes on with what it has."""

import contextlib
import os
import shutil
import socket

import pytest

import netlab
from netlab import BUILD, run, wait_for

DATABASE = "db/data.mdb"


@pytest.fixture(scope="module")
def lab(make_lab):
    """A and B on a wire; B runs, A is what the tests are about."""
    lab = make_lab("input")
    a, b = lab.nodes("a", "b")
    lab.wire(a, b)
    lab.start(b)
    lab.other = lab.authority("other")
    shutil.copytree(a.state, lab.dir / "good")
    return lab


@pytest.fixture
def a(lab):
    """A with good files, not running; what the test does to them is undone."""
    a = lab.hosts["a"]
    sections = {name: dict(keys) for name, keys in a.sections.items()}
    yield a
    if a.process is not None:
        a.stop()
    a.sections = sections
    shutil.rmtree(a.state)
    shutil.copytree(lab.dir / "good", a.state)


# Files

def certificate(a, lab, **dates):
    """One for A's key with these dates, by another tool."""
    template = lab.dir / "template"
    template.write_text("cn = a\nsigning_key\ntls_www_server\ntls_www_client\n" +
                        "".join(f'{k} = "{v} 00:00:00 UTC"\n' for k, v in dates.items()))
    run("certtool", "--generate-certificate", "--load-privkey", a.state / "key.pem",
        "--load-ca-certificate", lab.ca.dir / "ca.crt", "--load-ca-privkey", lab.ca.dir / "ca.key",
        "--template", template, "--outfile", a.state / "cert.crt")


def wrong_key(a, lab):
    shutil.copy(lab.hosts["b"].state / "key.pem", a.state / "key.pem")


FILES = {
    "no key": (lambda a, lab: (a.state / "key.pem").unlink(), "key.pem: no such file"),
    "no certificate": (lambda a, lab: (a.state / "cert.crt").unlink(), "cert.crt: no such file"),
    "no CA": (lambda a, lab: (a.state / "ca.crt").unlink(), "ca.crt: no such file"),
    "a key that others can read": (lambda a, lab: (a.state / "key.pem").chmod(0o644),
                                   "key.pem: readable by group or others (mode 0644). Run: chmod 600 "),
    "another node's key": (wrong_key, "cert.crt: no certificate for the key in key.pem"),
    "another CA's certificate": (lambda a, lab: a.sign(lab.other.dir), "cert.crt: issued by another CA than ca.crt"),
    "an expired certificate": (lambda a, lab: certificate(a, lab, activation_date="2020-01-01",
                                                          expiration_date="2021-01-01"),
                               "cert.crt: expired 2021-01-01"),
    "a certificate of the future": (lambda a, lab: certificate(a, lab, activation_date="2045-01-01",
                                                               expiration_date="2046-01-01"),
                                    "cert.crt: not valid before 2045-01-01"),
    "noise for a certificate": (lambda a, lab: (a.state / "cert.crt").write_bytes(os.urandom(500)),
                                "cert.crt: no PEM certificate in it"),
    "noise for a key": (lambda a, lab: (a.state / "key.pem").write_bytes(os.urandom(500)),
                        "key.pem: not an Ed25519 key"),
}


@pytest.mark.parametrize("what", FILES)
def test_files(a, lab, what):
    spoil, message = FILES[what]
    spoil(a, lab)
    assert message in a.fails()


# Configuration

CONFIGS = {
    "a key that is near another": ("[node]\nname = a\n\nlisten = [::]:4433\nlisetn = [::]:1\n",
                                   ':5: unknown key "lisetn" in [node] (did you mean "listen"?)'),
    "a key that is near none": ("[node]\nwombat = 1\n", ':2: unknown key "wombat" in [node]'),
    "an unknown section": ("[nodes]\n", ":1: unknown section [nodes]"),
    "a value out of range": ("[tun]\nmtu = 900\n", ":2: "),
    "twice": ("[node]\nname = a\nname = b\n", ":3: "),
}


@pytest.mark.parametrize("what", CONFIGS)
def test_configuration(lab, what):
    text, message = CONFIGS[what]
    path = lab.dir / "bad.conf"
    path.write_text(text)
    for argv in (["--check", path], ["--config", path]):
        done = run(BUILD / "qanatd", *argv, check=False)
        assert done.returncode == 1
        assert f"{path}{message}" in done.stderr


def test_no_configuration(lab):
    done = run(BUILD / "qanatd", "--config", lab.dir / "nowhere.conf", check=False)
    assert done.returncode == 1
    assert "nowhere.conf" in done.stderr and "No such file" in done.stderr


# Packet protection

@pytest.fixture
def ipsec_mb():
    """The library, as far as it is here."""
    lines = run("ldconfig", "-p").stdout.splitlines()
    return [line.split()[-1] for line in lines if "libIPSec_MB.so." in line]


def test_protection_that_is_not_here(lab, a, ipsec_mb):
    a.sections["node"]["packet-protection"] = "ipsec-mb"
    hide = "".join(f"mount --bind /dev/null {path}; " for path in ipsec_mb)
    said = a.fails("unshare", "-m", "sh", "-ec", f'{hide} exec "$@"', "sh", BUILD / "qanatd", "--config", a.conf)
    assert "no packet protection by ipsec-mb: " in said


def test_protection_is_found_by_itself(lab, a, ipsec_mb):
    a.sections["node"]["packet-protection"] = "auto"
    lab.start(a)
    assert a.ask("status")["packet_protection"] in ("gnutls", *["ipsec-mb" for _ in ipsec_mb])


# Another daemon

def test_a_second_daemon_on_the_same_state(a, lab):
    lab.start(a)
    second = lab.dir / "second.conf"
    second.write_text(f"[node]\nstate = {a.state}\nlisten = [::]:5555\n[tun]\nenabled = off\n"
                      f"[socks]\nlisten = off\n[admin]\nsocket = {lab.dir}/second.sock\n")
    said = a.fails(BUILD / "qanatd", "--config", second)
    assert f"{a.state} is in use by another qanatd (pid {a.process.pid})" in said
    a.ping(lab.hosts["b"])


def test_a_port_that_is_taken(a, lab):
    with a.socket(socket.AF_INET6, socket.SOCK_DGRAM) as s:
        s.bind(("::", netlab.UDP_PORT))
        assert "cannot listen on udp [::]:4433: Address already in use" in a.fails()


# The disk

@contextlib.contextmanager
def small_disk(a):
    """A's state on a disk of its own; yields how to fill it up."""
    run("mount", "-t", "tmpfs", "-o", "size=256k,mode=0700", "tmpfs", a.state)
    try:
        for f in (a.lab.dir / "good").iterdir():
            shutil.copy(f, a.state)

        def fill():
            with open(a.state / "filler", "wb", buffering=0) as f, contextlib.suppress(OSError):
                while True:
                    f.write(b"x" * 1024)
        yield fill
        if a.process is not None:
            a.stop()
    finally:
        run("umount", "-l", a.state)


def serves(a):
    """It starts, reaches B, and says what is wrong with the database."""
    a.lab.start(a)
    a.ping(a.lab.hosts["b"])
    a.log_wait("database is not written, going on from memory", a.started)
    return a.qanat("status").stdout


def test_a_read_only_state_directory(a):
    with small_disk(a):
        run("mount", "-o", "remount,ro", a.state)
        assert "database read-only" in serves(a)


def test_a_full_state_directory(a):
    with small_disk(a) as fill:
        fill()
        assert "database full" in serves(a)


def test_a_disk_that_fills_up_and_is_emptied(a, lab):
    with small_disk(a) as fill:
        lab.start(a)
        fill()
        a.ping(lab.hosts["b"])  # something to be stored
        a.log_wait("database is not written, going on from memory", a.started)
        assert "database full" in a.qanat("status").stdout
        (a.state / "filler").unlink()
        a.log_wait("database is written again", a.started, timeout=40)


def truncate(path):
    data = path.read_bytes()
    path.write_bytes(data[:len(data) // 2 - 100])


DAMAGES = {
    "cut short": truncate,
    "one page": lambda path: path.write_bytes(path.read_bytes()[:1000]),
    "noise": lambda path: path.write_bytes(os.urandom(path.stat().st_size)),
    "noise in its head": lambda path: path.write_bytes(os.urandom(8192) + path.read_bytes()[8192:]),
    "noise in its body": lambda path: path.write_bytes(path.read_bytes()[:8192] +
                                                       os.urandom(path.stat().st_size - 8192)),
}


@pytest.mark.parametrize("what", DAMAGES)
def test_a_damaged_database_is_set_aside(a, lab, what):
    lab.start(a)
    a.ping(lab.hosts["b"])
    a.stop()
    DAMAGES[what](a.state / DATABASE)
    lab.start(a)
    assert a.log_find("database was damaged and is begun anew: .*set aside as .*db.bad-1", a.started)
    assert (a.state / "db.bad-1").is_dir()
    a.ping(lab.hosts["b"])
    # What is written now can be read.
    a.stop()
    lab.start(a)
    found = a.log_find(r"database read: peers=(\d+)", a.started)
    assert int(found.group(1)) == 1


# Rights

NOBODY = 65534


def test_without_the_right_to_a_tun(a, lab):
    """As a user without capabilities: SOCKS works, and the log says why only that."""
    b = lab.hosts["b"]
    for path in (a.dir, a.state, *a.state.iterdir()):
        os.chown(path, NOBODY, NOBODY)
    lab.dir.chmod(0o755)
    a.start(prefix=("setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", "--bounding-set=-all"))
    try:
        lab.wait_ready(a)
        assert a.log_find(r"no TUN, going on with SOCKS only: cannot (make the TUN qanat0|open /dev/net/tun): "
                          r"permission denied\. Run with CAP_NET_ADMIN, or set enabled = off in \[tun\]", a.started)
        root = lab.dir / "www"
        root.mkdir()
        (root / "index.html").write_text("served")
        b.web(root)
        b.sections["service web"] = {"port": 80, "to": "127.0.0.1:8080", "allow": "*"}
        b.write_conf()
        b.qanat("reload")
        wait_for("a session", lambda: a.log_find("session up", a.started))
        assert a.curl(f"http://{b.fuse}/").stdout == "served"
    finally:
        a.stop()
        os.chown(a.dir, 0, 0)


def test_with_the_tun_off(a, lab):
    a.sections["tun"]["enabled"] = "off"
    lab.start(a)
    assert "qanat0" not in a.run("ip", "-o", "link").stdout
    assert "TUN" not in a.text()[a.started:]


# Peers that are not of the cluster

def test_a_node_of_another_cluster_is_refused(lab, a):
    """Both say so, and no session stands."""
    b = lab.hosts["b"]
    a.sign(lab.other.dir)
    shutil.copy(lab.other.dir / "ca.crt", a.state / "ca.crt")
    wire = lab.wires[0]
    a.sections["peer b"] = {"address": wire.address(b, netlab.UDP_PORT)}
    a.sections["node"]["log"] = "debug"
    mark = b.mark()
    lab.start(a)
    a.log_wait("dial failed: reason=", a.started)
    assert not a.log_find("session up", a.started)
    assert not b.log_find("session up", mark)
    del a.sections["peer b"]
