"""docs/asyncapi.yaml against its grammar, docs/protocol.md, and what a real server says and accepts."""
import base64
import hmac
import json
import pathlib
import re
import tempfile
import time
import unittest

try:
    import jsonschema

    import asyncapi
except ImportError:
    raise unittest.SkipTest("SKIPPED: python3-jsonschema and python3-yaml are not installed") from None

from clients import CLOSE, DATA_TYPES, PING, PONG, TEXT, RawClient, frame, subscribe_message
from server import CHECKOUT, Server, wait_until

PAGE = (CHECKOUT / "docs/protocol.md").read_text(encoding="utf8")
STATUS_TICKS = """ts_ns,symbol,type,price,size,bid,bid_size,ask,ask_size,status
1700000000000000000,A.X,S,,,,,,,halted
1700000000100000000,A.X,Q,,,10.30,,10.40,5,
"""
SECRET = "jwt-secret-0123456789abcdef01234567"
TOKEN = "full-token-0123456789abcdef"
# Fields that the sessions below do not bring about.
NOT_SEEN = {
    "quote.data.status",     # no feed that a test has gives it
    "status.data.reason",
    "NOTICE.data.resume.cursors.*", "SUBSCRIBED.data.ok.gap",
    "SUBSCRIPTIONS.data.subscriptions.hash",  # MODIFIED, which has it, shares the schema
    "SNAPSHOT.data.ok.parts", "depth.part", "depth.parts", "depth.as_of",  # test_big_books sees them
    "SYMBOLS.data.symbols.stale",  # test_stale sees it
}


def resolved(document, schema):
    while "$ref" in schema:
        reference = schema["$ref"]
        schema = document
        for part in reference.removeprefix("#/").split("/"):
            schema = schema[part]
    return schema


def fields_of_schema(document, schema, path):
    """The paths of all fields that a schema names."""
    schema = resolved(document, schema)
    for name, part in schema.get("properties", {}).items():
        yield f"{path}.{name}"
        yield from fields_of_schema(document, part, f"{path}.{name}")
    if isinstance(schema.get("items"), dict):
        yield from fields_of_schema(document, schema["items"], path)


def fields_of_message(value, path):
    """The paths of all fields that a message has."""
    if isinstance(value, dict):
        for name, part in value.items():
            yield f"{path}.{name}"
            yield from fields_of_message(part, f"{path}.{name}")
    elif isinstance(value, list):
        for part in value:
            yield from fields_of_message(part, path)


def merged(path):
    """Verdicts and entries are made in one place for all messages: seen in one is seen in all."""
    path = re.sub(r"^.*\.(failed|warnings)\.", r"\1.", path)
    path = re.sub(r"^.*\.warnings$", "warnings", path)
    return re.sub(r"^.*\.(ok|gaps|subscriptions|dropped|channels)\.(depth|bar|interval_ms)$",
                  r"entry.\2", path)


def example_messages(page):
    """(text, is_whole): the JSON of messages in code and between backticks of a page."""
    for start in re.finditer(r'\{"type":', page):
        depth, at, quoted = 0, start.start(), False
        while True:
            letter = page[at]
            if letter == '"':
                quoted = not quoted
            elif not quoted:
                depth += {"{": 1, "}": -1}.get(letter, 0)
            at += 1
            if depth == 0:
                break
        text = re.sub(r"\s*\n\s*", "", page[start.start():at])
        whole = re.sub(r'("ts":|"t0":)(\.\.\.|<[^>]*>)', r"\g<1>1", text)
        cut = re.sub(r",?\s*\.\.\.\s*", "", whole)
        yield cut, cut == whole


