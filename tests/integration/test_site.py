"""The pages as a website: what scripts/docs.py builds, and the list of pages of scripts/mkdocs.yml."""
import contextlib
import fnmatch
import functools
import http.server
import re
import sys
import threading
import unittest

from browser import Browser
from server import CHECKOUT, run, wait_until

sys.path.insert(0, str(CHECKOUT / "scripts"))
import docs  # noqa: E402
import tidy  # noqa: E402

SITE = CHECKOUT / "zig-out/docs"
SITE_SECONDS = 300


class Lists(unittest.TestCase):
    def test_the_site_lists_every_page(self):
        text = (CHECKOUT / "scripts/mkdocs.yml").read_text(encoding="utf8")
        listed, unlisted = set(re.findall(r": (\S+\.md)$", text, re.M)), re.findall(r"^  /(\S+)$", text, re.M)
        pages = {str(path.relative_to(CHECKOUT)) for path in tidy.tracked("*.md")}
        self.assertEqual(listed, {docs.DECISIONS} | {
            name for name in pages if not any(fnmatch.fnmatch(name, it) for it in unlisted)})


class Site(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        if not docs.SITE_PACKAGES.exists():
            raise unittest.SkipTest("SKIPPED: MkDocs is not installed: ./test full does, or scripts/setup.sh docs")
        cls.built = run([sys.executable, "scripts/docs.py"], SITE_SECONDS, cwd=CHECKOUT)

    def test_every_link_and_anchor_leads_somewhere(self):
        self.assertEqual(self.built.returncode, 0, self.built.stdout + self.built.stderr)

    def test_it_asks_no_other_site_for_anything(self):
        pages = list(SITE.rglob("*.html"))
        self.assertGreater(len(pages), 50)
        for page in pages:
            text = page.read_text(encoding="utf8")
            self.assertEqual(re.findall(r'<(?:script|img|iframe|source)[^>]* src="(?:https?:)?//[^"]*"|'
                                        r'<link[^>]* href="(?:https?:)?//[^"]*"', text), [], page)

    def test_its_search_finds_a_word(self):
        class Quiet(http.server.SimpleHTTPRequestHandler):
            def log_message(self, *_):
                pass
        with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=SITE)) as server, \
                contextlib.closing(Browser()) as browser:
            threading.Thread(target=server.serve_forever, daemon=True).start()
            browser.open(f"http://127.0.0.1:{server.server_port}/index.html?q=coordinated")
            found = wait_until(lambda: browser.evaluate(
                "[...document.querySelectorAll('.md-search-result__link')].map(it => it.href).join(' ')"), 60)
            server.shutdown()
        self.assertIn("glossary.html", found)


if __name__ == "__main__":
    unittest.main()
