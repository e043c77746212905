"""What `qanat` prints, against a control socket that answers from files.  Needs
no root and no network.  UPDATE_GOLDEN=1 writes the expected texts anew."""

import http.server
import json
import os
import socket
import socketserver
import subprocess
import threading
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
BUILD = Path(os.environ.get("QANAT_BUILD", ROOT / "build" / "release")).resolve()
GOLDEN = ROOT / "tests" / "golden" / "cli"

NODE = {
    name: {"name": name, "id": f"{name}aaaaaaaaaaaa"[:16] + ".fuse", "address": f"fdcc:4593:bfc4::{i + 1}"}
    for i, name in enumerate(("alpha", "bravo", "carol", "erin"))
}


def hop(name, **more):
    return {"node": NODE[name], "cost_ms": 10.0, "mtu_bytes": 1440, "loss_percent": 0.4, "rate_kbps": 524288, **more}


def circuit(number, role, *names, **more):
    return {
        "circuit": number, "role": role, "state": "established", "origin": NODE[names[0]], "target": NODE[names[-1]],
        "mtu_bytes": 1405, "opened_s_ago": 7860, "idle_s": 3, "channel": {"rtt_ms": 48.04, "streams": 2},
        "toward_origin": {"session": None, "packets": 10, "bytes": 20_400_000},
        "toward_target": {"session": 3, "packets": 10, "bytes": 4_000_000},
        "hops": [hop(n) for n in names[1:]], **more,
    }


def peer(name, **more):
    return {
        "node": NODE.get(name), "is_verified": True, "configured": None, "endpoints": [], "n_links": 0,
        "seen_s_ago": 10800, "last_error": None, "path": "none", "via": None, "n_hops": None, "rtt_ms": None,
        "rx_bytes": None, "tx_bytes": None, **more,
    }


