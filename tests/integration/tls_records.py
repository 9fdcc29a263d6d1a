"""A TLS client that may send any record: Python's ssl does the handshake, and its key log has the secrets.

    client = RecordClient(server.tls_port, "1.3")
    client.send(client.seal(KEY_UPDATE, b""), client.seal(DATA, request()))
    client.next_alert()

The record layers of TLS 1.2 and 1.3 are written out again here, after RFC 8446, 5246, 5288 and 7905.
"""
import hashlib
import hmac
import pathlib
import socket
import ssl
import struct
import tempfile
import unittest

import tls_files

try:
    from cryptography.hazmat.primitives.ciphers import aead
except ImportError:
    aead = None

CHANGE_CIPHER_SPEC, ALERT, HANDSHAKE, DATA, HEARTBEAT = 20, 21, 22, 23, 24
CLOSE_NOTIFY, UNEXPECTED_MESSAGE, BAD_RECORD_MAC, RECORD_OVERFLOW, HANDSHAKE_FAILURE = 0, 10, 20, 22, 40
NO_RENEGOTIATION = 100
KEY_UPDATE, KEY_UPDATE_THAT_ASKS = b"\x18\0\0\x01\0", b"\x18\0\0\x01\x01"
VERSIONS = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}


def expand(digest, secret, label, length):
    """HKDF-Expand-Label without a context, of one block."""
    label = b"tls13 " + label
    info = struct.pack(">HB", length, len(label)) + label + b"\0\x01"
    return hmac.digest(secret, info, digest)[:length]


def prf(digest, secret, label, seed, length):
    """Of TLS 1.2."""
    out, block = b"", label + seed
    while len(out) < length:
        block = hmac.digest(secret, block, digest)
        out += hmac.digest(secret, block + label + seed, digest)
    return out[:length]


class Keys:
    """Of one direction."""

    def __init__(self, version, cipher, key, iv, sequence, secret=None):
        self.version, self.cipher, self.key, self.iv = version, cipher, key, iv
        self.sequence, self.secret = sequence, secret
        self.has_explicit = len(iv) == 4
        kind = aead.ChaCha20Poly1305 if "CHACHA20" in cipher else aead.AESGCM
        self.aead = kind(key)

    @classmethod
    def of_secret(cls, cipher, secret):
        digest = digest_of(cipher)
        return cls("1.3", cipher, expand(digest, secret, b"key", key_bytes(cipher)), expand(digest, secret, b"iv", 12), 0,
                   secret)

    def updated(self):
        digest = digest_of(self.cipher)
        return Keys.of_secret(self.cipher, expand(digest, self.secret, b"traffic upd", len(self.secret)))

    def nonce(self, explicit):
        if self.has_explicit:
            return self.iv + explicit
        return (int.from_bytes(self.iv, "big") ^ self.sequence).to_bytes(12, "big")

    def seal(self, kind, plain, padding=0, version=b"\x03\x03"):
        if self.version == "1.3":
            plain = plain + bytes([kind]) + bytes(padding)
            head = b"\x17" + version + struct.pack(">H", len(plain) + 16)
            sealed = self.aead.encrypt(self.nonce(b""), plain, head)
        else:
            explicit = struct.pack(">Q", self.sequence) if self.has_explicit else b""
            known = struct.pack(">QB", self.sequence, kind) + version + struct.pack(">H", len(plain))
            sealed = explicit + self.aead.encrypt(self.nonce(explicit), plain, known)
            head = bytes([kind]) + version + struct.pack(">H", len(sealed))
        self.sequence += 1
        return head + sealed

    def open(self, record):
        """(type, plaintext)"""
        head, body = record[:5], record[5:]
        if self.version == "1.3":
            plain = self.aead.decrypt(self.nonce(b""), body, head).rstrip(b"\0")
            kind, plain = plain[-1], plain[:-1]
        else:
            explicit, body = (body[:8], body[8:]) if self.has_explicit else (b"", body)
            known = struct.pack(">Q", self.sequence) + head[:3] + struct.pack(">H", len(body) - 16)
            kind, plain = head[0], self.aead.decrypt(self.nonce(explicit), body, known)
        self.sequence += 1
        return kind, plain


