"""The counters file: what another program reads of a server that lives or was killed, and whose the name is."""
import fcntl
import os
import pathlib
import signal
import struct
import subprocess
import tempfile
import unittest

from clients import RawClient
from server import Server, reap, run, spawn, wait_until

FEED = ("--feed", "sim:symbols=20,rate=500")


def is_live(path):
    """Whether somebody holds the lock of the file; asks without taking it."""
    with open(path, "rb") as file:
        answer = fcntl.fcntl(file, fcntl.F_OFD_GETLK,
                             struct.pack("hhqqi4x", fcntl.F_RDLCK, os.SEEK_SET, 0, 0, 0))
        return struct.unpack("hhqqi4x", answer)[0] != fcntl.F_UNLCK


class CountersFile:
    """Its header, and its numbers by the names that the file itself gives them."""

    def __init__(self, path):
        data = pathlib.Path(path).read_bytes()
        (magic, self.version, self.cores, self.pid, self.started_ns, header_bytes, file_bytes, scopes_at,
         scope_bytes, _, entries_at, entry_bytes, entry_count) = struct.unpack_from("<8sIIQQ8I", data)
        assert magic == b"ringcst1" and header_bytes >= 128 and file_bytes == len(data), path
        self.values = {}
        for at in range(entries_at, entries_at + entry_count * entry_bytes, entry_bytes):
            name = data[at:at + 32].rstrip(b"\0").decode()
            offset, scope, kind = struct.unpack_from("<IBB", data, at + 224)
            begin, size, count = struct.unpack_from("<16xIII", data, scopes_at + scope * scope_bytes)
            self.values[scope, name] = sum(
                struct.unpack_from("<Q", data, begin + size * i + offset)[0] for i in range(count))

    def publisher(self, name):
        return self.values[1, name]

    def cores_sum(self, name):
        return self.values[2, name]


class Reading(unittest.TestCase):
    def test_another_program_sees_the_same_numbers_as_stats(self):
        with Server(*FEED, "--cores", "2") as server:
            clients = [RawClient(server.port) for _ in range(3)]
            self.assertTrue(wait_until(lambda: server.core_sum("conns_streaming") == 3))
            seen = CountersFile(server.counters_path())
            self.assertEqual(seen.cores_sum("conns_streaming"), 3)
            self.assertEqual(seen.cores_sum("accepted"), 3)
            self.assertEqual((seen.pid, seen.cores), (server.pid, 2))
            self.assertGreaterEqual(server.stats()["publisher"]["ticks"], seen.publisher("ticks"))
            self.assertTrue(is_live(server.counters_path()))
            for client in clients:
                client.close()

    def test_a_killed_server_leaves_its_numbers_until_the_next_one_starts(self):
        for number in (signal.SIGKILL, signal.SIGABRT):
            with self.subTest(number.name):
                with Server(*FEED) as server:
                    server.wait_for_ticks(10)
                    # Held open: a server of another test that starts meanwhile removes the name.
                    with open(server.counters_path(), "rb") as file:
                        server.signal(number)
                        server.process.wait()
                        path = f"/proc/self/fd/{file.fileno()}"
                        self.assertFalse(is_live(path))
                        self.assertGreaterEqual(CountersFile(path).publisher("ticks"), 10)
                with Server(*FEED):
                    self.assertFalse(server.counters_path().exists())

    def test_a_start_leaves_the_file_of_a_living_server(self):
        with Server(*FEED) as server, Server(*FEED):
            self.assertTrue(is_live(server.counters_path()))

    def test_a_file_that_took_over_the_name_stays_at_the_end(self):
        with Server(*FEED) as server:
            path = server.counters_path()
            path.unlink()
            path.symlink_to("/dev/null")  # what no other server takes for a dead one's
            self.addCleanup(path.unlink)
            server.signal(signal.SIGTERM)
            self.assertEqual(server.wait(), 0, server.log())
            self.assertTrue(path.is_symlink())


class Namespaces(unittest.TestCase):
    """Containers that share one /dev/shm, here one of their own: in each the server is process 1."""

    def setUp(self):
        script = "mount -t tmpfs tmpfs /dev/shm && echo ready && exec sleep 1000"
        if os.geteuid() != 0 or run(["unshare", "--mount", "--pid", "--fork", "--mount-proc", "mount",
                                     "-t", "tmpfs", "tmpfs", "/dev/shm"]).returncode != 0:
            self.skipTest("SKIPPED: no namespaces of mounts and processes can be made here")
        self.keeper = spawn(["unshare", "--mount", "sh", "-c", script], stdout=subprocess.PIPE)
        self.addCleanup(reap, self.keeper)
        self.addCleanup(self.keeper.stdout.close)
        self.assertEqual(self.keeper.stdout.readline(), b"ready\n")

    def server(self, *options):
        return Server(*FEED, *options, prefix=(
            "nsenter", f"--mount=/proc/{self.keeper.pid}/ns/mnt", "unshare", "--pid", "--fork",
            "--kill-child", "--mount-proc"))

    def files(self):
        """By name; beside each there is a socket for ctl."""
        folder = pathlib.Path(f"/proc/{self.keeper.pid}/root/dev/shm")
        found = {path.name: path for path in folder.iterdir()}
        sockets = {name for name, path in found.items() if path.is_socket()}
        self.assertEqual(sockets, {f"{name}.ctl" for name in set(found) - sockets})
        return {name: path for name, path in found.items() if name not in sockets}

    def test_both_servers_have_a_file_and_neither_removes_the_others(self):
        with self.server() as first:
            self.assertEqual(set(self.files()), {"ringcast-1"})
            inode = self.files()["ringcast-1"].stat().st_ino
            with self.server() as second:
                files = self.files()
                self.assertEqual(set(files), {"ringcast-1", "ringcast-1.2"})
                self.assertEqual(files["ringcast-1"].stat().st_ino, inode)
                for server in (first, second):
                    server.wait_for_ticks(1)
                for path in files.values():
                    self.assertTrue(is_live(path))
                    self.assertGreater(CountersFile(path).publisher("ticks"), 0)
            self.assertEqual(set(self.files()), {"ringcast-1"})
        self.assertEqual(set(self.files()), set())

    def test_the_name_of_a_killed_server_is_taken_again(self):
        with self.server() as first, self.server():
            os.kill(first.pid, signal.SIGKILL)
            first.process.wait()
            with self.server():
                files = self.files()
                self.assertEqual(set(files), {"ringcast-1", "ringcast-1.2"})
                self.assertTrue(all(map(is_live, files.values())))


class UnixSocket(unittest.TestCase):
    def test_a_socket_that_another_server_has_made_since_stays_at_the_end(self):
        with tempfile.TemporaryDirectory(prefix="ringcast-") as folder:
            path = f"{folder}/feed.sock"
            with Server(*FEED, "--unix", path) as first:
                os.unlink(path)
                with Server(*FEED, "--unix", path):
                    first.stop()
                    with RawClient(path) as client:
                        client.next_message(("WELCOME",))
                self.assertFalse(os.path.exists(path))


if __name__ == "__main__":
    unittest.main()
