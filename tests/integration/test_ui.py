"""/admin/ui of the admin server, in Chromium, with a real server."""
import json
import pathlib
import re
import signal
import socket
import tempfile
import unittest

from browser import PageTestCase
from clients import RawClient

MARKET = "sim:symbols=20,rate=1000,types=quote+trade"
HOSTILE = "<img src=x onerror=hacked=1>"
TOKEN = "admin-token-0123456789"
LAGGARD = {"session": "0-12", "name": HOSTILE, "address": "10.0.0.7:5123", "core": 0, "encoding": "json",
           "subscriptions": 20, "lag_frames": 9, "lag_ms": 1500, "frames_sent": 1, "frames_lost": 7,
           "frames_conflated": 0, "bytes_sent": None, "round_trip_us": None, "connected_seconds": 3,
           "state": "blocked", "cause": "client", "quality": 63}
TOP = {"symbols": [{"symbol": HOSTILE, "type": "quote", "frames_per_second": 1234.5, "subscribers": 6}],
       "laggards": [LAGGARD, {**LAGGARD, "lag_frames": 0, "frames_lost": 0, "state": "streaming", "cause": None}]}
ALERT = {"rule": HOSTILE, "level": "critical", "value": 97.25, "limit": 90}
ALERTS = {"active": [{**ALERT, "since": 1700000000}],
          "history": [{**ALERT, "state": "cleared", "at": "2023-07-22T04:26:40Z"}],
          "protection": [{"rule": HOSTILE, "active": True, "value": 17.25, "limit": None, "actions": 3}]}


