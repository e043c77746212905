"""ssh -D: a SOCKS port that comes out at the other end."""

import os

import netlab
from candidates.base import SOCKS_PORT, Candidate

PORT = 2222
SSHD = "/usr/sbin/sshd"


class Ssh(Candidate):
    name = "ssh -D"
    programs = ("ssh", "sshd", "ssh-keygen")
    packages = ("openssh-client",)
    roles = frozenset({"socks"})

    def prepare(self):
        os.makedirs("/run/sshd", exist_ok=True)  # its cage; Debian's unit makes it
        self.keys = self.lab.dir / "keys"
        self.keys.mkdir(mode=0o700)
        for key in ("host", "user"):
            netlab.run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", self.keys / key)
        (self.keys / "config").write_text(
            f"Port {PORT}\nHostKey {self.keys}/host\nAuthorizedKeysFile {self.keys}/user.pub\nPidFile none\n"
            "UsePAM no\nStrictModes no\nPasswordAuthentication no\nPermitRootLogin yes\nMaxSessions 2000\n")

    def start(self, host):
        if self.number(host) > 1:
            self.spawn(host, SSHD, "-D", "-e", "-f", self.keys / "config")
            netlab.wait_for("sshd", lambda: host.listens(PORT))
            return
        wire, other = next(self.neighbours(host))
        self.spawn(host, "ssh", "-F", "none", "-N", "-i", self.keys / "user", "-p", str(PORT),
                   "-D", f"127.0.0.1:{SOCKS_PORT}", "-o", "StrictHostKeyChecking=no",
                   "-o", f"UserKnownHostsFile={self.keys}/known", "-o", "BatchMode=yes",
                   f"root@{self.outer(wire, other)}")

    def proxy(self, client, server):
        return "127.0.0.1", SOCKS_PORT, "127.0.0.1"
