"""The image of this checkout, and how containers of it are run here."""
import hashlib
import pathlib

import debian

CHECKOUT = pathlib.Path(__file__).resolve().parents[2]
SECCOMP = CHECKOUT / "container/seccomp.json"
# Checkouts build images side by side, each with names of its own.
NAME = "localhost/ringcast-" + hashlib.sha256(str(CHECKOUT).encode()).hexdigest()[:12]
PODMAN = ("podman", "--runtime", "runc", "--log-level", "fatal")
# This machine's limits may be below podman's defaults.
LIMITS = ("--ulimit", "nofile=20000:20000", "--ulimit", "nproc=1000:1000")
UNDER_OUR_PROFILE = ("--security-opt", f"seccomp={SECCOMP}")
HARDENED = ("--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges", *UNDER_OUR_PROFILE)


def build(name, context=CHECKOUT, *options):
    """An image of a context with our Dockerfile. Layers that have not changed come from podman's cache."""
    debian.base_image()
    debian.command(*PODMAN, "build", "--format", "docker", *LIMITS, "-t", name, *options, str(context))


def ringcast():
    """The name of the image of this checkout. The test that comes first builds it; podman finds the others' in its
    cache."""
    with debian.locked(f"/var/tmp/{NAME.replace('/', '-')}.lock"):
        build(NAME)
    return NAME
