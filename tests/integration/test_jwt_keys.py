"""Files of keys and of secrets: what a server reads from each form, and that none opens to who has it."""
import base64
import hashlib
import hmac
import json
import pathlib
import tempfile
import time
import unittest

from clients import RawClient, request
from server import Server, program, run

# The key pair of RFC 8037, appendix A.1.
SEED = bytes.fromhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")
X = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"
BODY = "MCowBQYDK2VwAyEA11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="
PEM = f"-----BEGIN PUBLIC KEY-----\n{BODY}\n-----END PUBLIC KEY-----\n"
OTHER_X = "WBJfXxfpXzRwahjDR2AdPnuVP8Ks3RYtjqly4cIpnTY"
OTHER_PEM = PEM.replace(BODY, "MCowBQYDK2VwAyEAWBJfXxfpXzRwahjDR2AdPnuVP8Ks3RYtjqly4cIpnTY=")
PRIVATE = ("-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIAfqtpZ7NjFS9DReOm3QsqokpkJ+b56xI2eevOsj"
           "kHy1\n-----END PRIVATE KEY-----\n")
EC = ("-----BEGIN PUBLIC KEY-----\nMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEcPk9wbjr5T9uKehAMeJ9nqM301up\n"
      "tNrLbk4qwWDXtcMH9Rjcbvit/vYLAjK5LkgtyKZRUHkDlIW1mQwzvwJWCA==\n-----END PUBLIC KEY-----\n")
SSH = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAINdamAGCsQq31Uv+08lkBzoO4XLz2qYjJa8CGmj3B1Ea joe@example\n"
OKP = {"kty": "OKP", "crv": "Ed25519", "x": X}
RSA = {"kty": "RSA", "n": "AQAB", "e": "AQAB", "kid": "rsa-1", "use": "sig", "alg": "RS256"}
SECRET = "jwt-secret-0123456789abcdef01234567"


def jwk_set(*keys):
    return json.dumps({"keys": keys})


GOOD = {
    "PEM": PEM,
    "PEM after a newline": "\n" + PEM,
    "PEM after a BOM and a comment": "\ufeff# of the issuer\n" + PEM,
    "PEM after attributes, with CRLF":
        ("Bag Attributes\n    friendlyName: x\nKey Attributes: <No Attributes>\n" + PEM).replace(
            "\n", "\r\n"),
    "two PEMs": OTHER_PEM + PEM,
    "JWK set after a BOM and a newline": "\ufeff\n " + jwk_set(OKP),
    "JWK set with foreign keys": jwk_set(
        RSA, {"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA"}, {"kty": "AKP", "pub": "AA"},
        {**OKP, "crv": "Ed448"}, {**OKP, "crv": "X25519"}, {"kty": "oct", "k": "MDEyMzQ"},
        {**OKP, "kid": "k" * 91}, OKP),
    "JWK set with another key without kid": jwk_set({**OKP, "x": OTHER_X}, OKP),
}
BAD = {
    "OpenSSH key": (SSH, "an OpenSSH public key"),
    "DER": (base64.b64decode(BODY), "in DER"),
    "base64 alone": (BODY, "base64 of"),
    "URL": ("https://login.example.com/jwks.json\n", "a URL"),
    "HTML": ("<!DOCTYPE html><html><body>Not Found</body></html>\n", "a page of HTML"),
    "JSON array": ("\n" + json.dumps([OKP]), '{"keys":[...]}'),
    "EC key": (EC, "of type EC"),
    "private key": ("\n" + PRIVATE, "private key"),
    "UTF-16": (PEM.encode("utf-16"), "UTF-16"),
    "empty file": ("", "it is empty"),
    "trailing text": (PEM + "valid until 2027\n", "after the last END"),
    "only foreign keys": (jwk_set(RSA, {**OKP, "use": "enc"}), '"rsa-1" (kty is neither'),
    "secret": (SECRET, "--jwt-secret-file"),
}


# ---- Ed25519 (RFC 8032), written out: slow, and for tests only ----

P = 2**255 - 19
L = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, P - 2, P) % P
BASE_Y = 4 * pow(5, P - 2, P) % P
BASE_X = 15112221349535400772501151409588531511454012693041857206046113283949847762202


def add(a, b):
    x1, y1 = a
    x2, y2 = b
    k = D * x1 * x2 * y1 * y2
    return ((x1 * y2 + x2 * y1) * pow(1 + k, P - 2, P) % P,
            (y1 * y2 + x1 * x2) * pow(1 - k, P - 2, P) % P)


def multiply(count):
    point, double = (0, 1), (BASE_X, BASE_Y)
    while count:
        if count & 1:
            point = add(point, double)
        double = add(double, double)
        count >>= 1
    x, y = point
    return (y | (x & 1) << 255).to_bytes(32, "little")


def number(*parts):
    return int.from_bytes(hashlib.sha512(b"".join(parts)).digest(), "little")


