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
import report  # noqa: E402
from scenarios import TABLES  # noqa: E402

# What the smoke run leaves out: others of the same kind stand for them.
TABLES_LEFT_OUT = {"hop.8", "chain", "chain.1", "chain.8", "socks.chain", "loss.0.1"}


@pytest.fixture(scope="module")
def smoke(_lab_possible, tmp_path_factory):
    """What the run has printed, and its lines of JSON."""
    mode = netlab.BUILD.name
    subprocess.run(["make", "-s", f"MODE={mode}", "bench-tools"], cwd=netlab.REPO, check=True, timeout=600)
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


def test_a_cable_delays(smoke):
    """A megabit at least, and no more than the cable's 50 a second."""
    rate = next(line["median"] for line in smoke[1] if (line["scenario"], line["figure"]) == ("loss.1", "rate"))
    assert 0 < rate < 50


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