def digest_of(cipher):
    return hashlib.sha384 if cipher.endswith("SHA384") else hashlib.sha256


def key_bytes(cipher):
    return 16 if "128" in cipher else 32


class RecordClient:
    """Its handshake has finished. tx and rx are its Keys."""

    def __init__(self, port, version="1.3", ciphers=None, timeout=30, first=b""):
        if aead is None:
            raise unittest.SkipTest("SKIPPED: python3-cryptography is not installed")
        self.version = version
        self.socket = socket.create_connection(("127.0.0.1", port), timeout)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.sendall(first)
        context = tls_files.client_context()
        context.minimum_version = context.maximum_version = VERSIONS[version]
        if ciphers is not None:
            context.set_ciphers(ciphers)
        with tempfile.TemporaryDirectory(prefix="ringcast-") as folder:
            log = pathlib.Path(folder) / "keys"
            context.keylog_filename = log
            self._shake_hands(context)
            del context
            lines = [line.split() for line in log.read_text().splitlines() if not line.startswith("#")]
        self.secrets = {label: bytes.fromhex(secret) for label, _, secret in lines}
        self.client_random = bytes.fromhex(lines[0][1])
        self._derive()

    def _shake_hands(self, context):
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = context.wrap_bio(incoming, outgoing, server_hostname="localhost")
        seen = b""
        while True:
            try:
                tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                self.socket.sendall(outgoing.read())
                piece = self.socket.recv(65536)
                if not piece:
                    raise ConnectionError("the server ended the handshake") from None
                seen += piece
                incoming.write(piece)
        self.socket.sendall(outgoing.read())
        self.buffer = incoming.read()
        self.server_random = seen[11:43]
        self.cipher = tls.cipher()[0]

    def _derive(self):
        if self.version == "1.3":
            self.tx, self.rx = (Keys.of_secret(self.cipher, self.secrets[f"{side}_TRAFFIC_SECRET_0"])
                                for side in ("CLIENT", "SERVER"))
            return
        key, iv = key_bytes(self.cipher), 12 if "CHACHA20" in self.cipher else 4
        block = prf(digest_of(self.cipher), self.secrets["CLIENT_RANDOM"], b"key expansion",
                    self.server_random + self.client_random, 2 * (key + iv))
        ends = [key, 2 * key, 2 * key + iv, 2 * key + 2 * iv]
        self.tx = Keys("1.2", self.cipher, block[:ends[0]], block[ends[1]:ends[2]], 1)
        self.rx = Keys("1.2", self.cipher, block[ends[0]:ends[1]], block[ends[2]:ends[3]], 1)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def seal(self, kind, plain, **more):
        return self.tx.seal(kind, plain, **more)

    def send(self, *records):
        self.socket.sendall(b"".join(records))

    def send_data(self, data):
        self.send(self.seal(DATA, data))

    def _read(self, count):
        """None: the stream ends before."""
        while len(self.buffer) < count:
            try:
                piece = self.socket.recv(65536)
            except ConnectionResetError:
                return None
            if not piece:
                return None
            self.buffer += piece
        data, self.buffer = self.buffer[:count], self.buffer[count:]
        return data

    def next_record(self):
        """(type, plaintext), or None at the end. Keys follow the server's KeyUpdates."""
        head = self._read(5)
        body = None if head is None else self._read(struct.unpack(">H", head[3:])[0])
        if body is None:
            return None
        kind, plain = self.rx.open(head + body)
        if self.version == "1.3" and kind == HANDSHAKE and plain[0] == KEY_UPDATE[0]:
            self.rx = self.rx.updated()
        return kind, plain

    def next_of(self, wanted):
        """The plaintext of the next record of this type, or None at the end."""
        while True:
            record = self.next_record()
            if record is None:
                return None
            if record[0] == wanted:
                return record[1]

    def next_alert(self):
        """Its number; None: the server ended without one."""
        alert = self.next_of(ALERT)
        return None if alert is None else alert[1]

    def read_until(self, text):
        data = b""
        while text not in data:
            piece = self.next_of(DATA)
            if piece is None:
                raise ConnectionError(f"it ended after {data!r}")
            data += piece
        return data
