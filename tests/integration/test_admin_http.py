"""The admin server's frame: who may ask, web pages of other sites, the Unix socket, methods and bodies."""
import http.client
import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import tempfile
import time
import unittest

from clients import RawClient
from server import (Server, ServerTestCase, as_ordinary_user, program, reap, run, spawn, until_room,
                    wait_until)

ADMIN, READ, WRONG = "admin-token-0123456789", "read-token-0123456789", "wrong-token-0123456789"
PROXIED = {"X-Forwarded-For": "192.0.2.1"}  # counts as another host
FEED = ("--feed", "sim:symbols=2,rate=100")


def bearer(token):
    return {"Authorization": f"Bearer {token}"}


def other_address():
    """One of this host that is not loopback, or None."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        try:
            sock.connect(("192.0.2.1", 9))
            address = sock.getsockname()[0]
        except OSError:
            return None
    return None if address.startswith("127.") else address


class Frame(ServerTestCase):
    """A server as it is started without options."""
    options = FEED

    def json_of(self, path, status=200, **options):
        got, _, body = self.server.admin(path, **options)
        self.assertEqual(got, status, body)
        return json.loads(body)

    def write_path(self):
        """A path of the role write that changes nothing of importance."""
        if not re.search(r"^/admin/gc +POST: ", self.server.admin("/admin")[2], re.M):
            self.skipTest("SKIPPED: this server has no path /admin/gc")
        return "/admin/gc"

    # ---- The lists, and pages of this room ----

    def test_admin_is_an_index(self):
        """S56: /admin lists what is below it, as text and as a page."""
        status, headers, text = self.server.admin("/admin")
        self.assertEqual((status, headers.get_content_type()), (200, "text/plain"))
        paths = [line.split()[0] for line in text.splitlines()]
        self.assertTrue(all(path.startswith("/admin/") for path in paths), paths)
        self.assertIn("/admin/stats", paths)
        self.assertIn("/admin/feeds", paths)
        page = self.server.admin("/admin", headers={"Accept": "text/html"})[2]
        self.assertIn('<a href="/admin/stats">', page)
        self.assertIn("/admin", [line.split()[0] for line in self.server.admin("/")[2].splitlines()])
        self.assertEqual(set(self.json_of("/admin/none", 404)["paths"]), set(paths))

    def test_admin_stats_are_stats_and_each_thread(self):
        """S56, S60: the keys of /stats stay, and /admin/stats has the threads of the cores in addition."""
        self.assertTrue(wait_until(lambda: self.server.admin("/readyz")[0] == 200))
        stats, more = self.json_of("/stats"), self.json_of("/admin/stats")
        self.assertEqual(set(more) - set(stats), {"threads"})
        self.assertIsInstance(stats["connections"]["active_connections"], int)
        self.assertIn("depth", stats["message_queue"])
        self.assertIn("resident_bytes", stats["memory"])
        threads = {thread["thread"]: thread for thread in more["threads"]}
        self.assertLessEqual({"main", "log", "admin", "core-0"}, set(threads))
        self.assertEqual(threads["core-0"]["core"], 0)
        tasks = {int(path.name) for path in pathlib.Path(f"/proc/{self.server.pid}/task").iterdir()}
        self.assertIn(threads["core-0"]["tid"], tasks)

        def core():
            return next(thread for thread in self.json_of("/admin/stats")["threads"] if thread["thread"] == "core-0")
        before, counts_time = core(), os.path.exists("/proc/self/schedstat")
        self.assertTrue(wait_until(lambda: core()["turns"] > before["turns"] and
                                   (not counts_time or core()["cpu_seconds"] > before["cpu_seconds"])), before)

    def test_admin_feeds_are_those_of_stats(self):
        """Of two readings around, whose counters may have grown."""
        before, feeds = self.json_of("/stats")["publisher"]["feeds"], self.json_of("/admin/feeds")["feeds"]
        self.assertEqual([feed["spec"] for feed in feeds], [FEED[1]])
        self.assertEqual(set(feeds[0]), set(before[0]))
        self.assertGreaterEqual(feeds[0]["ticks"], before[0]["ticks"])

    def test_the_lines_of_scripts_run_as_they_stand(self):
        """S54, S55, S56, S59, S60: curl and jq as people have them in scripts."""
        port = self.server.admin_port
        for line in (f"curl -fsS http://localhost:{port}/health | jq -e '.status == \"ok\"'",
                     f"curl -fsS http://localhost:{port}/ready | jq -e .ready",
                     f"curl -fsS http://localhost:{port}/admin/stats | jq -e .cores[0]",
                     f"curl -fsS http://localhost:{port}/config | jq -e .heartbeat",
                     f"curl -fsS http://localhost:{port}/stats | jq -e .connections.active_connections",
                     f"curl -fsS http://localhost:{port}/stats | jq -e '.message_queue, .memory'",
                     f"curl -fsS http://localhost:{port}/metrics | grep ringcast_connections_active"):
            done = run(["bash", "-o", "pipefail", "-c", line])
            self.assertEqual(done.returncode, 0, line + done.stdout + done.stderr)

    # ---- Web pages of other sites ----

    def test_a_page_of_another_site_may_not_post(self):
        """S116: browsers send Origin with each POST."""
        port = self.server.admin_port
        for path in ("/admin", "/admin/feeds", "/admin/none"):
            for origin in ("http://evil.example", f"http://127.0.0.1:{port + 1}", "null", "", "https://localhost",
                           f"http://127.0.0.1:{port}.evil.example"):
                body = self.json_of(path, 403, method="POST", headers={"Origin": origin})
                self.assertIn("Origin", body["error"])
        own = {"Origin": f"http://127.0.0.1:{port}"}
        self.assertEqual(self.server.admin("/admin", "POST", headers=own)[0], 405)  # allowed, but no such method
        self.assertEqual(self.server.admin("/admin", headers={"Origin": "http://evil.example"})[0], 200)
        for path in ("/", "/admin"):  # No page of another site can read an answer.
            headers = self.server.admin(path, headers={"Origin": "http://evil.example"})[1]
            self.assertFalse([name for name in headers if name.lower().startswith("access-control-")])

    def test_curl_may_post(self):
        """S58: curl -X POST localhost:8080/admin/reload-config sends no Origin."""
        path = self.write_path()
        done = run(["curl", "-sS", "-X", "POST", f"localhost:{self.server.admin_port}{path}",
                    "-o", "/dev/null", "-w", "%{http_code}"])
        self.assertEqual((done.stdout, done.stderr), ("200", ""))
        done = run(["curl", "-sS", "-d", "{}", f"localhost:{self.server.admin_port}{path}",  # a form, by its type
                    "-o", "/dev/null", "-w", "%{http_code}"])
        self.assertEqual((done.stdout, done.stderr), ("200", ""))
        self.assertIsNotNone(self.server.wait_for_line(rf"audit: GRANTED .*: admin request {path}: as local"))
        own = {"Origin": f"http://127.0.0.1:{self.server.admin_port}"}
        self.assertEqual(self.server.admin(path, "POST", headers=own)[0], 200)
        self.assertEqual(self.server.admin(path, "POST", headers={"Origin": "http://evil.example"})[0], 403)

    def test_a_foreign_name_for_this_host_opens_nothing(self):
        """S116: DNS rebinding, where a page's own name leads to 127.0.0.1."""
        port = self.server.admin_port
        for host in ("evil.example", f"evil.example:{port}", "localhost.evil.example", "127.0.0.1.evil.example",
                     "x", "[::1", "127.0.0.1x", "[evil.example]", "[::1].evil.example"):
            for method, path in (("GET", "/admin/feeds"), ("POST", "/admin/feeds"), ("GET", "/admin/none")):
                body = self.json_of(path, 403, method=method, headers={"Host": host})
                self.assertIn("Host", body["error"])
            self.assertEqual(self.server.admin("/stats", headers={"Host": host})[0], 200)
        for host in ("localhost", f"LocalHost:{port}", f"127.0.0.1:{port}", f"[::1]:{port}", "10.0.0.7"):
            self.assertEqual(self.server.admin("/admin/feeds", headers={"Host": host})[0], 200, host)

    def test_what_came_through_a_proxy_is_not_of_this_host(self):
        """S116: without a token on this server it is refused, and the answer says how to change that."""
        for name in ("X-Forwarded-For", "Forwarded", "X-Real-IP", "Via"):
            for path in ("/admin", "/admin/feeds", "/admin/none"):
                body = self.json_of(path, 401, headers={name: "192.0.2.1"})
                self.assertIn("--admin-token-file", body["error"])
            self.assertEqual(self.server.admin("/health", headers={name: "192.0.2.1"})[0], 200)

    # ---- Methods, bodies, arguments ----

    def test_methods(self):
        """S54 to S60 with HEAD, OPTIONS and methods that there are not."""
        for path in ("/", "/health", "/admin", "/admin/stats"):
            status, headers, body = self.server.admin(path, "OPTIONS")
            self.assertEqual((status, headers["Allow"], body), (204, "GET, HEAD, OPTIONS", ""))
            status, headers, body = self.server.admin(path, "HEAD")
            self.assertEqual((status, body), (200, ""))
            self.assertGreater(int(headers["Content-Length"]), 0)
            for method in ("POST", "PUT", "DELETE", "BREW"):
                status, headers, body = self.server.admin(path, method)
                self.assertEqual((status, headers["Allow"]), (405, "GET, HEAD, OPTIONS"))
                self.assertEqual(json.loads(body)["error"], "use GET, HEAD, OPTIONS")

    def test_bodies(self):
        """Any request may have one: it is a JSON object of at most 4096 bytes, or is refused."""
        text = b'{"a":"' + b"x" * 4088 + b'"}'
        for data, status in ((b"{}", 200), (text[:4095], 400), (text, 200), (text + b" ", 413),
                             (b"[]", 400), (b"7", 400), (b"{", 400), (b"a=b", 400), (b'{"a":1,"a":2}', 400),
                             (b"\0", 400), (b"{" * 4000, 400), (b" " * 5000, 413)):
            got, _, body = self.server.admin("/health", data=data)
            self.assertEqual((data[:16], len(data), got), (data[:16], len(data), status))
            if status != 200:
                self.assertTrue(json.loads(body)["error"])

    def chunked(self, size, count):
        """The status of a request whose length is not announced; None: the connection was closed."""
        with socket.create_connection(("127.0.0.1", self.server.admin_port), timeout=20) as client:
            client.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n")
            try:
                for _ in range(count):
                    client.sendall(b"%x\r\n" % size + b" " * size + b"\r\n")
                client.sendall(b"0\r\n\r\n")
                line = client.recv(4096)
            except OSError:
                return None
            return int(line.split()[1]) if line else None

    def test_a_body_without_an_end_is_not_read_for_ever(self):
        """S117"""
        self.assertEqual(self.chunked(1, 1), 400)
        self.assertEqual(self.chunked(1000, 8), 413)
        self.assertIsNone(self.chunked(1 << 16, 2000))
        self.assertEqual(self.server.admin("/health")[0], 200)

    def test_a_url_with_very_many_arguments_is_answered(self):
        """S117: libmicrohttpd alone would close the connection without a word."""
        for count, status in ((1, 400), (100, 400), (101, 414), (400, 414), (3000, 414)):
            query = "&".join(f"a{i}=1" for i in range(count))
            done = run(["curl", "-sS", "-o", "/dev/null", "-w", "%{http_code}",
                        f"http://127.0.0.1:{self.server.admin_port}/symbols?{query}"])
            self.assertEqual((count, done.stdout, done.stderr), (count, str(status), ""))
        done = run(["curl", "-sS", f"http://127.0.0.1:{self.server.admin_port}/symbols?" + "&" * 101])
        self.assertEqual(json.loads(done.stdout), {"error": "the URL has more than 100 arguments"})


