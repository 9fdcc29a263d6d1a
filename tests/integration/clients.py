"""WebSocket clients for the tests: one that obeys, and raw ones that may do anything.

Nothing here uses ringcast's own code: framing, masking and the handshake are written out again.
"""
import asyncio
import base64
import collections
import hashlib
import json
import os
import socket
import struct
import threading
import time

import websockets

import tls_files
from server import tls_ports

GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
COMPRESSED = 0x40  # RSV1
DATA_TYPES = ("quote", "trade", "bar", "depth", "status")
ALL_TYPES = ("quote", "trade", "bar", "depth")


def frame(opcode, payload=b"", fin=True, reserved=0, mask=b"\x37\xfa\x21\x3d", length=None):
    """A client's frame. mask None: unmasked. length: what the header says, if not the truth."""
    if isinstance(payload, str):
        payload = payload.encode()
    length = len(payload) if length is None else length
    head = bytes([(0x80 if fin else 0) | reserved << 4 | opcode])
    bit = 0 if mask is None else 0x80
    if length < 126:
        head += bytes([bit | length])
    elif length < 1 << 16:
        head += bytes([bit | 126]) + struct.pack(">H", length)
    else:
        head += bytes([bit | 127]) + struct.pack(">Q", length)
    if mask is None:
        return head + payload
    key = (mask * (len(payload) // 4 + 1))[:len(payload)]
    masked = (int.from_bytes(payload, "big") ^ int.from_bytes(key, "big")).to_bytes(
        len(payload), "big")
    return head + mask + masked


def request(path="/", method="GET", version="13", key="dGhlIHNhbXBsZSBub25jZQ==", extra="",
            host="localhost"):
    lines = [f"{method} {path} HTTP/1.1", f"Host: {host}", "Upgrade: websocket",
             "Connection: Upgrade"]
    if key is not None:
        lines.append(f"Sec-WebSocket-Key: {key}")
    if version is not None:
        lines.append(f"Sec-WebSocket-Version: {version}")
    return ("\r\n".join(lines) + "\r\n" + extra + "\r\n").encode()


def accept_of(key):
    return base64.b64encode(hashlib.sha1(key.encode() + GUID).digest()).decode()


def subscribe_message(symbols, types, id=None, **data):
    message = {"type": "SUBSCRIBE", "data": {"symbols": list(symbols), "data_types": list(types),
                                             **data}}
    if id is not None:
        message["id"] = id
    return json.dumps(message)


class FrameParser:
    """Server frames out of a byte stream. Whatever RFC 6455 forbids a server raises.

    reserved: COMPRESSED where permessage-deflate was agreed on; the opcodes of such messages have it, too.
    """

    def __init__(self, reserved=0):
        self.buffer = bytearray()
        self.reserved = reserved

    def feed(self, data):
        self.buffer += data
        frames = []
        at = 0
        view = self.buffer
        while len(view) - at >= 2:
            first, second = view[at], view[at + 1]
            if first & 0x70 & ~self.reserved or not first & 0x80:
                raise AssertionError(f"torn stream: byte {first:#x} begins no whole frame")
            if first & 15 not in (TEXT, BINARY, CLOSE, PING, PONG) or second & 0x80:
                raise AssertionError(f"torn stream: {bytes(view[at:at + 16])!r}")
            length, head = second & 0x7f, 2
            if length == 126:
                head = 4
                if len(view) - at < 4:
                    break
                length = struct.unpack_from(">H", view, at + 2)[0]
            elif length == 127:
                head = 10
                if len(view) - at < 10:
                    break
                length = struct.unpack_from(">Q", view, at + 2)[0]
            if len(view) - at < head + length:
                break
            frames.append((first & (15 | self.reserved), bytes(view[at + head:at + head + length])))
            at += head + length
        del self.buffer[:at]
        return frames


class Tracker:
    """Checks that each channel's seqs are contiguous but for what GAPs and conflation explain."""

    def __init__(self, conflated_types=()):
        self.conflated_types = conflated_types
        self.next_seq = {}
        self.first_seq = {}
        self.names = {}
        self.types = {}
        self.counts = collections.Counter()
        self.lost = collections.Counter()
        self.passed_over = collections.Counter()
        self.gaps = []
        self.faults = []
        self.controls = []
        self.epochs = set()
        self.latencies = []
        self.frames = 0

    def on_text(self, payload):
        message = json.loads(payload)
        if message["type"] in DATA_TYPES:
            self.on_data(message)
        else:
            self.on_control(message)
        return message

    def on_data(self, message):
        channel, seq = message["ch"], message["seq"]
        name = (message["symbol"], message["type"])
        if self.names.setdefault(channel, name) != name:
            self.faults.append(f"channel {channel} was {self.names[channel]}, now {name}")
        due = self.next_seq.get(channel)
        if due is None:
            self.first_seq[channel] = seq
        elif seq < due:
            self.faults.append(f"{name} seq {seq} came again, {due} was due")
        elif seq > due and message["type"] in self.conflated_types:
            self.passed_over[channel] += seq - due
        elif seq > due:
            self.faults.append(f"{name} seq {due}..{seq - 1} is missing and no GAP told it")
        self.next_seq[channel] = seq + 1
        self.counts[channel] += 1
        self.frames += 1
        self.latencies.append(time.time_ns() - message["ts_pub"])

    def on_control(self, message):
        data = message.get("data", {})
        if "epoch" in data:
            self.epochs.add(data["epoch"])
        self.controls.append(message)
        if message["type"] == "GAP":
            self.on_gap(data)

    def on_gap(self, gap):
        channel = gap["ch"]
        due = self.next_seq.get(channel)
        self.gaps.append(gap)
        if gap["to"] < gap["from"]:
            self.faults.append(f"GAP ends before it begins: {gap}")
        if due is not None and gap["from"] != due:
            self.faults.append(f"GAP {gap} does not begin at {due}, which was due")
        self.first_seq.setdefault(channel, gap["from"])
        self.next_seq[channel] = gap["to"] + 1
        self.lost[channel] += gap["to"] - gap["from"] + 1

    def of_type(self, kind):
        return [control for control in self.controls if control["type"] == kind]


class RawClient:
    """A blocking client. address: a port, a host and a port, or the path of a Unix socket. first: what it sends
    before all else, TLS included. tls: the context with which it speaks TLS; session: one that it resumes."""

    def __init__(self, address, path="/", upgrade=True, receive_buffer=None, timeout=10, extra="", first=b"",
                 tls=None, session=None):
        if isinstance(address, int):
            address = ("127.0.0.1", address)
        if isinstance(address, tuple):
            self.socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
            target = address
        else:
            self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            target = str(address)
        if receive_buffer is not None:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.settimeout(timeout)
        self.timeout = timeout
        self.socket.connect(target)
        if isinstance(address, tuple):
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.send(first)
        if tls is None and isinstance(address, tuple) and address[1] in tls_ports:
            tls = tls_files.client_context()
        if tls is not None:
            self.socket = tls.wrap_socket(self.socket, server_hostname="localhost", session=session)
        self.parser = FrameParser()
        self.frames = collections.deque()
        self.head = None
        if upgrade:
            key = base64.b64encode(os.urandom(16)).decode()
            self.send(request(path, key=key, extra=extra))
            status = self.read_head()
            if status != 101:
                raise ConnectionError(f"upgrade refused: {self.head!r}")
            assert f"sec-websocket-accept: {accept_of(key)}".lower() in self.head.lower(), self.head

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.socket.close()

    def reset(self):
        """Closes with RST."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()

    def send(self, data):
        self.socket.sendall(data)

    def send_text(self, text):
        self.send(frame(TEXT, text, mask=os.urandom(4)))

    def read_head(self):
        """Reads an HTTP answer's head; returns its status."""
        data = b""
        while b"\r\n\r\n" not in data:
            piece = self.socket.recv(4096)
            if not piece:
                raise ConnectionError(f"closed before the end of the answer's head: {data!r}")
            data += piece
        head, rest = data.split(b"\r\n\r\n", 1)
        self.head = head.decode("latin-1")
        self.rest = rest
        status = int(self.head.split()[1])
        if status == 101:
            if "permessage-deflate" in self.head:
                self.parser.reserved = COMPRESSED
            self.frames.extend(self.parser.feed(rest))
        return status

    def header(self, name):
        for line in self.head.split("\r\n")[1:]:
            key, _, value = line.partition(":")
            if key.lower() == name.lower():
                return value.strip()
        return None

    def read_body(self):
        """Everything to the end of the connection."""
        data = self.rest
        while True:
            try:
                piece = self.socket.recv(4096)
            except ConnectionResetError:
                return data.decode()
            if not piece:
                return data.decode()
            data += piece

    def next_frame(self, timeout=None):
        """(opcode, payload), or None at the end of the stream."""
        deadline = time.monotonic() + (self.timeout if timeout is None else timeout)
        while not self.frames:
            left = deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError("no frame came in time")
            self.socket.settimeout(left)
            try:
                data = self.socket.recv(65536)
            except ConnectionResetError:
                return None
            finally:
                self.socket.settimeout(self.timeout)
            if not data:
                return None
            self.frames.extend(self.parser.feed(data))
        return self.frames.popleft()

    def next_message(self, types=None, timeout=None, tracker=None):
        """The next JSON message (of the given types); pings are answered on the way."""
        deadline = time.monotonic() + (self.timeout if timeout is None else timeout)
        while True:
            got = self.next_frame(max(0.0, deadline - time.monotonic()))
            if got is None:
                raise ConnectionError("the server ended the connection")
            opcode, payload = got
            if opcode == PING:
                self.send(frame(PONG, payload))
            elif opcode == CLOSE:
                raise ConnectionError(f"closed: {close_of(payload)}")
            elif opcode == TEXT:
                message = tracker.on_text(payload) if tracker else json.loads(payload)
                if types is None or message["type"] in types:
                    return message

    def ask(self, message, answer_types, timeout=None):
        self.send_text(message if isinstance(message, str) else json.dumps(message))
        return self.next_message(answer_types, timeout)

    def subscribe(self, symbols, types, timeout=None, **data):
        return self.ask(subscribe_message(symbols, types, **data), ("SUBSCRIBED", "ERROR"), timeout)

    def wait_for_close(self, timeout=None):
        """(code, reason) of the server's Close frame, or (None, "") when it just hung up."""
        deadline = time.monotonic() + (self.timeout if timeout is None else timeout)
        while True:
            got = self.next_frame(max(0.0, deadline - time.monotonic()))
            if got is None:
                return None, ""
            if got[0] == CLOSE:
                return close_of(got[1])

    def wait_for_end(self, timeout=None):
        """Reads until the server hangs up."""
        while self.next_frame(timeout) is not None:
            pass


def close_of(payload):
    if len(payload) < 2:
        return 1005, ""
    return struct.unpack(">H", payload[:2])[0], payload[2:].decode()


class HealthyClient(threading.Thread):
    """Python websockets on a thread: subscribes to everything, checks every seq, notes latencies.

    It stands next to each client that misbehaves, and must not notice. Nothing is conflated for it
    when this program stands still: what it missed then is in the log.
    """

    def __init__(self, url, types=ALL_TYPES, symbols=("*",), unix=None, tls=None):
        """tls: the context of a wss:// URL, if it is not the system's."""
        super().__init__(daemon=True)
        self.url, self.types, self.symbols, self.unix, self.tls = url, types, symbols, unix, tls
        self.tracker = Tracker()
        self.ended = None
        self.stopping = False
        self.ready = threading.Event()

    def run(self):
        try:
            asyncio.run(self._follow())
        except websockets.ConnectionClosed as error:
            self.ended = f"closed: {error.code} {error.reason}"
        except Exception as error:  # The test reports it.
            self.ended = repr(error)
        self.ready.set()

    async def _follow(self):
        options = dict(max_queue=None, ping_interval=None, compression=None, open_timeout=20)
        if self.tls is not None:
            options["ssl"] = self.tls
        connection = (websockets.unix_connect(self.unix, self.url, **options) if self.unix
                      else websockets.connect(self.url, **options))
        async with connection as client:
            await client.send(subscribe_message(self.symbols, self.types,
                                                delivery={"on_lag": "skip"}))
            while not self.stopping:
                try:
                    text = await asyncio.wait_for(client.recv(), 0.5)
                except asyncio.TimeoutError:
                    continue
                if self.tracker.on_text(text)["type"] == "SUBSCRIBED":
                    self.ready.set()

    def __enter__(self):
        self.start()
        assert self.ready.wait(20), "the healthy client could not subscribe within 20 s"
        assert self.ended is None, self.ended
        return self

    def __exit__(self, *_):
        self.stopping = True
        self.join(10)

    def check(self, case, frames=20, seconds=30):
        """It still gets frames, and never missed one."""
        goal = self.tracker.frames + frames
        deadline = time.monotonic() + seconds
        while self.tracker.frames < goal and self.ended is None and time.monotonic() < deadline:
            time.sleep(0.02)
        case.assertIsNone(self.ended, "the healthy client was disturbed")
        case.assertEqual(self.tracker.faults, [], "the healthy client was disturbed")
        case.assertEqual(self.tracker.gaps, [], "the healthy client lost frames")
        case.assertGreaterEqual(self.tracker.frames, goal,
                                f"the healthy client was starved: {self.latency_text()}")

    def latency_text(self):
        latencies = sorted(self.tracker.latencies)
        if not latencies:
            return "no frames"
        return (f"{len(latencies)} frames, latency p50 {latencies[len(latencies) // 2] / 1e6:.2f} ms,"
                f" p99 {latencies[len(latencies) * 99 // 100] / 1e6:.2f} ms,"
                f" max {latencies[-1] / 1e6:.2f} ms")


class CollectingClient(asyncio.Protocol):
    """One of many: keeps what comes, checks nothing. await `connect`, then read `frames`."""

    def __init__(self, subscription):
        self.subscription = subscription
        self.head = bytearray()
        self.parser = FrameParser()
        self.frames = []
        self.upgraded = False
        self.closed = False
        self.keep = True

    @classmethod
    async def connect(cls, port, subscription, unix=None):
        loop = asyncio.get_running_loop()
        if unix:
            _, client = await loop.create_unix_connection(lambda: cls(subscription), str(unix))
        else:
            context = tls_files.client_context() if port in tls_ports else None
            _, client = await loop.create_connection(lambda: cls(subscription), "127.0.0.1", port,
                                                     ssl=context)
        return client

    def connection_made(self, transport):
        self.transport = transport
        transport.write(request() + frame(TEXT, self.subscription))

    def data_received(self, data):
        if not self.upgraded:
            self.head += data
            end = self.head.find(b"\r\n\r\n")
            if end < 0:
                return
            assert self.head.startswith(b"HTTP/1.1 101 "), bytes(self.head[:200])
            self.upgraded = True
            data = bytes(self.head[end + 4:])
        for opcode, payload in self.parser.feed(data):
            if opcode == PING:
                self.transport.write(frame(PONG, payload))
            elif opcode == CLOSE:
                self.closed = close_of(payload)
            elif self.keep:
                self.frames.append(payload)

    def connection_lost(self, error):
        self.closed = self.closed or True