REPLIES = {
    "GET /v1/version": {"version": "9.8.7", "api": 1},
    "GET /v1/status": {
        "node": NODE["alpha"], "display_name": "alpha", "version": "9.8.7", "pid": 4711, "uptime_s": 7860,
        "cluster": {"prefix": "fdcc:4593:bfc4::/48"}, "packet_protection": "gnutls", "transit": "on", "listen": ["[::]:4433"],
        "certificate": {"not_after": "2027-02-19T09:42:33Z", "expires_in_s": 88 * 86400 + 5},
        "tun": {"enabled": True, "up": True, "name": "qanat0", "splice": True, "bpf": True}, "socks": {"enabled": False, "listen": []},
        "services": [], "store": {"state": "full", "text": "/var/lib/qanat/db: No space left on device",
                                  "used_bytes": 57344, "waiting": 7},
        "peers": {"known": 4, "connected": 1}, "sessions": {"up": 1, "handshakes": 0},
        "circuits": {"ours": 2, "transit": 1, "pending": 0}, "routes": 3,
    },
    "GET /v1/peers": {"peers": [
        peer("bravo", path="direct", n_hops=1, rtt_ms=11.204, rx_bytes=1_240_000_000, tx_bytes=310_000_000, n_links=2,
             seen_s_ago=0, configured="bravo", endpoints=["192.0.2.7:4433"]),
        peer("carol", path="circuit", via=NODE["bravo"], n_hops=2, rtt_ms=48.0, rx_bytes=20_000_000, tx_bytes=999,
             endpoints=["[2001:db8::3]:4433"]),
        peer("erin", last_error="certificate expired"),
        peer(None, node=None, is_verified=False, configured="frank", seen_s_ago=None, last_error="no answer",
             endpoints=["frank.example.net:4433"]),
        peer(None, node={"name": None, "id": "faqmce7yybsswacf.fuse", "address": "fdcc:4593:bfc4::9"},
             last_error="evil \x1b[31m text"),
    ]},
    "GET /v1/links": {"links": [
        {"session": 3, "state": "up", "node": NODE["bravo"], "display_name": "bravo", "is_dialled": True,
         "local": "192.0.2.1:4433", "remote": "192.0.2.7:4433", "interface": "eth0", "up_s": 200000, "rtt_ms": 0.336,
         "loss_percent": 0.4, "cost_ms": 10.0, "rate_kbps": None, "mtu_bytes": 1440, "rx_bytes": 3207, "tx_bytes": 4518, "rx_packets": 1, "tx_packets": 2,
         "queued_packets": 12, "marked_packets": 7, "dropped_packets": 3},
        {"session": 4, "state": "handshake", "node": None, "display_name": "", "is_dialled": True, "local": None,
         "remote": "192.0.2.8:4433", "interface": None, "up_s": None, "rtt_ms": None, "loss_percent": 0.0,
         "cost_ms": 10.0, "rate_kbps": None, "mtu_bytes": 1200,
         "rx_bytes": 0, "tx_bytes": 1200, "rx_packets": 0, "tx_packets": 0, "queued_packets": 0,
         "marked_packets": 0, "dropped_packets": 0},
    ]},
    "GET /v1/routes": {"routes": [
        {"target": NODE["bravo"], "cost_ms": 10.0, "expires_in_s": 59, "hops": [hop("bravo")]},
        {"target": NODE["carol"], "cost_ms": 1250.5, "expires_in_s": 600, "hops": [hop("bravo"), hop("carol")]},
    ]},
    "GET /v1/routes?dst=carol%20x": {"routes": []},
    "GET /v1/circuits": {"circuits": [
        circuit(1, "origin", "alpha", "bravo", "carol"),
        circuit(2, "transit", "erin", "alpha", "carol", channel=None),
        circuit(7, "target", "erin", "alpha", state="pending", idle_s=None, opened_s_ago=0, channel=None),
    ]},
    "GET /v1/trees": {"n_nodes": 57, "trees": [
        {"tree": 0, "root": NODE["alpha"], "is_root": True, "parent": None, "cost_ms": 0.0, "root_heard_s_ago": 0,
         "path": [NODE["alpha"]]},
        {"tree": 1, "root": NODE["carol"], "is_root": False, "parent": NODE["bravo"], "cost_ms": 20.5,
         "root_heard_s_ago": 61, "path": [NODE["carol"], NODE["bravo"], NODE["alpha"]]},
        {"tree": 2, "root": None, "is_root": False, "parent": None, "cost_ms": None, "root_heard_s_ago": None,
         "path": []},
    ]},
    "GET /v1/paths": {"paths": [
        {"target": NODE["carol"], "carries": 1, "spare": None, "is_pinned": False, "rtt_ms": 48.0,
         "spare_rtt_ms": None, "loss_percent": 0.4,
         "blamed": {"from": NODE["bravo"], "to": NODE["erin"], "s_ago": 12}},
        {"target": NODE["bravo"], "carries": 3, "spare": 4, "is_pinned": True, "rtt_ms": None,
         "spare_rtt_ms": 61.0, "loss_percent": 0.0, "blamed": None},
    ]},
    "POST /v1/path": {"node": NODE["carol"], "rule": "avoid"},
    "POST /v1/trace": {
        "blamed": {"from": NODE["bravo"], "to": NODE["erin"], "s_ago": 12},
        "node": NODE["carol"], "circuit": 1, "mtu_bytes": 1405, "opened_s_ago": 7860, "connect_ms": None,
        "hops": [hop("bravo", hop=1, rtt_ms=22.1, is_signed=True), hop("carol", hop=2, rtt_ms=None, is_signed=True)],
    },
    "POST /v1/reload": {"needs_restart": "[node] listen"},
}
PING = {"node": NODE["carol"], "circuit": 1, "n_hops": 2, "sent": 1}
UNREACHABLE = {"error": {"code": "unreachable", "message": "no path to carol: every way was tried",
                         "hint": "is it running?"}}


