#!/usr/bin/env python3
"""run: the system benchmarks, one command each. See bench/README.md.

  bench/run.py fanout       CPU per frame against a bare send(2) loop and a bare io_uring loop
  bench/run.py unix         the same over a Unix-domain socket, against TCP
  bench/run.py scale        10 000 subscribers: is everything delivered?
  bench/run.py burst        what coalescing saves: bursts of 32 against single frames
  bench/run.py saturation   the highest rate at which nothing is lost
  bench/run.py stalled      1 000 clients that do not read, beside 1 000 that do
  bench/run.py memory       user memory per connection

Exit code 0: the figure holds; 1: it does not; the figures are appended to bench/results/.
"""

import argparse
import sys

import harness
from harness import Server, interleave, record, summary

PAYLOAD = 256


def check(text, holds):
    print(f"{'HOLDS ' if holds else 'MISSED'} {text}")
    return holds


def sim(symbols=1, rate=100, burst=1):
    return ["--feed", f"sim:symbols={symbols},rate={rate},burst={burst},pad={PAYLOAD}"]


def raw(rate=100, burst=1):
    return ["--rate", str(rate), "--burst", str(burst), "--payload", str(PAYLOAD)]


def room(connections):
    return ["--max-connections", str(connections + 100)]


def fanout(setup):
    connections = 100 if setup.small else 1000

    def measure(kind):
        arguments = sim() + room(connections) if kind == "ringcast" else raw()
        with Server(setup, kind, arguments) as server:
            return server.load("-c", connections)

    reports = interleave(setup, ["ringcast", "send", "uring"], measure)
    ratio = harness.cost_ratio(reports, "ringcast", "send")
    bare = harness.cost_ratio(reports, "uring", "send")
    record("fanout", setup, {"ratio_to_send": ratio, "uring_ratio_to_send": bare,
                             "variants": {k: summary(v) for k, v in reports.items()}})
    print(f"a bare io_uring loop needs {bare:.3f} of send(2)'s CPU per frame")
    valid = all(report["valid"] for report in reports["ringcast"])
    return check(f"whole-core CPU per frame {ratio:.3f} of a send(2) loop (1.05 or less, aim 0.92)",
                 ratio <= 1.05 and valid)


def unix(setup):
    connections = 100 if setup.small else 1000

    def measure(variant):
        kind, _, way = variant.partition("/")
        arguments = sim() + room(connections) if kind == "ringcast" else raw()
        with Server(setup, kind, arguments, unix=way == "unix") as server:
            return server.load("-c", connections)

    reports = interleave(setup, ["ringcast/tcp", "ringcast/unix", "send/tcp", "send/unix"], measure)
    to_tcp = harness.cost_ratio(reports, "ringcast/unix", "ringcast/tcp")
    to_send = harness.cost_ratio(reports, "ringcast/unix", "send/tcp")
    record("unix", setup, {"ratio_to_tcp": to_tcp, "ratio_to_send_tcp": to_send,
                           "variants": {k: summary(v) for k, v in reports.items()}})
    valid = all(report["valid"] for report in reports["ringcast/unix"])
    print(f"against ringcast's own TCP: {to_tcp:.3f}")
    return check(f"Unix-domain CPU per frame {to_send:.3f} of a send(2) loop over TCP "
                 "(0.5 x 1.05 or less)", to_send <= 0.525 and valid)


def scale(setup):
    connections = setup.connections or (1000 if setup.small else 10000)

    def measure(_):
        with Server(setup, "ringcast", sim(rate=10) + room(connections)) as server:
            return server.load("-c", connections)

    reports = interleave(setup, ["ringcast"], measure)["ringcast"]
    record("scale", setup, {"connections": connections, "variants": {"ringcast": summary(reports)},
                            "connect_seconds": harness.median(reports, "connect_seconds")})
    return check(f"{connections} subscribers x {PAYLOAD} B x 10/s: everything delivered, no gap",
                 all(report["valid"] for report in reports))


def burst(setup):
    connections = 100 if setup.small else 1000
    # The same instants a second, so that what differs is the frames of each.
    feeds = {"burst=1": sim(symbols=32, rate=50), "burst=32": sim(symbols=32, rate=1600, burst=32)}

    def measure(variant):
        with Server(setup, "ringcast", feeds[variant] + room(connections)) as server:
            return server.load("-c", connections)

    reports = interleave(setup, list(feeds), measure)
    ratio = 1 / harness.cost_ratio(reports, "burst=32", "burst=1")
    record("burst", setup, {"times_cheaper": ratio,
                            "variants": {k: summary(v) for k, v in reports.items()}})
    valid = all(report["valid"] for runs in reports.values() for report in runs)
    return check(f"CPU per frame {ratio:.1f} times lower with burst=32 (10 or more)",
                 ratio >= 10 and valid)


