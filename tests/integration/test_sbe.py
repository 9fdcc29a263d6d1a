"""SBE frames against the schema alone: the decoder of examples/ knows nothing of ringcast's encoder."""
import asyncio
import decimal
import json
import pathlib
import re
import struct
import subprocess
import sys
import tempfile
import unittest
import xml.etree.ElementTree

import websockets

from clients import RawClient
from server import BIN_DIR, CHECKOUT, Server, ServerTestCase, reap, run, spawn, wait_until

sys.path.insert(0, str(CHECKOUT / "examples"))
import python_sbe  # noqa: E402

SCHEMA_PATH = CHECKOUT / "codec" / "md.xml"
SCHEMA = python_sbe.Schema(SCHEMA_PATH.read_bytes())
BLOCKS = {block.name: block for block in SCHEMA.messages.values()}
ENVELOPE = ("ch", "seq", "ts_event", "ts_recv", "ts_pub")
PRICES = ("last", "open", "high", "low", "close", "prev_close", "price")
SIZES = ("volume", "size")
TICKS = 3000


def frames(seed, count):
    """(JSON as decimals, SBE bytes or None) of random ticks."""
    helper = BIN_DIR.parent / "tests" / "sbe_frames"
    if not helper.exists():
        raise unittest.SkipTest(f"SKIPPED: {helper} does not exist: run `zig build` first")
    result = run([str(helper), str(seed), str(count)])
    assert result.returncode == 0, result.stderr
    for line in result.stdout.split("\n")[:-1]:
        text, payload = line.split("\t")
        yield (json.loads(text, parse_float=decimal.Decimal),
               None if payload == "-" else bytes.fromhex(payload))


def levels(pairs):
    return [{"price": price, "size": size} for price, size in pairs]


def of_json(message):
    """The JSON frame with the names and nulls that its SBE frame is to have."""
    values = dict(message["data"])
    values.update({name: message.get(name) for name in ENVELOPE})
    for side in ("bids", "asks"):
        if side in values or message["type"] in ("quote", "depth"):
            values[side] = levels(values.get(side, []))
    if "closed" in values:
        values["closed"] = "yes" if values["closed"] else "no"
    return values


def of_sbe(name, values):
    """Decimals, and without what is null."""
    return {key: value for key, value in python_sbe.decimals(BLOCKS[name], values).items()
            if value is not None and value != ""}


def numbers(message, names):
    data = message["data"]
    yield from (data[name] for name in names if name in data)
    place = 0 if "price" in names else 1
    for pair in data.get("bids", []) + data.get("asks", []):
        if pair[place] is not None:
            yield pair[place]


def least_exponent(values):
    return min((decimal.Decimal(value).as_tuple().exponent for value in values), default=0)


def overflows(message):
    for names in (PRICES, SIZES):
        values = list(numbers(message, names))
        exponent = least_exponent(values)
        if any(abs(decimal.Decimal(value).scaleb(-exponent)) >= 2 ** 63 for value in values):
            return True
    return False


