"""A small internet on one machine, for tests, the demo and the bench.

A Lab owns network namespaces, the veth wires between chosen pairs of them, and
the daemons inside.  Everything it makes carries its own prefix and is removed
by close(), whatever happened; it ends only processes that it started.

    with Lab("line") as lab:
        a, b, c = lab.nodes("a", "b", "c")
        lab.wire(a, b)
        lab.wire(b, c, v4=False, mtu=1280)
        lab.start()
        a.ping(c)

Nothing here sleeps for a fixed time: wait_for() asks until the answer is yes
or a deadline has passed.  The standard library only.
"""

import atexit
import base64
import contextlib
import ctypes
import hashlib
import ipaddress
import itertools
import json
import os
import pathlib
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

REPO = pathlib.Path(__file__).resolve().parents[2]
BUILD = (REPO / os.environ.get("QANAT_BUILD", "build/release")).resolve()
SANITIZED = BUILD.name == "san"
# Who encrypts packets, in every node; see docs/testing.md.
PROTECTION = os.environ.get("QANAT_PROTECTION", "auto")
# Whether packets to a neighbour may go past the session.
DIRECT = os.environ.get("QANAT_DIRECT", "on")
# Whether many packets go to the kernel at once.
GSO = os.environ.get("QANAT_GSO", "on")
# Whether circuit packets go past QUIC, where a test does not say.
SEALED = os.environ.get("QANAT_SEALED", "auto")
# The sanitizers and two noisy cores make everything slower, never wrong.
PATIENCE = 4 if SANITIZED else 1

# Whether TCP through the TUN is spliced, where a test does not say.
SPLICE = os.environ.get("QANAT_SPLICE", "on")
# Whether the kernel rewrites what is spliced.
BPF = os.environ.get("QANAT_BPF", "on")

SOCKS_PORT = 1080
UDP_PORT = 4433
STOP_S = 10 * PATIENCE
REPORT = re.compile(r"ERROR: \w+Sanitizer|runtime error:|SUMMARY: \w+Sanitizer")

CLONE_NEWNET = 0x40000000
PR_SET_PDEATHSIG = 1
libc = ctypes.CDLL(None, use_errno=True)

labs = []
serial = itertools.count()


class LabError(AssertionError):
    """What a test of the lab's own steps fails with."""


def why_not():
    """Why no lab can be built here; None if one can."""
    if os.geteuid() != 0:
        return "needs root (network namespaces)"
    for program in ("ip", "nft", "ping", "curl", "openssl"):
        if not shutil.which(program):
            return f"needs {program} (make deps)"
    probe = f"qn{os.getpid()}-probe"
    done = subprocess.run(["ip", "netns", "add", probe], capture_output=True)
    if done.returncode != 0:
        return "no network namespaces here"
    subprocess.run(["ip", "netns", "del", probe], check=True)
    for program in ("qanat", "qanatd"):
        if not (BUILD / program).exists():
            return f"{BUILD / program} is not built"
    return None


def run(*argv, timeout=60, check=True, **kw):
    """A command to its end; its output in what is raised when it fails."""
    argv = [str(a) for a in argv]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=timeout, **kw)
    if check and done.returncode != 0:
        raise LabError(f"{' '.join(argv)}: exit {done.returncode}\n{done.stdout}{done.stderr}")
    return done


def wait_for(what, probe, timeout=10, interval=0.02):
    """Asks probe() until it says something true, and returns that."""
    end = time.monotonic() + timeout * PATIENCE
    while True:
        got = probe()
        if got:
            return got
        if time.monotonic() > end:
            raise LabError(f"waited {timeout * PATIENCE} s in vain: {what}")
        time.sleep(interval)


def dice():
    """Randomness that can be had again: the seed is shown when a test fails,
    and QANAT_SEED sets it."""
    seed = int(os.environ.get("QANAT_SEED") or random.SystemRandom().randrange(1 << 32))
    print(f"QANAT_SEED={seed}")
    return random.Random(seed)