class File(unittest.TestCase):
    @unittest.skipUnless(asyncapi.GRAMMAR.exists(), f"SKIPPED: there is no {asyncapi.GRAMMAR.name}; "
                         "scripts/setup.sh test fetches it")
    def test_it_is_what_asyncapi_asks_for(self):
        grammar = json.loads(asyncapi.GRAMMAR.read_text(encoding="utf8"))
        validator = jsonschema.Draft7Validator(grammar)
        document = asyncapi.read_document()
        self.assertEqual([f"{error.json_path}: {error.message[:300]}"
                          for error in validator.iter_errors(document)], [])
        for damage in (lambda it: it.pop("info"), lambda it: it.update(asyncapi="2.6.0"),
                       lambda it: it["operations"]["ping"].update(action="publish"),
                       lambda it: it["channels"]["stream"].update(message=1),
                       lambda it: it["components"]["messages"]["Ping"].update(payload=7)):
            damaged = asyncapi.read_document()
            damage(damaged)
            self.assertFalse(validator.is_valid(damaged))

    def test_every_reference_leads_somewhere_and_nothing_is_left_over(self):
        document = asyncapi.read_document()
        used = set()
        for path, part in asyncapi.objects(document):
            if "$ref" in part:
                self.assertIsInstance(resolved(document, part), dict, path)
                used.add(part["$ref"])
        for folder in ("messages", "schemas"):
            for name in document["components"][folder]:
                self.assertIn(f"#/components/{folder}/{name}", used)
        for name in document["channels"]["stream"]["messages"]:
            self.assertIn(f"#/channels/stream/messages/{name}", used)

    def test_its_schemas_are_schemas_and_its_examples_fit_them(self):
        document = asyncapi.read_document()
        for name, message in document["components"]["messages"].items():
            jsonschema.Draft7Validator.check_schema(message["payload"])
            validator = jsonschema.Draft7Validator(
                message["payload"], resolver=jsonschema.RefResolver("", document))
            for example in message.get("examples", []):
                self.assertEqual(list(validator.iter_errors(example["payload"])), [], name)
        for schema in document["components"]["schemas"].values():
            jsonschema.Draft7Validator.check_schema(schema)


class Page(unittest.TestCase):
    """docs/protocol.md says the same."""

    def test_every_example_of_the_page_fits(self):
        sides = {whole: [asyncapi.Messages(side, without_required=not whole)
                         for side in ("client", "server")] for whole in (True, False)}
        count = 0
        for text, whole in example_messages(PAGE):
            with self.subTest(text):
                message = json.loads(text)
                if message["type"] == "SUBSCRIBED" and not whole or "variants" in message:
                    continue  # Or an entry of SYMBOLS, which is no message.
                faults = [side.faults(message) for side in sides[whole]]
                self.assertIn([], faults)
                count += 1
        self.assertGreater(count, 12)

    def test_the_types_are_those_of_the_page(self):
        table = PAGE[PAGE.index("| client | server |"):PAGE.index("### Warnings")]
        told = set(re.findall(r"\b[A-Z_]{3,}\b|\b(?:%s)\b" % "|".join(DATA_TYPES),
                              "\n".join(line.rsplit("|", 2)[0] for line in table.splitlines()
                                        if line.startswith("|"))))
        has = {name for side in ("client", "server") for name in asyncapi.Messages(side).schemas}
        self.assertEqual(told, has)

    def test_the_error_codes_are_those_of_the_page(self):
        section = PAGE[PAGE.index("\n## Errors"):PAGE.index("\n## Closes")]
        told = {int(code) for code in re.findall(r"^\| (\d{3}) \|", section, re.M)}
        schema = asyncapi.read_document()["components"]["schemas"]["errorCode"]
        self.assertEqual(told, set(schema["enum"]))
        header = (CHECKOUT / "src/request/request.h").read_text(encoding="utf8")
        self.assertEqual(told, {int(code) for code in re.findall(r"PROTOCOL_\w+ = (\d{3})", header)})
        self.assertEqual([int(code) for code in re.findall(r"\b\d{3}\b", schema["description"])],
                         schema["enum"])

    def test_the_close_codes_are_those_of_the_page(self):
        section = PAGE[PAGE.index("\n## Closes"):]
        told = {code for line in re.findall(r"^\| ([\d, ]+) \|", section, re.M)
                for code in re.findall(r"\d{4}", line)}
        codes = asyncapi.read_document()["channels"]["stream"]["x-close-codes"]
        self.assertEqual(set(codes), told)
        for code, entry in codes.items():
            wanted = {"40": "never", "41": "backoff", "42": "at_once"}.get(code[:2])
            self.assertIn(wanted, (None, entry["then"]), code)


