#!/usr/bin/env python3
"""run: the system benchmarks, one command each. See bench/README.md.

  bench/run.py fanout       CPU and tails per frame against a bare send(2) and io_uring loop
  bench/run.py steered      the same with receive packet steering on the load generator's core
                            (needs root)
  bench/run.py unix         over a Unix-domain socket, against TCP
  bench/run.py scale        10 000 subscribers: is everything delivered?
  bench/run.py burst        what coalescing saves: bursts of 32 against single frames
  bench/run.py saturation   the highest rate at which nothing is lost and p99 is under 20 ms;
                            beside the bare loop and the commit before
  bench/run.py sparse       200 symbols, 20 of them each, by popularity, in bursts; beside peers
  bench/run.py connect      new clients, by message and by URL; beside the commit before and
                            peers
  bench/run.py latency      one client on an idle machine; beside peers
  bench/run.py encodings    clients of SBE and as many of JSON at once on one core
  bench/run.py cores        two cores against one, the load generator on the same two
  bench/run.py stalled      clients that do not read, beside those that do
  bench/run.py leave        half of 10 000 clients leave at once, beside those that stay
  bench/run.py idle         10 000 clients with "*" on a closed market
  bench/run.py idle20       the same with 20 symbols each
  bench/run.py reload       reloads under 10 000 clients of 100 subscriptions each
  bench/run.py memory       user memory per connection
  bench/run.py deflate      books of 2 KiB, compressed against plain
  bench/run.py snapshots    10 000 clients subscribe to a book of 5 levels at once
  bench/run.py attacks      readers beside attackers of eight kinds
  bench/run.py flood        lateness of sim beside a producer that sends as fast as it can
  bench/run.py floors       2 000 connections, 15 000 ticks a second, stress tests: what the first users asked for
  bench/run.py leak         memory in cycles of clients that come, stall and leave, reloads among them
  bench/run.py tls          CPU per frame of wss, beside plain, SSL_write in a loop, and nginx in front
  bench/run.py tls_memory   user memory of an idle connection of wss, over that of a plain one
  bench/run.py tls_handshakes  TLS handshakes a second of CPU; and readers beside 200 of them a second

Peers are those that bench/peers/setup.sh has set up. gates.py has the limits of each figure. The
figures are appended to bench/results/. Exit code 0: each gate passed; 1: one was missed;
2: interrupted.
"""

import argparse
import concurrent.futures
import contextlib
import json
import os
import signal
import statistics
import subprocess
import sys
import threading
import time

import books
import harness
from gates import GATES, shown
from harness import INTENDED, Server, interleave, median, ratio, record, summary

PAYLOAD = 256
PEERS = ["nchan", "nats", "websockets-joined", "ws-joined", "lws"]
BY_URL = "ringcast by URL"
P99_NS_MAX = 20_000_000
LOAD_BUSY_MAX = 0.9  # of its core, in saturation: a busier load generator measures itself
SATURATION_STEP = 1.05
FLOOR_CONNECTIONS = 2000
FLOOR_CORES = 4  # of the machine that the first users had
FORMER_REQUESTS = {20: (837.85, 101.5e6), 50: (810.78, 523.66e6), 100: (750, 1200e6)}  # requests/s and mean of responses
LEAK_WARMUP_CYCLES = 3
LEAK_LOOKS = 5


def check(text, holds):
    print(f"{'PASSED' if holds else 'MISSED'} {text}")
    return holds


def judge(scenario, setup, figures, valid=True):
    """Records the figures, and prints whether each gate of the scenario passed."""
    record(scenario, setup, figures)
    holds = True
    for gate in GATES[scenario]:
        value = gate.value(figures)
        if value is None:
            print(f"SKIPPED {scenario}: {gate.label}: needs {gate.needs}")
        elif gate.must is not None:
            invalid = "" if valid else "; a run was INVALID"
            holds &= check(f"{scenario}: {gate.label}: {shown(value, 4)} ({gate.verdict(value)}{invalid})",
                           valid and gate.holds(value, gate.must))
    return holds


def spec(symbols=1, rate=100, burst=1, pad=PAYLOAD):
    return {"symbols": symbols, "rate": rate, "burst": burst, "pad": pad}


