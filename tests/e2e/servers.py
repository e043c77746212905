"""Echo servers on the sockets of a namespace, in one thread."""

import selectors
import socket
import threading


class Echo(threading.Thread):
    """Sends back what comes in: a TCP port and a UDP port of one address."""

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
