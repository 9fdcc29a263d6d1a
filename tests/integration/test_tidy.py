"""scripts/tidy.py: the checks of rooms, on small trees with a planted fault."""
import importlib.util
import pathlib
import sys
import tempfile
import unittest

from server import CHECKOUT


sys.path.insert(0, str(CHECKOUT / "scripts"))


def load_tidy():
    spec = importlib.util.spec_from_file_location("tidy", CHECKOUT / "scripts/tidy.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class House(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="ringcast-")
        self.addCleanup(folder.cleanup)
        self.tidy = load_tidy()
        self.tidy.ROOT = pathlib.Path(folder.name)

    def tree(self, **includes):
        """ring_core_a=["ring/core/b.h"]: ring/core/a.c includes that, and a.h is there, too."""
        paths = []
        for name, others in includes.items():
            module = self.tidy.ROOT / name.replace("_", "/")
            module.parent.mkdir(parents=True, exist_ok=True)
            source, header = module.with_suffix(".c"), module.with_suffix(".h")
            source.write_text("".join(f'#include "{other}"\n' for other in others))
            header.write_text("")
            paths += [source, header]
        return paths

    def circles(self, **includes):
        return list(self.tidy.check_circles(self.tree(**includes)))

    def test_a_circle_of_three_modules_is_told_as_a_path_with_its_includes(self):
        fault, = self.circles(ring_fan_a=["ring/fan/a.h", "ring/fan/b.h"], ring_fan_b=["ring/fan/c.h"],
                              ring_fan_c=["ring/fan/a.h"], ring_fan_d=["ring/fan/a.h"])
        self.assertEqual(fault, """\
a circle of 3 modules: ring/fan/a -> ring/fan/b -> ring/fan/c -> ring/fan/a
    ring/fan/a.c includes ring/fan/b.h
    ring/fan/b.c includes ring/fan/c.h
    ring/fan/c.c includes ring/fan/a.h""")

    def test_two_modules_of_a_room_may_include_each_other_and_two_rooms_may_not(self):
        self.assertEqual(self.circles(src_market_a=["src/market/b.h"],
                                      src_market_b=["src/market/a.h"]), [])
        fault, = self.circles(src_market_a=["src/session/b.h"], src_market_c=["src/session/b.h"],
                              src_session_b=["src/market/a.h"])
        self.assertEqual(fault, """\
a circle of rooms: src/market -> src/session -> src/market
    src/market/a.c includes src/session/b.h
    src/market/c.c includes src/session/b.h
    src/session/b.c includes src/market/a.h""")

    def test_a_circle_through_a_header_counts_and_one_without_a_way_back_does_not(self):
        paths = self.tree(codec_a=["codec/b.h"], codec_b=["codec/c.h"], codec_c=[])
        self.assertEqual(list(self.tidy.check_circles(paths)), [])
        (self.tidy.ROOT / "codec/c.h").write_text('#include "codec/a.h"\n')
        fault, = self.tidy.check_circles(paths)
        self.assertIn("a -> codec/b -> codec/c -> codec/a", fault)

    def test_two_circles_that_meet_are_walked_through_whole(self):
        fault, = self.circles(feeds_a=["feeds/b.h", "feeds/c.h"], feeds_b=["feeds/a.h"],
                              feeds_c=["feeds/a.h"])
        self.assertIn("feeds/a -> feeds/b -> feeds/a -> feeds/c -> feeds/a\n", fault)

    def test_sizes_and_assertions_are_measured_by_room(self):
        source = self.tidy.ROOT / "ring/core/a.c"
        source.parent.mkdir(parents=True)
        source.write_text("assert_always(1);\n" * 9 + "\n" * 591)
        self.assertEqual(list(self.tidy.check_rooms([source])), [])
        source.write_text("assert_always(1);\n" * 8 + "\n" * 593)
        self.assertEqual(list(self.tidy.check_rooms([source])),
                         ["ring/core/a.c: 601 lines, the limit is 600: split the file",
                          "ring/core: 8 assertions in 601 lines, at least 9 are required"])


if __name__ == "__main__":
    unittest.main()
