"""yggdrasil, its sessions over TCP, which is the fastest that it has."""

import json

import netlab
from candidates.base import PORT, Candidate


class Yggdrasil(Candidate):
    name = "yggdrasil"
    programs = ("yggdrasil",)
    packages = ("yggdrasil",)
    roles = frozenset({"hop", "chain", "lossy", "diamond"})
    ready_s = 60  # it is patient after a loss
    settle_s = 5

    def prepare(self):
        self.addresses = {}
        for host in self.hosts():
            conf = json.loads(netlab.run("yggdrasil", "-genconf", "-json").stdout)
            conf.update(IfName="ygg0", MulticastInterfaces=[], AdminListen="none",
                        Listen=[f"tcp://0.0.0.0:{PORT}"],
                        Peers=[f"tcp://{self.outer(wire, other)}:{PORT}" for wire, other in self.neighbours(host)
                               if wire.ends[0][0] is host])
            path = host.dir / "conf"
            path.write_text(json.dumps(conf))
            self.addresses[host] = netlab.run("yggdrasil", "-useconffile", path, "-address").stdout.strip()

    def start(self, host):
        self.spawn(host, "yggdrasil", "-useconffile", host.dir / "conf", "-loglevel", "warn")

    def address(self, host):
        return self.addresses[host]
