"""Servers that tests talk to."""

import os
import selectors
import socket
import subprocess
import threading

from netlab import PATIENCE, wait_for


class Echo(threading.Thread):
    """Sends back what comes in, in one thread: a TCP port and a UDP port of one
    address in a namespace."""

    def __init__(self, host, address, port):
        super().__init__(daemon=True)
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        self.tcp = host.socket(family)
        self.udp = host.socket(family, socket.SOCK_DGRAM)
        for s in (self.tcp, self.udp):
            s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            s.bind((address, port))
            s.setblocking(False)
        self.tcp.listen(1024)
        self.wake, self.bell = socket.socketpair()
        self.selector = selectors.DefaultSelector()
        self.start()

    def run(self):
        sel = self.selector
        sel.register(self.tcp, selectors.EVENT_READ, self.accept)
        sel.register(self.udp, selectors.EVENT_READ, self.datagram)
        sel.register(self.wake, selectors.EVENT_READ, None)
        while True:
            for key, _ in sel.select():
                if key.data is None:
                    return
                key.data(key.fileobj)

    def accept(self, listener):
        s, _ = listener.accept()
        # A blocking sendall() below is fine: what is echoed is small.
        self.selector.register(s, selectors.EVENT_READ, self.stream)

    def stream(self, s):
        try:
            data = s.recv(65536)
            s.sendall(data)
        except OSError:
            data = b""
        if not data:
            self.selector.unregister(s)
            s.close()

    def datagram(self, s):
        data, peer = s.recvfrom(65536)
        s.sendto(data, peer)

    def close(self):
        self.bell.send(b"x")
        self.join()
        for key in list(self.selector.get_map().values()):
            key.fileobj.close()
        self.bell.close()


class Sshd:
    """Debian's sshd on a node's overlay address, port 2222, and a key for it."""

    @staticmethod
    def is_there():
        return os.path.exists("/usr/sbin/sshd")

    def __init__(self, node):
        self.node = node
        self.dir = node.dir / "sshd"
        self.log = self.dir / "log"

    def __enter__(self):
        self.dir.mkdir(mode=0o700)
        for key in ("host", "user"):
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", self.dir / key], check=True)
        os.makedirs("/run/sshd", exist_ok=True)  # its cage; Debian's unit makes it
        (self.dir / "config").write_text(
            f"ListenAddress [{self.node.address}]:2222\n"
            f"HostKey {self.dir}/host\n"
            f"AuthorizedKeysFile {self.dir}/user.pub\n"
            "PidFile none\nUsePAM no\nStrictModes no\nPasswordAuthentication no\nPermitRootLogin yes\n")
        with open(self.log, "w") as log:
            self.child = self.node.popen("/usr/sbin/sshd", "-D", "-e", "-f", self.dir / "config", stderr=log)
        wait_for("sshd", lambda: self.node.listens(2222, self.node.address))
        return self

    def __exit__(self, *_):
        self.child.terminate()
        self.child.wait()

    def login(self):
        """The command that logs in; what is to be run there follows."""
        return ["ssh", "-F", "none", "-i", self.dir / "user", "-p", 2222, "-o", "StrictHostKeyChecking=no",
                "-o", f"UserKnownHostsFile={self.dir}/known", "-o", "BatchMode=yes",
                "-o", f"ConnectTimeout={15 * PATIENCE}", f"root@{self.node.address}"]
