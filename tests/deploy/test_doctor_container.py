"""`ringcast doctor` in containers: without rights, under a profile that forbids io_uring, and beside a server."""
import json
import unittest

from images import PODMAN, Container
from server import START_SECONDS, run, wait_until


def findings_of(said):
    line = next(line for line in said.splitlines() if line.startswith("{"))
    result = json.loads(line)
    return result, {finding["id"]: finding for finding in result["findings"]}


class WithoutRights(unittest.TestCase):
    def test_a_profile_that_forbids_io_uring_is_named(self):
        """S106, S137: the default profile of podman, which hides the calls; no capabilities; no server."""
        status, said = Container("doctor", "--json", hardened=("--cap-drop", "ALL"), ports=()).run()
        self.assertEqual(status, 2, said)
        _, found = findings_of(said)
        self.assertEqual([found[name]["level"] for name in ("uring.setup", "sec.seccomp", "env.container", "sec.caps")],
                         ["FAIL", "FAIL", "INFO", "INFO"], said)
        self.assertIn("container/seccomp.json", found["sec.seccomp"]["change"])
        self.assertIn("(podman)", found["env.container"]["is"])

    def test_the_server_of_the_container_is_found_with_its_options(self):
        """S137: as an operator does, by exec, with our profile."""
        with Container("--max-connections", "1234", ports=()) as container:
            self.assertTrue(wait_until(lambda: "listening on" in container.podman("logs"), START_SECONDS))
            done = run([*PODMAN, "exec", container.name, "ringcast", "doctor", "--json"])
        result, found = findings_of(done.stdout)
        self.assertEqual((result["subject"], result["pid"]), ("the server of process 1", 1))
        self.assertIn(" 1234 clients", found["limit.nofile"]["is"])
        for name in ("uring.setup", "uring.mode", "uring.ops", "sec.seccomp", "env.namespaces", "env.options"):
            self.assertEqual(found[name]["level"], "OK", found[name])


if __name__ == "__main__":
    unittest.main()
