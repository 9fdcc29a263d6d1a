"""gates: the figures by which each scenario is judged, what each must be, and what we aim for.

Used by run.py, which judges a run, and by report.py, which draws the history of each figure.
"""

import math
import statistics
from dataclasses import dataclass


def is_number(value):
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def shown(value, digits=3):
    if not is_number(value):
        return "-"
    if abs(value) >= 1e6:
        return f"{value / 1e6:.2f} million"
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.{digits}g}"


def ratios(variants, rounds):
    """rounds: two variants and the list of both that holds a figure for each round."""
    above, below = (variants.get(name, {}).get(rounds[2], []) for name in rounds[:2])
    return [a / b for a, b in zip(above, below) if b > 0]


@dataclass(frozen=True)
class Gate:
    """A figure of a scenario: `key` in its line of results. With several workloads it is the median of theirs."""
    key: str
    label: str
    must: float | None = None
    aim: float | None = None
    higher_is_better: bool = False
    rounds: tuple | None = None  # as in ratios(): how the value of each round is found
    needs: str = ""              # what was missing when a run has no such figure

    def value(self, line):
        """None: the line does not have it."""
        workloads = line.get("workloads")
        if not workloads:
            return line.get(self.key)
        values = [workload.get(self.key) for workload in workloads.values()]
        if None in values:
            return None
        return statistics.median(values) if all(map(is_number, values)) else math.nan

    def values_of_rounds(self, line):
        """The value of each round, where the line has it."""
        if self.rounds is None:
            return []
        parts = line.get("workloads") or {"": line}
        each = [ratios(part.get("variants", {}), self.rounds) for part in parts.values()]
        return [statistics.median(values) for values in zip(*each)]

    def holds(self, value, limit):
        return value >= limit if self.higher_is_better else value <= limit

    def verdict(self, value):
        sign = ">=" if self.higher_is_better else "<="
        parts = [f"{name} {sign} {shown(limit)}: {'passed' if self.holds(value, limit) else 'MISSED'}"
                 for name, limit in self.limits().items()]
        return "; ".join(parts) or "no limit is set"

    def limits(self):
        """{name: limit} of those that are set."""
        return {name: limit for name, limit in (("must", self.must), ("aim", self.aim))
                if limit is not None}


