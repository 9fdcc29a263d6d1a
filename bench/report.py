#!/usr/bin/env python3
"""report: writes the history in bench/results/ as a page with plots. See bench/results/README.md.

  bench/report.py [--out DIR] [--format svg|png] [--results DIR]

Writes DIR/index.md and its plots. A damaged line is reported and skipped. Needs gnuplot
(Debian: gnuplot-nox). Exit code 0: the page was written; 1: no run is recorded, or no gnuplot.
"""

import argparse
import json
import pathlib
import re
import sys

import plot
from gates import GATES, Gate, is_number, shown
from plot import plain

BENCH_DIR = pathlib.Path(__file__).resolve().parent
RUNS_PLOTTED_MAX = 60  # the newest
RUNS_LISTED_MAX = 10
FIGURES_MAX = 8        # of a scenario without gates
LATENCIES = ("p50", "p90", "p99", "p99.9", "max")
CONDITIONS = ("cpus", "seconds", "rounds", "connections")  # numbers that are not results


# ---- Reading ----

def fault_of_variant(variant):
    if not isinstance(variant, dict):
        return "is not an object"
    if not is_number(variant.get("core_ns_per_frame")):
        return "has no core_ns_per_frame"
    each = [variant[key] for key in variant if key.endswith("_all")]
    if not all(isinstance(values, list) and all(map(is_number, values)) for values in each):
        return "has rounds that are not numbers"
    latency = variant.get("latency_ns", {})
    if not isinstance(latency, dict) or not all(map(is_number, latency.values())):
        return "has latencies that are not numbers"
    return None


def fault_of(line):
    """The reason why a line is not one that harness.record() writes, or None."""
    if not isinstance(line, dict):
        return "not an object"
    for key, form in (("scenario", r"[a-z0-9_-]{1,40}"), ("commit", r".{1,80}"),
                      ("time", r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")):
        if not isinstance(line.get(key), str) or not re.fullmatch(form, line[key]):
            return f"no {key} of a known form"
    return fault_of_figures(line)


def fault_of_figures(line):
    workloads = line.get("workloads", {})
    if not isinstance(workloads, dict) or not all(isinstance(it, dict) for it in workloads.values()):
        return "workloads are not objects"
    for part in (line, *workloads.values()):
        variants = part.get("variants", {})
        if not isinstance(variants, dict):
            return "variants are not an object"
        for name, variant in variants.items():
            fault = fault_of_variant(variant)
            if fault:
                return f"variant {name} {fault}"
    gates = GATES.get(line["scenario"], ())
    if gates and not any(key in line for key in (*(gate.key for gate in gates), "variants")):
        return f"no {gates[0].key}"
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
            name = f"{run.get('kind', '')} {run['offered'] / 1e6:.3g} M/s".strip()
            variant = {"rounds": 1, **run, "core_ns_per_frame": run["core_busy_ns"] / frames}
        except (TypeError, KeyError, ZeroDivisionError):
            continue
        if fault_of_variant(variant) is None:
            variants[name] = variant
    return variants


def gates_of(scenario, lines):
    """The scenario's gates; without any, every number at the top of its newest line."""
    if scenario in GATES:
        return GATES[scenario]
    return [Gate(key, key) for key, value in lines[-1].items()
            if is_number(value) and key not in CONDITIONS][:FIGURES_MAX]


def newest_of(gate, lines):
    """(value, line) of the newest run that measured it, or (None, None)."""
    return next(((gate.value(line), line) for line in reversed(lines)
                 if is_number(gate.value(line))), (None, None))


# ---- Writing ----

def table(heads, rows):
    lines = ["| " + " | ".join(heads) + " |", "|" + " --- |" * len(heads)]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows]) + "\n"


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


def run_table(gates, lines):
    heads = ["time", "commit", "kernel", "CPU", "rounds x s", *(plain(gate.key) for gate in gates)]
    rows = [[line["time"], plain(line["commit"]), plain(line.get("kernel", "-")),
             plain(line.get("cpu", "-")),
             f"{shown(line.get('rounds'))} x {shown(line.get('seconds'))}",
             *(shown(gate.value(line)) for gate in gates)]
            for line in reversed(lines[-RUNS_LISTED_MAX:])]
    return table(heads, rows)


class Report:
    """The page and its pictures. Pictures are written one by one, the page at the end."""

    def __init__(self, directory, kind):
        self.directory = pathlib.Path(directory)
        self.kind = kind
        self.text = []

    def picture(self, name, about, script):
        file_name = f"{name}.{self.kind}"
        (self.directory / file_name).write_bytes(plot.render(script, self.kind))
        self.text.append(f"![{about}]({file_name})\n")

    def history(self, scenario, gate, lines):
        known = [line for line in lines if is_number(gate.value(line))][-RUNS_PLOTTED_MAX:]
        if not known:
            self.text.append(f"No run has measured {plain(gate.key)}.\n")
            return
        script = plot.history(f"{scenario}: {gate.label}", [line["commit"] for line in known],
                              [gate.value(line) for line in known],
                              [gate.values_of_rounds(line) for line in known], gate.limits())
        name = f"{scenario}-history-" + re.sub(r"[^a-z0-9_]", "_", gate.key)
        self.picture(name, f"{plain(gate.key)} over commits", script)

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
        newest, gates = lines[-1], gates_of(scenario, lines)
        self.text.append(f"## {scenario}\n")
        self.text.append(f"Newest: {plain(newest['commit'])}, {newest['time']}, "
                         f"{len(lines)} run{'s' if len(lines) > 1 else ''} in all.\n")
        for gate in gates:
            self.history(scenario, gate, lines)
        variants = variants_of(newest)
        if variants:
            self.variants(scenario, variants)
        self.text.append(run_table(gates, lines))

    def summary(self, history):
        rows = []
        for scenario in ordered(history):
            for gate in gates_of(scenario, history[scenario]):
                value, line = newest_of(gate, history[scenario])
                rows.append([f"[{scenario}](#{scenario})", plain(gate.label), shown(value),
                             gate.verdict(value) if line else "not measured",
                             plain(line["commit"] if line else "-")])
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
    """Scenarios with gates in the order of gates.py, then the others by name."""
    known = [scenario for scenario in GATES if scenario in history]
    return known + sorted(set(history) - set(known))


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", default=BENCH_DIR.parent / "zig-out" / "bench-report",
                        help="folder to write to (default: zig-out/bench-report)")
    parser.add_argument("--format", choices=plot.TERMINALS, default="svg")
    parser.add_argument("--results", default=BENCH_DIR / "results",
                        help="folder of the results (default: bench/results)")
    options = parser.parse_args()
    plot.require_gnuplot()
    history, skipped = read_results(options.results)
    for line in skipped:
        print(f"skipped {line}", file=sys.stderr)
    if not history:
        print(f"{options.results}: no run is recorded; bench/run.py records one", file=sys.stderr)
        return 1
    Report(options.out, options.format).write(history, skipped)
    print(pathlib.Path(options.out) / "index.md")
    return 0


if __name__ == "__main__":
    sys.exit(main())