def token(seconds, scope=None, **claims):
    """A JWT that lasts so long."""
    def encode(data):
        return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
    claims = {"sub": "desk", "exp": int(time.time()) + seconds, "ringcast": scope or {}, **claims}
    signed = ".".join(encode(json.dumps(part).encode()) for part in ({"alg": "HS256"}, claims))
    return f"{signed}.{encode(hmac.digest(SECRET.encode(), signed.encode(), 'sha256'))}"


class Recorder:
    """A client that keeps every message."""

    def __init__(self, server, **options):
        self.raw = RawClient(server.port, **options)
        self.messages = []

    def read(self):
        while True:
            opcode, payload = self.raw.next_frame()
            if opcode == PING:
                self.raw.send(frame(PONG, payload, mask=b"1234"))
            elif opcode == CLOSE:
                raise AssertionError(f"closed: {payload}, after {self.messages[-3:]}")
            elif opcode == TEXT:
                self.messages.append(json.loads(payload))
                return self.messages[-1]

    def read_until(self, *types, seconds=40):
        end = time.monotonic() + seconds
        while (message := self.read())["type"] not in types:
            if time.monotonic() > end:
                raise AssertionError(f"no {types} came; at last {self.messages[-3:]}")
        return message

    def ask(self, answer, type, **data):
        self.raw.send_text(json.dumps({"type": type, "id": len(self.messages), "data": data}))
        return self.read_until(answer)["data"]

    def close(self):
        self.raw.close()


def behind(server, ticks, told):
    """A client that did not read for so many ticks, and was told so. It may be further behind than meant."""
    def is_blocked():
        connections = server.stats()["connections"]
        return (connections["open"], connections["blocked"]) == (1, 1)
    for _ in range(10):
        client = Recorder(server, receive_buffer=4096)
        client.ask("SUBSCRIBED", "SUBSCRIBE", symbols="*", data_types=["trade", "depth"])
        assert wait_until(is_blocked, 30)
        server.wait_for_ticks(ticks)
        is_told = client.read_until("LAG", "GAP")["type"] == told
        client.close()
        if is_told:
            return client
    raise AssertionError(f"no {told} in ten tries")


