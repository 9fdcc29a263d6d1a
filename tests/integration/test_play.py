"""/play of the admin server, in Chromium, with a real server."""
import ast
import re
import signal
import unittest
import urllib.parse

from browser import PageTestCase
from test_examples import Relay

MARKET = "sim:symbols=20,rate=1000,types=quote+trade+bar+depth"


class Play(PageTestCase):
    def open(self, server, *keys, **query):
        pairs = [("s", key) for key in keys] + list(query.items())
        self.open_page(server, f"/play?{urllib.parse.urlencode(pairs)}")

    def subscribe(self, key):
        self.click(f'#symbols button[value="{key}"]')

    def test_clicks_subscribe_and_end_subscriptions(self):
        server = self.server("--feed", MARKET)
        self.open(server)
        self.wait_for_text("state", "connected, nothing is subscribed")
        self.wait_for(lambda: len([row for row in self.rows("symbols") if "quote" in row[2]]) == 20)
        self.subscribe("000001.SZ@quote")
        self.subscribe("600519.SH@trade")
        self.subscribe("600519.SH@bar")
        self.wait_for(lambda: len(self.rows("quotes")) == 1 and self.rows("quotes")[0][1])
        first = self.rows("quotes")[0]
        self.assertEqual(first[0], "000001.SZ")
        self.wait_for(lambda: int(self.rows("quotes")[0][5]) > int(first[5]) + 5)
        self.wait_for("document.querySelector('#quotes .up, #quotes .down') !== null")
        self.wait_for(lambda: len(self.rows("trades")) > 3)
        self.assertEqual({row[1] for row in self.rows("trades")}, {"600519.SH"})
        self.wait_for(lambda: self.rows("bars") and all(self.rows("bars")[0]))
        self.wait_for_text("latency", r"p50 -?\d+\.\d\d ms · p99 -?\d+\.\d\d ms · \d+ ticks")
        self.assertEqual(self.text("state"), "live")
        self.assertEqual(self.js("new URLSearchParams(location.search).getAll('s')"),
                         ["000001.SZ@quote", "600519.SH@trade", "600519.SH@bar"])
        self.subscribe("000001.SZ@quote")
        self.wait_for(lambda: self.rows("quotes") == [])
        self.wait_for(lambda: server.stats()["connections"]["subscriptions"] == 2)

    def test_a_book_has_the_servers_checksum(self):
        server = self.server("--feed", MARKET)
        self.open(server)
        self.assertEqual(self.js("crc32c('12.33:500,12.32:900,|12.34:300,12.35:100,')"), 3311737729)
        self.subscribe("000001.SZ@depth")
        self.wait_for(lambda: int((re.search(r"right \((\d+) compared", self.text("checksum"))
                                   or (0, 0))[1]) > 5)
        book = self.rows("book")
        self.assertEqual(len(book), 10)
        bids, asks = ([float(row[i]) for row in book if row[i]] for i in (1, 2))
        self.assertEqual((bids, asks), (sorted(bids, reverse=True), sorted(asks)))
        self.assertGreater(asks[0], bids[0])
        self.assertNotIn("differs", self.text("messages"))
        # A book that is wrong is found out, and made anew.
        self.js("void [...channels.values()][0].book.bids.set('1000000', ['1000000', '1'])")
        self.wait_for_text("messages", "checksum of the book of 000001.SZ differs")
        self.wait_for_text("checksum", "right")
        self.assertLess(float(self.rows("book")[0][1]), 1000000)

    def test_numbers_are_those_of_the_wire(self):
        server = self.server("--feed", MARKET)
        self.open(server, "000001.SZ@quote")
        self.wait_for_text("state", "live")
        self.assertEqual(self.js("""parse('{"a":[12.30,-0.00000001,1795978884641465301],"b":"1.50"}')"""),
                         {"a": ["12.30", "-0.00000001", "1795978884641465301"], "b": "1.50"})
        self.assertEqual(self.js("[['9007199254740993.1', '9007199254740993.2'], ['2', '10'], ['1.5', '1.50'],"
                                 " ['-1.2', '-1.1']].map(pair => Math.sign(compareDecimals(...pair)))"),
                         [-1, -1, 0, -1])

    def test_messages_are_shown_and_copied(self):
        server = self.server("--feed", MARKET)
        self.open(server, "000001.SZ@depth")
        self.wait_for_text("messages", '← {"type":"SUBSCRIBED"')
        self.assertIn('{"type":"SYMBOLS"', self.text("messages"))
        self.assertNotIn('"action":"delta"', self.text("messages"))
        copies = {}
        for name in ("JSON", "ringcast-tap", "Python"):
            self.js("void [...document.querySelectorAll('#messages .sent')].find(item => "
                    "item.textContent.includes('SUBSCRIBE')).querySelector("
                    f"'button[aria-label=\"copy as {name}\"]').click()")
            copies[name] = self.js("document.getElementById('copied-text').value")
        self.assertEqual(copies["JSON"], '{"type":"SUBSCRIBE","id":1,"data":{"symbols":["000001.SZ"],'
                                         '"data_types":["depth"],"depth":10}}')
        self.assertEqual(copies["ringcast-tap"], f"ringcast-tap {server.url()} --symbols 000001.SZ "
                                                 "--types depth --depth 10")
        compile(copies["Python"], "copied", "exec")
        sent = re.search(r"send\((.*)\)\n", copies["Python"])[1]
        self.assertEqual(ast.literal_eval(sent), copies["JSON"])
        self.js("void ($('send').text.value = '{\"type\":\"STATUS\"}', $('send').requestSubmit())")
        self.wait_for_text("messages", '← {"type":"STATUS"')
        self.click("#with-frames")
        self.wait_for_text("messages", '"action":"delta"')
        self.click("#pause")
        shown = self.text("messages")
        seq = self.js("[...channels.values()][0].last")
        self.wait_for(f"[...channels.values()][0].last > {seq} + 20")
        self.assertEqual(self.text("messages"), shown)
        self.click("#pause")
        self.wait_for(lambda: self.text("messages") != shown)

    def test_many_ticks_do_not_pile_up(self):
        server = self.server("--feed", MARKET)
        self.open(server)
        self.click("#with-frames")
        self.wait_for("document.querySelectorAll('#symbols button').length === 80")
        self.js("void document.querySelectorAll('#symbols button').forEach(button => button.click())")
        self.wait_for("sampleCount > 2500")
        self.assertLessEqual(self.js("document.querySelectorAll('#messages li').length"), 200)
        self.assertLessEqual(self.js("lines.length"), 200)
        self.assertLessEqual(self.js("trades.length"), 40)
        self.assertEqual(len(self.rows("quotes")), 20)

    def test_it_fits_narrow_and_dark_screens(self):
        server = self.server("--feed", MARKET)
        self.open(server, *(f"{symbol}@{kind}" for symbol in ("000001.SZ", "600519.SH")
                            for kind in ("quote", "trade", "bar", "depth")))
        self.set_width(400)
        self.wait_for_text("checksum", "right")
        self.wait_for(lambda: self.rows("bars") and self.rows("trades") and self.rows("quotes"))
        self.assertLessEqual(self.js("document.documentElement.scrollWidth"), 400)
        self.assert_follows_colour_schemes()
        self.assertEqual(self.js(  # Each field of input has a name for a screen reader.
            "[...document.querySelectorAll('input, select, textarea')].filter("
            "field => field.labels.length === 0).length"), 0)

    def test_it_goes_on_after_a_restart(self):
        server = self.server("--feed", MARKET)
        self.open(server, "000001.SZ@quote", "000001.SZ@depth")
        self.wait_for_text("checksum", "right")
        server.signal(signal.SIGKILL)
        self.wait_for_text("hint", "The connection broke|The server does not answer")
        self.wait_for_text("hint", "The server does not answer: it is not running")
        self.assertRegex(self.text("state"), r"not connected, next attempt in \d|connecting to")
        self.server("--feed", MARKET, "--admin-port", server.admin_port, port=server.port)
        self.wait_for_text("messages", "The server was restarted")
        self.wait_for_text("checksum", "right")
        self.wait_for(lambda: self.rows("quotes") and self.rows("quotes")[0][5])
        first = int(self.rows("quotes")[0][5])
        self.wait_for(lambda: int(self.rows("quotes")[0][5]) > first + 5)
        self.assertEqual(self.text("state"), "live")

    def test_after_a_disconnect_it_resumes(self):
        server = self.server("--feed", MARKET)
        relay = Relay(server.port)
        self.addCleanup(relay.cut)
        self.open(server, "000001.SZ@quote", "000001.SZ@depth", url=f"ws://127.0.0.1:{relay.port}/")
        self.wait_for_text("checksum", "right")
        relay.cut()
        self.wait_for_text("hint", "The connection broke|There is no connection")
        relay.mend()
        self.wait_for_text("messages", "Resumed 2 channels")
        seq = self.js("[...channels.values()].find(channel => channel.type === 'depth').last")
        self.wait_for(f"[...channels.values()].find(channel => channel.type === 'depth').last > {seq} + 20")
        self.wait_for_text("checksum", "right")
        self.assertEqual([row[6] for row in self.rows("quotes")], [""])
        self.assertNotIn("differs", self.text("messages"))

    def test_a_refusal_is_explained(self):
        server = self.server("--feed", MARKET, "--allowed-origins", "https://elsewhere.example")
        self.open(server)
        self.wait_for_text("hint", "--allowed-origins .* add http://127.0.0.1:"
                                   f"{server.admin_port} to that option")
        self.open(server, url=f"ws://127.0.0.1:{server.admin_port}/")
        self.wait_for_text("hint", "There is no connection to ws://127.0.0.1:")
        self.open(server, url="nonsense://x")
        self.wait_for_text("hint", "nonsense://x cannot be used")
        self.assertEqual(self.js("$('state').className"), "ended")

    def test_a_token_is_sent_and_not_shown(self):
        server = self.server("--feed", MARKET, "--enable-auth", "--auth-token", "very-secret-token")
        self.open(server, "000001.SZ@quote", "NOSUCH@quote")
        self.wait_for_text("hint", "needs a token")
        self.js("void ($('server').token.value = 'wrong', $('server').requestSubmit())")
        self.wait_for_text("hint", "missing or wrong")
        self.assertEqual(self.js("$('state').className"), "ended")
        self.js("void ($('server').token.value = 'very-secret-token', $('server').requestSubmit())")
        self.wait_for(lambda: self.rows("quotes") and self.rows("quotes")[0][5])
        self.wait_for_text("hint", r"NOSUCH quote is not subscribed: unknown symbol \(120\)")
        page = self.js("document.documentElement.outerHTML + location.href + "
                       "JSON.stringify({...localStorage, ...sessionStorage})")
        self.assertNotIn("very-secret-token", page)


if __name__ == "__main__":
    unittest.main()
