"""peer_venue: stand-ins for two venues, which answer and send trades in the venues' own form.

  --form binance    combined streams, as of wss://stream.binance.com:9443/stream: SUBSCRIBE to
                    btcusdt@trade
  --form coinbase   the channel matches, as of wss://ws-feed.exchange.coinbase.com

Both acknowledge a subscription before the first trade. A trade has the time when it was due.
"""

import argparse
import asyncio
import datetime

import ticks
from peer_websockets import Broadcaster, run


class BinanceTicks(ticks.Ticks):
    def __init__(self, spec):
        super().__init__(spec, lambda i: (["btc", "eth", "sol"][i] if i < 3 else f"sim{i:05}")
                         + "usdt@trade")

    def text(self, symbol, seq, ts_event):
        stream = self.names[symbol]
        time_ms = ts_event // 1_000_000
        return (f'{{"stream":"{stream}","data":{{"e":"trade","E":{time_ms},'
                f'"s":"{stream.partition("@")[0].upper()}","t":{seq},"p":"0.35280000",'
                f'"q":"58.00000000","T":{time_ms},"m":false,"M":true}}}}')


class Binance(Broadcaster):
    def wanted(self, request):
        return frozenset(self.index[name] for name in request["params"] if name in self.index)

    def answers(self, request, wanted):
        return [{"result": None, "id": request["id"]}]


class CoinbaseTicks(ticks.Ticks):
    def __init__(self, spec):
        super().__init__(spec, lambda i: (["BTC", "ETH", "SOL"][i] if i < 3 else f"SIM{i:05}")
                         + "-USD")

    def text(self, symbol, seq, ts_event):
        due = datetime.datetime.fromtimestamp(ts_event // 1_000_000_000, datetime.timezone.utc)
        time = f"{due:%Y-%m-%dT%H:%M:%S}.{ts_event % 1_000_000_000 // 1000:06}Z"
        # sequence counts the orders of the book, too, and so jumps from trade to trade.
        return (f'{{"type":"match","trade_id":{seq},'
                '"maker_order_id":"2a0da34e-61f7-4c36-88e5-c9dd15927b16",'
                '"taker_order_id":"7c82abaa-c01e-4608-be59-6a1e69742891",'
                '"side":"sell","size":"985","price":"0.00001305",'
                f'"product_id":"{self.names[symbol]}","sequence":{177100030 + 7 * seq},'
                f'"time":"{time}"}}')


class Coinbase(Broadcaster):
    def wanted(self, request):
        return frozenset(self.index[name] for name in request["product_ids"] if name in self.index)

    def answers(self, request, wanted):
        names = [self.source.names[symbol] for symbol in sorted(wanted)]
        return [{"type": "subscriptions",
                 "channels": [{"name": name, "product_ids": names}
                              for name in request["channels"]]}]


FORMS = {"binance": (Binance, BinanceTicks), "coinbase": (Coinbase, CoinbaseTicks)}


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, default=9100)
    parser.add_argument("--spec", type=ticks.parse, default=dict(ticks.DEFAULTS))
    parser.add_argument("--form", choices=FORMS, required=True)
    options = parser.parse_args()
    broadcaster, source = FORMS[options.form]
    asyncio.run(run(broadcaster(source(options.spec), "broadcast"), options.port))


if __name__ == "__main__":
    main()
