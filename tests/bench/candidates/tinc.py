"""tinc 1.0, router mode."""

import netlab
from candidates.base import PORT, Inner4

UP = """\
#!/bin/sh
ip addr add {address}/24 dev $INTERFACE
ip link set $INTERFACE up
"""


class Tinc(Inner4):
    name = "tinc"
    programs = ("tincd",)
    packages = ("tinc",)
    roles = frozenset({"hop", "chain", "lossy", "diamond"})

    def prepare(self):
        public = {}
        for host in self.hosts():
            (host.dir / "hosts").mkdir()
            key = host.dir / "rsa_key.priv"
            netlab.run("openssl", "genrsa", "-traditional", "-out", key, "2048")
            public[host] = netlab.run("openssl", "rsa", "-in", key, "-RSAPublicKey_out").stdout
            up = host.dir / "tinc-up"
            up.write_text(UP.format(address=self.inner(host)))
            up.chmod(0o755)
        for host in self.hosts():
            # Who has the wire's first end calls; the other is called.
            calls = [(wire, other) for wire, other in self.neighbours(host) if wire.ends[0][0] is host]
            lines = [f"Name = {host.name}", "Interface = tinc0", "AddressFamily = ipv4"]
            lines += [f"ConnectTo = {other.name}" for _, other in calls]
            (host.dir / "tinc.conf").write_text("\n".join(lines) + "\n")
            for other in self.hosts():
                lines = [f"Subnet = {self.inner(other)}/32", f"Port = {PORT}"]
                lines += [f"Address = {self.outer(wire, other)}" for wire, o in calls if o is other]
                (host.dir / "hosts" / other.name).write_text("\n".join(lines) + "\n" + public[other])

    def start(self, host):
        self.spawn(host, "tincd", "-D", "-c", host.dir, f"--pidfile={host.dir}/pid")
