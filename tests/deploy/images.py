"""The image of this checkout, and how containers of it are run here."""
import functools
import hashlib
import pathlib
import subprocess
import urllib.error
import urllib.request
import uuid

import debian
from server import START_SECONDS, wait_until

CHECKOUT = pathlib.Path(__file__).resolve().parents[2]
SECCOMP = CHECKOUT / "container/seccomp.json"
# Checkouts build images side by side, each with names of its own.
NAME = "localhost/ringcast-" + hashlib.sha256(str(CHECKOUT).encode()).hexdigest()[:12]
PODMAN = ("podman", "--runtime", "runc", "--log-level", "fatal")
# This machine's limits may be below podman's defaults.
LIMITS = ("--ulimit", "nofile=20000:20000", "--ulimit", "nproc=1000:1000")
UNDER_OUR_PROFILE = ("--security-opt", f"seccomp={SECCOMP}")
HARDENED = ("--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges", *UNDER_OUR_PROFILE)


def unique_name():
    """Of a container."""
    return f"{NAME.rpartition('/')[2]}-{uuid.uuid4().hex[:8]}"


def build(name, context=CHECKOUT, *options):
    """An image of a context with our Dockerfile. Layers that have not changed come from podman's cache."""
    debian.base_image()
    debian.command(*PODMAN, "build", "--format", "docker", *LIMITS, "-t", name, *options, str(context))


@functools.cache
def ringcast():
    """The name of the image of this checkout. The first class of tests builds it; for the others, it is in podman's
    cache."""
    with debian.locked(f"/var/tmp/{NAME.replace('/', '-')}.lock"):
        build(NAME)
    return NAME


class Container:
    """A server that runs in a container, on ports that the kernel picks, until the end of the block.

    arguments: of ringcast. options: of podman run, beside those of a hardened container. ports: what to publish.
    """

    def __init__(self, *arguments, options=(), ports=(8765, 8080), hardened=HARDENED, image=None):
        published = [word for port in ports for word in ("-p", f"127.0.0.1::{port}")]
        self.name = unique_name()
        self.command = ("--name", self.name, *LIMITS, *hardened, *published, *options, image or ringcast(), *arguments)

    def __enter__(self):
        debian.command(*PODMAN, "run", "--detach", *self.command)
        return self

    def __exit__(self, *_):
        self.remove()

    def run(self):
        """It runs to its end, which is to come by itself: (status, what it said)."""
        done = subprocess.run((*PODMAN, "run", *self.command), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
                              stdin=subprocess.DEVNULL)
        self.remove()
        return done.returncode, done.stdout

    def remove(self):
        debian.command(*PODMAN, "rm", "--force", "--volumes", "--time", "0", self.name)

    def podman(self, command, *arguments):
        """What a command about this container prints."""
        return debian.command(*PODMAN, command, self.name, *arguments)

    def inspect(self, key):
        return debian.command(*PODMAN, "inspect", "--format", f"{{{{{key}}}}}", self.name).strip()

    def port(self, port):
        return int(self.podman("port", str(port)).rpartition(":")[2])

    def pid(self):
        return int(self.inspect(".State.Pid"))

    def log(self):
        return self.podman("logs")

    def get(self, path, port=8080, headers=()):
        """(status, body)"""
        asked = urllib.request.Request(f"http://127.0.0.1:{self.port(port)}{path}", headers=dict(headers))
        try:
            with urllib.request.urlopen(asked, timeout=30) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()
        except OSError as error:  # Nobody listens yet.
            return None, str(error)

    def wait_until_ready(self):
        if not wait_until(lambda: self.get("/readyz")[0] == 200, START_SECONDS):
            raise AssertionError(f"it is not ready:\n{self.log()}")
        return self
