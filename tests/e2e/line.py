"""Four nodes in a row, A - B - C - D, with a web server at D.  C's SOCKS port asks
for a password."""

PAGE = "a page of d, " * 1000

# What D lets the overlay reach.  `to` is absent where the program listens on
# D's own overlay address.
SERVICES = {
    "service web": {"port": 8080, "allow": "*"},
    "service loop": {"port": 80, "to": "127.0.0.1:8080", "allow": "*"},
    "service echo": {"port": 7, "proto": "both", "allow": "*"},
    "service ssh": {"port": 2222, "allow": "*"},
    "service iperf": {"port": 5201, "proto": "both", "allow": "*"},
    "service inside": {"port": 53, "proto": "udp", "to": "127.0.0.1:7", "allow": "*"},
    "service for-b": {"port": 54, "proto": "udp", "to": "127.0.0.1:7", "allow": "b"},
    "service silent": {"port": 99, "to": "127.0.0.1:99", "allow": "*"},
    "service friends": {"port": 90, "to": "127.0.0.1:8080", "allow": "b"},
    "service nobody": {"port": 91, "to": "127.0.0.1:8080"},
}


def build(lab):
    a, b, c = lab.nodes("a", "b", "c")
    d = lab.node("d", SERVICES)
    passwords = c.dir / "passwords"
    passwords.write_text("carol:correct horse\n")
    passwords.chmod(0o600)
    c.sections["socks"]["passwords"] = passwords
    for left, right in ((a, b), (b, c), (c, d)):
        lab.wire(left, right, static=True)
    lab.start()
    a.ping(d)
    root = lab.dir / "www"
    root.mkdir()
    (root / "index.html").write_text(PAGE)
    d.web(root, d.address)
    d.web(root)
    return lab