def saturation(setup):
    connections = 100 if setup.small else 1000
    best, runs = 0.0, []
    for millions in (2, 4, 6, 7, 8, 9, 10, 12):
        rate = millions * 1_000_000 // connections
        arguments = sim(symbols=64, rate=rate, burst=64) + room(connections)
        with Server(setup, "ringcast", arguments) as server:
            report = server.load("-c", connections)
        print(f"  offered {millions:3} million/s {harness.describe(report)}", flush=True)
        runs.append({"offered": rate * connections, "valid": report["valid"],
                     "frames_per_second": report["frames_per_second"],
                     "core_busy_ns": report["server"]["core_busy_ns"],
                     "latency_ns": report["latency_ns"]})
        if not report["valid"]:
            break
        best = max(best, report["frames_per_second"])
    record("saturation", setup, {"frames_per_second": best, "runs": runs})
    return check(f"{best / 1e6:.2f} million frames/s on one core, nothing lost (6 or more)",
                 best >= 6e6 * 0.99)


def stalled_latency(setup, count):
    arguments = sim(rate=100) + ["--send-buffer-bytes", "65536"] + room(2 * count)

    def measure(variant):
        with Server(setup, "ringcast", arguments) as server:
            if variant == "without":
                return server.load("-c", count)
            # Blocked before the window: the kernel holds less than 500 frames for each.
            server.watch("ringcast_connections_blocked")
            report = server.load("-c", 2 * count, "--stalled", count, warmup=5)
            return {**report, "blocked": server.highest}

    return interleave(setup, ["without", "stalled"], measure)


def stalled(setup):
    count = 100 if setup.small else 1000
    reports = stalled_latency(setup, count)
    ratio = (harness.median(reports["stalled"], "latency_ns", "p99") /
             harness.median(reports["without"], "latency_ns", "p99"))
    growth = max(r["server"]["rss_bytes_end"] - r["server"]["rss_bytes_begin"]
                 for r in reports["stalled"])
    silent = count // 10
    heartbeat = 4
    small_log = ["--send-buffer-bytes", "65536", "--frame-log-bytes", "1048576",
                 "--heartbeat-interval", str(heartbeat)]
    # The log holds 4 000 frames: at 1 000/s the stalled are lapped before they read again. They
    # come 50 at a time, so that the server and the load have time for everybody.
    feed = sim(rate=1000, burst=50)
    with Server(setup, "ringcast", feed + small_log + room(2 * count)) as server:
        resumed = server.load("-c", 2 * count, "--stalled", count, "--stalled-silent", silent,
                              "--stalled-resume", "5", "--allow-gaps",
                              seconds=max(setup.seconds, 4 * heartbeat))
    told = resumed["stalled"]
    print(f"  resumed: {told}\n  readers: {harness.describe(resumed)}")
    closed = sum(told["closes"].values())
    record("stalled", setup, {"p99_ratio": ratio, "rss_growth_bytes": growth, "resumed": told,
                              "variants": {k: summary(v) for k, v in reports.items()}})
    holds = check(f"p99 beside {count} stalled clients {ratio:.2f} of that without (1.2 or less)",
                  ratio <= 1.2 and all(r["valid"] for r in reports["stalled"]))
    blocked = min(r["blocked"] for r in reports["stalled"])
    holds &= check(f"{blocked:.0f} of {count} stalled clients were blocked", blocked >= count)
    holds &= check(f"RSS grew by {growth} bytes (at most 1 MiB)", growth <= 1 << 20)
    holds &= check(f"{count - silent} resumed: {told['gaps']} GAPs, {told['gaps_wrong']} wrong, "
                   f"{told['holes']} holes not told", told["gaps"] >= count - silent and
                   told["gaps_wrong"] == 0 and told["holes"] == 0)
    readers = resumed["readers"]
    holds &= check(f"the readers missed nothing meanwhile: {readers['gaps']} GAPs, "
                   f"{readers['holes']} holes", readers["gaps"] + readers["holes"] == 0)
    return holds & check(f"{closed} of {silent} silent ones were closed", closed == silent)


def memory(setup):
    connections = setup.connections or (1000 if setup.small else 10000)
    with Server(setup, "ringcast", sim(rate=10) + ["--max-connections", "64"]) as server:
        idle = server.rss_bytes()
    with Server(setup, "ringcast", sim(rate=10) + room(connections)) as server:
        report = server.load("-c", connections)
    each = (report["server"]["rss_bytes_end"] - idle) / connections
    record("memory", setup, {"connections": connections, "bytes_per_connection": each,
                             "idle_rss_bytes": idle})
    return check(f"{each:.0f} bytes of user memory per connection (512 or less, aim 256)",
                 each <= 512 and report["valid"])


SCENARIOS = {f.__name__: f for f in (fanout, unix, scale, burst, saturation, stalled, memory)}


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scenario", choices=SCENARIOS)
    parser.add_argument("--bin", help="directory of the programs (zig-out/bin)")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=10, help="each measurement's window")
    parser.add_argument("--warmup", type=float, default=1)
    parser.add_argument("--connections", type=int, help="of scale and memory")
    parser.add_argument("--server-cpu", type=int, default=0)
    parser.add_argument("--load-cpu", type=int, default=1)
    parser.add_argument("--seed", type=int, help="of the order of variants")
    parser.add_argument("--small", action="store_true",
                        help="few connections, nothing recorded: does it work at all?")
    options = parser.parse_args()
    if options.small:
        options.rounds, options.seconds = 1, min(options.seconds, 2)
    setup = harness.Setup(options)
    print(f"{options.scenario}: {setup.rounds} rounds of {setup.seconds} s")
    return 0 if SCENARIOS[options.scenario](setup) else 1


if __name__ == "__main__":
    sys.exit(main())