class RealServer(unittest.TestCase):
    """Everything that it says fits, to the field; and every field of the file is seen."""

    @classmethod
    def setUpClass(cls):
        cls.messages = []
        with tempfile.TemporaryDirectory(prefix="ringcast-") as folder:
            ticks, key = pathlib.Path(folder, "ticks.csv"), pathlib.Path(folder, "key")
            ticks.write_text(STATUS_TICKS)
            key.write_text(SECRET)
            cls.hear(("--feed", "sim:symbols=20,rate=4000,types=quote+trade+bar+depth",
                      "--feed", f"replay:path={ticks},loop=yes",
                      "--frame-log-bytes", "4m", "--send-buffer-bytes", "16k"),
                     (cls.talk, cls.lag, cls.resume, cls.replay, cls.sbe, cls.drain))
            cls.hear(("--feed", "sim:symbols=20,rate=500,types=quote+trade", "--enable-auth",
                      "--jwt-secret-file", str(key), "--messages-per-second", "10"), (cls.auth,))

    @classmethod
    def hear(cls, options, sessions):
        with Server(*options) as server:
            server.wait_for_ticks(400)  # Each channel has had a frame.
            try:
                for session in sessions:
                    client = session(server)
                    cls.messages += client.messages
                    client.close()
            finally:
                server.kill()

    @staticmethod
    def talk(server):
        client = Recorder(server)
        client.read_until("WELCOME")
        client.raw.send_text(subscribe_message(["000001.SZ"], ["quote"]))
        client.read_until("SUBSCRIBED")
        client.ask("SUBSCRIBED", "SUBSCRIBE", symbols=["AAPL.US", "*.SZ", "NOSUCH", "A.X"],
                   data_types=list(DATA_TYPES))
        client.ask("SUBSCRIBED", "SUBSCRIBE", symbols=["AAPL.US", "NOSUCH"],
                   data_types=["depth"], depth=5)
        client.ask("SUBSCRIBED", "SUBSCRIBE", symbols=["AAPL.US", "NOSUCH"], data_types=["bar"],
                   bar="1s")
        client.ask("SUBSCRIBED", "SUBSCRIBE", symbols=["AAPL.US", "NOSUCH"], data_types=["quote"],
                   delivery={"mode": "conflated", "interval_ms": 100})
        client.ask("MODIFIED", "MODIFY", symbols=["AAPL.US", "*.SZ", "NOSUCH"],
                   data_types=["trade"], delivery={"on_lag": "disconnect", "max_lag_ms": 60000})
        client.ask("SUBSCRIPTIONS", "LIST")
        client.ask("SYMBOLS", "SYMBOLS", limit=1, unused=1)
        client.ask("SYMBOLS", "SYMBOLS", pattern="NOSUCH")
        client.ask("MODIFIED", "MODIFY", symbols=["AAPL.US", "*.SZ"], data_types=["trade"],
                   delivery={"on_lag": "skip", "max_lag_ms": 0})
        client.ask("PONG", "PING", t0=1.5, **{f"unused{i}": i for i in range(9)})
        client.ask("STATUS", "STATUS")
        client.ask("HEARTBEAT", "HEARTBEAT")
        client.ask("SNAPSHOT", "SNAPSHOT", symbols=["MSFT.US", "NOSUCH"], data_types=["quote"])
        # Not for a client that is behind, which this one may be.
        assert wait_until(lambda: client.ask("SNAPSHOT", "SNAPSHOT", symbols=["AAPL.US"],
                                             data_types=["depth"])["ok"])
        while "parts" not in client.read():
            pass
        for answer, message in (("ERROR", "nonsense"), ("ERROR", '{"type":"X","id":"x"}'),
                                ("ERROR", '{"type":"SUBSCRIBE","data":{"symbols":[7]}}')):
            client.raw.send_text(message)
            client.read_until(answer)
        seen = set()
        while not seen >= {*DATA_TYPES, "checksum"}:
            message = client.read()
            seen.add(message["type"])
            seen.update(message["data"])
        client.ask("UNSUBSCRIBED", "UNSUBSCRIBE", symbols=["AAPL.US", "NOSUCH"],
                   data_types=["depth"], depth=5)
        client.ask("UNSUBSCRIBED", "UNSUBSCRIBE", symbols=["AAPL.US"], data_types=["bar"], bar="1s")
        client.ask("UNSUBSCRIBED", "UNSUBSCRIBE", symbols=["AAPL.US"], data_types=["quote"],
                   delivery={"mode": "conflated", "interval_ms": 100})
        client.ask("UNSUBSCRIBED", "UNSUBSCRIBE")
        client.read_until("HEARTBEAT")  # Nobody asked for this one.
        return client

    @staticmethod
    def lag(server):
        # LAG is told as it reads again, behind by more than half of the log; GAP, by all of it.
        client = behind(server, 9000, "LAG")
        client.messages += behind(server, 24000, "GAP").messages
        return client

    @staticmethod
    def resume(server):
        client = Recorder(server)
        epoch = client.read_until("WELCOME")["data"]["epoch"]
        quotes = client.ask("SUBSCRIBED", "SUBSCRIBE", symbols="AAPL.US", data_types="quote")
        quote = quotes["ok"][0]

        def newest_trade():
            return client.ask("SUBSCRIBED", "SUBSCRIBE", symbols="AAPL.US", data_types="trade")["ok"][0]

        def subscribe_since():
            again = Recorder(server)
            answer = again.ask("SUBSCRIBED", "SUBSCRIBE", symbols="AAPL.US", data_types="trade",
                               since={"epoch": epoch, "seq": newest_trade()["next_seq"] - 1})
            client.messages += again.messages
            again.close()
            return "from" in answer["ok"][0]

        def resume_trades():
            trade = newest_trade()
            return client.ask("RESUMED", "RESUME", epoch=epoch, cursors={
                str(trade["ch"]): trade["next_seq"] - 1, str(quote["ch"]): 1, "8000": 1,
                str(quote["ch"] + 4): 10**9})["ok"]
        # The log may pass the newest frame before the message comes.
        assert wait_until(subscribe_since) and wait_until(resume_trades)
        return client

    @staticmethod
    def replay(server):
        client = Recorder(server)

        def begin(symbols, types, speed, seconds=None):
            """false: the log has passed the beginning already."""
            since = time.time_ns() - 1_500_000_000
            until = {} if seconds is None else {"to": since + seconds * 10**9}
            client.raw.send_text(json.dumps({"type": "REPLAY", "id": 1, "data": {
                "symbols": symbols, "data_types": types, "speed": speed, "from": since, **until}}))
            return client.read_until("REPLAYING", "ERROR")["type"] == "REPLAYING"

        def reaches_live_frames():
            client.ask("UNSUBSCRIBED", "UNSUBSCRIBE")
            if not begin(["AAPL.US", "NOSUCH"], ["quote", "trade"], 2):
                return False
            client.ask("SUBSCRIBED", "SUBSCRIBE", symbols="AAPL.US", data_types="quote")
            return client.read_until("END_OF_REPLAY")["data"]["ok"]
        assert wait_until(reaches_live_frames, 40)
        # So slow that the log passes it.
        assert wait_until(lambda: begin(["MSFT.US"], ["trade", "depth"], 0.1, seconds=1), 40)
        client.read_until("END_OF_REPLAY")
        client.ask("ERROR", "REPLAY", symbols="AAPL.US", data_types="bar", **{"from": 1})
        return client

    @staticmethod
    def auth(server):
        client = Recorder(server)
        client.ask("ERROR", "LIST")
        client.ask("AUTHENTICATED", "AUTH", token=token(50))
        client.read_until("NOTICE")
        client.ask("SUBSCRIBED", "SUBSCRIBE", symbols=["AAPL.US", "*"], data_types=["quote"])
        client.ask("AUTHENTICATED", "AUTH", token=token(3600, {"symbols": ["*.SZ"]}))
        client.read_until("NOTICE")
        client.ask("SUBSCRIBED", "SUBSCRIBE", symbols=["AAPL.US"], data_types=["quote"])
        client.ask("ERROR", "AUTH", token=token(-60))
        client.ask("ERROR", "AUTH", token=token(60, aud="another"))
        client.raw.send(100 * frame(TEXT, '{"type":"LIST"}'))  # in one piece: none has a second for itself
        while client.read_until("ERROR")["data"]["code"] != 111:
            pass
        return client

    @staticmethod
    def sbe(server):
        client = Recorder(server, extra="Sec-WebSocket-Protocol: md.sbe.v1\r\n")
        client.raw.send_text(subscribe_message(["*"], ["trade"]))
        client.read_until("DEFINITION")
        client.raw.send_text(subscribe_message(["AAPL.US"], ["depth"], depth=5))
        client.read_until("DEFINITION")
        client.raw.send_text(subscribe_message(["AAPL.US"], ["bar"], bar="5m"))
        client.read_until("DEFINITION")
        client.raw.send_text(subscribe_message(["AAPL.US"], ["quote"], delivery={
            "mode": "conflated", "interval_ms": 500}))
        client.read_until("DEFINITION")
        client.ask("STATUS", "STATUS")
        return client

    @staticmethod
    def drain(server):
        client = Recorder(server)
        client.ask("SUBSCRIBED", "SUBSCRIBE", symbols="AAPL.US", data_types="trade")
        server.signal(15)
        client.read_until("NOTICE")
        return client

    def test_every_message_fits_to_the_field(self):
        server = asyncapi.Messages("server")
        told = set()
        for message in self.messages:
            self.assertEqual(server.faults(message), [], message)
            told.add(message["type"])
        self.assertEqual(told, set(server.schemas))

    def test_every_field_of_the_file_was_seen(self):
        server = asyncapi.Messages("server", is_closed=False)
        named, seen = set(), set()
        for kind, validator in server.schemas.items():
            named.update(fields_of_schema(server.document, validator.schema, kind))
        for message in self.messages:
            seen.update(fields_of_message(message, message["type"]))
        seen_somewhere = {merged(path) for path in seen}
        self.assertEqual([path for path in sorted(named - seen - NOT_SEEN)
                          if merged(path) not in seen_somewhere], [])
        self.assertGreater(len(named & seen), 150)

    def test_a_closed_schema_finds_what_is_wrong(self):
        server = asyncapi.Messages("server")
        quote = next(message for message in self.messages if message["type"] == "quote")
        self.assertEqual(server.faults(quote), [])
        for damage in ({"seq": 0}, {"seq": "1"}, {"ch": -1}, {"colour": "blue"},
                       {"ts_pub": None}, {"data": {"last": "1.5"}},
                       {"data": {"bids": [[1.5, 2, 3]]}}, {"data": {"lust": 1.5}},
                       {"type": "quota"}):
            self.assertNotEqual(server.faults({**quote, **damage}), [], damage)
        for field in ("symbol", "ch", "seq", "ts_recv", "ts_pub", "data"):
            self.assertNotEqual(server.faults({key: value for key, value in quote.items()
                                               if key != field}), [], field)


