"""permessage-deflate: what is agreed on, and what clients send compressed, next to a healthy one."""
import asyncio
import json
import os
import struct
import unittest
import zlib

import websockets

from clients import CLOSE, CONTINUATION, PING, TEXT, RawClient, frame, request
from server import Server
from test_faults import FaultTestCase

RSV1 = 4  # as frame()'s reserved
MESSAGE_BYTES_MAX = 16384
AGREED = "permessage-deflate; server_no_context_takeover; client_no_context_takeover"
OFFER = "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n"


def deflate(data, level=6, compressor=None):
    compressor = compressor or zlib.compressobj(level, zlib.DEFLATED, -15)
    return (compressor.compress(data) + compressor.flush(zlib.Z_SYNC_FLUSH))[:-4]


def ping_of(bytes_count, id=1):
    """A PING message of an exact length, hard to compress."""
    text = f'{{"type":"PING","id":{id},"pad":"'
    return (text + os.urandom(bytes_count).hex()[:bytes_count - len(text) - 2] + '"}').encode()


def in_small_blocks(data, size=40):
    """Not compressed at all, and an eighth longer."""
    parts = [data[at:at + size] for at in range(0, len(data), size)]
    return b"".join(b"\0" + struct.pack("<HH", len(part), len(part) ^ 0xffff) + part
                    for part in parts) + b"\0"


class Off(unittest.TestCase):
    def test_nothing_is_agreed_on_when_it_is_off(self):
        with Server("--compression", "off") as server:
            with RawClient(server.port, extra=OFFER) as client:
                self.assertIsNone(client.header("Sec-WebSocket-Extensions"))
                client.send(frame(TEXT, deflate(b'{"type":"LIST"}'), reserved=RSV1))
                self.assertEqual(client.wait_for_close()[0], 1002)