def die_with_parent():
    libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def end(process, how=signal.SIGTERM, timeout=STOP_S):
    """Ends one child; its exit code, None if it had to be killed.  `how` None:
    it was told already."""
    if how is not None and process.poll() is None:
        process.send_signal(how)
    try:
        return process.wait(timeout)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        return None


class Host:
    """A namespace: a machine of its own, with nothing of ours on it."""

    def __init__(self, lab, name):
        self.lab, self.name = lab, name
        self.ns = f"{lab.prefix}{name}"
        self.dir = lab.dir / name
        self.dir.mkdir()
        self.children = []
        run("ip", "netns", "add", self.ns)
        lab.hosts[name] = self
        # Addresses of wires are usable at once, without looking for doubles.
        self.sysctl("net.ipv6.conf.default.accept_dad", 0)
        self.sysctl("net.ipv6.conf.all.accept_dad", 0)
        self.run("ip", "link", "set", "lo", "up")

    def __repr__(self):
        return self.name

    def argv(self, *argv):
        return ["ip", "netns", "exec", self.ns, *(str(a) for a in argv)]

    def run(self, *argv, **kw):
        return run(*self.argv(*argv), **kw)

    def popen(self, *argv, **kw):
        """A process in the background; the lab ends it at the latest."""
        if self.lab.keep:
            kw["start_new_session"] = True
        else:
            kw["preexec_fn"] = die_with_parent
        child = subprocess.Popen(self.argv(*argv), **kw)
        self.children.append(child)
        return child

    def sysctl(self, key, value):
        self.run("sysctl", "-qw", f"{key}={value}")

    @contextlib.contextmanager
    def inside(self):
        """Sockets made by this thread meanwhile belong to this namespace."""
        home = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        there = os.open(f"/run/netns/{self.ns}", os.O_RDONLY)
        try:
            if libc.setns(there, CLONE_NEWNET) != 0:
                raise OSError(ctypes.get_errno(), "setns")
            yield
        finally:
            libc.setns(home, CLONE_NEWNET)
            os.close(home)
            os.close(there)

    def socket(self, family=socket.AF_INET, kind=socket.SOCK_STREAM):
        with self.inside():
            s = socket.socket(family, kind)
        s.settimeout(15 * PATIENCE)
        return s

    def listens(self, port, address="127.0.0.1"):
        """Whether somebody answers on this TCP port right now."""
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        with self.socket(family) as s:
            return s.connect_ex((address, port)) == 0

    def web(self, root, address="127.0.0.1", port=8080):
        """Python's web server on a folder."""
        child = self.popen("/usr/bin/python3", "-m", "http.server", port, "--bind", address,
                           "--directory", root, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_for(f"the web server in {self}", lambda: self.listens(port, address))
        return child

    def close(self):
        for child in self.children:
            end(child, signal.SIGKILL)
        # What they have started themselves, such as a web server's workers.
        left = subprocess.run(["ip", "netns", "pids", self.ns], capture_output=True, text=True).stdout
        for pid in left.split():
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(pid), signal.SIGKILL)
        subprocess.run(["ip", "netns", "del", self.ns], capture_output=True)


