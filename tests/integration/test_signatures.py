"""Tokens whose signatures are wrong, as many as come, and those who must not notice.

A signature costs the core 0.1 ms. What is checked is how many units of work a turn spent on them and
how many there were, not how long anything took.
"""
import json
import os
import pathlib
import select
import socket
import subprocess
import sys
import tempfile
import threading
import time
import unittest

from clients import TEXT, RawClient, frame, request
from server import Server, reap, spawn, wait_until
from test_jwt_keys import PEM, encode, sign, token

EDDSA_UNITS = 4000  # of one check; a turn has room for one of a handshake and one of an AUTH
AT_ONCE = 100
WRONG = encode(sign(b"another text"))  # well-formed, so that all of the check is done
FEED = ("--feed", "sim:symbols=20,rate=500")


def bearer(text):
    return f"Authorization: Bearer {text}\r\n"


def wrong_token():
    """Each another one."""
    claims = {"exp": int(time.time()) + 600, "ringcast": {}, "jti": os.urandom(8).hex()}
    signed = ".".join(encode(json.dumps(part).encode()) for part in ({"alg": "EdDSA"}, claims))
    return f"{signed}.{WRONG}"


class Flood:
    """A connection after the other from one address each, with a wrong token in the request or in an
    AUTH. The server ends each of them."""

    def __init__(self, port, number, by_auth):
        self.socket = socket.socket()
        self.socket.bind((f"127.0.0.{2 + number % 200}", 0))
        self.socket.connect(("127.0.0.1", port))
        if by_auth:
            auth = json.dumps({"type": "AUTH", "data": {"token": wrong_token()}})
            self.socket.sendall(request() + frame(TEXT, auth))
        else:
            self.socket.sendall(request(extra=bearer(wrong_token())))
        self.socket.setblocking(False)

    def fileno(self):
        return self.socket.fileno()

    def has_ended(self):
        try:
            return not self.socket.recv(65536)
        except ConnectionError:
            return True


def flood(port, kind, count):
    floods = [Flood(port, number, kind == "auth") for number in range(count)]
    while True:
        readable, _, _ = select.select(floods, [], [], 1)
        for one in readable:
            if one.has_ended():
                one.socket.close()
                place = floods.index(one)
                floods[place] = Flood(port, place, kind == "auth")


class Attack:
    """A flood as a process, as long as the block lasts."""

    def __init__(self, server, kind):
        self.arguments = [sys.executable, str(pathlib.Path(__file__)), str(server.port), kind, str(AT_ONCE)]

    def __enter__(self):
        self.process = spawn(self.arguments, stdin=subprocess.DEVNULL)
        return self

    def __exit__(self, *_):
        assert self.process.poll() is None, "the flood gave up"
        reap(self.process)


class Signatures(unittest.TestCase):
    def start(self, *options):
        folder = tempfile.TemporaryDirectory(prefix="ringcast-")
        self.addCleanup(folder.cleanup)
        key = pathlib.Path(folder.name, "key.pem")
        key.write_text(PEM)
        server = Server("--enable-auth", "--jwt-key-file", key, *FEED, *options).start()
        self.addCleanup(server.__exit__, None, None, None)
        return server

    def core(self, server):
        return server.stats()["cores"][0]

    def test_a_turn_checks_one_signature_of_a_handshake_whatever_comes(self):
        server = self.start()
        good = token(sign, alg="EdDSA")
        with RawClient(server.port, extra=bearer(good), timeout=60) as client, Attack(server, "handshake"):
            client.subscribe(["*"], ["quote"], on_lag="skip")
            self.assertTrue(wait_until(lambda: self.core(server)["signatures"] > 3 * AT_ONCE, 60))
            before = self.core(server)["signatures"]
            for _ in range(100):
                client.ask({"type": "PING"}, ("PONG",), timeout=60)
            # Who has no such token yet is checked in turn, before the flood ends.
            for number in range(5):
                fresh = token(sign, alg="EdDSA", typ=f"{number}")
                with RawClient(server.port, extra=bearer(fresh), timeout=60) as other:
                    other.subscribe(["*"], ["quote"], on_lag="skip")
                    other.next_message(("quote",), timeout=60)
            self.assertTrue(wait_until(lambda: self.core(server)["signatures"] > before, 60))
            self.assertEqual(self.core(server)["signature_units_max"], EDDSA_UNITS)

    def test_a_turn_checks_one_signature_of_an_auth_whatever_comes(self):
        # The handshakes of those who come meanwhile have their own share.
        server = self.start()
        good = token(sign, alg="EdDSA")
        with RawClient(server.port, extra=bearer(good), timeout=60) as client, Attack(server, "auth"):
            self.assertTrue(wait_until(lambda: self.core(server)["signatures"] > 3 * AT_ONCE, 60))
            for _ in range(100):
                client.ask({"type": "PING"}, ("PONG",), timeout=60)
            for number in range(5):
                fresh = token(sign, alg="EdDSA", typ=f"{number}")
                with RawClient(server.port, timeout=60) as other:
                    answer = other.ask({"type": "AUTH", "data": {"token": fresh}},
                                       ("AUTHENTICATED", "ERROR"), timeout=60)
                    self.assertEqual(answer["type"], "AUTHENTICATED")
            core = self.core(server)
            self.assertLessEqual(core["signature_units_max"], 2 * EDDSA_UNITS)
            self.assertGreater(core["messages_held"], 0)

    def test_clients_that_come_back_cost_no_signature(self):
        server = self.start()
        good = token(sign, alg="EdDSA")
        clients = []

        def come(count):
            for _ in range(count):
                clients.append(RawClient(server.port, extra=bearer(good), timeout=60))

        threads = [threading.Thread(target=come, args=(25,)) for _ in range(8)]
        come(1)
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for client in clients:
            client.ask({"type": "PING"}, ("PONG",), timeout=60)
            client.close()
        self.assertEqual(len(clients), 201)
        self.assertEqual(self.core(server)["signatures"], 1)

    def test_a_wrong_token_counts_as_five_handshakes_of_its_address(self):
        server = self.start("--handshakes-per-second", "1")  # two at once: a wrong token is too many
        with RawClient(server.port, upgrade=False) as client:
            client.send(request(extra=bearer(wrong_token())))
            self.assertEqual(client.read_head(), 401)
        with RawClient(server.port, upgrade=False) as client:
            client.send(request(extra=bearer(wrong_token())))
            self.assertEqual(client.read_head(), 429)
        self.assertEqual(self.core(server)["signatures"], 1)

    def test_a_token_that_is_too_long_is_not_looked_at(self):
        server = self.start()
        with RawClient(server.port) as client:
            long = "e30.e30." + "A" * 8000  # of an RSA key of 48 000 bits, say
            answer = client.ask({"type": "AUTH", "data": {"token": long}}, ("ERROR",))
            self.assertEqual(answer["data"]["code"], 101)
        self.assertEqual(self.core(server)["signatures"], 0)


if __name__ == "__main__":
    if len(sys.argv) == 4 and sys.argv[1].isdigit():
        os.nice(10)
        flood(int(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
    unittest.main()