class Ui(PageTestCase):
    def open(self, server, **settings):
        self.open_page(server, "/admin/ui", **settings)

    def open_with_answers(self, server, **answers):
        """The page gets these answers for paths of the server, by the last part of the path."""
        script = """const real = window.fetch;
            const answers = %s;
            window.fetch = (path, options) => {
              const name = path.split('?')[0];
              return name in answers ? Promise.resolve(new Response(JSON.stringify(answers[name])))
                : real(path, options);
            };""" % json.dumps(answers)
        added = self.browser.call("Page.addScriptToEvaluateOnNewDocument", source=script)
        self.addCleanup(self.browser.call, "Page.removeScriptToEvaluateOnNewDocument", **added)
        self.open(server)

    def facts(self):
        return dict(self.js("[...document.querySelectorAll('#server > div')].map("
                            "group => [...group.children].map(part => part.textContent))"))

    def test_it_shows_rates_connections_cores_latency_and_feeds(self):
        """S95: numbers of /stats as rates and with units."""
        server = self.server("--feed", MARKET, "--cores", "2", "--max-connections", "50")
        client = RawClient(server.port)
        self.addCleanup(client.close)
        client.subscribe(["*"], ["trade"])
        self.open(server)
        self.wait_for("rates.length >= 2")
        stats = server.stats()
        facts = self.facts()
        self.assertEqual((facts["version"], facts["epoch"]), (stats["version"], stats["epoch"]))
        self.assertEqual(facts["clients' port"], str(server.port))
        self.assertRegex(facts["uptime"], r"^\d+ s$|^\d+ min \d+ s$")
        self.assertEqual(self.text("state"), "ready")
        for name in ("messages", "ticks"):
            self.assertRegex(self.text(name), r"^[\d,.]+ /s$")
            self.assertNotEqual(self.text(name), "0.0 /s")
            self.assertRegex(self.js(f"$('{name}-line').getAttribute('points')"),
                             r"^[\d.]+,[\d.]+ [\d.]+,[\d.]+")
        self.assertRegex(self.text("bytes"), r"^[\d,.]+ [KM]?i?B/s$")
        connections = {row[0]: row[1:] for row in self.rows("connections")}
        self.assertEqual(connections["streaming"], ["1", "2.0 %"])
        self.assertEqual(connections["maximum"][0], "50")
        self.assertLessEqual({"of these blocked", "of these catching up"}, set(connections))
        self.assertEqual([row[0] for row in self.rows("cores")], ["0", "1"])
        self.assertEqual(sum(int(row[4]) for row in self.rows("cores")), 1)
        for row in self.rows("cores"):
            self.assertRegex(row[2], r"^[\d.]+ %$")
        latency = {row[0]: row[1:] for row in self.rows("latency")}
        for value in latency["oldest tick of a flush"] + latency["encode and publish"]:
            self.assertRegex(value, r"^[\d.,]+ (ns|µs|ms|s)$")
        feed = self.rows("feeds")[0]
        self.assertEqual((feed[0], feed[1], feed[4]), ("sim", "live", "–"))
        self.assertRegex(feed[2], r"^\d+ s ago$")
        self.assertRegex(feed[3], r"^[1-9][\d,.]+ /s$")

    def test_other_pages_link_to_it(self):
        server = self.server("--feed", MARKET)
        for path in ("/", "/play"):
            self.assertRegex(server.admin(path, headers={"Accept": "text/html"})[2], 'href="/?admin/ui"')

    def test_top_symbols_laggards_and_alerts_are_shown(self):
        """S95: what /admin/topk and /admin/alerts answer; a hostile text stays a text."""
        server = self.server("--feed", MARKET)
        self.open_with_answers(server, topk=TOP, alerts=ALERTS)
        self.wait_for("$('symbols').rows.length === 1 && $('alerts').rows.length === 2")
        self.assertEqual(self.rows("symbols"), [[HOSTILE, "quote", "1,235 /s", "6"]])
        self.assertEqual(self.rows("laggards"),
                         [["0-12", HOSTILE, "client", "1,500 ms", "7", "63", "blocked", "10.0.0.7:5123"]])
        self.assertEqual(self.rows("alerts"),
                         [[HOSTILE, "critical", "active", "97.3", "90", "2023-11-14 22:13:20"],
                          [HOSTILE, "critical", "cleared", "97.3", "90", "2023-07-22 04:26:40"]])
        self.assertEqual(self.rows("protection"), [[HOSTILE, "active", "17.3", "–", "3"]])
        self.assertEqual(self.js("[typeof hacked, document.images.length]"), ["undefined", 0])

    def test_a_hostile_symbol_of_a_feed_stays_a_text(self):
        with tempfile.NamedTemporaryFile("w", suffix=".csv") as file:
            file.write(f"symbol,timestamp,price,size,side\n{HOSTILE},2024-11-20T07:00:00Z,1,1,B\n")
            file.flush()
            server = self.server("--feed", f"replay:path={file.name},speed=0", "--stale-after", "1")
            self.open(server)
            self.wait_for_text("staleness", re.escape(f"1 of them stale: {HOSTILE}."))
        self.assertEqual(self.js("[typeof hacked, document.images.length]"), ["undefined", 0])

    def test_a_path_that_the_server_does_not_have_is_said(self):
        server = self.server("--feed", MARKET)
        self.open(server)
        for path, notes in (("topk", ("symbols", "laggards")), ("alerts", ("alerts", "protection"))):
            is_there = server.admin(f"/admin/{path}")[0] == 200
            for note in notes:
                self.wait_for_text(f"{note}-note", "^$" if is_there else "not available")

    def test_it_fits_narrow_and_dark_screens(self):
        """S95: a phone of 360 pixels does not scroll sideways; headers and fields have names."""
        with tempfile.TemporaryDirectory() as folder:  # A feed that shows why it has no ticks.
            server = self.server("--feed", MARKET, "--feed", f"ingest:unix={folder}/socket")
        self.set_width(360)
        self.open_with_answers(server, topk={"symbols": TOP["symbols"] * 10, "laggards": [LAGGARD] * 10},
                               alerts=ALERTS)
        self.wait_for("poll() && rates.length >= 1 && $('laggards').rows.length === 10")
        self.assertLessEqual(self.js("document.documentElement.scrollWidth"), 360)
        self.assert_follows_colour_schemes()
        self.assertEqual(self.js("document.querySelectorAll('thead th:not([scope=col])').length"), 0)
        self.assertEqual(self.js("document.querySelectorAll('tbody tr > :first-child:not([scope=row])').length"), 0)
        self.assertEqual(self.js("[...document.querySelectorAll('section')].filter(section => "
                                 "!section.ariaLabel && !$(section.getAttribute('aria-labelledby'))).length"), 0)
        self.assertEqual(self.js("[...document.querySelectorAll('input')].filter("
                                 "field => field.labels.length === 0).length"), 0)
        self.assertEqual(self.js("document.querySelectorAll('[role=alert], [aria-live]').length"), 1)

    def test_it_says_that_the_server_is_gone_and_goes_on_after_a_restart(self):
        """S95: the last values stay, greyed, until there are new ones."""
        server = self.server("--feed", MARKET)
        self.open(server)
        self.wait_for("poll() && rates.length >= 1")
        epoch = self.facts()["epoch"]
        height = self.js("$('main').offsetHeight")
        server.signal(signal.SIGKILL)
        self.wait_for_text("hint", r"The server does not answer: .* The values are those of [\d:]{8} \(UTC\)")
        self.assertEqual(self.text("state"), "no answer")
        self.assertEqual(self.facts()["epoch"], epoch)
        self.assertEqual(self.js("[$('banner').hidden, $('main').className, getComputedStyle($('main')).opacity]"),
                         [False, "old", "0.5"])
        self.assertEqual(self.js("$('main').offsetHeight"), height)
        self.click("#retry")
        self.wait_for("failures >= 2 && !isAsking")
        self.server("--feed", MARKET, "--admin-port", server.admin_port)
        self.click("#retry")
        self.wait_for("failures === 0 && $('banner').hidden && $('main').className === ''")
        self.assertNotEqual(self.facts()["epoch"], epoch)
        self.wait_for("poll() && rates.length >= 1")
        self.assertEqual(self.text("state"), "ready")

    def test_it_asks_nothing_while_paused_or_hidden(self):
        server = self.server("--feed", MARKET)
        self.open(server)
        self.wait_for("last !== undefined && !isAsking")
        asked = "performance.getEntriesByType('resource').length"
        self.click("#pause")
        self.assertEqual(self.js("$('pause').ariaPressed"), "true")
        before = self.js(asked)
        self.js("document.dispatchEvent(new Event('visibilitychange'))")
        self.js("void poll()")
        self.assertEqual(self.js(asked), before)
        self.js("Object.defineProperty(document, 'hidden', { value: true, configurable: true })")
        self.click("#pause")
        self.js("void poll()")
        self.assertEqual(self.js(f"[isAsking, {asked}]"), [False, before])
        self.js("delete document.hidden")
        self.js("document.dispatchEvent(new Event('visibilitychange'))")
        self.wait_for(f"{asked} > {before} && !isAsking")

    def test_it_asks_for_the_token_and_keeps_it_in_memory(self):
        """S95: other hosts get the page and /stats; the rest needs the admin token."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            try:
                sock.connect(("192.0.2.1", 9))
                host = sock.getsockname()[0]
            except OSError:
                host = "127.0.0.1"
        if host.startswith("127."):
            self.skipTest("SKIPPED: no address but loopback")
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder, "token")
            path.write_text(TOKEN)
            path.chmod(0o600)
            server = self.server("--feed", MARKET, "--admin-host", "0.0.0.0", "--admin-token-file", path)
        self.open(server, host=host)
        self.wait_for_text("hint", "The server needs a token: ")
        self.wait_for("poll() && rates.length >= 1")
        self.assertEqual(self.text("state"), "ready")
        self.assertEqual(self.text("symbols-note"), "This needs the admin token.")
        self.assertTrue(server.wait_for_line("audit: FAILED .*authentication failed"))
        paths = [re.search(r"admin request (\S+):", line)[1] for line in server.log_lines() if "audit: FAILED" in line]
        self.assertEqual(len(paths), len(set(paths)), "the page goes on asking without a token")
        self.enter("wrong-token-0123456789")
        self.wait_for_text("hint", "The server refuses this token")
        self.enter(TOKEN)
        self.wait_for("$('banner').hidden && !needsToken")
        self.wait_for_text("symbols-note", "^$|not available")
        page = self.js("document.documentElement.outerHTML + location.href + $('login').token.value + "
                       "JSON.stringify({...localStorage, ...sessionStorage}) + document.cookie")
        self.assertNotIn(TOKEN, page)

    def enter(self, token):
        self.js(f"void ($('login').token.value = '{token}', $('login').requestSubmit())")


if __name__ == "__main__":
    unittest.main()
