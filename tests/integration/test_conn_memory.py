"""What a connection that is subscribed and idle takes of the server's memory, all pools included."""
import resource
import socket
import unittest

from clients import frame, request, subscribe_message
from server import Server

FEW, MANY = 100, 4000
AT_ONCE = 200  # handshakes under way
BYTES_MAX = 256  # of each connection more
# Without lines about clients: the log keeps its last ones, whose memory is bounded.
QUIET = ("--feed", "sim:symbols=1,rate=1", "--log-connections", "debug")


def anonymous_bytes(pid):
    with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as rollup:
        return next(int(line.split()[1]) * 1024 for line in rollup if line.startswith("Anonymous:"))


def read_until(client, mark):
    data = b""
    while mark not in data:
        piece = client.recv(65536)
        assert piece and b"ERROR" not in data, data
        data += piece


def subscribe(server, count, symbol):
    """So many clients, each of which has its answer."""
    hello = request() + frame(1, subscribe_message([symbol], ["quote", "trade"]))
    clients = []
    while len(clients) < count:
        some = []
        for _ in range(min(AT_ONCE, count - len(clients))):
            some.append(socket.create_connection(("127.0.0.1", server.port), timeout=30))
            some[-1].sendall(hello)
        for client in some:
            read_until(client, b'"SUBSCRIBED"')
        clients += some
    return clients


class ConnectionMemory(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        if hard < MANY + 200:
            raise unittest.SkipTest(f"{hard} descriptors are too few for {MANY} clients")
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        cls.addClassCleanup(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))

    def taken(self, count, symbol):
        """By a server that has room for these clients and little more. What it takes once, whatever
        their number, is in this figure."""
        with Server("--max-connections", str(count), *QUIET) as server:
            server.wait_for_ticks(2)
            clients = subscribe(server, count, symbol)
            try:
                return anonymous_bytes(server.pid)
            finally:
                for client in clients:
                    client.close()

    def each(self, symbol):
        few, many = self.taken(FEW, symbol), self.taken(MANY, symbol)
        return (many - few) / (MANY - FEW)

    def test_a_client_of_whole_data_types_takes_256_bytes_at_most(self):
        """S97, S99: the memory of a connection, all pools included."""
        self.assertLessEqual(self.each("*"), BYTES_MAX)

    def test_a_client_of_two_channels_takes_256_bytes_and_a_record_for_the_second(self):
        self.assertLessEqual(self.each("000001.SZ"), BYTES_MAX + 64)


if __name__ == "__main__":
    unittest.main()