class Handler(http.server.BaseHTTPRequestHandler):
    def address_string(self):
        return "unix"

    def log_message(self, *args):
        pass

    def answer(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        what = f"{self.command} {self.path}"
        self.server.asked.append((what, json.loads(body) if body else None))
        queue = self.server.queue.get(what)
        status, reply = queue.pop(0) if queue else (200, REPLIES[what])
        data = json.dumps(reply).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    do_GET = do_POST = answer


class Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True


@pytest.fixture
def server(tmp_path):
    made = Server(str(tmp_path / "q.sock"), Handler)
    made.asked, made.queue, made.path = [], {}, tmp_path / "q.sock"
    thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield made
    made.shutdown()
    thread.join()
    made.server_close()


def qanat(*argv, code=0, **env):
    done = subprocess.run([BUILD / "qanat", *map(str, argv)], capture_output=True, text=True, timeout=60,
                          env={"PATH": os.environ["PATH"], "LC_ALL": "C", **env})
    assert done.returncode == code, f"{argv}: {done.returncode}\n{done.stdout}{done.stderr}"
    return done


def assert_golden(name, text):
    path = GOLDEN / f"{name}.txt"
    if os.environ.get("UPDATE_GOLDEN"):
        path.write_text(text)
    assert text == path.read_text(), f"{path} differs; UPDATE_GOLDEN=1 writes it anew"


@pytest.mark.parametrize("verb", ["status", "peers", "links", "routes", "circuits", "trees", "path"])
def test_what_is_looked_at_is_a_plain_table(server, verb):
    done = qanat(verb, "--socket", server.path)
    assert_golden(verb, done.stdout)
    assert done.stderr == ""
    assert "\x1b" not in done.stdout


@pytest.mark.parametrize("verb", ["status", "peers", "links", "routes", "circuits", "trees", "path"])
def test_json_is_what_the_daemon_answered(server, verb):
    text = qanat(verb, "--json", QANAT_SOCKET=str(server.path)).stdout
    assert json.loads(text) == REPLIES[f"GET /v1/{verb}{'s' if verb == 'path' else ''}"]
    if "\\u00" not in text:  # the two write the digits of an escape in different cases
        assert text == json.dumps(json.loads(text), indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def test_a_destination_is_escaped(server):
    qanat("routes", "carol x", "--socket", server.path)
    assert server.asked[-1][0] == "GET /v1/routes?dst=carol%20x"


def test_paths_are_steered(server):
    assert qanat("path", "avoid", "carol", "--socket", server.path).stdout == "carol: avoid\n"
    assert server.asked[-1] == ("POST /v1/path", {"rule": "avoid", "dst": "carol"})
    assert "which node?" in qanat("path", "pin", "--socket", server.path, code=2).stderr


def test_trace_shows_each_hop(server):
    assert_golden("trace", qanat("trace", "carol", "--socket", server.path).stdout)
    assert server.asked == [("POST /v1/trace", {"dst": "carol"})]


def test_ping_shows_each_answer(server):
    server.queue["POST /v1/ping"] = [
        (200, {**PING, "connect_ms": 6.565, "received": 1, "rtt_ms": [0.5]}),
        (200, {**PING, "connect_ms": None, "received": 0, "rtt_ms": [None]}),
        (502, UNREACHABLE),
        (200, {**PING, "connect_ms": None, "received": 1, "rtt_ms": [1500]}),
    ]
    done = qanat("ping", "carol", "-c", 4, "-i", 10, "--timeout", 300, "--socket", server.path)
    assert_golden("ping", done.stdout)
    assert server.asked[0] == ("POST /v1/ping", {"dst": "carol", "count": 1, "interval_ms": 10, "timeout_ms": 300})


def test_ping_says_no_by_its_exit_code(server):
    server.queue["POST /v1/ping"] = [(502, UNREACHABLE)]
    done = qanat("ping", "carol", "--socket", server.path, code=1)
    assert done.stderr == "qanat: no path to carol: every way was tried. Hint: is it running?\n"
    server.queue["POST /v1/ping"] = [(200, {**PING, "connect_ms": None, "received": 0, "rtt_ms": [None]})]
    qanat("ping", "carol", "-c", 1, "--socket", server.path, code=1)
    server.queue["POST /v1/ping"] = [(200, {**PING, "connect_ms": None, "received": 0, "rtt_ms": [None]})]
    assert json.loads(qanat("ping", "carol", "--json", "--socket", server.path, code=1).stdout)["received"] == 0


def test_reload_tells_what_needs_a_restart(server):
    done = qanat("reload", "--socket", server.path)
    assert done.stdout == "reloaded; these changes need a restart: [node] listen\n"
    server.queue["POST /v1/reload"] = [(200, {"needs_restart": ""})]
    assert qanat("reload", "--socket", server.path).stdout == "reloaded\n"
    server.queue["POST /v1/reload"] = [(422, {"error": {"code": "bad-config", "message": "q.conf:1: x", "hint": None}})]
    assert qanat("reload", "--socket", server.path, code=1).stderr == "qanat: q.conf:1: x\n"


def test_version_asks_the_daemon_too(server, tmp_path):
    assert qanat("version", "--socket", server.path).stdout.splitlines()[1] == "qanatd 9.8.7"
    none = qanat("version", "--socket", tmp_path / "none").stdout
    assert none.splitlines()[1] == "qanatd is not running"
    assert json.loads(qanat("version", "--json", "--socket", tmp_path / "none").stdout)["qanatd"] is None


def test_refusals_have_their_exit_codes(server):
    refusal = {"error": {"code": "bad-name", "message": "no", "hint": None}}
    server.queue["GET /v1/peers"] = [(400, refusal), (403, refusal), (404, refusal)]
    for code in (2, 1, 1):
        assert qanat("peers", "--socket", server.path, code=code).stderr == "qanat: no\n"


def test_no_daemon_is_told(server, tmp_path):
    no = tmp_path / "no.sock"
    done = qanat("status", "--socket", no, code=2)
    assert done.stderr == f"qanat: qanatd is not running (no {no}). Start it: systemctl start qanat\n"
    stale = socket.socket(socket.AF_UNIX)
    stale.bind(str(no))
    stale.close()
    done = qanat("status", "--socket", no, code=2)
    assert done.stderr == (f"qanat: qanatd is not running (nobody listens on {no}). "
                           "Start it: systemctl start qanat\n")


@pytest.mark.parametrize("argv", [("ping",), ("ping", "a", "b"), ("status", "x"), ("peers", "--cuont"),
                                  ("ping", "a", "-c", "0"), ("ping", "a", "-c", "101"), ("status", "-c", "1"),
                                  ("nothing",), ()])
def test_wrong_use_is_2(argv):
    done = qanat(*argv, code=2)
    assert done.stdout == "" and done.stderr != ""


@pytest.mark.parametrize("verb", ["status", "peers", "links", "routes", "circuits", "ping", "trace", "check",
                                  "reload", "version"])
def test_help_is_on_every_verb(verb):
    assert qanat(verb, "--help").stdout.startswith(f"usage: qanat {verb}")


def test_the_socket_is_found_in_a_configuration(server, tmp_path):
    conf = tmp_path / "q.conf"
    conf.write_text(f"[admin]\nsocket = {server.path}\n")
    qanat("peers", "--config", conf)
    conf.write_text("[admin]\nsokcet = /x\n")
    done = qanat("peers", "--config", conf, code=1)
    assert done.stderr == f'{conf}:2: unknown key "sokcet" in [admin] (did you mean "socket"?)\n'


def test_check_reads_the_configuration_and_the_certificates(tmp_path):
    conf, state = tmp_path / "q.conf", tmp_path / "state"
    conf.write_text(f"[node]\nstate = {state}\n")
    done = qanat("check", conf, code=1)
    assert done.stdout == f"{conf}: ok\n"
    assert done.stderr == f"qanat: {state}/ca.crt: no such file\n"
    qanat("ca", "init", "--dir", tmp_path / "ca", "--name", "home")
    qanat("keygen", "--dir", state, "--name", "alpha")
    qanat("ca", "sign", "--ca-dir", tmp_path / "ca", "--key", state / "key.pem", "--name", "alpha")
    done = qanat("check", conf)
    assert "alpha.fuse" in done.stdout and "days left" in done.stdout
    os.chmod(state / "key.pem", 0o644)
    assert "key.pem" in qanat("check", conf, code=1).stderr
    conf.write_text("[node]\nlistn = [::]:1\n")
    done = qanat("check", conf, code=1)
    assert done.stderr == f'{conf}:2: unknown key "listn" in [node] (did you mean "listen"?)\n'
