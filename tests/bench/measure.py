"""Figures of a ground: each function here takes one and returns numbers."""

import json
import os
import pathlib
import re
import select
import socket
import statistics
import struct
import subprocess
import time

import netlab

TOOLS = netlab.BUILD / "tests" / "bench"
TICK = os.sysconf("SC_CLK_TCK")
WEB_PORT, PACKETS_PORT = 8080, 7000
PACKET_BYTES = 100
ECHO_EVERY_S = 0.002


def stat_of(pid):
    """The fields of /proc/PID/stat behind the name."""
    return pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def with_children(roots):
    """These processes and all that they have started."""
    parents = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                parents[int(entry)] = int(stat_of(entry)[1])
            except (FileNotFoundError, ProcessLookupError):
                continue  # it has just ended
    found, new = set(roots), set(roots)
    while new:
        new = {p for p, parent in parents.items() if parent in new and p not in found}
        found |= new
    return found


def cpu_s(candidate):
    """User and system time of all its processes so far; of those that have
    ended too, if their parents have waited for them."""
    total = 0
    for pid in with_children(candidate.roots()):
        fields = stat_of(pid)
        total += int(fields[11]) + int(fields[12])
        if pid in candidate.roots():
            total += int(fields[13]) + int(fields[14])
    return total / TICK


def rss_peak_mb(candidate):
    """Of its largest process."""
    def one(pid):
        status = pathlib.Path(f"/proc/{pid}/status").read_text()
        return int(re.search(r"VmHWM:\s+(\d+)", status).group(1)) / 1024
    return max((one(pid) for pid in with_children(candidate.roots())), default=None)


def ping_command(address, *argv):
    return ("ping", "-6" if ":" in address else "-4", "-n", *argv, address)


def replies_ms(text):
    return [float(t) for t in re.findall(r"time=([\d.]+) ms", text)]


def ping_idle_ms(ground, count):
    """The median of so many, one after the other."""
    out = ground.first.run(*ping_command(ground.address(), "-c", count, "-i", "0.005"), check=False).stdout
    return statistics.median(replies_ms(out))


def checksum(data):
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    total = (total & 0xffff) + (total >> 16)
    return ~(total + (total >> 16)) & 0xffff


def first_ping_ms(host, address, patience):
    """Asks every 2 ms until there is an answer; how long that took.  While there
    is no way yet the kernel's errors are passed over."""
    is_v6 = ":" in address
    with host.inside():
        s = (socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6) if is_v6 else
             socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP))
    ask, answer, skip = (128, 129, 0) if is_v6 else (8, 0, 20)
    ident = os.getpid() & 0xffff
    s.setblocking(False)
    start = time.monotonic()
    n = 0
    with s:
        while time.monotonic() - start < patience:
            n = (n + 1) & 0xffff
            # The kernel does the checksum of ICMPv6, not that of ICMP.
            packet = struct.pack("!BBHHH", ask, 0, 0, ident, n)
            if not is_v6:
                packet = struct.pack("!BBHHH", ask, 0, checksum(packet), ident, n)
            try:
                s.sendto(packet, (address, 0))
            except OSError:
                pass
            until = time.monotonic() + ECHO_EVERY_S
            while (left := until - time.monotonic()) > 0:
                if not select.select([s], [], [], left)[0]:
                    break
                got = s.recv(2048)[skip:]
                if got[0] == answer and got[4:6] == packet[4:6]:
                    return (time.monotonic() - start) * 1000
    raise netlab.LabError(f"no answer of {address} to {host} within {patience} s")


