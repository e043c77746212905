"""The bench works: every kind of figure can be had.  How good they are is not
asked here."""

import json
import math
import subprocess
import sys

import pytest

import netlab

BENCH = netlab.REPO / "tests" / "bench"
sys.path.insert(0, str(BENCH))
import candidates  # noqa: E402
import measure  # noqa: E402
import report  # noqa: E402
from scenarios import TABLES  # noqa: E402
from topology import Cable, ImpairedWire  # noqa: E402

# What the smoke run leaves out: others of the same kind stand for them.
TABLES_LEFT_OUT = {"hop.8", "chain", "chain.1", "chain.8", "socks.chain", "loss.0.1"}


@pytest.fixture(scope="module")
def tools(_lab_possible):
    """The bench's own programs."""
    mode = netlab.BUILD.name
    subprocess.run(["make", "-s", f"MODE={mode}", "bench-tools"], cwd=netlab.REPO, check=True, timeout=600)


@pytest.fixture(scope="module")
def smoke(tools, tmp_path_factory):
    """What the run has printed, and its lines of JSON."""
    path = tmp_path_factory.mktemp("bench") / "figures"
    done = netlab.run(BENCH / "run", netlab.BUILD, "--smoke", "--json", path, timeout=300)
    return done.stdout, [json.loads(line) for line in path.read_text().splitlines()]


def test_a_smoke_run_has_every_figure(smoke):
    text, lines = smoke
    had = {(line["scenario"], line["figure"]): line["median"] for line in lines}
    wanted = {(t.key, f.key) for t in TABLES if t.key not in TABLES_LEFT_OUT for f in t.figures} - {
        ("diamond", "silent")}
    assert wanted == set(had)
    for figure, value in had.items():
        assert math.isfinite(value) and value >= 0, figure
    assert "### One hop, one TCP stream" in text


def cable_between(lab, **what):
    a, b = lab.host("a"), lab.host("b")
    wire = ImpairedWire(lab, a, b, Cable(**what))
    return a, b, wire.address(b)


def answers_ms(a, address, *argv):
    """Asks when the neighbour's address is known: that can be lost too."""
    netlab.wait_for("an answer", lambda: a.run("ping", "-4", "-c", 1, "-W", 1, address, check=False).returncode == 0)
    return measure.replies_ms(a.run("ping", "-4", "-n", *argv, address, check=False).stdout)


def test_a_cable_delays_each_way(tools, make_short_lab):
    a, _, address = cable_between(make_short_lab("delay"), delay_ms=10)
    answers = answers_ms(a, address, "-c", 5, "-i", "0.01")
    assert len(answers) == 5
    assert min(answers) >= 20


def test_a_cable_loses_its_share(tools, make_short_lab):
    """A tenth of the questions, and a tenth of the answers."""
    a, _, address = cable_between(make_short_lab("loss"), loss=0.1)
    assert 0.7 < len(answers_ms(a, address, "-c", 400, "-i", "0.002", "-W", 1)) / 400 < 0.9


def test_a_cable_has_a_rate(tools, make_short_lab):
    """A second's flood at 8 Mbit/s: a million bytes, its queue of 50 ms, and
    nothing else; headers count."""
    a, b, address = cable_between(make_short_lab("rate"), rate_mbit=8)
    receiver = b.popen(measure.TOOLS / "packets", "receive", "::", 7000, stdout=subprocess.PIPE, text=True)
    receiver.stdout.readline()
    a.run(measure.TOOLS / "packets", "send", address, 7000, 1, 958, 1)
    got = json.loads(receiver.communicate(timeout=30)[0])
    assert 0 < got["packets"] <= (got["seconds"] + 0.05) * 1000 + 2


def table(key):
    return next(t for t in TABLES if t.key == key)


@pytest.fixture
def results():
    """Rounds of a machine that grows slower and slower."""
    r = report.Results([candidates.Qanat, candidates.WireGuard, candidates.Yggdrasil, candidates.Bare])
    for n, (own, wg, ygg, bare) in enumerate(((8, 4, 2, 50), (6, 2, 1, 40), (3, 1, 0.5, 30))):
        r.add(candidates.Qanat, n, {("hop.1", "rate"): own, ("hop.1", "cpu"): 1 / own})
        r.add(candidates.WireGuard, n, {("hop.1", "rate"): wg, ("hop.1", "cpu"): 1 / wg})
        r.add(candidates.Yggdrasil, n, {("hop.1", "rate"): ygg, ("hop.1", "loaded"): None})
        r.add(candidates.Bare, n, {("hop.1", "rate"): bare})
    return r


def test_ratios_are_taken_round_by_round(results):
    t = table("hop.1")
    rate, cpu, loaded = t.figures
    assert results.best_rival(t, rate) == "wireguard-go"
    assert results.ratio(t, rate, "qanat", "wireguard-go") == 3  # of 2, 3, 3
    assert results.ratio(t, cpu, "qanat", "wireguard-go") == pytest.approx(1 / 3)
    assert results.best_rival(t, loaded) is None


def test_the_page_is_written_between_its_markers(results, tmp_path):
    page = tmp_path / "page.md"
    page.write_text(f"before\n{report.BEGIN}\nold\n{report.END}\nafter\n")
    text = report.page(results, "- a machine", ["hop, tinc: it broke"])
    report.write_page(text, page)
    report.write_page(text, page)
    got = page.read_text()
    assert got.startswith(f"before\n{report.BEGIN}\n- a machine\n")
    assert got.endswith(f"- hop, tinc: it broke\n{report.END}\nafter\n")
    assert "old" not in got
    assert "| **3.00 ×** wireguard-go |" in got
    assert "| bare wire " in got


def test_the_page_of_this_tree_has_its_markers():
    text = report.PAGE.read_text()
    assert text.count(report.BEGIN) == text.count(report.END) == 1
