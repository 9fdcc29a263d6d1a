#!/usr/bin/env python3
"""report: the history in bench/results/ as a page with plots. See bench/results/README.md.

  bench/report.py [--out DIR] [--format svg|png] [--results DIR]

Writes DIR/index.md and the plots it shows. A damaged line is named and skipped. Needs gnuplot
(Debian: gnuplot-nox). Exit code 0: written; 1: nothing to show, or no gnuplot.
"""

import argparse
import json
import math
import pathlib
import re
import sys
from dataclasses import dataclass

import plot
from plot import plain

BENCH_DIR = pathlib.Path(__file__).resolve().parent
RUNS_PLOTTED_MAX = 60  # the newest
RUNS_LISTED_MAX = 10
FIGURES_MAX = 8        # of a scenario without a headline
LATENCIES = ("p50", "p90", "p99", "p99.9", "max")
CONDITIONS = ("cpus", "seconds", "rounds", "connections")  # numbers that are not results


@dataclass(frozen=True)
class Headline:
    """What a scenario is judged by. rounds: its two variants whose CPU per frame it relates."""
    key: str
    label: str
    must: float | None = None
    aim: float | None = None
    higher_is_better: bool = False
    rounds: tuple | None = None

    def holds(self, value, limit):
        return value >= limit if self.higher_is_better else value <= limit


HEADLINES = {
    "fanout": Headline("ratio_to_send", "core CPU per frame, of a send(2) loop's", 1.00, 0.92,
                       rounds=("ringcast", "send")),
    "unix": Headline("ratio_to_tcp", "core CPU per frame, Unix-domain over TCP", 0.50, 0.40,
                     rounds=("unix", "tcp")),
    "saturation": Headline("frames_per_second", "frames/s of one core", 8e6, 15e6, True),
    "burst": Headline("times_cheaper", "times less CPU per frame in bursts of 32", 10, None, True,
                      rounds=("burst=1", "burst=32")),
    "sparse": Headline("ratio_to_best_peer", "core CPU per frame, of the best peer's", 0.5, 0.3),
    "connect": Headline("ratio_to_best_peer", "clients a second, times the best peer's", 1.0, 1.5,
                        True),
    "latency": Headline("ratio_to_best_peer", "median latency, of the best peer's", 1.0, 0.8),
    "cores": Headline("ratio_two_to_one", "CPU per frame with two cores, of one's", 1.1, 0.95),
    "stalled": Headline("p99_ratio", "readers' p99, beside stalled clients over without", 1.1),
    "deflate": Headline("ratio_to_json", "core CPU per frame, compressed over plain", 1.3,
                        rounds=("deflate", "json")),
    "snapshots": Headline("p99_ns", "p99 ns from SUBSCRIBE to the book, 10 000 at once"),
    "leave": Headline("p99_ratio", "p99 while half of the clients leave, over when they stay", 1.2),
    "attacks": Headline("p99_ratio", "readers' p99, beside attackers over without", 1.2),
    "idle": Headline("core_share", "share of a core, 10 000 silent clients", 0.03),
    "memory": Headline("bytes_per_connection", "bytes of user memory per connection", 320, 256),
}


# ---- Reading ----

def is_number(value):
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def fault_of_variant(variant):
    if not isinstance(variant, dict):
        return "is not an object"
    if not is_number(variant.get("core_ns_per_frame")):
        return "has no core_ns_per_frame"
    each = variant.get("core_ns_per_frame_all", [])
    if not isinstance(each, list) or not all(map(is_number, each)):
        return "has rounds that are not numbers"
    latency = variant.get("latency_ns", {})
    if not isinstance(latency, dict) or not all(map(is_number, latency.values())):
        return "has latencies that are not numbers"
    return None


