"""Tables for people, lines of JSON for programs."""

import datetime
import json
import os
import pathlib
import re
import subprocess

import netlab
from scenarios import TABLES, median

BEGIN, END = "<!-- bench: begin -->", "<!-- bench: end -->"
PAGE = netlab.REPO / "docs" / "performance.md"


class Results:
    """Of every figure, one number a round of each candidate."""

    def __init__(self, kinds):
        self.kinds = kinds
        self.values = {}

    def add(self, kind, n_round, found):
        for (table, figure), value in found.items():
            if value is not None:
                self.values.setdefault((table, figure), {}).setdefault(kind.name, {})[n_round] = value

    def of(self, table, figure, name):
        return list(self.values.get((table.key, figure.key), {}).get(name, {}).values())

    def best_rival(self, table, figure):
        """Its name; None without rivals."""
        found = {k.name: median(self.of(table, figure, k.name)) for k in self.kinds if k.kind == "rival"}
        found = {n: v for n, v in found.items() if v is not None}
        pick = max if figure.better == "more" else min
        return pick(found, key=found.get) if found else None

    def ratio(self, table, figure, own, rival):
        """The median over the rounds of ours by theirs in the same round: the
        machine's speed drifts, and drops out."""
        rounds = self.values.get((table.key, figure.key), {})
        ours, theirs = rounds.get(own, {}), rounds.get(rival, {})
        return median([ours[r] / theirs[r] for r in ours if r in theirs and theirs[r] > 0])


def cell(values, digits):
    if not values:
        return "–"
    text = f"{median(values):.{digits}f}"
    if len(values) > 1:
        text += f" ({min(values):.{digits}f}–{max(values):.{digits}f})"
    return text


def rows(results, table):
    yield ["", *(f"{f.title} {'↑' if f.better == 'more' else '↓'}" for f in table.figures)]
    own = None
    for k in results.kinds:
        if k.kind == "own":
            own = k.name
        line = [cell(results.of(table, f, k.name), f.digits) for f in table.figures]
        if any(c != "–" for c in line):
            yield [k.name, *line]
    ratios = []
    for f in table.figures:
        rival = results.best_rival(table, f)
        ratio = results.ratio(table, f, own, rival) if own and rival else None
        ratios.append("–" if ratio is None else f"**{ratio:.2f} ×** {rival}")
    if any(r != "–" for r in ratios):
        yield ["ours to the best rival", *ratios]


def aligned(lines):
    lines = list(lines)
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]

    def row(cells):
        return "| " + " | ".join([cells[0].ljust(widths[0])] +
                                 [c.rjust(w) for c, w in zip(cells[1:], widths[1:])]) + " |"
    rule = "|" + "|".join(["-" * (widths[0] + 2)] + ["-" * (w + 1) + ":" for w in widths[1:]]) + "|"
    return "\n".join([row(lines[0]), rule, *(row(line) for line in lines[1:])])


def text_of(results, table):
    """None: nothing of it was measured."""
    lines = list(rows(results, table))
    return f"### {table.title}\n\n{aligned(lines)}\n" if len(lines) > 1 else None


def read(path, pattern, default="unknown"):
    found = re.search(pattern, pathlib.Path(path).read_text())
    return found.group(1) if found else default


def version(package):
    done = subprocess.run(["dpkg-query", "-W", "-f", "${Version}", package], capture_output=True, text=True)
    return done.stdout if done.returncode == 0 else "unknown"


def own_version():
    return netlab.run(netlab.BUILD / "qanatd", "--version").stdout.strip()


def machine(kinds, size, load):
    memory = int(read("/proc/meminfo", r"MemTotal:\s+(\d+)")) / 1024 / 1024
    rivals = sorted({p for k in kinds if k.kind == "rival" for p in k.packages})
    lines = [
        f"- machine: {os.cpu_count()} cores, {read('/proc/cpuinfo', r'model name[^:]*: (.*)')}, {memory:.0f} GB, "
        f"Linux {os.uname().release}; everything runs on it, both ends and all between",
        f"- load average when it began: {load:.1f}" +
        (" (other work was going on: compare the ratios)" if load > 0.5 else ""),
        f"- {own_version()}; {datetime.date.today().isoformat()}",
        f"- {size.rounds} rounds, every candidate once in each; transfers of {size.seconds} s; "
        "median (least–greatest); ↑ more is better, ↓ less is",
        "- programs use TCP with cubic, in every namespace and for every candidate",
    ]
    if rivals:
        lines.append("- rivals: " + ", ".join(f"{p} {version(p)}" for p in rivals))
    return "\n".join(lines)


def page(results, head, faults):
    tables = [t for t in (text_of(results, table) for table in TABLES) if t]
    parts = [head, *tables]
    if faults:
        parts.append("Not measured:\n\n" + "\n".join(f"- {f}" for f in faults))
    return "\n\n".join(p.rstrip() for p in parts) + "\n"


def write_page(text, path=PAGE):
    """Between the markers; what stands around them is written by hand."""
    old = path.read_text()
    before, rest = old.split(BEGIN)
    after = rest.split(END)[1]
    path.write_text(f"{before}{BEGIN}\n{text}{END}{after}")


def write_json(results, path, when, load):
    """A line for each figure of each candidate, added to what is there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    common = {"time": when, "version": own_version(), "load": round(load, 2)}
    with open(path, "a") as out:
        for table in TABLES:
            for figure in table.figures:
                rival = results.best_rival(table, figure)
                for kind in results.kinds:
                    values = results.of(table, figure, kind.name)
                    if not values:
                        continue
                    line = dict(common, scenario=table.key, figure=figure.key, unit=figure.title,
                                better=figure.better, candidate=kind.name, n=len(values), median=median(values),
                                min=min(values), max=max(values))
                    if kind.kind == "own" and rival:
                        line.update(best_rival=rival, ratio=results.ratio(table, figure, kind.name, rival))
                    out.write(json.dumps(line) + "\n")
