"""A cluster of four machines in a line, shown step by step.

    A ── B ── C ── D        only neighbours share a wire
     ╲            ╱
      ──── E ────           comes later, and takes over when B – C is cut

Every command stands behind a $, its real output below it.
"""

import argparse
import os
import shutil
import stat
import subprocess
import sys
import time

import netlab

KEPT = netlab.REPO / ".demo" / "stop"
MIB = 1024 * 1024
FILE_MIB = 300

NGINX = """\
user root;
daemon off;
pid {dir}/nginx.pid;
error_log {dir}/nginx.log;
events {{ }}
http {{
	access_log off;
	client_body_temp_path {dir};
	proxy_temp_path {dir};
	fastcgi_temp_path {dir};
	uwsgi_temp_path {dir};
	scgi_temp_path {dir};
	server {{
		listen [{address}]:8080;
		listen 127.0.0.1:8081;
		root {root};
	}}
}}
"""


class Demo:
    def __init__(self, lab):
        self.lab = lab
        self.env = dict(os.environ, PATH=f"{netlab.BUILD}:{os.environ['PATH']}")

    def environment(self, host):
        return dict(self.env, QANAT_SOCKET=str(host.sock)) if host else self.env

    def title(self, text):
        print(f"\n\033[1m== {text}\033[0m" if sys.stdout.isatty() else f"\n== {text}", flush=True)

    def shell(self, command, on=None, timeout=60):
        """Shows and runs a command, in the namespace of `on`; stops the demo
        if it fails."""
        print(f"\n{on.name.upper() if on else ''}$ {command}", flush=True)
        argv = ["bash", "-o", "pipefail", "-c", command]
        done = subprocess.run(on.argv(*argv) if on else argv, cwd=self.lab.dir, env=self.environment(on),
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                              timeout=timeout)
        print(done.stdout, end="", flush=True)
        if done.returncode != 0:
            raise netlab.LabError(f"`{command}` ended with exit code {done.returncode}")
        return done.stdout

    def background(self, command, on, **kw):
        print(f"\n{on.name.upper()}$ {command} &", flush=True)
        kw.setdefault("stdout", subprocess.DEVNULL)
        kw.setdefault("stderr", subprocess.DEVNULL)
        return on.popen("bash", "-c", f"exec {command}", cwd=self.lab.dir, env=self.environment(on),
                        stdin=subprocess.DEVNULL, **kw)

    def note(self, text):
        print(f"  ({text})", flush=True)


def make_identities(demo, names):
    lab = demo.lab
    demo.title("a cluster: one CA, and a key and a certificate for each machine")
    (lab.dir / "ca").mkdir(mode=0o700)
    demo.shell("qanat ca init --dir ca --name demo")
    lab.ca = netlab.Authority(lab.dir / "ca")
    nodes = []
    for name in names:
        services = {}
        if name == "d":
            services = {
                "service web": {"port": 8080, "allow": "*"},
                "service site": {"port": 80, "to": "127.0.0.1:8081", "allow": "*"},
                "service iperf": {"port": 5201, "proto": "both", "allow": "*"},
            }
        node = lab.node(name, services, identity=False)
        nodes.append(node)
        demo.shell(f"qanat keygen --dir {name}/state --name {name}")
        demo.shell(f"qanat ca sign --ca-dir ca --key {name}/state/key.pem --name {name}")
    return nodes


def start(demo, node):
    node.write_conf()
    node.started = node.mark()
    with open(node.log, "ab") as log:
        node.process = demo.background(f"qanatd --config {node.name}/qanat.conf 2>{node.name}/log", node,
                                       stdout=log, stderr=log)
    demo.lab.wait_ready(node)


def serve(demo, d):
    """A real web server behind D's own address and behind a published service."""
    root = demo.lab.dir / "www"
    root.mkdir()
    (root / "index.html").write_text("<h1>Hello over three hops</h1>\nThis page lives on D, which A has no wire to.\n")
    subprocess.run(["sh", "-c", f"head -c {FILE_MIB}M /dev/zero | openssl enc -aes-128-ctr -nosalt "
                    f"-K {'00' * 16} -iv {'00' * 16} > {root}/big"], check=True)
    nginx = shutil.which("nginx") or "/usr/sbin/nginx"
    if os.path.exists(nginx):
        (demo.lab.dir / "nginx.conf").write_text(NGINX.format(dir=demo.lab.dir / "d", address=d.address, root=root))
        demo.background(f"nginx -p d -c {demo.lab.dir}/nginx.conf", d)
    else:
        demo.background(f"python3 -m http.server 8080 --bind {d.address} --directory www", d)
        demo.background("python3 -m http.server 8081 --bind 127.0.0.1 --directory www", d)
    for address, port in ((d.address, 8080), ("127.0.0.1", 8081)):
        netlab.wait_for("the web server", lambda: d.listens(port, address))


def show_use(demo, a, d):
    demo.title("A's programs reach D by its name, through A's SOCKS port")
    demo.shell(f"curl -sS --proxy socks5h://127.0.0.1:1080 http://{d.fuse}:8080/", a)
    demo.note("the same server as a published service, on port 80 of D's short name")
    demo.shell("curl -sS --proxy socks5h://127.0.0.1:1080 http://d.fuse/", a)
    demo.title("… and by its address, through A's TUN, with nothing set up in the program")
    demo.shell(f"ping -6 -n -c 4 -i 0.3 {d.address}", a)
    demo.shell(f"curl -sS -g http://[{d.address}]:8080/", a)
    server = demo.background(f"iperf3 -s -1 -B {d.address} >d/iperf3.log", d)
    netlab.wait_for("iperf3", lambda: d.run("ss", "-Hltn", "sport = :5201").stdout)
    demo.shell(f"iperf3 -6 -c {d.address} -t 3", a)
    server.wait(10)


