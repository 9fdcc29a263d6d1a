"""Many clients come at once: none of them costs a warning, and the log tells of each or of how many."""
import re
import unittest

from clients import RawClient, request
from server import Server, program, run, wait_until

CLIENTS = 2000
SUM = re.compile(r"In a second, (\d+) more clients connected and (\d+) more disconnected")


class Crowd(unittest.TestCase):
    def counted(self, server):
        """How many clients the log says connected and disconnected, and in how many lines."""
        log = "\n".join(server.log_lines())
        sums = [(int(match[1]), int(match[2])) for match in SUM.finditer(log)]
        lines = log.count(" connected from "), log.count(" disconnected: ")
        return (lines[0] + sum(pair[0] for pair in sums), lines[1] + sum(pair[1] for pair in sums),
                sum(lines) + len(sums))

    def test_each_of_two_thousand_clients_is_told_and_no_warning_is_lost(self):
        options = ("--feed", "sim:symbols=20,rate=100", "--max-connections", "3000",
                   "--allowed-origins", "https://a.example")
        with Server(*options) as server:
            # A wrong origin is a warning.
            for count in (CLIENTS // 2, CLIENTS):
                self.refuse_one(server)
                done = run([program("ringcast-bench"), "-c", str(CLIENTS // 2), "-d", "1", "-w", "0",
                            server.url()], seconds=120)
                self.assertIn("latency", done.stdout, done.stderr)
                self.assertTrue(wait_until(lambda: self.counted(server)[:2] == (count, count), 60),
                                self.counted(server))
            self.refuse_one(server)
            self.assertTrue(wait_until(lambda: self.denied(server) == 3, 10))
            self.assertEqual(server.stats()["application"]["log_lines_lost"], 0)
            self.assertLess(self.counted(server)[2], CLIENTS)

    def denied(self, server):
        return sum("audit: DENIED" in line for line in server.log_lines())

    def refuse_one(self, server):
        with RawClient(server.port, upgrade=False) as client:
            client.send(request(extra="Origin: https://b.example\r\n"))
            self.assertEqual(client.read_head(), 403)


if __name__ == "__main__":
    unittest.main()