CPU = "core_ns_per_frame_all"
PROCESS = "used_ns_per_frame_all"
BEFORE = "the option --before DIR (programs of the commit before)"
GATES = {
    "fanout": (
        Gate("ratio_to_send", "core CPU per frame, of that of a send(2) loop", 0.95, 0.90,
             rounds=("ringcast", "send", CPU)),
        Gate("p999_ratio_to_send", "p99.9, of that of a send(2) loop", 1.0, 0.8,
             rounds=("ringcast", "send", "p999_ns_all"))),
    "steered": (
        Gate("ratio_to_uring", "core CPU per frame with receive packet steering, of that of an io_uring loop",
             1.05, 1.00, rounds=("ringcast", "uring", CPU)),),
    "unix": (
        Gate("ratio_to_tcp_32", "core CPU per frame, Unix-domain over TCP, 32 frames a send", 0.45, 0.35),),
    "saturation": (
        Gate("ratio_to_before", "frames/s of one core, times those of the commit before", 1.25, 1.5, True,
             needs=BEFORE),
        Gate("frames_per_second", "frames/s of one core, p99 under 20 ms", 8e6, 15e6, True)),
    "burst": (
        Gate("times_cheaper", "times less CPU per frame in bursts of 32", 10, None, True,
             rounds=("burst=1", "burst=32", CPU)),),
    "sparse": (
        Gate("ratio_to_best_peer", "core CPU per frame, of that of the best peer", 0.80, 0.75),
        Gate("fairness_range", "fairness: from the lowest mean place of a client to the highest", 0.60)),
    "connect": (
        Gate("by_message_to_before", "core time of a client by message, of that in the commit before", 0.75, 0.6,
             rounds=("ringcast", "before", "core_ns_per_client_all"), needs=BEFORE),
        Gate("by_url_to_nchan", "core time of a client by URL, of that of nchan", 1.0, 0.8,
             rounds=("ringcast by URL", "nchan", "core_ns_per_client_all"),
             needs="nchan (run bench/peers/setup.sh)")),
    "latency": (Gate("ratio_to_best_peer", "median latency, of that of the best peer", 1.0, 0.8),),
    "encodings": (Gate("sbe_ratio_to_json", "median latency of SBE, of that of JSON beside it", 1.0),),
    "cores": (Gate("ratio_two_to_one", "CPU per frame with two cores, of that with one", 1.1, 0.95),),
    "stalled": (Gate("p99_ratio", "p99 of the readers beside stalled clients, of that without them", 1.1),),
    "deflate": (Gate("ratio_to_json", "core CPU per frame compressed, of that uncompressed", 1.3,
                     rounds=("deflate", "json", CPU)),),
    "snapshots": (Gate("p99_ns", "p99 ns from SUBSCRIBE to the book, 10 000 at once"),),
    "leave": (Gate("p99_ratio", "p99 while half of the clients leave, of that when they stay", 1.2),),
    "attacks": (Gate("p99_ratio", "p99 of the readers beside attackers, of that without them", 1.2),),
    "flood": (Gate("p99_ratio", "p99 of sim's lateness beside a producer that floods, of that without it", 2.0,
                   1.0),),
    "idle": (Gate("core_share", "share of a core, 10 000 silent clients", 0.03),),
    "idle20": (Gate("core_share", "share of a core, 10 000 silent clients with 20 symbols each", 0.03),),
    "reload": (Gate("turn_cpu_seconds", "seconds of CPU in a whole turn, reload under 10 000 clients", 0.001),),
    "floors": (
        Gate("ticks_per_second", "ticks/s to 2 000 connections with one of 200 symbols each", 10000, 14850, True),
        Gate("mean_ns", "mean latency of these ticks in ns", 50e6),
        Gate("p99_ns", "their p99 in ns", 100e6, 50e6),
        Gate("rss_bytes", "bytes of memory of the server then", 512e6, 400e6),
        Gate("machine_share", "CPU time of the server then, of a machine of four cores", 0.70, 0.25),
        Gate("requests_ratio", "requests/s, times those of the users' former server, least of low, medium and high",
             1, 10, True),
        Gate("response_ratio", "mean response, of that of the former server, greatest of the three", 1, 0.1),
        Gate("success_rate", "share of requests that were answered", 0.999, 1, True),
        Gate("requests_per_second_500", "requests/s of 500 connections", 2000, 20000, True),
        Gate("response_ns_500", "mean response of 500 connections in ns", 500e6, 50e6)),
    "leak": (
        Gate("rss_bytes_per_client", "growth of the server's memory for each client of a cycle, in bytes", 100),
        Gate("allocated_bytes_per_client", "growth of what is allocated for each client of a cycle, in bytes", 4, 0)),
    "tls": (
        Gate("to_plain_256", "process CPU per frame of 256 B by wss, of that of plain", 1.35,
             rounds=("wss 256", "plain 256", PROCESS)),
        Gate("to_plain_4096", "process CPU per frame of 4 KiB by wss, of that of plain", 1.7,
             rounds=("wss 4096", "plain 4096", PROCESS)),
        Gate("to_ssl_write_256", "process CPU per frame of 256 B by wss, of that of SSL_write in a loop", 0.6,
             rounds=("wss 256", "ssl 256", PROCESS)),
        Gate("to_nginx_256", "process CPU per frame of 256 B by wss, of that with nginx in front", 0.25,
             rounds=("few wss 256", "few nginx 256", PROCESS), needs="nginx")),
    "tls_memory": (Gate("bytes_over_plain", "bytes of user memory per idle connection of wss, over a plain one", 400),),
    "tls_handshakes": (
        Gate("handshakes_per_second", "TLS handshakes a second of one thread's CPU time", 2800, None, True),
        Gate("p99_ratio", "p99 of the readers beside 200 TLS handshakes a second, of that without them", 1.2)),
    "memory": (Gate("bytes_per_connection", "bytes of user memory per idle subscribed connection", 272,
                    256),),
}
