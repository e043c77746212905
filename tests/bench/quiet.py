"""What an idle line of four costs, and how long a first packet takes over it."""

import re
import shutil
import statistics
import time

import measure
import netlab

# After a start there is more to say than later on.
SETTLE_S = 25


def forget(node):
    """Its daemon anew, without what the last one had learnt."""
    node.stop()
    for path in node.state.iterdir():
        if path.name not in ("ca.crt", "cert.crt", "key.pem"):
            path.unlink() if path.is_file() else shutil.rmtree(path)
    node.start()
    node.log_wait("session up", node.started)
    netlab.wait_for("the TUN", lambda: node.log_find("TUN up", node.started))


def first_ping(source, target, address):
    """The first ping, its circuit and its channel included, and of that the
    circuit alone as the log tells it; in ms."""
    forget(source)
    out = source.run("ping", "-6", "-n", "-c", 1, "-W", 5, address, check=False).stdout
    took = re.search(r"time=([\d.]+) ms", out)
    opened = source.log_wait(rf"circuit open: .*dest={target.fuse} took_ms=(\d+)", source.started)
    return (float(took.group(1)), int(opened.group(1))) if took else None


def kb_a_second(wires, seconds, settle_s):
    """On the busiest wire, both ways and all headers counted."""
    time.sleep(settle_s)
    before = [w.bytes() for w in wires]
    time.sleep(seconds)  # here it is time itself that is measured
    return max(w.bytes() - b for w, b in zip(wires, before)) / seconds / 1000


def rss_mb(lab):
    """Of the largest daemon."""
    def of(pid):
        text = open(f"/proc/{pid}/status", encoding="ascii").read()
        return int(re.search(r"VmRSS:\s+(\d+)", text).group(1)) / 1000
    return max(of(pid) for n in lab.daemons() for pid in measure.with_children([n.process.pid]))


def take(size):
    with netlab.Lab("quiet") as lab:
        nodes = lab.nodes("a", "b", "c", "d")
        wires = [lab.wire(l, r, static=True) for l, r in zip(nodes, nodes[1:])]
        lab.start()
        for n in nodes[:-1]:
            n.log_wait("session up")
        a, d = nodes[0], nodes[-1]
        got = {}
        got["traffic"] = kb_a_second(wires, 1 if size.is_smoke else 30, 0 if size.is_smoke else SETTLE_S)
        got["rss"] = rss_mb(lab)
        took = [t for _ in range(1 if size.is_smoke else 5) if (t := first_ping(a, d, d.address))]
        got["first"] = statistics.median(t[0] for t in took)
        got["circuit"] = statistics.median(t[1] for t in took)
        return got
