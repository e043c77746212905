"""fastd between two points."""

import netlab
from candidates.base import PORT, Inner4

CONF = """\
bind {bind}:{port};
interface "fastd0";
mode tun;
mtu 1400;
method "salsa2012+umac";
secret "{secret}";
on up "ip addr add {address}/24 dev $INTERFACE; ip link set $INTERFACE up";
peer "{peer}" {{
	key "{public}";
	remote {remote}:{port};
}}
"""


class Fastd(Inner4):
    name = "fastd"
    programs = ("fastd",)
    packages = ("fastd",)
    roles = frozenset({"hop"})

    def prepare(self):
        secret, public = {}, {}
        for host in self.hosts():
            lines = netlab.run("fastd", "--generate-key").stdout.splitlines()
            keys = dict(line.lower().split(": ") for line in lines if ": " in line)
            secret[host], public[host] = keys["secret"], keys["public"]
        for host in self.hosts():
            wire, other = next(self.neighbours(host))
            (host.dir / "conf").write_text(CONF.format(
                bind=self.outer(wire, host), port=PORT, secret=secret[host], address=self.inner(host),
                peer=other.name, public=public[other], remote=self.outer(wire, other)))

    def start(self, host):
        self.spawn(host, "fastd", "--config", host.dir / "conf", "--log-level", "warn")