NAMES = {"symbols": ["AAPL.US"], "data_types": ["trade"]}
TIME = 10 ** 18 + 2 ** 60  # Still to come.
GOOD = (
    {"type": "SUBSCRIBE", "data": NAMES},
    {"type": "SUBSCRIBE", "id": "x" * 64, "data": {"symbols": "*", "data_types": "quote"}},
    {"type": "SUBSCRIBE", "data": {**NAMES, "snapshot": False, "delivery": {
        "mode": "all", "on_lag": "skip", "max_lag_ms": 60000}}},
    {"type": "SUBSCRIBE", "data": {"symbols": ["AAPL.US"], "data_types": ["bar"], "bar": "5m"}},
    {"type": "SUBSCRIBE", "data": {"symbols": ["AAPL.US"], "data_types": ["depth"], "depth": 50,
                                   "delivery": {"mode": "conflated", "interval_ms": 5000}}},
    {"type": "SUBSCRIBE", "data": {**NAMES, "since": {"epoch": "e", "seq": 0}}},
    {"type": "MODIFY", "data": {**NAMES, "delivery": {"on_lag": "disconnect"}}},
    {"type": "MODIFY", "data": {**NAMES, "delivery": {"max_lag_ms": 0}}},
    {"type": "MODIFY", "data": {"symbols": "AAPL.US", "data_types": "depth", "depth": 5,
                                "delivery": {"max_lag_ms": 9}}},
    {"type": "SNAPSHOT", "data": NAMES},
    {"type": "AUTH", "data": {"token": TOKEN}},
    {"type": "REPLAY", "data": {"symbols": "MSFT.US", "data_types": ["quote"], "from": 0, "to": 1,
                                "speed": 1000}},
    {"type": "REPLAY", "data": {"symbols": ["MSFT.US", "AAPL.US"], "data_types": ["quote", "trade"],
                                "from": TIME, "speed": 0.5}},
    {"type": "REPLAY", "data": {"symbols": "MSFT.US", "data_types": "depth", "depth": 5,
                                "from": TIME, "to": TIME, "delivery": {"on_lag": "skip"}}},
    {"type": "RESUME", "data": {"epoch": "e", "cursors": {"0": 0}}},
    {"type": "LIST", "id": -7}, {"type": "LIST", "id": 1.5}, {"type": "LIST", "id": 2**64 - 1}, {"type": "STATUS"}, {"type": "HEARTBEAT"},
    {"type": "SYMBOLS"}, {"type": "SYMBOLS", "data": {}},
    {"type": "SYMBOLS", "data": {"pattern": "*A*.*U*", "after": "", "limit": 1000}},
    {"type": "SYMBOLS", "data": {"pattern": "AAPL.US", "after": "x" * 32, "limit": 1}},
    {"type": "PING"}, {"type": "PING", "data": {"t0": 1.5}}, {"type": "PING", "data": {"t0": "x"}},
    {"type": "UNSUBSCRIBE", "data": NAMES}, {"type": "UNSUBSCRIBE", "data": {"data_types": "bar"}},
    {"type": "UNSUBSCRIBE"},
)
BAD = (
    {"type": "NONSENSE"}, {"type": 7}, {"id": 1},
    {"type": "PING", "id": True}, {"type": "PING", "id": "x" * 65}, {"type": "PING", "data": 7},
    {"type": "PING", "data": {"t0": []}}, {"type": "PING", "data": {"t0": "x" * 65}},
    {"type": "SUBSCRIBE"}, {"type": "SUBSCRIBE", "data": {"symbols": ["A"]}},
    {"type": "SUBSCRIBE", "data": {"data_types": ["quote"]}},
    {"type": "SUBSCRIBE", "data": {**NAMES, "symbols": []}},
    {"type": "SUBSCRIBE", "data": {**NAMES, "symbols": ["A"] * 1001}},
    {"type": "SUBSCRIBE", "data": {**NAMES, "symbols": [7]}},
    {"type": "SUBSCRIBE", "data": {**NAMES, "data_types": ["news"]}},
    {"type": "SUBSCRIBE", "data": {**NAMES, "data_types": []}},
    {"type": "SUBSCRIBE", "data": {**NAMES, "snapshot": 1}},
    {"type": "SUBSCRIBE", "data": {**NAMES, "data_types": "depth", "depth": 7}},
    {"type": "SUBSCRIBE", "data": {**NAMES, "data_types": "bar", "bar": "2m"}},
    {"type": "SUBSCRIBE", "data": {**NAMES, "delivery": []}},
    {"type": "SUBSCRIBE", "data": {**NAMES, "delivery": {"mode": "some"}}},
    {"type": "SUBSCRIBE", "data": {**NAMES, "delivery": {"mode": "conflated"}}},
    {"type": "SUBSCRIBE", "data": {**NAMES, "delivery": {"interval_ms": 100}}},
    {"type": "SUBSCRIBE", "data": {**NAMES, "delivery": {"mode": "conflated", "interval_ms": 7}}},
    {"type": "SUBSCRIBE", "data": {**NAMES, "delivery": {"on_lag": "wait"}}},
    {"type": "SUBSCRIBE", "data": {**NAMES, "delivery": {"max_lag_ms": -1}}},
    {"type": "SUBSCRIBE", "data": {**NAMES, "delivery": {"max_lag_ms": 60001}}},
    {"type": "SUBSCRIBE", "data": {**NAMES, "since": {"seq": 1}}},
    {"type": "SUBSCRIBE", "data": {**NAMES, "since": {"epoch": "e"}}},
    {"type": "SUBSCRIBE", "data": {**NAMES, "since": {"epoch": "e", "seq": -1}}},
    {"type": "MODIFY", "data": NAMES}, {"type": "MODIFY", "data": {**NAMES, "delivery": {}}},
    {"type": "SNAPSHOT"}, {"type": "AUTH"}, {"type": "AUTH", "data": {"token": 7}},
    {"type": "REPLAY", "data": NAMES}, {"type": "REPLAY", "data": {"from": 1}},
    {"type": "REPLAY", "data": {**NAMES, "from": -1}}, {"type": "REPLAY", "data": {**NAMES, "from": 1.5}},
    {"type": "REPLAY", "data": {**NAMES, "from": 1, "to": TIME}},
    {"type": "REPLAY", "data": {**NAMES, "from": TIME, "to": 10 ** 15 - 1}},
    {"type": "REPLAY", "data": {**NAMES, "from": 1, "speed": 1001}},
    {"type": "REPLAY", "data": {**NAMES, "from": 1, "speed": "1"}},
    {"type": "REPLAY", "data": {"symbols": ["A", "B"], "data_types": "trade", "from": 10 ** 15 - 1}},
    {"type": "REPLAY", "data": {"symbols": "A", "data_types": ["trade", "bar"], "from": 1}},
    {"type": "RESUME"}, {"type": "RESUME", "data": {"epoch": "e"}},
    {"type": "RESUME", "data": {"epoch": "e", "cursors": {"0": 1}, "delivery": {
        "mode": "conflated", "interval_ms": 100}}},
    {"type": "RESUME", "data": {"cursors": {"0": 1}}},
    {"type": "RESUME", "data": {"epoch": "e", "cursors": {}}},
    {"type": "RESUME", "data": {"epoch": "e", "cursors": {"x": 1}}},
    {"type": "RESUME", "data": {"epoch": "e", "cursors": {"0": 1, "00": 2}}},
    {"type": "RESUME", "data": {"epoch": "e", "cursors": {"1.0": 2}}},
    {"type": "RESUME", "data": {"epoch": "e", "cursors": {"0": -1}}},
    {"type": "RESUME", "data": {"epoch": "e", "cursors": {str(i): 1 for i in range(1001)}}},
    {"type": "SYMBOLS", "data": []}, {"type": "SYMBOLS", "data": {"pattern": 7}},
    {"type": "SYMBOLS", "data": {"pattern": ""}}, {"type": "SYMBOLS", "data": {"pattern": "*" * 5}},
    {"type": "SYMBOLS", "data": {"pattern": "x" * 33}}, {"type": "SYMBOLS", "data": {"pattern": "*" + "x" * 36}},
    {"type": "SYMBOLS", "data": {"after": 7}}, {"type": "SYMBOLS", "data": {"after": "x" * 33}},
    {"type": "SYMBOLS", "data": {"limit": 0}}, {"type": "SYMBOLS", "data": {"limit": 1001}},
    {"type": "SYMBOLS", "data": {"limit": "1"}},
    {"type": "UNSUBSCRIBE", "data": {"symbols": ["A"]}},
    {"type": "UNSUBSCRIBE", "data": {"depth": 5}},
)


