"""plot: pictures made by gnuplot from a script on its standard input, without temporary files.

Used by report.py. history(), bars() and percentiles() return a script, render() its picture.
"""

import re
import shutil
import subprocess

PACKAGE = "gnuplot-nox"
TERMINALS = {"svg": "svg size {width},{height} dynamic background '#ffffff' font 'sans,13'",
             "png": "pngcairo size {width},{height} background '#ffffff' font 'sans,10'"}
COLOURS = ("#1f5fa8", "#c8641e", "#3c8c4b", "#8a4fa3", "#8c6d1f", "#4a9aa8", "#a83c50", "#666666")
HEIGHT = 380
RENDER_SECONDS_MAX = 60


def require_gnuplot():
    if shutil.which("gnuplot") is None:
        raise SystemExit(f"plots need gnuplot; install it: apt-get install {PACKAGE}")


def render(script, kind):
    """The picture (bytes) of a script; kind: svg or png."""
    width, body = script
    terminal = TERMINALS[kind].format(width=width, height=HEIGHT)
    lines = [f"set terminal {terminal} noenhanced", "set border 3 lc rgb '#555555'",
             "set xtics nomirror", "set ytics nomirror", "set grid ytics lc rgb '#dddddd' lt 1",
             "set key outside right top Left reverse samplen 2", *body]
    done = subprocess.run(["gnuplot", "--default-settings"], input="\n".join(lines).encode(),
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          timeout=RENDER_SECONDS_MAX, check=False)
    if done.returncode != 0 or not done.stdout:
        raise SystemExit(f"gnuplot failed: {done.stderr.decode(errors='replace').strip()}")
    return done.stdout


def plain(text):
    """The text without characters that have a meaning in gnuplot, Markdown or XML."""
    return re.sub(r"[^A-Za-z0-9 ._=/+:,%()'-]", "?", str(text))


def labels(names):
    return "(" + ", ".join(f'"{plain(name)}" {i}' for i, name in enumerate(names)) + ")"


def block(name, rows):
    """A block of data: rows of numbers, one line each."""
    return [f"${name} << END", *(" ".join(f"{value:.9g}" for value in row) for row in rows), "END"]


def range_around(values):
    low, high = min(values), max(values)
    room = (high - low) * 0.1 or abs(high) * 0.1 or 1
    return f"set yrange [{low - room:.9g}:{high + room:.9g}]"


def format_of(values):
    return "set format y '%.1s %c'" if max(map(abs, values)) >= 10_000 else "set format y '%g'"


def history(label, names, medians, rounds, limits):
    """A figure over runs. rounds: a list of values for each run; limits: {name: value}."""
    points = [(i, value) for i, values in enumerate(rounds) for value in values]
    everything = [*medians, *(value for _, value in points), *limits.values()]
    body = [f"set title \"{plain(label)}\"", range_around(everything), format_of(everything),
            f"set xrange [-0.5:{len(names) - 0.5}]", f"set xtics {labels(names)} rotate by -40",
            *block("medians", enumerate(medians))]
    drawn = []
    if points:
        body += block("rounds", points)
        drawn.append("$rounds with points pt 7 ps 0.5 lc rgb '#9fb4cc' title 'each round'")
    drawn.append(f"$medians with linespoints pt 7 ps 0.8 lw 2 lc rgb '{COLOURS[0]}' title 'median'")
    for (name, value), colour in zip(limits.items(), ("#b03030", "#2f8f4f")):
        drawn.append(f"{value:.9g} with lines dt 2 lw 1.5 lc rgb '{colour}' "
                     f"title \"{plain(name)} {value:g}\"")
    return max(720, 240 + 18 * len(names)), [*body, "plot " + ", ".join(drawn)]


def bars(label, names, medians, rounds):
    """A bar for each name, with the values of its rounds as points."""
    points = [(i, value) for i, values in enumerate(rounds) for value in values]
    body = [f"set title \"{plain(label)}\"", "set style fill solid 0.85", "set boxwidth 0.6",
            "set yrange [0:*]", format_of(medians), f"set xrange [-0.5:{len(names) - 0.5}]",
            f"set xtics {labels(names)}", *block("medians", enumerate(medians))]
    drawn = [f"$medians with boxes lc rgb '{COLOURS[0]}' title 'median'"]
    if points:
        body += block("rounds", points)
        drawn.append("$rounds with points pt 7 ps 0.6 lc rgb '#e0a030' title 'each round'")
    return max(720, 240 + 110 * len(names)), [*body, "plot " + ", ".join(drawn)]


def percentiles(label, names, curves):
    """Latencies in microseconds, a curve for each variant: {variant: [value for each name]}."""
    body = [f"set title \"{plain(label)}\"", "set logscale y", "set format y '%.0f'",
            "set ylabel 'us'", f"set xrange [-0.3:{len(names) - 0.7}]",
            f"set xtics {labels(names)}"]
    drawn = []
    for i, (variant, values) in enumerate(curves.items()):
        body += block(f"curve{i}", ((x, y) for x, y in enumerate(values) if y > 0))
        drawn.append(f"$curve{i} with linespoints pt 7 ps 0.6 lw 2 "
                     f"lc rgb '{COLOURS[i % len(COLOURS)]}' title \"{plain(variant)}\"")
    return 720, [*body, "plot " + ", ".join(drawn)]