class Wire:
    """A cable: a veth pair between two namespaces.  `static`: the first one's
    configuration names the second; else they find each other by beacons."""

    def __init__(self, lab, a, b, v4=True, v6=True, mtu=1500, static=False):
        n = len(lab.wires)
        # A second wire between the same two has a number in its devices' names.
        twins = sum({h for h, _ in w.ends} == {a, b} for w in lab.wires)
        more = str(twins + 1) if twins else ""
        self.ends = ((a, f"to-{b.name}{more}"), (b, f"to-{a.name}{more}"))
        lab.wires.append(self)
        self.plug()
        self.addresses = {}
        for i, (host, dev) in enumerate(self.ends, 1):
            if not v6:
                host.sysctl(f"net.ipv6.conf.{dev}.disable_ipv6", 1)
            host.run("ip", "link", "set", dev, "mtu", mtu, "up")
            mine = self.addresses[host.name] = []
            if v4:
                mine.append(f"10.77.{n}.{i}")
                host.run("ip", "addr", "add", f"10.77.{n}.{i}/24", "dev", dev)
            if v6:
                mine.append(f"fd77:{n:x}::{i}")
                host.run("ip", "addr", "add", f"fd77:{n:x}::{i}/64", "dev", dev, "nodad")
        if static:
            a.sections[f"peer {b.name}"] = {"address": self.address(b, UDP_PORT)}

    def plug(self):
        """Makes a device at either end."""
        (a, at_a), (b, at_b) = self.ends
        run("ip", "link", "add", at_a, "netns", a.ns, "type", "veth", "peer", "name", at_b, "netns", b.ns)

    def __repr__(self):
        return "-".join(h.name for h, _ in self.ends)

    def address(self, host, port=None):
        """The first address that `host` has on this wire."""
        text = self.addresses[host.name][0]
        if port is None:
            return text
        return f"[{text}]:{port}" if ":" in text else f"{text}:{port}"

    def cut(self):
        """Pulls the plug: both ends see that the carrier is gone."""
        host, dev = self.ends[0]
        host.run("ip", "link", "set", dev, "down")

    def heal(self):
        host, dev = self.ends[0]
        host.run("ip", "link", "set", dev, "up")
        # Taking a device down took its IPv6 addresses with it.
        for text in self.addresses[host.name]:
            if ":" in text:
                host.run("ip", "addr", "replace", f"{text}/64", "dev", dev, "nodad")

    def filter(self, policy):
        for host, dev in self.ends:
            host.run("nft", f"add table netdev cut-{dev}")
            host.run("nft", f"add chain netdev cut-{dev} in "
                     f"{{ type filter hook ingress device {dev} priority 0; policy {policy}; }}")

    def swallow(self):
        """Loses every packet, and nobody is told."""
        self.filter("drop")

    def swallow_long(self, n):
        """Loses the UDP packets over `n` bytes."""
        self.filter("accept")
        for host, dev in self.ends:
            host.run("nft", f"add rule netdev cut-{dev} in udp length > {n} drop")

    def restore(self):
        for host, dev in self.ends:
            host.run("nft", f"delete table netdev cut-{dev}")

    def bytes(self):
        """What has crossed it so far, both ways."""
        host, dev = self.ends[0]
        stats = json.loads(host.run("ip", "-j", "-s", "link", "show", dev).stdout)[0]["stats64"]
        return stats["rx"]["bytes"] + stats["tx"]["bytes"]


def deep_update(into, sections):
    for name, keys in sections.items():
        into.setdefault(name, {}).update(keys)


