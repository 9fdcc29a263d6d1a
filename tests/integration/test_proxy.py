"""The proxies of docs/proxy.md as they stand there: a client by wss, with a certificate, through each."""
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import ssl
import subprocess
import tempfile
import unittest

from clients import request
from server import CHECKOUT, Server, in_full, reap, spawn, wait_until

try:
    import asyncio
    import websockets
except ImportError:
    websockets = None

NAME = "md.example.com"
CLIENT = "127.0.0.9"  # as the proxy sees it
PAGE = (CHECKOUT / "docs/proxy.md").read_text(encoding="utf8")


class Proxies(unittest.TestCase):
    """A file of the page, with other ports and paths, and nothing else changed."""

    def setUp(self):
        if websockets is None:
            self.skipTest("SKIPPED: python3-websockets is not installed")
        folder = tempfile.TemporaryDirectory(prefix="ringcast-")
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        # Held until the end, so that the kernel gives it to nobody else; who sets SO_REUSEADDR may listen there.
        held = socket.socket()
        self.addCleanup(held.close)
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        held.bind(("127.0.0.1", 0))
        self.port = held.getsockname()[1]
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                        "-subj", f"/CN={NAME}", "-addext", f"subjectAltName=DNS:{NAME}", "-days", "2",
                        "-keyout", self.folder / "ringcast.key", "-out", self.folder / "ringcast.crt"],
                       check=True, stderr=subprocess.DEVNULL)
        (self.folder / "ringcast.pem").write_text((self.folder / "ringcast.crt").read_text() +
                                                  (self.folder / "ringcast.key").read_text())

    def write(self, language, name, replaced, which=0):
        """The block of this language; each of replaced is in it."""
        text = re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.M | re.S)[which]
        for old, new in replaced.items():
            self.assertIn(old, text)
            text = text.replace(old, new)
        (self.folder / name).write_text(text)
        return text

    def talk(self):
        """What a client receives first by wss."""
        async def messages():
            trust = ssl.create_default_context(cafile=self.folder / "ringcast.crt")
            async with websockets.connect(f"wss://{NAME}:{self.port}/", ssl=trust, host="127.0.0.1",
                                          server_hostname=NAME, local_addr=(CLIENT, 0), open_timeout=40) as client:
                received = [json.loads(await client.recv())]
                await client.send(json.dumps({"type": "SUBSCRIBE", "data": {
                    "symbols": ["000001.SZ"], "data_types": ["quote"]}}))
                received += [json.loads(await client.recv()) for _ in range(4)]
                return client.response_headers, received
        return asyncio.run(messages())

    def start(self, command, **options):
        log = tempfile.TemporaryFile()
        self.addCleanup(log.close)
        proxy = spawn(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, **options)
        self.addCleanup(reap, proxy)

        def accepts():
            with socket.socket() as any_socket:
                return proxy.poll() is not None or any_socket.connect_ex(("127.0.0.1", self.port)) == 0
        self.assertTrue(wait_until(accepts, 40))
        self.assertIsNone(proxy.poll(), os.pread(log.fileno(), 1 << 16, 0).decode())
        return proxy

    def check(self, server, command, **options):
        proxy = self.start(command, **options)
        headers, received = self.talk()
        self.assertEqual([it["type"] for it in received], ["WELCOME", "SUBSCRIBED", "quote", "quote", "quote"])
        self.assertIn("permessage-deflate", headers["Sec-WebSocket-Extensions"])
        self.assertIsNotNone(server.wait_for_line(re.compile(
            rf"connected from {re.escape(CLIENT)}(:\d+)? through 127\.0\.0\.1:\d+")), server.log())
        proxy.send_signal(signal.SIGTERM)
        proxy.wait(20)

    def needs(self, program):
        path = shutil.which(program, path=os.environ["PATH"] + ":/usr/sbin")
        if path is None:
            self.skipTest(f"SKIPPED: {program} is not installed")
        return path

    def nginx(self, server, further=()):
        """The command. further: (old, new) of other changes."""
        nginx = self.needs("nginx")
        self.write("nginx", "nginx.conf", {
            "/run/nginx.pid": f"{self.folder}/nginx.pid", "/var/log/nginx": str(self.folder),
            "127.0.0.1:8765": f"127.0.0.1:{server.port}", "listen 443": f"listen 127.0.0.1:{self.port}",
            "/etc/ssl": str(self.folder), **dict(further)})
        # Where Debian's nginx keeps bodies of requests is root's.
        bodies = "".join(f"{it}_temp_path {self.folder}/{it};" for it in (
            "client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
        path = self.folder / "nginx.conf"
        path.write_text(path.read_text().replace("http {", "http {" + bodies, 1))
        return [nginx, "-p", self.folder, "-c", path, "-e", "stderr", "-g", "daemon off;"]

    def test_nginx(self):
        with Server("--trusted-proxies", "127.0.0.1") as server:
            self.check(server, self.nginx(server))

    @staticmethod
    def answer(server):
        """What it answers to a handshake, and the connection."""
        client = socket.create_connection(("127.0.0.1", server.port))
        client.sendall(request())
        return client.recv(4096).decode("latin-1"), client

    def drain_one(self, leaving, staying, command):
        """No client notices that one of two servers drains."""
        self.start(command)
        for _ in range(4):  # The proxy knows both.
            self.talk()
        leaving.signal(signal.SIGTERM)
        self.assertTrue(wait_until(lambda: self.answer(leaving)[0].startswith("HTTP/1.1 503 ")))
        for _ in range(8):
            _, received = self.talk()
            self.assertEqual(received[0]["data"]["epoch"], staying.stats()["epoch"])
        self.assertIsNone(leaving.process.poll(), "it drained all the while")

    def two_servers(self):
        servers = [Server("--trusted-proxies", "127.0.0.1", "--drain-timeout", "60").start() for _ in range(2)]
        for server in servers:
            self.addCleanup(server.kill)
        answer, client = self.answer(servers[0])  # It stays, so that the drain lasts.
        self.addCleanup(client.close)
        self.assertTrue(answer.startswith("HTTP/1.1 101 "), answer)
        return servers

    @in_full
    def test_nginx_gives_the_clients_of_a_server_that_drains_to_another(self):
        """S115, S133: proxy_next_upstream."""
        leaving, staying = self.two_servers()
        lines = re.findall(r"^```nginx\n( +proxy_next_upstream .*\n)^```$", PAGE, re.M)
        self.drain_one(leaving, staying, self.nginx(leaving, {
            f"server 127.0.0.1:{leaving.port};":
                f"server 127.0.0.1:{leaving.port}; server 127.0.0.1:{staying.port};",
            "            proxy_pass": f"{lines[0]}            proxy_pass"}.items()))

    @in_full
    def test_haproxy_gives_the_clients_of_a_server_that_drains_to_another(self):
        """S115, S133: retry-on 503."""
        haproxy = self.needs("haproxy")
        leaving, staying = self.two_servers()
        backend = self.write("haproxy", "backend", {
            "127.0.0.1:8765 check port 8080": f"127.0.0.1:{leaving.port}",  # without checks: retries alone
            "127.0.0.1:8766 check port 8081": f"127.0.0.1:{staying.port}"}, which=2)
        whole = self.write("haproxy", "haproxy.cfg", {
            "maxconn 20000": "maxconn 100", "bind :443": f"bind 127.0.0.1:{self.port}",
            "/etc/haproxy": str(self.folder)})
        (self.folder / "haproxy.cfg").write_text(whole[:whole.index("\nbackend ringcast")] + "\n" + backend)
        self.drain_one(leaving, staying, [haproxy, "-db", "-f", self.folder / "haproxy.cfg"])

    def test_nginx_of_the_compose_file(self):
        """S115, S126: container/nginx/nginx.conf, with other ports and paths."""
        nginx = self.needs("nginx")
        with Server("--trusted-proxies", "127.0.0.1") as server:
            text = (CHECKOUT / "container/nginx/nginx.conf").read_text(encoding="utf8")
            for old, new in {"/tmp/": f"{self.folder}/", "/etc/nginx/certs/server": f"{self.folder}/ringcast",
                             "listen 8443": f"listen 127.0.0.1:{self.port}", "65536": "1024", "32000": "500",
                             "websocket-server-1:8765": f"127.0.0.1:{server.port}"}.items():
                self.assertIn(old, text)
                text = text.replace(old, new)
            path = self.folder / "nginx.conf"
            path.write_text(text)
            self.check(server, [nginx, "-p", self.folder, "-c", path, "-e", "stderr", "-g", "daemon off;"])

    def test_haproxy(self):
        haproxy = self.needs("haproxy")
        with Server("--trusted-proxies", "127.0.0.1") as server:
            self.write("haproxy", "haproxy.cfg", {
                "maxconn 20000": "maxconn 100", "127.0.0.1:8765": f"127.0.0.1:{server.port}", "port 8080": f"port {server.admin_port}",
                "bind :443": f"bind 127.0.0.1:{self.port}", "/etc/haproxy": str(self.folder)})
            self.check(server, [haproxy, "-db", "-f", self.folder / "haproxy.cfg"])

    def test_haproxy_by_the_proxy_protocol(self):
        haproxy = self.needs("haproxy")
        with Server("--trusted-proxies", "127.0.0.1", "--proxy-protocol") as server:
            line = self.write("haproxy", "line", {"127.0.0.1:8765": f"127.0.0.1:{server.port}",
                                                  "port 8080": f"port {server.admin_port}"}, which=1)
            self.write("haproxy", "haproxy.cfg", {
                "maxconn 20000": "maxconn 100", "    option forwardfor\n": "", "    server ringcast-1 127.0.0.1:8765 check port 8080\n": line,
                "bind :443": f"bind 127.0.0.1:{self.port}", "/etc/haproxy": str(self.folder)})
            self.check(server, [haproxy, "-db", "-f", self.folder / "haproxy.cfg"])

    def test_caddy(self):
        caddy = self.needs("caddy")
        own = re.search(r"`(tls [^`]+)`", PAGE)[1].replace("/etc/ssl", str(self.folder))
        with Server("--trusted-proxies", "127.0.0.1") as server:
            text = self.write("caddy", "Caddyfile", {"127.0.0.1:8765": f"127.0.0.1:{server.port}",
                                                     NAME + " {": f"{NAME}:{self.port} {{\n\t{own}"})
            text = "{\n\tadmin off\n\tauto_https disable_redirects\n}\n" + text
            (self.folder / "Caddyfile").write_text(text)
            self.check(server, [caddy, "run", "--config", self.folder / "Caddyfile"],
                       env=dict(os.environ, HOME=str(self.folder), XDG_DATA_HOME=str(self.folder)))


if __name__ == "__main__":
    unittest.main()