def fault_of(line):
    """Why a line is not what harness.record() writes, or None."""
    if not isinstance(line, dict):
        return "not an object"
    for key, form in (("scenario", r"[a-z0-9_-]{1,40}"), ("commit", r".{1,80}"),
                      ("time", r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")):
        if not isinstance(line.get(key), str) or not re.fullmatch(form, line[key]):
            return f"no {key} of a known form"
    headline = HEADLINES.get(line["scenario"])
    if headline and not is_number(line.get(headline.key)):
        return f"no {headline.key}"
    variants = line.get("variants", {})
    if not isinstance(variants, dict):
        return "variants are not an object"
    for name, variant in variants.items():
        fault = fault_of_variant(variant)
        if fault:
            return f"variant {name} {fault}"
    return None


def refuse_constant(name):
    raise ValueError(f"{name} is not a number")


def read_results(directory):
    """({scenario: [line, ...] in order of time}, [what was skipped, ...])."""
    history, skipped = {}, []
    for path in sorted(pathlib.Path(directory).glob("*.json")):
        text = path.read_text(encoding="utf8", errors="replace")
        for number, line_text in enumerate(text.split("\n"), 1):
            if not line_text.strip():
                continue
            try:
                line = json.loads(line_text, parse_constant=refuse_constant)
                fault = fault_of(line)
            except (ValueError, RecursionError) as error:
                fault = f"damaged: {error}"
            if fault:
                skipped.append(f"{path.name}:{number}: {fault}")
            else:
                history.setdefault(line["scenario"], []).append(line)
    for lines in history.values():
        lines.sort(key=lambda line: line["time"])
    return history, skipped


def variants_of(line):
    """The variants of a run; of saturation, each offered rate is one."""
    if line.get("variants"):
        return line["variants"]
    variants = {}
    for run in line.get("runs", []) if isinstance(line.get("runs"), list) else []:
        try:
            frames = run["frames_per_second"] * line["seconds"]
            name = f"{run['offered'] / 1e6:g} M/s"
            variant = {**run, "rounds": 1, "core_ns_per_frame": run["core_busy_ns"] / frames}
        except (TypeError, KeyError, ZeroDivisionError):
            continue
        if fault_of_variant(variant) is None:
            variants[name] = variant
    return variants


def headlines_of(scenario, lines):
    """The headline; for a scenario without one, every number at the top of its newest line."""
    if scenario in HEADLINES:
        return [HEADLINES[scenario]]
    return [Headline(key, key) for key, value in lines[-1].items()
            if is_number(value) and key not in CONDITIONS][:FIGURES_MAX]


def rounds_of(headline, line):
    """The headline's value in each round, where it can be told."""
    if headline.rounds is None:
        return []
    above, below = (line.get("variants", {}).get(name, {}).get("core_ns_per_frame_all", [])
                    for name in headline.rounds)
    return [a / b for a, b in zip(above, below) if b > 0]


# ---- Writing ----

def shown(value, digits=3):
    if not is_number(value):
        return "-"
    if abs(value) >= 1e6:
        return f"{value / 1e6:.2f} million"
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.{digits}g}"


def table(heads, rows):
    lines = ["| " + " | ".join(heads) + " |", "|" + " --- |" * len(heads)]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows]) + "\n"


def verdict(headline, value):
    parts = []
    for name, limit in (("must", headline.must), ("aim", headline.aim)):
        if limit is not None:
            sign = ">=" if headline.higher_is_better else "<="
            held = "holds" if headline.holds(value, limit) else "MISSED"
            parts.append(f"{name} {sign} {shown(limit)}: {held}")
    return "; ".join(parts) or "no limit is set"


def variant_row(name, variant):
    latency = variant.get("latency_ns", {})
    each = variant.get("core_ns_per_frame_all")
    rss = variant.get("rss_bytes")
    busy = variant.get("core_busy_before_max")
    microseconds = [latency[p] / 1e3 if p in latency else None for p in LATENCIES]
    return [plain(name), shown(variant.get("rounds")), "yes" if variant.get("valid") else "NO",
            shown(variant["core_ns_per_frame"]),
            f"{shown(min(each))} .. {shown(max(each))}" if each else "-",
            shown(variant.get("frames_per_second")),
            *(f"{us:.0f}" if us is not None else "-" for us in microseconds),
            f"{rss / 2**20:.1f}" if is_number(rss) else "-",
            f"{busy:.1%}" if is_number(busy) else "-"]


def variant_table(variants):
    heads = ["variant", "rounds", "valid", "core ns/frame", "its rounds", "frames/s",
             *(f"{p} us" for p in LATENCIES), "RSS MiB", "core busy before"]
    return table(heads, [variant_row(*item) for item in variants.items()])


def run_table(headlines, lines):
    heads = ["time", "commit", "kernel", "CPU", "rounds x s", *(plain(h.key) for h in headlines)]
    rows = [[line["time"], plain(line["commit"]), plain(line.get("kernel", "-")),
             plain(line.get("cpu", "-")),
             f"{shown(line.get('rounds'))} x {shown(line.get('seconds'))}",
             *(shown(line.get(h.key)) for h in headlines)]
            for line in reversed(lines[-RUNS_LISTED_MAX:])]
    return table(heads, rows)