def show_look(demo, a):
    demo.title("what A knows")
    for verb in ("status", "peers", "circuits", "routes", "trace d"):
        demo.shell(f"qanat {verb}", a)


def show_takeover(demo, a, b, d, e, wire):
    lab = demo.lab
    demo.title(f"A downloads {FILE_MIB} MiB from D, and the wire B – C is cut meanwhile")
    want = demo.shell("sha256sum www/big", d).split()[0]
    download = demo.background(
        f"curl -sS -f --limit-rate 30M --proxy socks5h://127.0.0.1:1080 -o a/big http://{d.fuse}:8080/big", a)
    got = lab.dir / "a" / "big"

    def progress():
        if download.poll() is not None:
            raise netlab.LabError(f"curl has ended too early, exit code {download.returncode}")
        return got.stat().st_size // MIB if got.exists() else 0

    netlab.wait_for("the download", lambda: progress() > 20)
    demo.note(f"{progress()} MiB so far; now E comes, with wires to A and D")
    start(demo, e)
    for n in (a, d):
        e.log_wait(f"session up: .*peer={n.fuse}", e.started, timeout=20)
    demo.shell("qanat links", e)
    netlab.wait_for("the download", lambda: progress() > 60)
    demo.shell("qanat trace d", a)
    demo.note(f"{progress()} MiB so far; now the cable B – C is pulled")
    demo.shell(f"ip link set {wire.ends[0][1]} down", b)
    cut_at, cut = progress(), time.monotonic()
    netlab.wait_for("the download to go on", lambda: progress() > cut_at + 30, timeout=30)
    demo.note(f"30 MiB more had arrived {time.monotonic() - cut:.1f} s after the cut")
    demo.shell("qanat trace d", a)
    code = download.wait(120)
    demo.note(f"the download has ended, curl's exit code {code}")
    if code != 0:
        raise netlab.LabError(f"the download failed: curl exit {code}")
    if demo.shell("sha256sum a/big", a).split()[0] != want:
        raise netlab.LabError("the download is damaged")
    demo.note("every byte is as D has it: the program has not noticed")


def run(lab):
    demo = Demo(lab)
    print(__doc__)
    a, b, c, d, e = make_identities(demo, "abcde")
    demo.title("the wires, each in a world of its own")
    for left, right in ((a, b), (b, c), (c, d), (a, e), (e, d)):
        wire = lab.wire(left, right)
        print(f"{left.name.upper()} – {right.name.upper()}   {wire.addresses[left.name][0]} – "
              f"{wire.addresses[right.name][0]}")
    demo.title("four daemons; they find their neighbours by themselves")
    d.write_conf()
    demo.shell("cat d/qanat.conf", d)
    for n in (a, b, c, d):
        start(demo, n)
    for n, other in ((a, b), (b, c), (c, d)):
        n.log_wait(f"session up: .*peer={other.fuse}", timeout=20)
    demo.shell("cat a/log", a)
    demo.title(f"a web server on D, at its own address {d.address}")
    serve(demo, d)
    show_use(demo, a, d)
    show_look(demo, a)
    show_takeover(demo, a, b, d, e, lab.wires[1])
    lab.check()


STOP = """\
#!/bin/sh
# Ends the demo that was left running: what runs in its namespaces, and they.
for ns in {namespaces}; do
	ip netns pids $ns | xargs -r kill
	ip netns del $ns
done
rm -rf {dir} {stop}
"""


def keep(lab):
    lab.keep = True
    KEPT.parent.mkdir(exist_ok=True)
    KEPT.write_text(STOP.format(namespaces=" ".join(h.ns for h in lab.hosts.values()), dir=lab.dir, stop=KEPT))
    KEPT.chmod(KEPT.stat().st_mode | stat.S_IXUSR)
    a = lab.hosts["a"]
    print("\n== left running.  Enter a machine, here A:\n")
    print(f"    sudo ip netns exec {a.ns} env QANAT_SOCKET={a.sock} PATH={netlab.BUILD}:$PATH bash")
    print("    qanat status; curl --proxy socks5h://127.0.0.1:1080 http://d.fuse/\n")
    print("the others: " + "  ".join(f"{h.name.upper()} {h.ns}" for h in lab.hosts.values() if h is not a))
    print(f"files and logs: {lab.dir}\n\nEnd it all:\n\n    sudo {KEPT}")


def main():
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("--keep", action="store_true", help="leave it running")
    args = p.parse_args()
    why = netlab.why_not()
    if why:
        sys.exit(f"demo: {why}")
    if args.keep and KEPT.exists():
        sys.exit(f"demo: one is running already; end it by: sudo {KEPT}")
    netlab.end_on_signals()
    lab = netlab.Lab("demo", ca=False)
    lab.keep = args.keep
    try:
        run(lab)
    except BaseException as e:  # Ctrl-C and SIGTERM take everything down as well
        lab.keep = False
        for n in lab.daemons():
            print(f"\n-- log of {n.name.upper()}\n{n.tail(20)}", file=sys.stderr)
        lab.close()
        sys.exit(f"\nthe demo failed: {e}" if isinstance(e, Exception) else "\nthe demo was interrupted")
    if args.keep:
        keep(lab)
        return
    lab.stop()
    lab.close()
    print("\n== done; everything is taken down again")


if __name__ == "__main__":
    main()