class Roles(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        folder = tempfile.TemporaryDirectory(prefix="ringcast-")
        cls.addClassCleanup(folder.cleanup)
        cls.folder = pathlib.Path(folder.name)
        (cls.folder / "admin").write_text(ADMIN + "\n")
        (cls.folder / "read").write_text(READ + "\n")
        cls.server = Server(*FEED, "--admin-host", "0.0.0.0", "--admin-token-file", cls.folder / "admin",
                            "--admin-read-token-file", cls.folder / "read").start()
        cls.addClassCleanup(cls.server.kill)

    def status(self, path, headers, method="GET"):
        return self.server.admin(path, method, headers=headers)[0]

    def test_each_role_opens_what_it_says(self):
        """S56, S57, S116: read and admin tokens, from what counts as another host."""
        self.assertEqual(self.status("/admin/stats", PROXIED), 401)
        self.assertEqual(self.status("/admin/stats", {**PROXIED, **bearer(WRONG)}), 401)
        self.assertEqual(self.status("/admin/stats", {**PROXIED, **bearer(READ)}), 200)
        self.assertEqual(self.status("/admin/stats", {**PROXIED, **bearer(ADMIN)}), 200)
        self.assertEqual(self.status("/admin/none", PROXIED), 401)  # It is not to be learned what there is.
        self.assertEqual(self.status("/admin/none", {**PROXIED, **bearer(READ)}), 404)
        for path in ("/health", "/ready", "/stats", "/metrics", "/"):
            self.assertNotIn(self.status(path, PROXIED), (401, 403), path)
        status, headers, _ = self.server.admin("/admin", headers=PROXIED)
        self.assertEqual((status, headers["WWW-Authenticate"]), (401, "Bearer"))

    def test_another_host_needs_a_token(self):
        host = other_address()
        if host is None:
            self.skipTest("SKIPPED: no address but loopback")
        for headers, expected in (({}, 401), (bearer(READ), 200), (bearer(ADMIN), 200), (bearer(WRONG), 401)):
            client = http.client.HTTPConnection(host, self.server.admin_port, timeout=10)
            # A name is good with a token: a page of another site has none.
            client.request("GET", "/admin", headers={**headers, "Host": "ringcast.example"})
            self.assertEqual(client.getresponse().status, expected)
            client.close()

    def test_this_host_needs_none_but_one_that_it_sends_counts(self):
        self.assertEqual(self.status("/admin", {}), 200)
        self.assertEqual(self.status("/admin", bearer(READ)), 200)
        self.assertEqual(self.status("/admin", bearer(WRONG)), 401)

    def test_a_token_for_reading_writes_nothing(self):
        """S58, S116"""
        if not re.search(r"^/admin/gc +POST: ", self.server.admin("/admin")[2], re.M):
            self.skipTest("SKIPPED: this server has no path /admin/gc")
        for headers, expected in ((PROXIED, 401), ({**PROXIED, **bearer(READ)}, 403), (bearer(READ), 403),
                                  ({**PROXIED, **bearer(ADMIN)}, 200), ({}, 200)):
            self.assertEqual(self.status("/admin/gc", headers, "POST"), expected, headers)
        self.assertIsNotNone(self.server.wait_for_line("audit: DENIED 127.0.0.1:.*: admin request /admin/gc: "
                                                       "the token is for reading"))

    def test_failures_are_lines_of_the_audit_log_without_the_token(self):
        """S119: FAILED, DENIED and `authentication failed`; what was sent is not repeated."""
        self.status("/admin/stats", {**PROXIED, **bearer(WRONG)})
        self.status("/admin/a%0aforged", {**PROXIED})
        self.status("/admin/stats", {"Host": "evil.example"})
        for pattern in (r"audit: FAILED 127\.0\.0\.1:\d+: admin request /admin/stats: authentication failed: the token is unknown",
                        r"audit: FAILED 127\.0\.0\.1:\d+: admin request for an unknown path: authentication failed: no token",
                        r"audit: DENIED 127\.0\.0\.1:\d+: admin request /admin/stats: a web page of another site"):
            self.assertIsNotNone(self.server.wait_for_line(pattern), self.server.log())
        for text in (WRONG, READ, ADMIN, "forged"):
            self.assertNotIn(text, self.server.log())

    def test_a_bad_token_file_stops_the_start(self):
        (self.folder / "short").write_text("secret\n")
        for option in ("--admin-read-token-file", "--admin-token-file"):
            for name, words in (("short", "a token must have"), ("none", "No such file")):
                done = run([program("ringcast"), "--check-config", option, str(self.folder / name)])
                self.assertEqual(done.returncode, 2)
                self.assertIn(f"{option}: {self.folder / name}: {words}", done.stderr)
                self.assertNotIn("secret", done.stderr)


class Flood(ServerTestCase):
    options = FEED

    def test_a_flood_of_failures_does_not_bury_the_log(self):
        """S117: fifty lines at once, ten a second."""
        client = http.client.HTTPConnection("127.0.0.1", self.server.admin_port, timeout=10)
        self.addCleanup(client.close)
        began = time.monotonic()

        def is_summed_up():
            for _ in range(200):
                client.request("GET", "/admin", headers=PROXIED)
                answer = client.getresponse()
                answer.read()
                self.assertEqual(answer.status, 401)
            return any("lines before this one were left out" in line for line in self.server.log_lines())
        self.assertTrue(wait_until(is_summed_up, 60))
        lines = sum("audit: FAILED" in line for line in self.server.log_lines())
        self.assertLessEqual(lines, 52 + 10 * (time.monotonic() - began))


class Socket(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="ringcast-")
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        self.folder.chmod(0o755)

    def curl(self, path, target, *options, prefix=()):
        """(status, answer); status 0: no connection."""
        done = run([*prefix, "curl", "-s", "--unix-socket", str(path), "-w", "\n%{http_code}", *options,
                    f"http://localhost{target}"])
        answer, _, status = done.stdout.rpartition("\n")
        return int(status), answer

    def test_the_default_socket_is_beside_the_counters_file(self):
        """S116: mode 0600, for the server's own user; it is gone at the end."""
        with Server(*FEED) as server:
            path = server.ctl_path()
            self.assertEqual(path.stat().st_mode & 0o7777, 0o600)
            self.assertEqual(path.stat().st_uid, os.geteuid())
            self.assertEqual(self.curl(path, "/admin/feeds")[0], 200)
            self.assertEqual(self.curl(path, "/health")[0], 200)
            self.assertEqual(self.curl(path, "/none")[0], 404)
            # A browser cannot send this.
            self.assertEqual(self.curl(path, "/admin", "-H", "Host: evil.example", "-H", "Via: x")[0], 200)
            listed = run([program("ringcast"), "stat", "--list"])
            self.assertEqual(listed.returncode, 0, listed.stderr)
            self.assertNotIn("ctl", listed.stdout)
        self.assertFalse(path.exists())

    def test_another_user_is_refused(self):
        """S116: whatever the mode of the file."""
        user = as_ordinary_user()
        if not user:
            self.skipTest("SKIPPED: only root can be another user")
        path = self.folder / "ctl"
        with Server(*FEED, "--ctl-socket", path) as server:
            self.assertEqual(self.curl(path, "/health", prefix=user)[0], 0)
            path.chmod(0o666)
            for target in ("/health", "/admin/feeds"):
                status, answer = self.curl(path, target, prefix=user)
                self.assertEqual(status, 403)
                self.assertIn("root", json.loads(answer)["error"])
            self.assertIsNotNone(server.wait_for_line(r"audit: DENIED unix:pid=\d+,uid=65534: .*another user"))
            self.assertEqual(self.curl(path, "/health")[0], 200)

    def test_root_may_use_an_ordinary_users_socket(self):
        user = as_ordinary_user()
        if not user:
            self.skipTest("SKIPPED: only root can be another user")
        self.folder.chmod(0o777)
        with Server(*FEED, "--ctl-socket", self.folder / "ctl", prefix=user):
            self.assertEqual(self.curl(self.folder / "ctl", "/admin/feeds")[0], 200)
            self.assertEqual(self.curl(self.folder / "ctl", "/admin/feeds", prefix=user)[0], 200)

    def test_off_opens_none(self):
        with Server(*FEED, "--ctl-socket", "off") as server:
            self.assertFalse(server.ctl_path().exists())
            self.assertFalse([line for line in server.log_lines() if "WARNING" in line])

    def test_a_dead_servers_socket_is_removed_by_the_next(self):
        with Server(*FEED) as lives:
            with Server(*FEED) as server:
                path = server.ctl_path()
                server.kill()  # Another test's server may remove its socket at once.
            with Server(*FEED):
                self.assertFalse(path.exists())
                self.assertTrue(lives.ctl_path().exists())
            self.assertEqual(self.curl(lives.ctl_path(), "/health")[0], 200)

    def test_its_own_path_is_taken_over_from_a_dead_server_only(self):
        path = self.folder / "ctl"
        with Server(*FEED, "--ctl-socket", path) as server:
            server.kill()
            self.assertTrue(path.exists())
        with Server(*FEED, "--ctl-socket", path):
            done = self.start("--ctl-socket", path)
            self.assertEqual(done.returncode, 1)
            self.assertIn(f"--ctl-socket: cannot listen on Unix socket '{path}': Address already in use", done.stderr)
            self.assertEqual(self.curl(path, "/health")[0], 200)

    def start(self, *options):
        def attempt():
            done = run([program("ringcast"), "--host", "127.0.0.1", "--port", "0", "--admin-port", "0", *FEED,
                        *map(str, options)])
            return done, done.stderr
        return until_room(attempt)

    def test_a_path_that_cannot_be_is_one_clear_error(self):
        (self.folder / "file").write_text("precious")
        for path, words in (("x" * 200, "108"), (self.folder / "none/ctl", "its directory must exist"),
                            (self.folder / "file", "not a socket that ringcast may replace")):
            for options in (("--check-config",), ()):
                done = self.start("--ctl-socket", path, *options)
                self.assertIn(done.returncode, (1, 2), done.stderr)
                self.assertIn("--ctl-socket: ", done.stderr)
                if words != "108":
                    self.assertIn(words, done.stderr)
        self.assertEqual((self.folder / "file").read_text(), "precious")

    def test_without_the_default_path_the_server_runs_and_warns(self):
        user = as_ordinary_user()
        if not user or subprocess.run(["unshare", "--mount", "true"], check=False).returncode != 0:
            self.skipTest("SKIPPED: /dev/shm cannot be made unwritable here")
        script = 'mount -t tmpfs -o ro none /dev/shm && exec "$@"'
        with Server(*FEED, prefix=("unshare", "--mount", "sh", "-c", script, "sh")) as server:
            line = server.wait_for_line("WARNING.*cannot listen on Unix socket '/dev/shm/ringcast-")
            self.assertIn("the server runs without the socket for ctl", line)
            self.assertEqual(server.admin("/health")[0], 200)

    def test_a_signal_during_the_start_or_twice_at_the_end_leaves_no_socket(self):
        path = self.folder / "ctl"
        process = spawn([program("ringcast"), "--host", "127.0.0.1", "--port", "0", "--admin-port", "0",
                         "--ctl-socket", str(path), "--feed", "sim", "--drain-timeout", "60"],
                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            self.assertTrue(wait_until(path.exists, 40, 0.0005))
            process.send_signal(signal.SIGTERM)
            process.wait(20)
        finally:
            reap(process)
        self.assertFalse(path.exists())


class Files(unittest.TestCase):
    def test_requests_are_in_the_audit_log_and_the_access_log_with_their_user(self):
        """S53, S73, S120: once, and not in the log where the audit log has a file."""
        with tempfile.TemporaryDirectory() as folder:
            audit, access = pathlib.Path(folder, "audit"), pathlib.Path(folder, "access")
            with Server(*FEED, "--audit-log", audit, "--access-log", access,
                        "--admin-token", ADMIN) as server, RawClient(server.port) as client:
                session = client.next_message(("WELCOME",))["data"]["session"]
                body = json.dumps({"session": session}).encode()
                self.assertEqual(json.loads(server.admin("/admin/kick", "POST", data=body)[2]), {"kicked": 1})
                self.assertEqual(server.admin("/admin/gc", "POST", headers=bearer(ADMIN))[0], 200)
                self.assertEqual(server.admin("/admin/gc", "POST", headers=bearer(WRONG))[0], 401)
                self.assertEqual(server.admin("/health")[0], 200)
                wait_until(lambda: "/health" in access.read_text() and "FAILED" in audit.read_text())
                lines = [re.sub(r":\d+", "", line.partition("audit: ")[2]) for line in audit.read_text().splitlines()]
                self.assertEqual([line for line in lines if not line.startswith("GRANTED 127.0.0.1: client ")], [
                    "GRANTED 127.0.0.1: admin request /admin/kick: as local",
                    f"KICKED 127.0.0.1: client {session}, code 4115",
                    "GRANTED 127.0.0.1: admin request /admin/gc: as admin",
                    "FAILED 127.0.0.1: admin request /admin/gc: authentication failed: the token is unknown"])
                users = [(line.split()[1], re.search(r'"(.*)"', line)[1]) for line in access.read_text().splitlines()]
                self.assertEqual([one for one in users if "HTTP" not in one[1]], [
                    ("local", "POST /admin/kick"), ("admin", "POST /admin/gc"), ("-", "POST /admin/gc"),
                    ("-", "GET /health")])
                self.assertNotIn("audit: ", server.log())


if __name__ == "__main__":
    unittest.main()