def sign(message):
    digest = hashlib.sha512(SEED).digest()
    a = int.from_bytes(digest[:32], "little") & ((1 << 254) - 8) | 1 << 254
    public = multiply(a)
    r = number(digest[32:], message) % L
    point = multiply(r)
    return point + ((r + number(point, public, message) * a) % L).to_bytes(32, "little")


def encode(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def token(signer, **header):
    claims = {"exp": int(time.time()) + 600, "ringcast": {}}
    signed = ".".join(encode(json.dumps(part).encode()) for part in (header, claims))
    return f"{signed}.{encode(signer(signed.encode()))}"


def hs256(secret):
    return token(lambda text: hmac.new(secret, text, hashlib.sha256).digest(), alg="HS256")


class KeyFiles(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="ringcast-")
        self.addCleanup(folder.cleanup)
        self.path = pathlib.Path(folder.name, "key")

    def write(self, content):
        content = content if isinstance(content, bytes) else content.encode()
        self.path.write_bytes(content)
        return content

    def start(self, *options):
        return Server("--enable-auth", *options, "--handshakes-per-second", "1000")

    def status(self, server, text):
        client = RawClient(server.port, upgrade=False)
        try:
            client.send(request(extra=f"Authorization: Bearer {text}\r\n"))
            return client.read_head()
        finally:
            client.close()

    def refused(self, content, option, words):
        self.write(content)
        for static in ((), ("--auth-token", "full-token-0123456789abcdef")):
            done = run([program("ringcast"), "--port", "0", "--admin-port", "0", "--enable-auth",
                        *static, option, str(self.path)])
            self.assertEqual(done.returncode, 2, done.stderr)
            self.assertIn(f"{option}: {self.path}: ", done.stderr)
            self.assertIn(words, done.stderr)
            for part in (BODY[20:50], SECRET, "MDEyMzQ"):
                self.assertNotIn(part, done.stderr)

    def test_each_form_of_a_key_verifies_the_issuer_and_nobody_else(self):
        for name, content in GOOD.items():
            with self.subTest(name):
                content = self.write(content)
                with self.start("--jwt-key-file", self.path) as server:
                    self.assertEqual(self.status(server, token(sign, alg="EdDSA")), 101)
                    self.assertEqual(self.status(server, token(sign, alg="Ed25519", kid="x")), 101)
                    for secret in (content, content.strip(), content.strip(b"\xef\xbb\xbf \r\n"),
                                   BODY.encode(), base64.b64decode(BODY),
                                   base64.b64decode(BODY)[-32:]):
                        self.assertEqual(self.status(server, hs256(secret)), 401)
                    self.assertIsNotNone(server.wait_for_line("keys for JWTs: "))

    def test_what_is_no_key_is_refused_with_what_it_is(self):
        for name, (content, words) in BAD.items():
            with self.subTest(name):
                self.refused(content, "--jwt-key-file", words)

    def test_what_looks_like_a_key_is_refused_as_a_secret(self):
        for content in (PEM, "\n" + PEM, jwk_set(OKP), json.dumps([OKP]), SSH, BODY,
                        base64.b64decode(BODY), PRIVATE, PEM.encode("utf-16"),
                        "https://login.example.com/secret/of/jwt.txt"):
            with self.subTest(content):
                self.refused(content, "--jwt-secret-file", "not a secret")
        self.refused(SECRET[:31], "--jwt-secret-file", "this one has 31")
        self.refused("", "--jwt-secret-file", "this one has 0")

    def test_a_secret_and_keys_stand_beside_each_other(self):
        self.write(SECRET + "\n")
        keys = self.path.with_name("keys")
        keys.write_text(GOOD["JWK set with foreign keys"])
        with self.start("--jwt-secret-file", self.path, "--jwt-key-file", keys) as server:
            self.assertEqual(self.status(server, hs256(SECRET.encode())), 101)
            self.assertEqual(self.status(server, token(sign, alg="EdDSA")), 101)
            self.assertEqual(self.status(server, hs256(keys.read_bytes())), 401)
            self.assertIsNotNone(server.wait_for_line(
                r'keys for JWTs: 1 public for EdDSA \(Ed25519\), 1 secret for HS256, 7 ignored: '
                r'keys\[0\] "rsa-1" \(kty is neither OKP nor oct\), keys\[1\] '))

    def test_a_token_of_many_clients_is_accepted(self):
        self.write(SECRET)
        roles = {f"client-{i}": {"roles": ["view"]} for i in range(40)}
        claims = {"exp": int(time.time()) + 600, "ringcast": {}, "resource_access": roles}
        signed = ".".join((encode(b'{"alg":"HS256"}'), encode(json.dumps(claims).encode())))
        signature = hmac.new(SECRET.encode(), signed.encode(), hashlib.sha256).digest()
        with self.start("--jwt-secret-file", self.path) as server:
            self.assertEqual(self.status(server, f"{signed}.{encode(signature)}"), 101)


if __name__ == "__main__":
    unittest.main()
