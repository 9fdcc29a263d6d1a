"""peer_websockets: a broadcaster on Python's websockets.

  --mode broadcast   its broadcast(), a call per tick: what its documentation advises
  --mode joined      frames are encoded once; a client's frames of an instant are one write to
                     its transport, around the library's own framing
"""

import argparse
import asyncio
import json
import logging
import signal
import time

from websockets import ConnectionClosed, broadcast, serve
from websockets.frames import Frame, Opcode

import ticks

INSTANTS_MAX = 16  # made up at once, so that clients get a turn
LAG_BYTES_MAX = 8 << 20  # of a client's write buffer, before it is dropped


class Broadcaster:
    def __init__(self, source, mode):
        self.source = source  # ticks.Ticks
        self.send = self.send_broadcast if mode == "broadcast" else self.send_joined
        self.index = {name: i for i, name in enumerate(source.names)}
        self.subscribers = [set() for _ in source.names]
        self.groups = {}  # clients by the symbols they have: theirs is the same data
        self.connections = set()

    def wanted(self, request):
        """The indexes of the symbols that a request names."""
        symbols = request["data"]["symbols"]
        if symbols == ["*"]:
            return frozenset(self.index.values())
        return frozenset(self.index[name] for name in symbols if name in self.index)

    def answers(self, request, wanted):
        """What the client receives before its first tick."""
        return [{"type": "SUBSCRIBED", "id": request.get("id"), "data": {"ok": [], "failed": []}}]

    def add(self, connection, wanted):
        for symbol in wanted:
            self.subscribers[symbol].add(connection)
        self.groups.setdefault(wanted, set()).add(connection)
        self.connections.add(connection)

    def remove(self, connection, wanted):
        for symbol in wanted:
            self.subscribers[symbol].discard(connection)
        group = self.groups.get(wanted, set())
        group.discard(connection)
        if not group:
            self.groups.pop(wanted, None)
        self.connections.discard(connection)

    async def serve_client(self, connection):
        wanted = frozenset()
        try:
            async for message in connection:
                request = json.loads(message)
                more = self.wanted(request)
                for answer in self.answers(request, more):
                    await connection.send(json.dumps(answer, separators=(",", ":")))
                self.remove(connection, wanted)
                wanted |= more
                self.add(connection, wanted)
        except ConnectionClosed:
            pass
        finally:
            self.remove(connection, wanted)

    def send_broadcast(self, made):
        for symbol, text in made:
            broadcast(self.subscribers[symbol], text)

    def send_joined(self, made):
        frames = [(symbol, Frame(Opcode.TEXT, text.encode()).serialize(mask=False))
                  for symbol, text in made]
        for wanted, connections in self.groups.items():
            data = b"".join([frame for symbol, frame in frames if symbol in wanted])
            if data:
                for connection in connections:
                    if not connection.transport.is_closing():
                        connection.transport.write(data)

    async def publish(self):
        while True:
            await asyncio.sleep(max(0, self.source.due() - time.monotonic()))
            made = []
            for _ in range(INSTANTS_MAX):
                if self.source.due() > time.monotonic():
                    break
                made += self.source.instant()
            self.send(made)

    async def drop_laggards(self):
        while True:
            await asyncio.sleep(1)
            for connection in list(self.connections):
                if connection.transport.get_write_buffer_size() > LAG_BYTES_MAX:
                    connection.transport.abort()


async def run(broadcaster, port):
    logging.getLogger("asyncio").setLevel(logging.ERROR)  # It warns of each client that is gone.
    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    # asyncio sets TCP_NODELAY.
    async with serve(broadcaster.serve_client, "127.0.0.1", port, compression=None,
                     ping_interval=None, backlog=4096, close_timeout=0.1):
        tasks = [asyncio.create_task(broadcaster.publish()),
                 asyncio.create_task(broadcaster.drop_laggards())]
        await ended.wait()
        for task in tasks:
            task.cancel()


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, default=9100)
    parser.add_argument("--spec", type=ticks.parse, default=dict(ticks.DEFAULTS))
    parser.add_argument("--mode", choices=["broadcast", "joined"], default="broadcast")
    options = parser.parse_args()
    asyncio.run(run(Broadcaster(ticks.Ticks(options.spec), options.mode), options.port))


if __name__ == "__main__":
    main()
