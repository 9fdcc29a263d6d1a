"""The commands of the docs that need root, run as they stand: those with the mark `deploy`.

A page is run in a network namespace of its own, where the ports of the docs are free, and in a folder like the
checkout. `docker` is podman, with names of this checkout for the containers and images of the docs.
"""
import os
import pathlib
import shlex
import subprocess
import sys
import tempfile
import unittest

import debian
import doc_page
import images
from images import CHECKOUT, LIMITS, PODMAN
from server import BIN_DIR

sys.path.insert(0, str(CHECKOUT / "scripts"))
import doc_commands  # noqa: E402

SHELL = ("timeout", "300", "bash", "-euc")
# The programs of a Docker host. Words that name the image or the container stand for our own.
DOCKER = """#!/bin/bash
command=$1
shift
words=()
for word; do
    case $word in
    websocket-server:*) word={image}:${{word#*:}} ;;
    websocket-server) word={container} ;;
    nofile=*) word=nofile=20000:20000 ;;  # This machine permits no more.
    .) [ "$command" != build ] || word={checkout} ;;
    esac
    words+=("$word")
done
case $command in
build) words=(--format docker {limits} "${{words[@]}}") ;;
run) words=({limits} "${{words[@]}}") ;;
esac
exec {podman} "$command" "${{words[@]}}"
"""


class Host:
    """Where the commands of a page run."""

    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        self.folder.chmod(0o755)
        self.name = images.unique_name()
        self.image = f"localhost/{self.name}"
        for name in ("container", "bin", "config"):
            (self.folder / name).mkdir()
        (self.folder / "container/seccomp.json").write_bytes(images.SECCOMP.read_bytes())
        docker = self.folder / "bin/docker"
        docker.write_text(DOCKER.format(image=self.image, container=self.name, checkout=CHECKOUT,
                                        limits=shlex.join(LIMITS), podman=shlex.join(PODMAN)), "utf8")
        docker.chmod(0o755)
        self.namespace = subprocess.Popen(("unshare", "--net", "sh", "-c", "ip link set lo up && echo && exec cat"),
                                          stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.namespace.stdout.readline()

    def close(self):
        """A page that came to its end has removed both itself."""
        debian.command(*PODMAN, "rm", "--force", "--ignore", "--volumes", "--time", "0", self.name)
        if self.image in debian.command(*PODMAN, "images", "--format", "{{.Repository}}"):
            debian.command(*PODMAN, "image", "untag", self.image)
        self.namespace.communicate()

    def write(self, name, text):
        (self.folder / name).write_text(text, "utf8")

    def run(self, commands):
        path = f"{self.folder}/bin:{BIN_DIR.resolve()}:{os.environ['PATH']}"
        return subprocess.run(("nsenter", f"--net=/proc/{self.namespace.pid}/ns/net", *SHELL, commands),
                              cwd=self.folder, env=dict(os.environ, PATH=path), stdin=subprocess.DEVNULL, check=False,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


class Page:
    """One page; a class each, which says on what host it is run."""

    def test_its_commands_do_what_it_says(self):
        """The first block that fails ends the page: the others build on it."""
        folder = tempfile.TemporaryDirectory(prefix="ringcast-", dir="/var/tmp")
        self.addCleanup(folder.cleanup)
        host = self.host(folder.name)
        self.addCleanup(host.close)
        said = None
        for block in doc_commands.blocks_of(self.page, (CHECKOUT / self.page).read_text("utf8")):
            where, text = f"{self.page}:{block.line}", "\n".join(block.lines) + "\n"
            if block.mark.startswith("file: "):
                host.write(block.mark.removeprefix("file: "), text)
            elif block.mark == "deploy":
                done = host.run(text)
                said = done.stdout
                self.assertEqual(done.returncode, 0, f"{where}:\n{said[-3000:]}")
            elif block.mark == "output":
                try:
                    doc_page.check_output([line for line in block.lines if line.strip()], said)
                except doc_page.Fault as fault:
                    self.fail(f"{where}: {fault}")


class Containers(Page, unittest.TestCase):
    """S123: the commands of docs/containers.md."""
    page = "docs/containers.md"

    def host(self, folder):
        images.ringcast()  # The build of the page finds its layers in the cache.
        return Host(folder)


if __name__ == "__main__":
    unittest.main()