def write_tokens(file):
    json.dump({"tokens": [{"name": "test", "token": TOKEN}]}, file)
    file.flush()
    return file.name


class Requests(unittest.TestCase):
    def test_the_server_and_the_file_take_and_refuse_the_same(self):
        schemas = asyncapi.Messages("client")
        used = set()
        with tempfile.NamedTemporaryFile("w", prefix="ringcast-") as tokens, \
                Server("--feed", "sim:symbols=20,rate=500,types=quote+trade+bar+depth",
                       "--enable-auth", "--tokens-file", write_tokens(tokens)) as server, \
                RawClient(server.port, extra=f"Authorization: Bearer {TOKEN}\r\n") as client:
            server.wait_for_ticks(100)  # Each channel has had a frame.
            client.next_message(("WELCOME",))
            for is_good, messages in ((True, GOOD), (False, BAD)):
                for message in messages:
                    with self.subTest(message):
                        faults = schemas.faults(message)
                        answer = client.ask(message, None)
                        while answer["type"] in (*DATA_TYPES, "GAP", "END_OF_REPLAY") or (
                                answer["type"] == "HEARTBEAT" != message.get("type")):
                            answer = client.next_message()
                        self.assertEqual(faults == [], is_good, faults)
                        self.assertEqual(answer["type"] != "ERROR", is_good, answer)
                        if answer["type"] == "REPLAYING" and answer["data"]["ok"]:
                            client.next_message(("END_OF_REPLAY",))  # No other one may begin before it.
                        used.add(message.get("type"))
        self.assertLessEqual(set(schemas.schemas), used)


if __name__ == "__main__":
    unittest.main()
