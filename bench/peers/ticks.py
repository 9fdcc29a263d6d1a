"""ticks: what every peer broadcasts, in Python; peer_ticks.h says the same in C."""

import time

FIRST = ("000001.SZ", "600519.SH", "300750.SZ", "AAPL.US", "MSFT.US", "NVDA.US")
LIMITS = {"symbols": (1, 65536), "rate": (1, 100_000_000), "burst": (1, 16384),
          "pad": (192, 60000)}
DEFAULTS = {"symbols": 1, "rate": 100, "burst": 1, "pad": 256}


def parse(text):
    """The dict of "symbols=200,rate=5000,burst=50,pad=256"; ValueError."""
    spec = dict(DEFAULTS)
    for part in text.split(","):
        name, _, value = part.partition("=")
        least, most = LIMITS.get(name, (1, 0))
        if not value.isdigit() or not least <= int(value) <= most:
            raise ValueError(f"spec: {part!r} is not understood, or out of range")
        spec[name] = int(value)
    return spec


def text(spec):
    return ",".join(f"{name}={spec[name]}" for name in DEFAULTS)


def symbol_name(index):
    return FIRST[index] if index < len(FIRST) else f"SIM{index:05}.SIM"


class Ticks:
    """Instant i is due at start + i * burst / rate seconds; tick k is of symbol k mod symbols."""

    def __init__(self, spec, name=symbol_name):
        self.spec = spec
        self.names = [name(i) for i in range(spec["symbols"])]
        self.seqs = [0] * spec["symbols"]
        self.made = 0
        self.start_ns = time.time_ns()
        self.start_monotonic = time.monotonic()

    def _offset_ns(self):
        return self.made * 1_000_000_000 // self.spec["rate"]

    def due(self):
        """By time.monotonic(), which asyncio's loops use, of the next instant."""
        return self.start_monotonic + self._offset_ns() / 1e9

    def instant(self):
        """Makes the next instant: a list of (symbol index, text)."""
        ts_event = self.start_ns + self._offset_ns()
        return [self._tick(ts_event) for _ in range(self.spec["burst"])]

    def _tick(self, ts_event):
        symbol = self.made % self.spec["symbols"]
        self.made += 1
        self.seqs[symbol] += 1
        return symbol, self.text(symbol, self.seqs[symbol], ts_event)

    def text(self, symbol, seq, ts_event):
        head = (f'{{"type":"quote","symbol":"{self.names[symbol]}","ch":{symbol},'
                f'"seq":{seq},"ts_event":{ts_event},"ts_pub":{time.time_ns()},"filler":"')
        return head.ljust(self.spec["pad"] - 2, "x") + '"}'