class Report:
    """The page and its pictures; pictures are written as they are made, the page at the end."""

    def __init__(self, directory, kind):
        self.directory = pathlib.Path(directory)
        self.kind = kind
        self.text = []

    def picture(self, name, about, script):
        file_name = f"{name}.{self.kind}"
        (self.directory / file_name).write_bytes(plot.render(script, self.kind))
        self.text.append(f"![{about}]({file_name})\n")

    def history(self, scenario, headline, lines):
        known = [line for line in lines if is_number(line.get(headline.key))][-RUNS_PLOTTED_MAX:]
        limits = {name: limit for name, limit in (("must", headline.must), ("aim", headline.aim))
                  if limit is not None}
        script = plot.history(f"{scenario}: {headline.label}", [line["commit"] for line in known],
                              [line[headline.key] for line in known],
                              [rounds_of(headline, line) for line in known], limits)
        suffix = "" if scenario in HEADLINES else "-" + re.sub(r"[^a-z0-9_]", "_", headline.key)
        self.picture(f"{scenario}-history{suffix}", f"{plain(headline.key)} over commits", script)

    def variants(self, scenario, variants):
        names = list(variants)
        self.text.append(variant_table(variants))
        script = plot.bars(f"{scenario}: core ns per frame", names,
                           [variants[name]["core_ns_per_frame"] for name in names],
                           [variants[name].get("core_ns_per_frame_all", []) for name in names])
        self.picture(f"{scenario}-cpu", "core ns per frame by variant", script)
        curves = {name: [variant["latency_ns"][p] / 1e3 for p in LATENCIES]
                  for name, variant in variants.items()
                  if all(variant.get("latency_ns", {}).get(p, 0) > 0 for p in LATENCIES)}
        if curves:
            script = plot.percentiles(f"{scenario}: latency", LATENCIES, curves)
            self.picture(f"{scenario}-latency", "latency percentiles by variant", script)

    def scenario(self, scenario, lines):
        newest, headlines = lines[-1], headlines_of(scenario, lines)
        self.text.append(f"## {scenario}\n")
        self.text.append(f"Newest: {plain(newest['commit'])}, {newest['time']}, "
                         f"{len(lines)} run{'s' if len(lines) > 1 else ''} in all.\n")
        if headlines:
            rows = [[plain(h.label), shown(newest[h.key]), verdict(h, newest[h.key])]
                    for h in headlines]
            self.text.append(table(["figure", "newest", "asked for"], rows))
        for headline in headlines:
            self.history(scenario, headline, lines)
        variants = variants_of(newest)
        if variants:
            self.variants(scenario, variants)
        self.text.append(run_table(headlines, lines))

    def summary(self, history):
        rows = []
        for scenario in ordered(history):
            newest = history[scenario][-1]
            for headline in headlines_of(scenario, history[scenario]):
                rows.append([f"[{scenario}](#{scenario})", plain(headline.label),
                             shown(newest[headline.key]), verdict(headline, newest[headline.key]),
                             plain(newest["commit"])])
        self.text.append(table(["scenario", "figure", "newest", "asked for", "commit"], rows))

    def write(self, history, skipped):
        self.directory.mkdir(parents=True, exist_ok=True)
        self.text = ["# Benchmarks\n"]
        self.summary(history)
        for scenario in ordered(history):
            self.scenario(scenario, history[scenario])
        if skipped:
            self.text.append("## Lines that were skipped\n")
            self.text.append("\n".join(f"- {plain(line)}" for line in skipped) + "\n")
        (self.directory / "index.md").write_text("\n".join(self.text), encoding="utf8")


def ordered(history):
    """Those with a headline in the order of the table, then the others by name."""
    known = [scenario for scenario in HEADLINES if scenario in history]
    return known + sorted(set(history) - set(known))


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", default=BENCH_DIR.parent / "zig-out" / "bench-report",
                        help="where to write (zig-out/bench-report)")
    parser.add_argument("--format", choices=plot.TERMINALS, default="svg")
    parser.add_argument("--results", default=BENCH_DIR / "results", help="what to read")
    options = parser.parse_args()
    plot.require_gnuplot()
    history, skipped = read_results(options.results)
    for line in skipped:
        print(f"skipped {line}", file=sys.stderr)
    if not history:
        print(f"{options.results}: no run is recorded", file=sys.stderr)
        return 1
    Report(options.out, options.format).write(history, skipped)
    print(pathlib.Path(options.out) / "index.md")
    return 0


if __name__ == "__main__":
    sys.exit(main())