class Compressed(FaultTestCase):

    def deflating(self):
        client = self.client(extra=OFFER)
        self.assertEqual(client.header("Sec-WebSocket-Extensions"), AGREED)
        return client

    def assert_closed_with(self, code, data):
        client = self.deflating()
        client.send(data)
        self.assertEqual(client.wait_for_close()[0], code)

    def test_what_any_client_may_read_is_agreed_on(self):
        for offer, answer in {
                "permessage-deflate": AGREED,
                "permessage-deflate; client_max_window_bits": AGREED,
                "permessage-deflate; server_no_context_takeover": AGREED,
                "permessage-deflate; server_max_window_bits=15":
                    AGREED + "; server_max_window_bits=15",
                "permessage-deflate; server_max_window_bits=14": None,
                "permessage-deflate; server_max_window_bits=10, permessage-deflate": AGREED,
                "permessage-deflate; unknown": None, "x-webkit-deflate-frame": None}.items():
            client = self.client(extra=f"Sec-WebSocket-Extensions: {offer}\r\n")
            self.assertEqual(client.header("Sec-WebSocket-Extensions"), answer, offer)
            client.next_message(("WELCOME",))

    def test_an_offer_that_is_not_well_formed_is_400_and_says_so(self):
        client = self.client(upgrade=False)
        client.send(request(extra="Sec-WebSocket-Extensions: permessage-deflate; =1\r\n"))
        self.assertEqual(client.read_head(), 400)
        self.assertIn("Sec-WebSocket-Extensions", client.read_body())

    def test_python_websockets_subscribes_with_it(self):
        async def follow():
            # Behind a full queue its close would not be read.
            async with websockets.connect(self.server.url(), max_queue=None) as client:
                self.assertEqual(len(client.extensions), 1)
                for _ in range(3):  # each of them compressed by itself
                    await client.send('{"type":"SUBSCRIBE","data":{"symbols":["*"],'
                                      '"data_types":["quote","trade"]}}')
                missing = {"WELCOME", "SUBSCRIBED", "quote", "trade"}
                while missing:
                    missing.discard(json.loads(await client.recv())["type"])
        asyncio.run(asyncio.wait_for(follow(), 30))

    def test_messages_come_whole_from_any_fragments_and_packets(self):
        client = self.deflating()
        for id in range(20):
            data = deflate(ping_of(3000, id))
            cut = 1 + id * 70
            sent = (frame(TEXT, data[:cut], fin=False, reserved=RSV1) + frame(PING, b"between") +
                    frame(CONTINUATION, data[cut:]))
            for at in range(0, len(sent), 1000):
                client.send(sent[at:at + 1000])
            self.assertEqual(client.next_message(("PONG",))["id"], id)

    def send_in_turns(self, clients, frames, parts):
        """A part of each client's, and so on; all have arrived before the next ones are sent."""
        other = self.client()
        for part in range(parts):
            for client, data in list(zip(clients, frames))[::1 if part % 2 else -1]:
                client.send(data[part * len(data) // parts:(part + 1) * len(data) // parts])
            other.ask('{"type":"PING"}', ("PONG",))

    def test_halves_of_many_clients_messages_are_not_mixed_up(self):
        clients = [self.deflating() for _ in range(8)]
        frames = [frame(TEXT, deflate(ping_of(2000, id)), reserved=RSV1) for id in range(8)]
        self.send_in_turns(clients, frames, 4)
        for id, client in enumerate(clients):
            self.assertEqual(client.next_message(("PONG",))["id"], id)

    def test_messages_that_become_longer_are_kept_apart(self):
        clients = [self.deflating() for _ in range(8)]
        frames = [frame(TEXT, in_small_blocks(ping_of(MESSAGE_BYTES_MAX, id)), reserved=RSV1)
                  for id in range(8)]
        for parts in (3, 4):
            self.send_in_turns(clients, frames, parts)
            for id, client in enumerate(clients):
                self.assertEqual(client.next_message(("PONG",))["id"], id)

    def test_plain_messages_are_understood_as_ever(self):
        client = self.deflating()
        client.send(frame(TEXT, '{"type":"PING","id":5}'))
        self.assertEqual(client.next_message(("PONG",))["id"], 5)

    def test_the_limit_is_of_what_is_inflated(self):
        for level in (0, 1, 9):
            client = self.deflating()
            data = deflate(ping_of(MESSAGE_BYTES_MAX), level)
            client.send(frame(TEXT, data, reserved=RSV1))
            self.assertEqual(client.next_message(("PONG",))["id"], 1)
            self.assert_closed_with(1009, frame(TEXT, deflate(ping_of(MESSAGE_BYTES_MAX + 1), level),
                                                reserved=RSV1))

    def test_bombs_are_1009_and_memory_stays(self):
        bomb = frame(TEXT, deflate(bytes(10 << 20)), reserved=RSV1)
        self.assertLess(len(bomb), MESSAGE_BYTES_MAX)
        self.assert_closed_with(1009, bomb)
        before = self.server.stats()
        for _ in range(100):
            self.assert_closed_with(1009, bomb)
        after = self.server.stats()
        # The logs become resident as they are written: some 500 bytes a tick.
        ticks = after["publisher"]["ticks"] - before["publisher"]["ticks"]
        self.assertLess(after["memory"]["resident_bytes"] - before["memory"]["resident_bytes"],
                        (2 << 20) + 1000 * ticks)

    def test_what_cannot_be_inflated_is_1007(self):
        compressor = zlib.compressobj(6, zlib.DEFLATED, -15)
        first = deflate(ping_of(1000), compressor=compressor)
        second = deflate(ping_of(1000)[:60] * 4 + first, compressor=compressor)
        for data in (b"\xff\xff", deflate(ping_of(1000))[:-3], second,
                     deflate(b'{"type":"\xff"}')):
            self.assert_closed_with(1007, frame(TEXT, data, reserved=RSV1))

    def test_reserved_bits_elsewhere_are_1002(self):
        for data in (frame(PING, b"x", reserved=RSV1), frame(CLOSE, b"\x03\xe8", reserved=RSV1),
                     frame(TEXT, b"x", reserved=2),
                     frame(TEXT, b"x", fin=False) + frame(CONTINUATION, b"y", reserved=RSV1)):
            self.assert_closed_with(1002, data)


if __name__ == "__main__":
    unittest.main()