def raw(rate=100, burst=1, pad=PAYLOAD):
    """As spec, as options of raw_send, which counts instants a second."""
    return ["--rate", str(rate // burst), "--burst", str(burst), "--payload", str(pad)]


def room(connections):
    return ["--max-connections", str(connections + 100)]


def start(setup, kind, ticks, connections, **options):
    """Starts ringcast, the ringcast of the commit before, or a bare loop, which sends these ticks."""
    if kind in ("ringcast", "before", "wss", "nginx"):
        return Server(setup, kind, room(connections), spec=ticks, **options)
    return Server(setup, kind, raw(ticks["rate"], ticks["burst"], ticks["pad"]), spec=ticks, **options)


def are_valid(reports, *variants):
    return all(report["valid"] for variant in variants for report in reports[variant])


def summaries(reports):
    return {variant: summary(runs) for variant, runs in reports.items()}


def fan_out(setup):
    """ringcast beside the bare loops with one symbol, three workloads; what is recorded of them."""
    workloads = [(100, 100)] if setup.small else [(1000, 100), (10000, 10), (100, 1000)]
    figures = {}
    for connections, rate in workloads:
        def measure(kind):
            with start(setup, kind, spec(rate=rate), connections) as server:
                return server.load("-c", connections, *INTENDED)
        name = f"{connections} x {rate}/s"
        print(f"{name}:")
        reports = interleave(setup, ["ringcast", "send", "uring"], measure)
        figures[name] = {
            "ratio_to_send": harness.cost_ratio(reports, "ringcast", "send"),
            "ratio_to_uring": harness.cost_ratio(reports, "ringcast", "uring"),
            "uring_ratio_to_send": harness.cost_ratio(reports, "uring", "send"),
            "p999_ratio_to_send": ratio(reports, "ringcast", "send", "latency_ns", "p99.9"),
            "p999_ratio_to_uring": ratio(reports, "ringcast", "uring", "latency_ns", "p99.9"),
            "valid": are_valid(reports, "ringcast"), "variants": summaries(reports)}
        print("  CPU per frame is {ratio_to_send:.3f} of that of a send(2) loop and "
              "{ratio_to_uring:.3f} of that of an io_uring loop; p99.9 is {p999_ratio_to_send:.2f} "
              "and {p999_ratio_to_uring:.2f}"
              .format(**figures[name]))
    first = next(iter(figures.values()))
    medians = {key: statistics.median(figure[key] for figure in figures.values())
               for key in first if "ratio" in key}
    return {**medians, "workloads": figures, "variants": first["variants"]}, \
        all(figure["valid"] for figure in figures.values())


def fanout(setup):
    return judge("fanout", setup, *fan_out(setup))


def steered(setup):
    """The receivers' TCP work runs on the load generator's core: the server's core only sends."""
    fault = harness.steering_fault()
    if fault:
        print(f"SKIPPED steered: {fault}")
        return True
    with harness.steered(setup.load_cpu):
        return judge("steered", setup, *fan_out(setup))


def unix(setup):
    connections = 100 if setup.small else 1000
    workloads = {"1": spec(rate=100), "32": spec(symbols=32, rate=3200, burst=32)}
    figures, valid = {}, True
    for frames, ticks in workloads.items():
        def measure(way):
            with start(setup, "ringcast", ticks, connections, unix=way == "unix") as server:
                return server.load("-c", connections, *INTENDED)
        print(f"{frames} frames a send:")
        reports = interleave(setup, ["tcp", "unix"], measure)
        figures[frames] = {"ratio_to_tcp": harness.cost_ratio(reports, "unix", "tcp"),
                           "variants": summaries(reports)}
        valid &= are_valid(reports, "unix", "tcp")
        print(f"  CPU per frame over a Unix-domain socket is {figures[frames]['ratio_to_tcp']:.3f} of "
              "that over TCP")
    return judge("unix", setup, {**figures["1"], "ratio_to_tcp_32": figures["32"]["ratio_to_tcp"],
                                 "frames_a_send": figures}, valid)


def scale(setup):
    connections = setup.connections or (1000 if setup.small else 10000)

    def measure(_):
        with start(setup, "ringcast", spec(rate=10), connections) as server:
            return server.load("-c", connections, *INTENDED)

    reports = interleave(setup, ["ringcast"], measure)["ringcast"]
    record("scale", setup, {"connections": connections, "variants": {"ringcast": summary(reports)},
                            "connect_seconds": median(reports, "connect_seconds")})
    return check(f"{connections} subscribers x {PAYLOAD} B x 10/s: everything delivered, no gap",
                 all(report["valid"] for report in reports))


def burst(setup):
    connections = 100 if setup.small else 1000
    # The same instants a second, so that what differs is the frames of each.
    feeds = {"burst=1": spec(symbols=32, rate=50),
             "burst=32": spec(symbols=32, rate=1600, burst=32)}

    def measure(variant):
        with start(setup, "ringcast", feeds[variant], connections) as server:
            return server.load("-c", connections, *INTENDED)

    reports = interleave(setup, list(feeds), measure)
    times = 1 / harness.cost_ratio(reports, "burst=32", "burst=1")
    return judge("burst", setup, {"times_cheaper": times, "variants": summaries(reports)},
                 are_valid(reports, *feeds))


def saturation_round(setup, kind, rate):
    """Bursts of 128. Every tenth client checks what it gets and measures; the others count."""
    connections = 100 if setup.small else 1000
    readers = connections // 10
    bursts = max(1, round(rate / connections / 128))
    with start(setup, kind, spec(128, 128 * bursts, 128), connections) as server:
        report = server.load("-c", connections, "--light-readers", connections - readers, *INTENDED)
    # A GAP would report a loss; the light readers are a little behind the readers.
    light = report["light_readers"]["frames"] / (connections - readers)
    report["valid"] &= light > 0.97 * report["readers"]["frames"] / readers
    report["frames_per_second"] *= connections / readers
    report["server"]["core_ns_per_frame"] *= readers / connections
    report["capped"] = report["load_busy"] > LOAD_BUSY_MAX
    report["holds"] = report["valid"] and not report["capped"] and \
        report["latency_ns"]["p99"] <= P99_NS_MAX
    print(f"  {kind:8} {rate / 1e6:5.2f} million/s offered {harness.describe(report)}, load generator "
          f"{report['load_busy']:.0%}"
          f"{': CAPPED (load generator too busy), does not count' if report['capped'] else ''}",
          flush=True)
    return report


def saturation_rates(setup, rates, wanted):
    """One rate for each kind, in turn, until more than half of the rounds have decided."""
    found = {kind: [] for kind in wanted}
    most = setup.rounds // 2
    open_kinds = list(wanted)
    while open_kinds:
        setup.random.shuffle(open_kinds)
        for kind in open_kinds:
            found[kind].append(saturation_round(setup, kind, rates[wanted[kind]]))
        open_kinds = [kind for kind in wanted
                      if max(sum(it["holds"] for it in found[kind]),
                             sum(not it["holds"] for it in found[kind])) <= most]
    return found


def saturation_summary(kind, rate, rounds):
    held = sum(report["holds"] for report in rounds) * 2 > len(rounds)
    return {"kind": kind, "offered": rate, "holds": held, "rounds": len(rounds),
            "valid": all(report["valid"] for report in rounds),
            "capped": sum(report["capped"] for report in rounds),
            "frames_per_second": median(rounds, "frames_per_second"),
            "core_busy_ns": median(rounds, "server", "core_busy_ns"),
            "load_busy": median(rounds, "load_busy"),
            "load_busy_all": [report["load_busy"] for report in rounds],
            "p99_ns_all": [report["latency_ns"]["p99"] for report in rounds],
            "latency_ns": {name: median(rounds, "latency_ns", name)
                           for name in ("p50", "p90", "p99", "p99.9", "max")}}


def saturation(setup):
    """For each server the highest rate that more than half of the rounds hold, found by halving."""
    kinds = ["ringcast", "uring"] + (["before"] if setup.before_dir else [])
    rates = [1e6, 2e6] if setup.small else [4e6 * SATURATION_STEP ** i for i in range(44)]
    held = {kind: -1 for kind in kinds}  # the highest that holds, and the lowest that does not
    failed = {kind: len(rates) for kind in kinds}
    best = {kind: 0.0 for kind in kinds}
    runs = []
    while wanted := {kind: (held[kind] + failed[kind]) // 2 for kind in kinds
                     if failed[kind] - held[kind] > 1}:
        for kind, rounds in saturation_rates(setup, rates, wanted).items():
            runs.append(saturation_summary(kind, rates[wanted[kind]], rounds))
            if runs[-1]["holds"]:
                held[kind] = wanted[kind]
                best[kind] = runs[-1]["frames_per_second"]
            else:
                failed[kind] = wanted[kind]
    for kind in kinds:
        capped = any(run["capped"] for run in runs
                     if run["kind"] == kind and run["offered"] == (rates + [0])[failed[kind]])
        print(f"  {kind:8} sustains {best[kind] / 1e6:.2f} million frames/s"
              f"{'; the load generator was the limit at the next rate (CAPPED)' if capped else ''}")
    figures = {"frames_per_second": best["ringcast"], "uring_frames_per_second": best["uring"],
               "runs": runs}
    if setup.before_dir:
        figures["before_frames_per_second"] = best["before"]
        figures["ratio_to_before"] = best["ringcast"] / max(best["before"], 1)
    return judge("saturation", setup, figures)


def symbol_list(count):
    """The symbols of the simulated feed, which are those of the peers too."""
    return "000001.SZ,600519.SH,300750.SZ,AAPL.US,MSFT.US,NVDA.US," + \
        f"SIM{{00006..{count - 1:05}}}.SIM"


def best_of(reports, peers, pick):
    """The peer with the lowest median of what pick gives, and its reports."""
    found = [name for name in peers if all(report["valid"] for report in reports[name])]
    return min(found, key=lambda name: pick(reports[name]), default=None)


def sparse(setup):
    """Each client gets 5 of each 50 ticks on average. The floor is a bare loop with one send of 5
    frames to each client at the same instants: as many sends and bytes, and no server."""
    connections = 400 if setup.small else 1000  # so that every symbol has a subscriber
    ticks = spec(symbols=200, rate=5000, burst=50)
    peers = harness.available_peers(setup.peers)

    def measure(kind):
        if kind == "floor":
            with Server(setup, "uring", raw(500, 5)) as server:
                return server.load("-c", connections, *INTENDED)
        with Server(setup, kind, room(connections) if kind == "ringcast" else (),
                    spec=ticks) as server:
            return server.load("-c", connections, "-s", symbol_list(200), "--subscriptions", 20,
                               "--zipf", 1, *INTENDED, warmup=max(setup.warmup, 2))

    reports = interleave(setup, ["ringcast", "floor", *peers], measure)
    best = best_of(reports, peers, lambda runs: median(runs, "server", "core_ns_per_frame"))
    if best is None:
        return check("no peer delivers everything: set one up with bench/peers/setup.sh", False)
    order = {kind: {end: median(runs, "fairness", end) for end in ("min", "max")}
              for kind, runs in reports.items() if are_valid(reports, kind)}
    for kind, place in order.items():
        print(f"  {kind:18} fairness: mean places {place['min']:.2f} to {place['max']:.2f}")
    floor = harness.cost_ratio(reports, "ringcast", "floor")
    print(f"  ringcast needs {floor:.2f} of the CPU of a bare loop with as many sends; the loop needs "
          f"{harness.cost_ratio(reports, 'floor', best):.2f} of that of {best}")
    return judge("sparse", setup, {
        "ratio_to_best_peer": harness.cost_ratio(reports, "ringcast", best), "best_peer": best,
        "fairness_range": statistics.median(report["fairness"]["max"] - report["fairness"]["min"]
                                           for report in reports["ringcast"]),
        "fairness": order, "ratio_to_floor": floor, "variants": summaries(reports)},
        are_valid(reports, "ringcast"))


def connect(setup):
    connections = 500 if setup.small else 10000
    peers = harness.available_peers(setup.peers)
    kinds = ["ringcast", BY_URL] + (["before"] if setup.before_dir else []) + peers

    def measure(kind):
        server_kind = "ringcast" if kind == BY_URL else kind
        by_url = ["--by-url"] if kind == BY_URL else []
        with Server(setup, server_kind, () if kind in peers else room(connections),
                    spec=spec(rate=1)) as server:
            report = server.load("-c", connections, "-s", "000001.SZ", "--in-flight", 64, *by_url,
                                 seconds=1)
        report["connects_per_second"] = report["subscribed"] / max(report["connect_seconds"], 1e-9)
        busy_ns = max(report["server"]["core_connect_busy_ns"], 1)
        report["core_ns_per_client"] = busy_ns / max(report["subscribed"], 1)
        return report

    reports = interleave(setup, kinds, measure)
    variants = summaries(reports)
    for kind, runs in reports.items():
        variants[kind]["connects_per_second"] = median(runs, "connects_per_second")
        variants[kind]["core_ns_per_client_all"] = [run["core_ns_per_client"] for run in runs]
        print(f"  {kind:18} {variants[kind]['connects_per_second']:9,.0f} clients a second, "
              f"{median(runs, 'core_ns_per_client') / 1e3:7.1f} us of the core each")
    figures = {"variants": variants}
    for name, of, base in (("by_message_to_before", "ringcast", "before"),
                           ("by_url_to_nchan", BY_URL, "nchan"),
                           ("by_message_to_nchan", "ringcast", "nchan"),
                           ("by_url_to_message", BY_URL, "ringcast")):
        if base in reports:
            figures[name] = ratio(reports, of, base, "core_ns_per_client")
            print(f"  {of} needs {figures[name]:.3f} of the core time of {base}")
    return judge("connect", setup, figures,
                 are_valid(reports, *(kind for kind in kinds if kind not in peers)) and
                 all(report["subscribed"] == connections for report in reports.get("nchan", ())))


def latency(setup):
    peers = harness.available_peers(setup.peers)

    def measure(variant):
        kind = "ringcast" if variant.startswith("ringcast") else variant
        busy = ["--busy-poll"] if variant == "ringcast" else []
        with Server(setup, kind, busy, spec=spec(rate=1000)) as server:
            # From when the server has made the tick: some wake up milliseconds late.
            return server.load("-c", 1, "-s", "000001.SZ", "--spin")

    reports = interleave(setup, ["ringcast", "ringcast asleep", *peers], measure)
    best = best_of(reports, peers, lambda runs: median(runs, "latency_ns", "p50"))
    if best is None:
        return check("no peer is set up: run bench/peers/setup.sh", False)
    share = ratio(reports, "ringcast", best, "latency_ns", "p50")
    return judge("latency", setup, {"ratio_to_best_peer": share, "best_peer": best,
                                    "variants": summaries(reports)})


def encodings(setup):
    """The CPU per frame that each reports is the core's for the frames of both."""
    each = 50 if setup.small else 500
    figures, valid = {}, True
    for way in ("tcp", "unix"):
        reports = {"json": [], "sbe": []}
        for round_index in range(setup.rounds):
            with start(setup, "ringcast", spec(rate=50), 2 * each, unix=way == "unix") as server, \
                    concurrent.futures.ThreadPoolExecutor() as pool:
                both = {name: pool.submit(server.load, "-c", each, "--encoding", name)
                        for name in reports}
                for name, running in both.items():
                    reports[name].append(running.result())
                    print(f"  round {round_index + 1} {way} {name:12} "
                          f"{harness.describe(reports[name][-1])}", flush=True)
        figures[way] = {"sbe_ratio_to_json": ratio(reports, "sbe", "json", "latency_ns", "p50"),
                        "variants": summaries(reports)}
        valid &= are_valid(reports, "json", "sbe")
    worst = max(figures.values(), key=lambda figure: figure["sbe_ratio_to_json"])
    return judge("encodings", setup, {**worst, "ways": figures}, valid)


def cores(setup):
    connections = 100 if setup.small else 1000
    both = f"{setup.server_cpu},{setup.load_cpu}"

    def measure(variant):
        arguments = ["--cores", variant, *room(connections)]
        with Server(setup, "ringcast", arguments, spec=spec(rate=100), cpus=both) as server:
            report = server.load("-c", connections, "-t", 2, *INTENDED, cpus=both)
        return {**report, "used_ns_per_frame": harness.process_ns_per_frame(setup, report)}

    reports = interleave(setup, ["1", "2"], measure)
    cost = ratio(reports, "2", "1", "used_ns_per_frame")
    return judge("cores", setup, {"ratio_two_to_one": cost, "variants": summaries(reports),
                                  "used_ns_per_frame": {k: median(v, "used_ns_per_frame")
                                                        for k, v in reports.items()}},
                 are_valid(reports, "1", "2"))


def stalled_latency(setup, count, stalled_count):
    """count clients read, first alone and then beside clients that do not read."""
    ticks = spec(rate=10)
    arguments = ["--send-buffer-bytes", "65536", *room(count + stalled_count)]

    def measure(variant):
        with Server(setup, "ringcast", arguments, spec=ticks) as server:
            if variant == "without":
                return server.load("-c", count, *INTENDED)
            # Blocked before the window: the kernel holds some hundred frames for each.
            server.watch("ringcast_connections_blocked")
            report = server.load("-c", count + stalled_count, "--stalled", stalled_count,
                                 *INTENDED, warmup=1 if setup.small else 60)
            return {**report, "blocked": server.highest}

    return interleave(setup, ["without", "stalled"], measure)


def stalled(setup):
    """10 % of 5 000 do not read for over a minute. Then, with a small log: are all losses reported?"""
    count, stalled_count = (200, 20) if setup.small else (4500, 500)
    reports = stalled_latency(setup, count, stalled_count)
    share = ratio(reports, "stalled", "without", "latency_ns", "p99")
    growth = max(r["server"]["rss_bytes_end"] - r["server"]["rss_bytes_begin"]
                 for r in reports["stalled"])
    blocked = min(r["blocked"] for r in reports["stalled"])
    resumed, silent = stalled_resume(setup, 100 if setup.small else 1000)
    told, readers = resumed["stalled"], resumed["readers"]
    closed = sum(told["closes"].values())
    holds = judge("stalled", setup, {"p99_ratio": share, "rss_growth_bytes": growth,
                                     "resumed": told, "variants": summaries(reports)},
                  are_valid(reports, "stalled"))
    if not setup.small:
        holds &= check(f"{blocked:.0f} of {stalled_count} stalled clients were blocked",
                       blocked >= stalled_count)
    holds &= check(f"RSS grew by {growth} bytes (at most 1 MiB)", growth <= 1 << 20)
    holds &= check(f"{told['gaps']} GAPs to clients that read again, {told['gaps_wrong']} wrong, "
                   f"{told['holes']} holes without a GAP", told["gaps"] >= 9 * silent and
                   told["gaps_wrong"] == 0 and told["holes"] == 0)
    holds &= check(f"the readers missed nothing: {readers['gaps']} GAPs, "
                   f"{readers['holes']} holes", readers["gaps"] + readers["holes"] == 0)
    return holds & check(f"{closed} of {silent} silent clients were closed", closed == silent)


def stalled_resume(setup, count):
    """As many clients stall as read. Nine in ten read again; the others stay silent and are closed."""
    silent = count // 10
    heartbeat = 4
    small_log = ["--send-buffer-bytes", "65536", "--frame-log-bytes", "1048576",
                 "--heartbeat-interval", str(heartbeat)]
    # The log keeps 4 000 frames: at 1 000/s it overruns the stalled clients before they read again.
    # Ticks come 50 at a time, so that the server and the load generator have time for all clients.
    with Server(setup, "ringcast", small_log + room(2 * count),
                spec=spec(rate=1000, burst=50)) as server:
        resumed = server.load("-c", 2 * count, "--stalled", count, "--stalled-silent", silent,
                              "--stalled-resume", "5", "--allow-gaps",
                              seconds=max(setup.seconds, 4 * heartbeat))
    print(f"  resumed: {resumed['stalled']}\n  readers: {harness.describe(resumed)}")
    return resumed, silent


def leave_during(setup, server, leaver, connections):
    """Has the leavers leave in the middle of the window."""
    while server.metric("ringcast_connections_active") < connections:
        time.sleep(0.05)
    time.sleep(setup.warmup + setup.seconds / 2)
    leaver.stdin.write("leave\n")
    leaver.stdin.flush()


def leave(setup):
    """Beside the readers as many other clients are connected. In one variant all of these leave at
    once, each with a Close."""
    count = 100 if setup.small else 5000

    def measure(variant):
        with Server(setup, "ringcast", room(2 * count), spec=spec(rate=10)) as server:
            leaver = subprocess.Popen(
                ["taskset", "-c", str(setup.load_cpu), sys.executable,
                 os.path.join(harness.BENCH_DIR, "leaver.py"), str(server.port), str(count)],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            try:
                if leaver.stdout.readline() != "ready\n":
                    raise SystemExit("bench/leaver.py: its clients could not connect")
                if variant == "leave":
                    threading.Thread(target=leave_during, daemon=True,
                                     args=(setup, server, leaver, 2 * count)).start()
                report = server.load("-c", count, *INTENDED)
                if variant == "leave":
                    report["left"] = int(leaver.stdout.readline())
            finally:
                leaver.kill()
                leaver.wait()
            return report

    reports = interleave(setup, ["stay", "leave"], measure)
    share = ratio(reports, "leave", "stay", "latency_ns", "p99")
    left = min(report["left"] for report in reports["leave"])
    holds = judge("leave", setup, {"p99_ratio": share, "left": left,
                                   "variants": summaries(reports)},
                  are_valid(reports, "stay", "leave"))
    return holds & check(f"{left} of {count} Closes were answered", left == count)


def closed_market(setup, symbols):
    """A file of one quote and one trade a symbol, and nothing after them."""
    path = os.path.join(setup.work_dir, "closed.csv")
    with open(path, "w") as file:
        file.write("ts_ns,symbol,type,price,size,side,bid,bid_size,ask,ask_size\n")
        for symbol in range(symbols):
            now = 1_700_000_000_000_000_000 + symbol
            file.write(f"{now},S{symbol:04},Q,,,,10.31,500,10.32,300\n"
                       f"{now},S{symbol:04},T,10.32,300,B,,,,\n")
    return ["--feed", f"replay:path={path}"]


def idle_round(setup, connections, interval, options, idler_arguments):
    """An interval of silence, after an interval of silence."""
    with Server(setup, "ringcast", room(connections) + options) as server:
        idler = subprocess.Popen(
            ["taskset", "-c", str(setup.load_cpu), sys.executable,
             os.path.join(harness.BENCH_DIR, "idler.py"), str(server.port), str(connections),
             *map(str, idler_arguments)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

        def state():
            idler.stdin.write("?\n")
            idler.stdin.flush()
            return {**json.loads(idler.stdout.readline()), "cpu": server.cpu_seconds(),
                    "core": harness.core_times(setup.server_cpu), "time": time.monotonic(),
                    "turns": server.metric("ringcast_turns_total")}

        try:
            if idler.stdout.readline() != "ready\n":
                raise SystemExit("bench/idler.py: its clients could not connect")
            time.sleep(interval + 2)
            before = state()
            time.sleep(interval)
            after = state()
        finally:
            idler.kill()
            idler.wait()
    busy, whole = (after["core"][i] - before["core"][i] for i in (0, 1))
    seconds = after["time"] - before["time"]
    return {"core_share": (after["cpu"] - before["cpu"]) / seconds, "core_busy_share": busy / whole,
            "turns_per_second": (after["turns"] - before["turns"]) / seconds,
            "connected": after["connected"],
            **{key: after[key] - before[key] for key in ("heartbeats", "bytes")}}


def idle(setup, name="idle", each=0):
    """Half a minute of silence, after half a minute of silence: each client is pinged once, and gets
    one HEARTBEAT. each: the symbols of a client; 0: all of them."""
    connections = setup.connections or (200 if setup.small else 10000)
    symbols = 10 if setup.small else 1000
    interval = 3 if setup.small else 30
    options = closed_market(setup, symbols) + ["--heartbeat-interval", str(interval)]
    reports = []
    for _ in range(1 if setup.small else min(3, setup.rounds)):
        reports.append(idle_round(setup, connections, interval, options, [symbols, each] if each else []))
        print(f"  {reports[-1]}", flush=True)
    figures = {key: statistics.median(report[key] for report in reports)
               for key in ("core_share", "core_busy_share", "turns_per_second")}
    connected = min(report["connected"] for report in reports)
    print(f"  {connected} of {connections} clients stayed connected")
    return judge(name, setup, {"connections": connections, "symbols": symbols, **figures,
                               "rounds": reports}, connected == connections)


def idle20(setup):
    """As idle, but each client has 20 of the symbols."""
    return idle(setup, "idle20", 20)


@contextlib.contextmanager
def waiting_clients(setup, server, counts):
    """So many clients for each token; asks how many are connected."""
    waiters = [subprocess.Popen(
        ["taskset", "-c", str(setup.load_cpu), sys.executable, os.path.join(harness.BENCH_DIR, "reloader.py"),
         str(server.port), str(count), token], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for token, count in counts.items()]

    def connected():
        total = 0
        for waiter in waiters:
            waiter.stdin.write("?\n")
            waiter.stdin.flush()
            total += json.loads(waiter.stdout.readline())["connected"]
        return total

    try:
        if [waiter.stdout.readline() for waiter in waiters] != ["ready\n"] * len(waiters):
            raise SystemExit("bench/reloader.py: its clients could not connect")
        yield connected
    finally:
        for waiter in waiters:
            waiter.kill()
            waiter.wait()


RELOADS = (
    # What changes, the symbols and tokens then, the networks that are denied, and how many of the clients stay.
    ("nothing", 100, ("first", "second"), "", 1),
    ("the scopes", 50, ("first", "second"), "", 1),
    ("a token goes", 50, ("first",), "", 0.5),
    ("all addresses are denied", 50, ("first",), "127.0.0.0/8", 0),
)


def reload_round(setup, connections, number, write):
    """A server, its clients, and one change."""
    what, *state, share = RELOADS[number]
    write(*RELOADS[0][1:4])
    options = room(connections) + closed_market(setup, 100)
    with Server(setup, "ringcast", options + ["--config", os.path.join(setup.work_dir, "reload.yaml")]) as server, \
            waiting_clients(setup, server, {name * 8: connections // 2 for name in RELOADS[0][2]}) as connected:
        write(*state)
        answer = server.post("/admin/reload-config")
        deadline = time.monotonic() + 10
        while connected() != connections * share and time.monotonic() < deadline:
            time.sleep(0.1)
        time.sleep(1.5)  # /stats is of the last second.
        core = server.stats()["cores"][0]
        one = {"what": what, "own_cpu_seconds": core["mail_cpu_max_seconds"],
               "turn_cpu_seconds": core["mail_turn_cpu_max_seconds"],
               "answer_seconds": answer["seconds"], "connected": connected()}
        print(f"  {one}")
        return one, one["connected"] == connections * share


def reload(setup):
    """The most CPU time of a turn that began with a reload: its own part, and the whole turn with the
    kernel's part of what was sent."""
    connections = setup.connections or (200 if setup.small else 10000)
    tokens, config = (os.path.join(setup.work_dir, name) for name in ("tokens.json", "reload.yaml"))

    def write(symbols, names, denied):
        scope = [f"S{symbol:04}" for symbol in range(symbols)]
        with open(tokens, "w") as file:
            json.dump({"tokens": [{"name": name, "token": name * 8, "symbols": scope} for name in names]}, file)
        with open(config, "w") as file:
            file.write(f"security:\n  enable_auth: yes\n  tokens_file: {tokens}\n  ip_deny: '{denied}'\n")

    results = [reload_round(setup, connections, number, write)
               for _ in range(setup.rounds) for number in range(len(RELOADS))]
    rounds = [one for one, _ in results]

    def worst(key):
        """Of the changes, each by the median of its rounds."""
        return max(statistics.median(one[key] for one in rounds if one["what"] == change[0]) for change in RELOADS)

    return judge("reload", setup, {"connections": connections, "rounds": rounds,
                                   "own_cpu_seconds": worst("own_cpu_seconds"),
                                   "turn_cpu_seconds": worst("turn_cpu_seconds"),
                                   "answer_seconds": worst("answer_seconds")}, all(valid for _, valid in results))


def memory(setup):
    """Three times, because the kernel may reclaim memory during a measurement."""
    connections = setup.connections or (1000 if setup.small else 10000)
    each, idle, valid = [], [], True
    for _ in range(1 if setup.small else 3):
        with Server(setup, "ringcast", ["--max-connections", "64"], spec=spec(rate=10)) as server:
            idle.append(server.rss_bytes())
        with start(setup, "ringcast", spec(rate=10), connections) as server:
            report = server.load("-c", connections)
        each.append((report["server"]["rss_bytes_end"] - idle[-1]) / connections)
        valid &= report["valid"]
    middle = statistics.median(each)
    return judge("memory", setup, {"connections": connections, "bytes_per_connection": middle,
                                   "rounds": each, "idle_rss_bytes": statistics.median(idle)}, valid)


def deflate(setup):
    """Books of 2 KiB in JSON, in the form of two venues (books.py): the gain depends on the form."""
    connections = 100 if setup.small else 1000
    figures = {}
    for form in ("binance", "coinbase"):
        path = books.write(setup.work_dir, form, rate=50, count=2000)
        feed = ["--feed", f"replay:path={path},loop=yes"]

        def measure(encoding):
            with Server(setup, "ringcast", room(connections) + feed) as server:
                return server.load("-c", connections, "-y", "depth", "--encoding", encoding)

        print(f"{form}:")
        reports = interleave(setup, ["json", "deflate"], measure)
        sizes = {encoding: median(runs, "bytes_per_frame") for encoding, runs in reports.items()}
        figures[form] = {"ratio_to_json": harness.cost_ratio(reports, "deflate", "json"),
                         "bytes_ratio": ratio(reports, "deflate", "json", "bytes_per_frame"),
                         "bytes_per_frame": sizes, "variants": summaries(reports),
                         "valid": are_valid(reports, "json", "deflate")}
        print(f"  {sizes['json']:.0f} bytes on the wire, compressed {sizes['deflate']:.0f}: "
              f"{figures[form]['bytes_ratio']:.3f}")
    record("deflate", setup, {**figures["binance"], "forms": figures})
    holds = True
    for form, figure in figures.items():
        holds &= check(f"{form}: CPU per frame {figure['ratio_to_json']:.3f} of uncompressed (must "
                       "be 1.3 or less)", figure["ratio_to_json"] <= 1.3 and figure["valid"])
    share = figures["binance"]["bytes_ratio"]
    return holds & check(f"binance: bytes on the wire {share:.3f} of uncompressed (must be 0.333 or less)",
                         share <= 1 / 3)


def snapshots(setup):
    """All are upgraded, then all subscribe. The book does not change, so that ringcast publishes its
    one frame and then only the snapshots that it encodes for them."""
    connections = setup.connections or (1000 if setup.small else 10000)
    path = books.write(setup.work_dir, "coinbase", rate=1, count=1)
    runs = []
    for round_index in range(setup.rounds):
        feed = ["--feed", f"replay:path={path}"]
        with Server(setup, "ringcast", room(connections) + feed) as server:
            # Nothing is due in the window: the snapshots have come before it.
            report = server.load("-c", connections, "-s", "BTC-USD.COINBASE", "-y", "depth",
                                 "--depth", 5, "--snapshot", "--at-once", seconds=1)
            report["encodes"] = server.metric("ringcast_ticks_published_total") - 1
        snapshot = report["phases_ns"]["snapshot"]
        report["complete"] = snapshot["count"] == report["subscribed"] == connections and \
            report["malformed"] + report["refusals"] == 0 and report["unfinished"] == 0
        print(f"  round {round_index + 1} snapshot p50 {snapshot['p50'] / 1e6:.1f} ms, p99 "
              f"{snapshot['p99'] / 1e6:.1f} ms, max {snapshot['max'] / 1e6:.1f} ms; "
              f"{report['encodes']:.0f} encoded", flush=True)
        runs.append(report)
    p99 = median(runs, "phases_ns", "snapshot", "p99")
    encodes = max(report["encodes"] for report in runs)
    record("snapshots", setup, {
        "p99_ns": p99, "p50_ns": median(runs, "phases_ns", "snapshot", "p50"),
        "connections": connections, "encodes_per_channel": encodes,
        "runs": [{"snapshot_ns": report["phases_ns"]["snapshot"], "encodes": report["encodes"],
                  "subscribe_ns": report["phases_ns"]["subscribe"],
                  "complete": report["complete"]} for report in runs]})
    holds = check(f"{connections} clients: each got its snapshot, p99 {p99 / 1e6:.1f} ms",
                  all(report["complete"] for report in runs))
    return holds & check(f"{encodes:.0f} encoded for the channel at most (must be 1)", encodes == 1)


SCOPED = "scoped-0123456789abcdef0123456789abcdef"
HEALTHY = "healthy-0123456789abcdef0123456789abcdef"
REFUSALS = {  # The answers that each kind of attack must receive; 429 may come with any.
    "guess": {"401"}, "auth": {"101", "close 4001"}, "scope": {"103", "111", "close 4111"},
    "proxy": {"400"}, "flood": {"401", "429"}, "slow": {"cut", "408"}, "bomb": {"close 1009"},
    "malformed": {"close 1002", "close 1007", "close 1009"}}


def attack(setup, port, seconds):
    command = ["taskset", "-c", str(setup.load_cpu), sys.executable,
               os.path.join(harness.BENCH_DIR, "attacker.py"), str(port), str(seconds), SCOPED]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def attacks(setup):
    """Readers from 250 addresses beside attackers of eight kinds (attacker.py) from 1 750."""
    connections = 100 if setup.small else 1000
    warmup = 3 if setup.small else 10  # a slow handshake is closed after 5 s
    tokens = os.path.join(setup.work_dir, "tokens.json")
    with open(tokens, "w") as file:
        json.dump({"tokens": [{"name": "healthy", "token": HEALTHY},
                              {"name": "scoped", "token": SCOPED, "types": ["trade"]}]}, file)
    guarded = ["--enable-auth", "--tokens-file", tokens, "--allow-query-token", "--proxy-protocol",
               "--trusted-proxies", "10.0.0.2", "--max-connections-per-ip", "20",
               "--handshakes-per-second", "10", "--messages-per-second", "5", "--log-level", "INFO"]
    sources = ",".join(f"127.67.0.{host}" for host in range(1, 251))

    def measure(variant):
        with Server(setup, "ringcast", guarded + room(connections + 1000),
                    spec=spec(rate=10)) as server:
            attacker = None
            if variant == "attacked":
                attacker = attack(setup, server.port, setup.seconds + warmup + 2)
            server.url += "?token=" + HEALTHY
            report = server.load("-c", connections, "--source", sources, *INTENDED, warmup=warmup)
            if attacker:
                report["answers"] = json.loads(attacker.communicate()[0])
            return report

    reports = interleave(setup, ["quiet", "attacked"], measure)
    share = ratio(reports, "attacked", "quiet", "latency_ns", "p99")
    growth = max(r["server"]["rss_bytes_end"] - r["server"]["rss_bytes_begin"]
                 for r in reports["attacked"])
    runs = [report["answers"] for report in reports["attacked"]]
    for kind, said in runs[-1].items():
        print(f"  {kind:10} {said}")
    holds = judge("attacks", setup, {"p99_ratio": share, "rss_growth_bytes": growth,
                                     "answers": runs, "variants": summaries(reports)},
                  are_valid(reports, "quiet", "attacked"))
    holds &= check(f"RSS grew by {growth} bytes (at most 1 MiB)", growth <= 1 << 20)
    wrong = sorted({f"{kind}: {answer}" for said in runs for kind, good in REFUSALS.items()
                    for answer in said[kind] if answer not in good | {"429"}} |
                   {f"{kind}: never refused" for said in runs for kind, good in REFUSALS.items()
                    if not good & set(said[kind])})
    return holds & check(f"each attack was refused as it must be{f'; wrong: {wrong}' if wrong else ''}",
                         not wrong)


def sim_lateness(setup, server, count):
    """From when each tick of sim was due to when it was published: {percentile: ns}."""
    tap = ["taskset", "-c", str(setup.load_cpu), setup.program("ringcast-tap"), "--json", "-s", "000001.SZ",
           "--snapshot", "no", "-n", str(count), server.url]
    with open(os.path.join(setup.work_dir, "ticks"), "w+") as lines:  # A pipe would wake this program for each.
        subprocess.run(tap, stdout=lines, check=True)
        lines.seek(0)
        late = sorted(tick["ts_pub"] - tick["ts_event"] for tick in map(json.loads, lines))
    return {"p50": late[len(late) // 2], "p99": late[len(late) * 99 // 100], "max": late[-1]}


def publisher_schedstat(server):
    folder = f"/proc/{server.process.pid}/task"
    deadline = time.monotonic() + harness.START_SECONDS_MAX
    while time.monotonic() < deadline:  # A thread has its name soon after it has begun.
        for thread in os.listdir(folder):
            with open(f"{folder}/{thread}/comm") as file:
                if file.read() == "publisher\n":
                    return f"{folder}/{thread}/schedstat"
    raise SystemExit("the server has no thread named publisher")


def waited_ns(schedstat):
    """How long a thread that could run has waited for a CPU."""
    with open(schedstat) as file:
        return int(file.read().split()[1])


def flood(setup):
    """The server has a thread for the publisher and one core, on both CPUs; the producer, the
    subscriber and this program share the load generator's."""
    os.sched_setaffinity(0, {setup.load_cpu})
    path = os.path.join(setup.work_dir, "ingest")
    arguments = ["--cores", "1", "--publisher", "thread", "--feed", f"ingest:unix={path},open=yes"]
    count = int(1000 * setup.seconds)
    reports = {"alone": [], "flood": []}
    for round_index in range(setup.rounds):
        for variant in setup.random.sample(list(reports), len(reports)):
            with Server(setup, "ringcast", arguments, spec=spec(rate=1000),
                        cpus=f"{setup.server_cpu},{setup.load_cpu}") as server:
                producer = None
                schedstat = publisher_schedstat(server)
                noise = harness.await_quiet(setup.server_cpu, 0 if setup.small else harness.QUIET_SECONDS_MAX)
                try:
                    if variant == "flood":
                        producer = subprocess.Popen(["taskset", "-c", str(setup.load_cpu), sys.executable,
                                                     os.path.join(harness.BENCH_DIR, "flooder.py"), path])
                    time.sleep(setup.warmup)
                    waited, before = waited_ns(schedstat), server.metric("ringcast_ticks_published_total")
                    begin = time.monotonic()
                    report = sim_lateness(setup, server, count)
                    seconds = time.monotonic() - begin
                    report["ticks_per_second"] = (server.metric("ringcast_ticks_published_total") - before) / seconds
                    report["cpu_wait_share"] = (waited_ns(schedstat) - waited) / (seconds * 1e9)
                    report["core_busy_before"] = noise
                finally:
                    if producer is not None:
                        producer.kill()
                        producer.wait()
            reports[variant].append(report)
            print(f"  round {round_index + 1} {variant:6} late by p50 {report['p50'] / 1e3:.1f} us, p99 "
                  f"{report['p99'] / 1e3:.1f} us, max {report['max'] / 1e3:.1f} us; "
                  f"{report['ticks_per_second']:,.0f} ticks/s; the publisher waited "
                  f"{report['cpu_wait_share']:.1%} of the time for a CPU", flush=True)
    share = ratio(reports, "flood", "alone", "p99")
    return judge("flood", setup, {"p99_ratio": share, "runs": reports})


def tls(setup):
    """nginx takes five times the CPU, and so has fewer clients; ringcast is measured beside it with as many. What
    is compared is the CPU time of the server's process; of nginx, with that of a plain ringcast."""
    many, few = (100, 50) if setup.small else (1000, 500)
    kinds = {"plain": ("ringcast", many, 100), "wss": ("wss", many, 100), "ssl": ("ssl", many, 100)}
    if harness.nginx():
        kinds |= {f"few {name}": (kind, few, 40)
                  for name, kind in (("plain", "ringcast"), ("wss", "wss"), ("nginx", "nginx"))}
    variants, figures, valid = {}, {}, True
    for pad in (256, 4096):
        def measure(variant):
            kind, connections, rate = kinds[variant]
            with start(setup, kind, spec(rate=rate if pad == 256 else rate // 2, pad=pad), connections) as server:
                report = server.load("-c", connections, "--spin", *INTENDED)
            return {**report, "used_ns_per_frame": harness.process_ns_per_frame(setup, report)}
        print(f"{pad} bytes:")
        reports = interleave(setup, list(kinds), measure)
        for nginx, behind in zip(reports.get("few nginx", ()), reports.get("few plain", ())):
            nginx["used_ns_per_frame"] += behind["used_ns_per_frame"]
        for name, one in summaries(reports).items():
            each = [report["used_ns_per_frame"] for report in reports[name]]
            variants[f"{name} {pad}"] = {**one, "used_ns_per_frame_all": each}
            print(f"  {name:10} {statistics.median(each):8,.0f} ns of the process per frame")
        valid &= are_valid(reports, *kinds)
        for name, of, base in (("to_plain", "wss", "plain"), ("to_ssl_write", "wss", "ssl"),
                               ("to_nginx", "few wss", "few nginx")):
            if base in reports:
                figures[f"{name}_{pad}"] = ratio(reports, of, base, "used_ns_per_frame")
                print(f"  {of} needs {figures[f'{name}_{pad}']:.3f} of {base}")
    return judge("tls", setup, {**figures, "variants": variants}, valid)


def rss_per_connection(setup, kind, connections):
    """From a tenth of the connections to all of them: what a server has once is left out."""
    def rss(count):
        with start(setup, kind, spec(rate=1), connections) as server:
            report = server.load("-c", count, "-s", "000001.SZ", "--in-flight", 16, "--timeout", "120s")
            return report["server"]["rss_bytes_end"], report["valid"]
    (low, low_valid), (high, high_valid) = rss(connections // 10), rss(connections)
    return (high - low) / (connections - connections // 10), low_valid and high_valid


def tls_memory(setup):
    connections = setup.connections or (500 if setup.small else 10000)
    each, valid = {"ringcast": [], "wss": []}, True
    for round_index in range(setup.rounds):
        for kind in each:
            value, is_valid = rss_per_connection(setup, kind, connections)
            each[kind].append(value)
            valid &= is_valid
        print(f"  round {round_index + 1} plain {each['ringcast'][-1]:.0f} B, wss {each['wss'][-1]:.0f} B", flush=True)
    over = statistics.median(wss - plain for wss, plain in zip(each["wss"], each["ringcast"]))
    return judge("tls_memory", setup, {"connections": connections, "bytes_over_plain": over, "rounds": each}, valid)


def signs_per_second(setup):
    """What `openssl speed` lets one thread sign with P-256, on the server's CPU."""
    done = subprocess.run(["taskset", "-c", str(setup.server_cpu), "openssl", "speed", "-seconds", "1", "ecdsap256"],
                          stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=True)
    return float(done.stdout.split()[-2])


def handshake_rounds(setup, connections):
    """For each round, handshakes a second of a thread's CPU time, and signatures."""
    rounds = []
    for round_index in range(setup.rounds):
        signs = signs_per_second(setup)
        with start(setup, "wss", spec(rate=1), connections) as server:
            before = server.threads_cpu_ns("tls-")
            report = server.load("-c", connections, "-s", "000001.SZ", "--in-flight", 64, "--timeout", "120s", seconds=1)
            cpu_ns = server.threads_cpu_ns("tls-") - before
        rate = report["subscribed"] / (cpu_ns / 1e9)
        rounds.append({"handshakes_per_second": rate, "signs_per_second": signs, "share_of_signs": rate / signs,
                       "complete": report["subscribed"] == connections})
        print(f"  round {round_index + 1} {rate:,.0f} handshakes a second of a thread's CPU, {signs:,.0f} signatures "
              f"({rate / signs:.3f})", flush=True)
    return rounds


def beside_handshakes(setup, connections, variant):
    """Half of the readers plain, half by wss. The clients that come and go have the time that the load
    generator leaves (SCHED_IDLE)."""
    comes = 40  # each stays for 0.1 s on average, and returns 0.1 s later
    with start(setup, "wss", spec(rate=50), connections + comes + 1) as server:
        plain_url, secure_url = f"ws://127.0.0.1:{server.port}/", server.url
        churn = None
        if variant == "handshakes":
            churn = subprocess.Popen(
                ["chrt", "-i", "0", "taskset", "-c", str(setup.load_cpu), setup.program("ringcast-bench"), "-q",
                 *server.load_options, "-c", str(comes + 1), "--churn", str(comes), "--churn-life", "100ms", "-d", "600s",
                 secure_url], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            time.sleep(setup.warmup)
            before, begin = server.metric("ringcast_tls_handshakes_total"), time.monotonic()
            with concurrent.futures.ThreadPoolExecutor() as pool:
                def load(url):
                    mine = [] if url == plain_url else server.load_options
                    return server.load("-c", connections // 2, *INTENDED, url=url, load_options=mine)
                reports = list(pool.map(load, (plain_url, secure_url)))
            seconds = time.monotonic() - begin
            rate = (server.metric("ringcast_tls_handshakes_total") - before) / seconds
        finally:
            if churn is not None:
                churn.terminate()
                churn.wait()
    for name, report in zip(("plain", "wss"), reports):
        print(f"    {name:6} {harness.describe(report)}", flush=True)
    return {**max(reports, key=lambda report: report["latency_ns"]["p99"]), "handshakes_per_second": rate,
            "valid": all(report["valid"] for report in reports)}


def tls_handshakes(setup):
    connections = 200 if setup.small else 5000
    readers = 100 if setup.small else 1000
    rounds = handshake_rounds(setup, connections)
    reports = interleave(setup, ["quiet", "handshakes"], lambda variant: beside_handshakes(setup, readers, variant))
    rate = median(reports["handshakes"], "handshakes_per_second")
    print(f"  beside the readers there were {rate:.0f} handshakes a second")
    return judge("tls_handshakes", setup, {
        "handshakes_per_second": statistics.median(one["handshakes_per_second"] for one in rounds),
        "share_of_signs": statistics.median(one["share_of_signs"] for one in rounds),
        "p99_ratio": ratio(reports, "handshakes", "quiet", "latency_ns", "p99"), "beside_per_second": rate,
        "rounds_of_handshakes": rounds, "variants": summaries(reports)},
        all(one["complete"] for one in rounds) and are_valid(reports, "quiet", "handshakes"))


def floor_of_ticks(setup):
    """2 000 connections with one of 200 symbols each, and 15 000 ticks a second."""
    def measure(_):
        with start(setup, "ringcast", spec(symbols=200, rate=15000), FLOOR_CONNECTIONS) as server:
            return server.load("-c", FLOOR_CONNECTIONS, "-s", symbol_list(200), "--subscriptions", 1, *INTENDED)
    reports = interleave(setup, ["ringcast"], measure)
    runs = reports["ringcast"]
    return {"ticks_per_second": median(runs, "ticks_per_second"), "mean_ns": median(runs, "latency_ns", "mean"),
            "p99_ns": median(runs, "latency_ns", "p99"), "rss_bytes": median(runs, "server", "rss_bytes_end"),
            "machine_share": statistics.median((run["server"]["user_ns"] + run["server"]["system_ns"]) / 1e9 /
                                               run["seconds"] / FLOOR_CORES for run in runs),
            "variants": summaries(reports)}, are_valid(reports, "ringcast")


def floor_of_requests(setup):
    """The stress tests of ringcast-bench, and 500 connections; {connections: medians}."""
    figures, valid = {}, True
    for connections, requests in ((20, 100), (50, 500), (100, 2000), (500, 10000)):
        runs = []
        for round_index in range(setup.rounds):
            with start(setup, "ringcast", spec(), connections) as server:
                runs.append(server.load("-c", connections, "--requests", requests, *INTENDED))
            print(f"  round {round_index + 1} {connections:3} connections, {requests:5} requests: "
                  f"{runs[-1]['requests']['per_second']:,.0f}/s, mean {runs[-1]['response_ns']['mean'] / 1e6:.2f} ms, "
                  f"grade {runs[-1]['grade']}", flush=True)
        figures[connections] = {"per_second": median(runs, "requests", "per_second"),
                                "mean_ns": median(runs, "response_ns", "mean"),
                                "max_ns": median(runs, "response_ns", "max"),
                                "success_rate": min(run["requests"]["success_rate"] for run in runs),
                                "grades": [run["grade"] for run in runs]}
        valid &= all(run["valid"] for run in runs)
    return figures, valid


def floors(setup):
    ticks, ticks_valid = floor_of_ticks(setup)
    requests, requests_valid = floor_of_requests(setup)
    return judge("floors", setup, {
        **ticks, "requests": {str(connections): one for connections, one in requests.items()},
        "requests_ratio": min(requests[connections]["per_second"] / per_second
                              for connections, (per_second, _) in FORMER_REQUESTS.items()),
        "response_ratio": max(requests[connections]["mean_ns"] / mean_ns
                              for connections, (_, mean_ns) in FORMER_REQUESTS.items()),
        "success_rate": min(one["success_rate"] for one in requests.values()),
        "requests_per_second_500": requests[500]["per_second"], "response_ns_500": requests[500]["mean_ns"]},
        ticks_valid and requests_valid)


def allocated_bytes(server):
    """The least of a few looks, each after a purge: the admin server may not yet have freed what the request before
    took."""
    looks = []
    for _ in range(LEAK_LOOKS):
        server.post("/admin/gc")
        looks.append(server.get("/admin/gc-stats")["allocator"]["allocated_bytes"])
    return min(looks)


def leak_cycle(server, config, connections, number):
    """Clients come, subscribe, stall, are slow, come again and leave, and the configuration changes; what the server
    holds afterwards."""
    each = connections // 5
    report = server.load("-c", connections, "--stalled", each, "--slow", each, "--churn", each, "--resubscribers", each,
                         "--churn-life", "200ms", "--allow-gaps", seconds=2, warmup=0.2)
    with open(config, "w") as file:
        file.write(f"websocket:\n  heartbeat_interval: {20 + number % 2}\n")
    server.post("/admin/reload-config")
    deadline = time.monotonic() + 60
    while server.stats()["connections"]["open"] > 0:
        if time.monotonic() > deadline:
            raise SystemExit(f"cycle {number}: connections are left after a minute")
        time.sleep(0.1)
    allocated = allocated_bytes(server)
    # Of the readers, stalled and slow ones; what a busy machine leaves out of the window does not matter here.
    return {"complete": report["subscribed"] == connections - 2 * each, "rss_bytes": server.rss_bytes(),
            "allocated_bytes": allocated}


def leak(setup):
    """Least squares through what the server holds after each cycle: the growth from one to the next."""
    connections = setup.connections or (100 if setup.small else 500)
    cycles = 6 if setup.small else max(12, int(setup.seconds * setup.rounds / 3))
    config = os.path.join(setup.work_dir, "config.yaml")
    with open(config, "w") as file:
        file.write("websocket:\n  heartbeat_interval: 20\n")
    with Server(setup, "ringcast", [*room(connections), "--config", config], spec=spec(symbols=20, rate=500)) as server:
        held = [leak_cycle(server, config, connections, number) for number in range(LEAK_WARMUP_CYCLES + cycles)]
    held = held[LEAK_WARMUP_CYCLES:]
    growth = {}
    for key in ("rss_bytes", "allocated_bytes"):
        values = [one[key] for one in held]
        growth[key] = statistics.linear_regression(range(cycles), values).slope
        print(f"  {key}: {values[0]:,} after the first of {cycles} cycles, {values[-1]:,} after the last; "
              f"{growth[key]:+,.0f} a cycle")
    return judge("leak", setup, {"connections": connections, "cycles": cycles,
                                 "rss_bytes_per_client": growth["rss_bytes"] / connections,
                                 "allocated_bytes_per_client": growth["allocated_bytes"] / connections,
                                 "rss_bytes_all": [one["rss_bytes"] for one in held],
                                 "allocated_bytes_all": [one["allocated_bytes"] for one in held]},
                 all(one["complete"] for one in held))


SCENARIOS = {f.__name__: f for f in (fanout, steered, unix, scale, burst, saturation, sparse, connect,
                                     latency, encodings, cores, stalled, leave, idle, idle20, reload, memory,
                                     deflate, snapshots, attacks, flood, floors, leak, tls, tls_memory,
                                     tls_handshakes)}


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scenario", choices=[*SCENARIOS, "all"])
    parser.add_argument("--bin", help="folder of the programs (default: zig-out/bin)")
    parser.add_argument("--before", metavar="DIR",
                        help="folder of the programs of the commit before, for saturation and "
                             "connect")
    parser.add_argument("--peers", nargs="*", choices=PEERS, default=PEERS,
                        help="the peers to measure (default: all)")
    parser.add_argument("--rounds", type=int, default=5, help="rounds of each measurement (default: 5)")
    parser.add_argument("--seconds", type=float, default=10, help="seconds of each measurement (default: 10)")
    parser.add_argument("--warmup", type=float, default=1,
                        help="seconds before it that are not measured (default: 1)")
    parser.add_argument("--connections", type=int, help="number of connections, for scale, memory and snapshots")
    parser.add_argument("--server-cpu", type=int, default=0, help="CPU of the server (default: 0)")
    parser.add_argument("--load-cpu", type=int, default=1,
                        help="CPU of the load generator (default: 1)")
    parser.add_argument("--seed", type=int, help="seed of the random order of variants")
    parser.add_argument("--small", action="store_true",
                        help="few connections, nothing is recorded: shows that all parts work")
    options = parser.parse_args()
    if options.small:
        options.rounds, options.seconds = 1, min(options.seconds, 2)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, harness.interrupt)
    setup = harness.Setup(options)
    wanted = SCENARIOS if options.scenario == "all" else [options.scenario]
    holds = True
    try:
        for name in wanted:
            print(f"{name}: {setup.rounds} rounds of {setup.seconds} s")
            holds &= SCENARIOS[name](setup)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 2
    finally:
        setup.close()
    return 0 if holds else 1


if __name__ == "__main__":
    sys.exit(main())