def tcp(ground, streams, seconds, omit=1):
    """iperf3: Gbit/s, CPU seconds of all daemons for a GB, and the median of
    the pings meanwhile in ms."""
    c, address = ground.candidate, ground.address()
    server = ground.last.popen("iperf3", "-s", "-1", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    netlab.wait_for("iperf3", lambda: ground.last.run("ss", "-Hltn", "sport = :5201").stdout)
    ping = ground.first.popen(*ping_command(address, "-i", "0.02", "-w", seconds + omit),
                              stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    before = cpu_s(c)
    try:
        out = ground.first.run("iperf3", "-c", address, "-t", seconds, "-O", omit, "-P", streams, "-C", "cubic",
                               "-J", timeout=60 + seconds + omit).stdout
        cpu = cpu_s(c) - before
        pings = replies_ms(ping.communicate(timeout=20)[0])
        server.wait(10)
    finally:
        netlab.end(ping)
        netlab.end(server)
    result = json.loads(out)
    # The rate leaves the first second out, the processor time does not.
    sent = sum(i["sum"]["bytes"] for i in result["intervals"])
    return {"rate": result["end"]["sum_received"]["bits_per_second"] / 1e9, "cpu": cpu / (sent / 1e9),
            "loaded": statistics.median(pings) if pings else None}


def packets_per_ms(ground, seconds, segments):
    """100-byte UDP packets that arrive while one program sends what it can."""
    address = ground.address()
    receiver = ground.last.popen(TOOLS / "packets", "receive", "::", PACKETS_PORT, stdout=subprocess.PIPE, text=True)
    try:
        receiver.stdout.readline()
        ground.first.run(TOOLS / "packets", "send", address, PACKETS_PORT, seconds, PACKET_BYTES,
                         segments)
        got = json.loads(receiver.communicate(timeout=30)[0])
    finally:
        netlab.end(receiver)
    return got["packets"] / got["seconds"] / 1000 if got["packets"] > 1 else None


def web(ground):
    """The bench's own web server at the far end."""
    server = ground.last.popen(TOOLS / "serve", WEB_PORT, stdout=subprocess.PIPE)
    server.stdout.readline()
    return server


def conns(ground, rate, seconds, size=100):
    """Short connections through the proxy."""
    proxy, port, target = ground.candidate.proxy(ground.first, ground.last)
    out = ground.first.run(TOOLS / "conns", proxy, port, target, WEB_PORT, rate, seconds, size, timeout=120).stdout
    return json.loads(out)


def download(ground, seconds):
    """Gbit/s of one download through the proxy, and CPU seconds for a GB."""
    proxy, port, target = ground.candidate.proxy(ground.first, ground.last)
    way = [] if proxy == "none" else ["--proxy", f"socks5h://{bracketed(proxy)}:{port}"]
    before = cpu_s(ground.candidate)
    done = ground.first.run("curl", "-sS", "-g", "--noproxy", "", *way, "-o", "/dev/null", "--max-time", seconds,
                            "-w", "%{size_download} %{time_total} %{time_starttransfer}",
                            f"http://{bracketed(target)}:{WEB_PORT}/{10 ** 13}", check=False,
                            timeout=seconds + 30)
    cpu = cpu_s(ground.candidate) - before
    size, total, started = (float(x) for x in done.stdout.split())
    if done.returncode != 28 or size == 0:  # 28: the time was over
        raise netlab.LabError(f"curl: exit {done.returncode}, {size} bytes: {done.stderr}")
    return {"rate": size * 8 / (total - started) / 1e9, "cpu": cpu / (size / 1e9)}


def bracketed(address):
    return f"[{address}]" if ":" in address else address


def outage_s(ground, break_it, patience):
    """What a ping of 20 Hz misses after `break_it(relay)`: the longest time
    between two answers, less the 50 ms that it always is.  They are large, so
    that what keeps a mesh together is little beside them: the relay in use is
    found by counting bytes."""
    wires = ground.lab.wires
    log = ground.lab.dir / "pings"
    with open(log, "w") as out:
        ping = ground.first.popen(*ping_command(ground.address(), "-D", "-i", "0.05", "-s", 1000), stdout=out,
                                  stderr=subprocess.DEVNULL)

    def times():
        return [float(t) for t in re.findall(r"\[([\d.]+)\].*time=", log.read_text())]

    try:
        netlab.wait_for("pings", lambda: len(times()) > 5)
        before = [w.bytes() for w in wires]
        seen = len(times())
        netlab.wait_for("pings", lambda: len(times()) > seen + 20, patience)
        ab, _, ac, _ = (w.bytes() - b for w, b in zip(wires, before))
        relay = ground.lab.hosts["b" if ab > ac else "c"]
        at = time.time()
        break_it(relay)
        broken = time.time()
        try:
            netlab.wait_for("pings again", lambda: len([t for t in times() if t > broken + 1]) > 20, patience)
        except netlab.LabError:
            return float(patience)
    finally:
        netlab.end(ping)
    seen = [t for t in times() if t > at - 0.5]
    return max(0.0, max(b - a for a, b in zip(seen, seen[1:])) - 0.05)