class RandomTicks(unittest.TestCase):
    def test_every_field_is_that_of_the_json_frame_to_the_digit(self):
        seen = set()
        for message, payload in frames(1, TICKS):
            if payload is None:
                continue
            name, values, end = SCHEMA.decode(payload)
            self.assertEqual(end, len(payload))
            self.assertEqual(name, message["type"])
            expected = {key: value for key, value in of_json(message).items() if value is not None}
            self.assertEqual(of_sbe(name, values), expected, message)
            seen.add(name)
        self.assertEqual(seen, set(BLOCKS))

    def test_the_common_exponent_is_the_least_and_only_an_overflow_leaves_a_tick_out(self):
        encoded = refused = 0
        for message, payload in frames(2, TICKS):
            if payload is None:
                self.assertTrue(overflows(message), message)
                refused += 1
                continue
            self.assertFalse(overflows(message), message)
            _, values, _ = SCHEMA.decode(payload)
            if message["type"] != "status":
                self.assertEqual(values["price_exponent"], least_exponent(numbers(message, PRICES)))
                self.assertEqual(values["size_exponent"], least_exponent(numbers(message, SIZES)))
            encoded += 1
        self.assertGreater(refused, TICKS // 100)
        self.assertGreater(encoded, TICKS // 2)

    def test_a_newer_writer_is_understood(self):
        """Version 1 with longer blocks: the reader goes by the lengths it receives."""
        for message, payload in frames(3, 300):
            if payload is None or message["type"] in ("quote", "depth"):
                continue
            block_bytes, template, schema, version = struct.unpack_from("<4H", payload)
            self.assertEqual(version, 0)
            newer = (struct.pack("<4H", block_bytes + 6, template, schema, 1) +
                     payload[8:8 + block_bytes] + b"future" + payload[8 + block_bytes:])
            self.assertEqual(SCHEMA.decode(newer)[:2], SCHEMA.decode(payload)[:2])

    def test_a_message_that_is_cut_short_is_no_message(self):
        for _, payload in frames(4, 50):
            for length in range(len(payload or b"")):
                with self.assertRaises((ValueError, struct.error)):
                    SCHEMA.decode(payload[:length])


class TheSchema(unittest.TestCase):
    """What SBE 1.0 asks of a schema, read from the XML itself."""

    def setUp(self):
        self.root = xml.etree.ElementTree.parse(SCHEMA_PATH).getroot()
        self.messages = [child for child in self.root if python_sbe.local(child) == "message"]

    def blocks(self):
        for message in self.messages:
            yield message
            yield from message.iter("group")

    def test_fields_follow_each_other_within_their_block(self):
        for element in self.blocks():
            block = python_sbe.Block(SCHEMA, element)
            end = 0
            for field in block.fields:
                self.assertGreaterEqual(field.offset, end, f"{block.name}.{field.name}")
                self.assertLessEqual(field.offset - end, 1, f"{block.name}.{field.name}: a hole")
                end = field.offset + field.kind.bytes
            self.assertEqual(end, block.bytes, block.name)

    def test_fields_then_groups_then_data(self):
        order = {"field": 0, "group": 1, "data": 2}
        for element in self.blocks():
            kinds = [order[python_sbe.local(child)] for child in element]
            self.assertEqual(kinds, sorted(kinds), element.get("name"))

    def test_ids_and_names_are_unique_and_types_exist(self):
        for elements in [self.messages, *([*element] for element in self.blocks())]:
            for key in ("id", "name"):
                values = [element.get(key) for element in elements]
                self.assertEqual(len(values), len(set(values)), values)
                self.assertNotIn(None, values)
        for element in self.root.iter("field"):
            self.assertIn(element.get("type"), SCHEMA.types)
        for element in self.root.iter():
            if element.get("name") is not None:
                self.assertRegex(element.get("name"), r"^[A-Za-z_][A-Za-z0-9_]*$")

    def test_the_header_is_the_one_of_eight_bytes(self):
        header = [(name, offset, kind.primitive) for name, offset, kind in SCHEMA.header.members]
        self.assertEqual(header, [("blockLength", 0, "uint16"), ("templateId", 2, "uint16"),
                                  ("schemaId", 4, "uint16"), ("version", 6, "uint16")])
        self.assertEqual(self.root.get("byteOrder"), "littleEndian")

    def test_the_envelope_is_at_the_same_place_in_every_message(self):
        places = {tuple((field.name, field.offset, field.kind.name) for field in block.fields
                        if field.name in ENVELOPE) for block in BLOCKS.values()}
        self.assertEqual(len(places), 1)
        self.assertEqual({name for name, _, _ in places.pop()}, set(ENVELOPE))

    def test_exponents_exist_for_every_kind_of_mantissa(self):
        for block in BLOCKS.values():
            fields = {field.name for field in block.fields}
            mantissas = {field.kind.name for part in [block, *(group for group, _ in block.groups)]
                         for field in part.fields if field.kind.name in ("price", "size", "turnover")}
            self.assertEqual({name for name in fields if name.endswith("_exponent")},
                             {name + "_exponent" for name in mantissas}, block.name)

    def test_enum_values_are_within_their_type_and_not_its_null(self):
        for element in self.root.iter("enum"):
            for value in element:
                self.assertIn(int(value.text), range(255), element.get("name"))


class Served(ServerTestCase):
    def curl(self, site, *arguments):
        result = run(["curl", "-sS", "-i", "--max-time", "10", *arguments,
                      f"{site}schema/md.xml"])
        self.assertEqual(result.returncode, 0, result.stderr)
        head, _, body = result.stdout.partition("\n\n")
        return head, body

    def test_both_ports_give_the_schema_to_a_plain_get(self):
        for site in (self.server.http(), f"http://127.0.0.1:{self.server.admin_port}/"):
            head, body = self.curl(site)
            self.assertRegex(head, r"^HTTP/1.1 200 ")
            self.assertRegex(head, r"(?mi)^content-type: application/xml")
            self.assertRegex(head, r"(?mi)^cache-control: .*max-age=[1-9]")
            self.assertEqual(body, SCHEMA_PATH.read_text())
            length = re.search(r"(?mi)^content-length: (\d+)", head)
            self.assertEqual(int(length[1]), SCHEMA_PATH.stat().st_size)

    def test_other_methods_and_paths_are_refused_as_ever(self):
        def status(path, *arguments):
            return run(["curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", "--max-time", "10",
                        *arguments, self.server.http(path)]).stdout
        self.assertEqual(status("/schema/md.xml", "--head"), "200")
        self.assertEqual(status("/schema/md.xml", "-X", "POST"), "405")
        self.assertEqual(status("/schema/md.xml?x=1"), "200")
        for path in ("/schema", "/schema/", "/schema/md.xm", "/schema/md.xmlx", "/md.xml"):
            self.assertEqual(status(path), "404", path)
        self.assertEqual(self.server.admin("/schema/md.xml", method="HEAD")[0], 200)
        self.assertEqual(self.server.admin("/schema/md.xml", method="POST")[0], 405)

    def test_who_reads_it_is_no_client_and_leaves_nothing_behind(self):
        self.assertTrue(wait_until(lambda: self.server.stats()["connections"]["open"] == 0))
        before = self.server.stats()["connections"]
        for _ in range(100):
            self.curl(self.server.http())
        self.assertTrue(wait_until(lambda: self.server.stats()["connections"]["open"] == 0))
        after = self.server.stats()["connections"]
        for key in ("refused_handshake", "refused_busy", "closed", "active_connections"):
            self.assertEqual(after[key], before[key], key)


class BarsWithoutVolume(unittest.TestCase):
    """Trades without a size make bars, in both encodings."""

    def test_bars_of_trades_without_size(self):
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder) / "index.csv"
            path.write_text("ts_ns,symbol,price\n" + "".join(
                f"{1700000000 * 10**9 + i * 10**8},IDX.X,{100 + i % 10}.5\n" for i in range(900)))
            with Server("--feed", f"replay:path={path},speed=10,loop=yes") as server:
                for protocol in ("md.json.v1", "md.sbe.v1"):
                    with RawClient(server.port,
                                   extra=f"Sec-WebSocket-Protocol: {protocol}\r\n") as client:
                        client.subscribe(["IDX.X"], ["bar"], bar="1s")
                        self.check(client, is_sbe=protocol == "md.sbe.v1")

    def check(self, client, is_sbe):
        whole = []
        while len(whole) < 2:
            _, payload = client.next_frame(20)
            if payload.startswith(b"{"):
                message = json.loads(payload, parse_float=decimal.Decimal)
                if message["type"] == "bar":
                    self.assertFalse(is_sbe)
                    bar = of_json(message)
                    whole += [bar] if bar["closed"] and bar["count"] == 10 else []
            else:
                self.assertTrue(is_sbe)
                name, values, _ = SCHEMA.decode(payload)
                bar = of_sbe(name, values)
                whole += [bar] if bar["closed"] and bar["count"] == 10 else []
        for bar in whole:
            self.assertEqual((bar["open"], bar["high"], bar["low"], bar["close"]),
                             tuple(map(decimal.Decimal, ("100.5", "109.5", "100.5", "109.5"))))
            self.assertIsNone(bar.get("volume"))
            self.assertIsNone(bar.get("turnover"))


class Live(ServerTestCase):
    options = ("--feed", "sim:symbols=5,rate=500,types=quote+trade+bar+depth")
    FRAMES = 400

    async def follow(self, protocol, found, other):
        """found: {(ch, seq): (type, values)}, of FRAMES frames, and until the other has enough of them."""
        # Behind a full queue its close would not be read.
        async with websockets.connect(self.server.url(), subprotocols=[protocol],
                                      max_queue=None) as client:
            await client.send(json.dumps({"type": "SUBSCRIBE", "data": {
                "symbols": ["*"], "data_types": list(BLOCKS), "snapshot": False}}))
            async for frame in client:
                if isinstance(frame, bytes):
                    name, values, end = SCHEMA.decode(frame)
                    self.assertEqual(end, len(frame))
                    found[values["ch"], values["seq"]] = (name, of_sbe(name, values))
                else:
                    message = json.loads(frame, parse_float=decimal.Decimal)
                    if message["type"] in BLOCKS:
                        found[message["ch"], message["seq"]] = (message["type"], {
                            key: value for key, value in of_json(message).items()
                            if value is not None})
                if len(found) >= self.FRAMES and len(found.keys() & other.keys()) > self.FRAMES // 2:
                    return

    async def both(self):
        sbe, other = {}, {}
        await asyncio.wait_for(asyncio.gather(
            self.follow("md.sbe.v1", sbe, other), self.follow("md.json.v1", other, sbe)), 30)
        return sbe, other

    def setUp(self):
        try:
            RawClient(self.server.port, extra="Sec-WebSocket-Protocol: md.sbe.v1\r\n").close()
        except ConnectionError:
            self.skipTest("SKIPPED: this server does not take md.sbe.v1")

    def test_the_same_seq_has_the_same_values_in_both_encodings(self):
        sbe, other = asyncio.run(self.both())
        shared = sbe.keys() & other.keys()
        self.assertGreater(len(shared), self.FRAMES // 2)
        self.assertGreaterEqual({sbe[key][0] for key in shared}, {"quote", "trade", "depth"})
        for key in shared:
            self.assertEqual(sbe[key], other[key], key)

    def test_the_example_prints_what_it_follows(self):
        example = spawn(["/usr/bin/python3", "-u", str(CHECKOUT / "examples/python_sbe.py"),
                         self.server.url(), "000001.SZ", "quote"],
                        stdout=subprocess.PIPE, text=True)
        try:
            lines = [example.stdout.readline() for _ in range(20)]
        finally:
            reap(example)
            example.stdout.close()
        quotes = [line for line in lines if line.startswith("quote {")]
        self.assertGreater(len(quotes), 10, lines)
        self.assertRegex(quotes[0], r'"last": "\d+\.\d+".*"bids": \[\{"price": "\d+\.\d+", "size": "\d+"\}')


if __name__ == "__main__":
    unittest.main()