class Node(Host):
    """A namespace with a daemon, its key, its certificate and its files."""

    def __init__(self, lab, name, sections=None, ca=None, identity=True):
        """`identity`: with a key and a certificate of `ca` or the lab's own."""
        super().__init__(lab, name)
        self.state = self.dir / "state"
        self.state.mkdir(mode=0o700)
        self.conf = self.dir / "qanat.conf"
        self.sock = self.dir / "qanat.sock"
        self.log = self.dir / "log"
        self.log.touch()
        self.log_checked = 0
        self.process = None
        self.sections = {
            "node": {"name": name, "state": self.state, "listen": f"[::]:{UDP_PORT}",
                     "packet-protection": PROTECTION, "direct": DIRECT, "sealed": SEALED, "gso": GSO},
            "discovery": {"lan": "on"},
            "tun": {"enabled": "on", "splice": SPLICE, "bpf": BPF},
            "socks": {"listen": f"127.0.0.1:{SOCKS_PORT}"},
            "admin": {"socket": self.sock},
        }
        deep_update(self.sections, sections or {})
        self.ca = ca or lab.ca
        if identity:
            run(BUILD / "qanat", "keygen", "--dir", self.state, "--name", name)
            self.sign()

    def sign(self, ca=None, *more):
        run(BUILD / "qanat", "ca", "sign", "--ca-dir", ca or self.ca.dir, "--key", self.state / "key.pem",
            "--name", self.name, "--force", *more)

    # Identity, computed here and not asked for: the tests hold the daemon to it.

    @property
    def key_hash(self):
        der = run_binary("openssl", "pkey", "-in", self.state / "key.pem", "-pubout", "-outform", "DER")
        return hashlib.sha256(der).digest()

    @property
    def id(self):
        return self.key_hash[:10]

    @property
    def fuse(self):
        """The name: <id>.fuse"""
        return base64.b32encode(self.id).decode().lower() + ".fuse"

    @property
    def fuse_in_full(self):
        """The name with the whole hash of the key."""
        return base64.b32encode(self.key_hash).decode().lower().rstrip("=") + ".fuse"

    @property
    def address(self):
        """The overlay address."""
        return str(ipaddress.IPv6Address(b"\xfd\xcc" + self.ca.hash[:4] + self.id))

    # The daemon

    def write_conf(self):
        lines = []
        for section, keys in self.sections.items():
            lines += [f"[{section}]"] + [f"{k} = {v}" for k, v in keys.items()] + [""]
        self.conf.write_text("\n".join(lines))

    def start(self, prefix=()):
        """`prefix`: a command that runs the daemon, such as setpriv."""
        assert self.process is None, f"{self} runs already"
        self.write_conf()
        self.started = self.mark()
        with open(self.log, "ab") as log:
            self.process = self.popen(*prefix, BUILD / "qanatd", "--config", self.conf,
                                      stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        return self

    def fails(self, *argv, timeout=10):
        """Starts a daemon that must refuse to; what it says."""
        self.write_conf()
        argv = argv or (BUILD / "qanatd", "--config", self.conf)
        done = self.run(*argv, check=False, timeout=timeout * PATIENCE)
        text = done.stdout + done.stderr
        assert done.returncode == 1, f"exit {done.returncode}, wanted 1: {text}"
        assert not REPORT.search(text), text
        return text

    def stop(self, how=signal.SIGTERM):
        """As systemd does it: exit code 0, within its time."""
        process, self.process = self.process, None
        code = end(process, how)
        assert code == 0, f"{self}: exit {code} after SIGTERM\n{self.tail()}"

    def kill(self):
        """As the power cut does it."""
        process, self.process = self.process, None
        end(process, signal.SIGKILL)

    def text(self):
        return self.log.read_text(errors="replace")

    def mark(self):
        """A place in the log, for log_wait()."""
        return self.log.stat().st_size

    def log_find(self, pattern, since=0):
        with open(self.log, "rb") as f:
            f.seek(since)
            return re.search(pattern, f.read().decode(errors="replace"), re.M)

    def log_wait(self, pattern, since=0, timeout=10):
        return wait_for(f'"{pattern}" in the log of {self}', lambda: self.log_find(pattern, since), timeout)

    def tail(self, n=60):
        lines = self.text().splitlines()
        return "\n".join(lines[-n:])

    def check(self):
        """Raises for a daemon that died or that a sanitizer complained of."""
        text = self.text()
        new, self.log_checked = text[self.log_checked:], len(text)
        if REPORT.search(new):
            raise LabError(f"a sanitizer complains in {self}:\n{new[-6000:]}")
        if self.process is not None and self.process.poll() is not None:
            code, self.process = self.process.returncode, None
            raise LabError(f"the daemon of {self} ended by itself, exit {code}:\n{self.tail()}")

    # Its users

    def qanat(self, *argv, **kw):
        return self.run(BUILD / "qanat", argv[0], "--socket", self.sock, *argv[1:], **kw)

    def ask(self, *argv, **kw):
        """A verb's answer as data."""
        return json.loads(self.qanat(*argv, "--json", **kw).stdout)

    def is_ready(self):
        """Whether it serves its users.  The SOCKS port is opened last."""
        return self.process is not None and self.listens(SOCKS_PORT)

    def reaches(self, other, timeout=2):
        """One ping through the TUN."""
        return self.run("ping", "-6", "-n", "-c", 1, "-W", timeout * PATIENCE, other.address,
                        check=False).returncode == 0

    def ping(self, other, timeout=10):
        """Pings until it is answered."""
        wait_for(f"{self} to ping {other}", lambda: self.reaches(other), timeout)

    def curl(self, url, *argv, socks=True, timeout=30, **kw):
        proxy = ["--proxy", f"socks5h://127.0.0.1:{SOCKS_PORT}"] if socks else []
        return self.run("curl", "-sS", "-g", "--noproxy", "", *proxy, "--max-time", timeout * PATIENCE, *argv, url,
                        timeout=timeout * PATIENCE + 10, **kw)


def run_binary(*argv, **kw):
    return subprocess.run([str(a) for a in argv], check=True, stdout=subprocess.PIPE, timeout=30, **kw).stdout


class Authority:
    """A cluster: a CA in a folder."""

    def __init__(self, directory):
        self.dir = directory

    @property
    def hash(self):
        pem = run_binary("openssl", "x509", "-in", self.dir / "ca.crt", "-noout", "-pubkey")
        der = run_binary("openssl", "pkey", "-pubin", "-outform", "DER", input=pem)
        return hashlib.sha256(der).digest()


class Lab:
    def __init__(self, name, ca=True):
        """`ca`: with a cluster of its own."""
        self.name = name
        self.keep = False  # whether to leave all as it is
        self.prefix = f"qn{os.getpid()}-{next(serial)}-"
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="qanat-lab-"))
        self.hosts, self.wires = {}, []
        labs.append(self)
        self.ca = self.authority("ca") if ca else None

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        try:
            if kind is None:
                self.stop()
        finally:
            self.close()

    def authority(self, name):
        (self.dir / name).mkdir(mode=0o700)
        run(BUILD / "qanat", "ca", "init", "--dir", self.dir / name, "--name", name)
        return Authority(self.dir / name)

    def host(self, name):
        return Host(self, name)

    def node(self, name, sections=None, **kw):
        return Node(self, name, sections, **kw)

    def nodes(self, *names, sections=None):
        return [self.node(n, sections) for n in names]

    def wire(self, a, b, **kw):
        return Wire(self, a, b, **kw)

    def daemons(self):
        return [h for h in self.hosts.values() if isinstance(h, Node)]

    def start(self, *nodes):
        """Starts the daemons, and waits until each one serves its users."""
        nodes = nodes or self.daemons()
        for n in nodes:
            n.start()
        for n in nodes:
            self.wait_ready(n)

    def wait_ready(self, n):
        def ready():
            n.check()
            return n.is_ready()
        wait_for(f"the daemon of {n} to be ready", ready)

    def check(self):
        for n in self.daemons():
            n.check()

    def stop(self):
        """Every daemon to a clean end."""
        self.check()
        running = [n for n in self.daemons() if n.process is not None]
        for n in running:
            n.process.send_signal(signal.SIGTERM)
        for n in running:
            n.stop(how=None)
        self.check()

    def close(self):
        if self in labs:
            labs.remove(self)
        if self.keep:
            return
        for host in self.hosts.values():
            host.close()
        if os.environ.get("QANAT_KEEP_LOGS"):
            print(f"kept: {self.dir}", file=sys.stderr)
        else:
            shutil.rmtree(self.dir, ignore_errors=True)


@atexit.register
def close_all():
    for lab in list(labs):
        lab.close()


def end_on_signals():
    """SIGTERM as Ctrl-C: the way out passes by close_all()."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
