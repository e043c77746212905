"""nebula: every host is each other's static host.  One hop only: it has relays
of one hop at most."""

import json

import netlab
from candidates.base import PORT, Inner4


class Nebula(Inner4):
    name = "nebula"
    programs = ("nebula", "nebula-cert")
    packages = ("nebula",)
    roles = frozenset({"hop"})

    def prepare(self):
        ca = self.lab.dir / "nebula-ca"
        netlab.run("nebula-cert", "ca", "-name", "bench", "-out-crt", f"{ca}.crt", "-out-key", f"{ca}.key")
        for host in self.hosts():
            netlab.run("nebula-cert", "sign", "-ca-crt", f"{ca}.crt", "-ca-key", f"{ca}.key", "-name", host.name,
                       "-ip", f"{self.inner(host)}/24", "-out-crt", host.dir / "crt", "-out-key", host.dir / "key")
            conf = {
                "pki": {"ca": f"{ca}.crt", "cert": str(host.dir / "crt"), "key": str(host.dir / "key")},
                "static_host_map": {self.inner(other): [f"{self.outer(wire, other)}:{PORT}"]
                                    for wire, other in self.neighbours(host)},
                "lighthouse": {"am_lighthouse": False, "interval": 60, "hosts": []},
                "listen": {"host": "0.0.0.0", "port": PORT},
                "punchy": {"punch": False},
                "tun": {"dev": "nebula0", "tx_queue": 500, "mtu": 1300},
                "logging": {"level": "warning", "format": "text"},
                "firewall": {"conntrack": {}, "outbound": [{"port": "any", "proto": "any", "host": "any"}],
                             "inbound": [{"port": "any", "proto": "any", "host": "any"}]},
            }
            # JSON is YAML.
            (host.dir / "conf.yml").write_text(json.dumps(conf))

    def start(self, host):
        self.spawn(host, "nebula", "-config", host.dir / "conf.yml")
