"""A small exchange for the tests of examples/qmt_bridge.py: it matches random orders itself, keeps the
true book, and writes the records of l2order and l2transaction by the rules of Shanghai or Shenzhen."""
import collections
import random

MIDNIGHT = 1_700_064_000_000  # 2023-11-16 in Shanghai, in milliseconds
AUCTION, UNCROSS, OPEN = (MIDNIGHT + (hours * 60 + minutes) * 60_000
                          for hours, minutes in ((9, 15), (9, 25), (9, 30)))
LIMIT, FIVE_THEN_CANCEL, OWN_BEST, OTHER_BEST = 1, 4, 6, 7


class Order:
    def __init__(self, number, side, at, size, kind):
        self.number, self.side, self.at, self.size, self.kind = number, side, at, size, kind
        self.has_traded = False


class Exchange:
    """events: (period, record) in the order of the exchange."""

    def __init__(self, market, seed):
        self.market, self.random = market, random.Random(seed)
        self.events = []
        self.resting = ([], [])  # bids, asks; the best first, then the oldest
        self.number = 0
        self.trades = 0
        self.now = AUCTION

    def book(self):
        """[price, size] of both sides, best first, as the records can show it: an order at its own side's
        best price has no price in them before its first trade."""
        sides = []
        for side, orders in enumerate(self.resting):
            sizes = collections.Counter()
            for order in orders:
                if order.kind != OWN_BEST or order.has_traded:
                    sizes[order.at] += order.size
            sides.append(sorted(([at, size] for at, size in sizes.items()), reverse=side == 0))
        return sides

    # ---- What it writes ----

    def _order(self, order, size, direction=None):
        at = order.at if order.kind == LIMIT else self.random.choice((0.0, 50.0))
        self.events.append(("l2order", {
            "time": self.now, "price": at, "volume": size, "entrustNo": order.number,
            "entrustType": order.kind, "entrustDirection": direction or order.side + 1}))

    def _transaction(self, buy, sell, at, size, flag):
        self.trades += 1
        self.events.append(("l2transaction", {
            "time": self.now, "price": at, "volume": size, "amount": at * size, "tradeIndex": self.trades,
            "buyNo": buy, "sellNo": sell, "tradeType": 0, "tradeFlag": flag}))

    # ---- What happens ----

    def _rest(self, order):
        orders = self.resting[order.side]
        sign = -1 if order.side == 0 else 1
        place = next((i for i, other in enumerate(orders) if sign * other.at > sign * order.at), len(orders))
        orders.insert(place, order)

    def _trade(self, bid, ask, at, flag):
        size = min(bid.size, ask.size)
        for order in (bid, ask):
            order.size -= size
            order.has_traded = True
        self._transaction(bid.number, ask.number, at, size, flag)

    def _clean(self):
        for side in (0, 1):
            self.resting[side][:] = [order for order in self.resting[side] if order.size > 0]

    def enter(self, is_auction):
        self.now += self.random.randrange(3)
        self.number += self.random.randrange(1, 4)
        side, others = self.random.randrange(2), None
        kind = LIMIT
        if self.market == "SZ" and not is_auction and self.random.random() < 0.2:
            kind = self.random.choice((FIVE_THEN_CANCEL, OWN_BEST, OTHER_BEST))
        others = self.resting[1 - side]
        at = round(10 + self.random.randint(-12, 12) / 100 + (0.04 if side else -0.04), 2)
        if kind == OWN_BEST:
            if not self.resting[side]:
                return
            at = self.resting[side][0].at
        elif kind == OTHER_BEST:
            if not others:
                return
            at = others[0].at
        elif kind == FIVE_THEN_CANCEL:
            at = 0.01 if side else 99.99
        order = Order(self.number, side, at, self.random.randrange(1, 30) * 100, kind)
        if self.market == "SZ":
            self._order(order, order.size)
        if not is_auction:
            sign = 1 if side == 0 else -1
            while order.size and others and sign * others[0].at <= sign * order.at:
                pair = (order, others[0]) if side == 0 else (others[0], order)
                self._trade(*pair, others[0].at, side + 1)
                self._clean()
        if order.size and kind == FIVE_THEN_CANCEL:
            self._transaction(*((order.number, 0) if side == 0 else (0, order.number)), 0.0, order.size, 3)
        elif order.size:
            if self.market == "SH":
                self._order(order, order.size)
            self._rest(order)

    def cancel(self):
        orders = self.resting[self.random.randrange(2)]
        if not orders:
            return
        order = orders.pop(self.random.randrange(len(orders)))
        if self.market == "SH":
            self._order(order, order.size, direction=3 + order.side)
        else:
            numbers = (order.number, 0) if order.side == 0 else (0, order.number)
            self._transaction(*numbers, self.random.choice((0.0, 10.0)), order.size, 3)

    def uncross(self):
        bids, asks = self.resting
        while bids and asks and bids[0].at >= asks[0].at:
            self._trade(bids[0], asks[0], 10.0, 0)
            self._clean()

    def morning(self, count):
        """Yields after each step, with the true book as it is then."""
        for _ in range(count // 4):
            self.enter(is_auction=True)
            if self.random.random() < 0.1:
                self.cancel()
            yield
        self.now = UNCROSS
        self.uncross()
        yield
        self.now = OPEN
        for _ in range(count):
            self.enter(is_auction=False)
            if self.random.random() < 0.4:
                self.cancel()
            yield
