"""openvpn between two points, with TLS and the fingerprints of the peers."""

import netlab
from candidates.base import PORT, Inner4


class OpenVpn(Inner4):
    name = "openvpn"
    programs = ("openvpn",)
    packages = ("openvpn",)
    roles = frozenset({"hop"})

    def prepare(self):
        self.prints = {}
        for host in self.hosts():
            netlab.run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
                       "-nodes", "-days", "30", "-subj", f"/CN={host.name}", "-keyout", host.dir / "key",
                       "-out", host.dir / "crt")
            text = netlab.run("openssl", "x509", "-in", host.dir / "crt", "-noout", "-fingerprint", "-sha256").stdout
            self.prints[host] = text.strip().partition("=")[2]

    def start(self, host):
        wire, other = next(self.neighbours(host))
        role = ("--tls-client",) if self.number(host) == 1 else ("--tls-server", "--dh", "none")
        self.spawn(host, "openvpn", "--dev", "ovpn0", "--dev-type", "tun", "--proto", "udp4", "--port", str(PORT),
                   "--remote", self.outer(wire, other), "--ifconfig", self.inner(host), self.inner(other),
                   "--cert", host.dir / "crt", "--key", host.dir / "key", *role,
                   "--peer-fingerprint", self.prints[other], "--data-ciphers", "AES-128-GCM", "--verb", "1")
