"""A small Debian 12 to install packages in, as a folder or as the image debian:bookworm-slim.

debootstrap makes it once; the archive stays in /var/tmp for a day. It has this machine's settings of
apt and pip, so that it reaches the same mirrors.
"""
import contextlib
import fcntl
import pathlib
import re
import shutil
import subprocess
import tempfile
import time

ARCHIVE = pathlib.Path("/var/tmp/ringcast-debian-bookworm.tar")
ARCHIVE_SECONDS_MAX = 24 * 3600
IMAGE = "docker.io/library/debian:bookworm-slim"
SETTINGS = ("/etc/pip.conf", "/etc/ssl/certs/ca-certificates.crt", "/etc/resolv.conf", "/etc/hosts")


def command(*arguments, **options):
    """A command that must not fail; returns what it printed."""
    done = subprocess.run(arguments, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          check=False, stdin=subprocess.DEVNULL, **options)
    if done.returncode != 0:
        raise AssertionError(f"{' '.join(map(str, arguments))} ended with {done.returncode}:\n{done.stdout[-4000:]}")
    return done.stdout


@contextlib.contextmanager
def locked(path):
    with open(path, "w", encoding="utf8") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def mirror():
    files = [pathlib.Path("/etc/apt/sources.list"), *pathlib.Path("/etc/apt/sources.list.d").glob("*")]
    text = "\n".join(file.read_text(encoding="utf8") for file in files
                     if file.suffix in (".list", ".sources") and file.exists())
    found = re.search(r"https?://\S+/debian/?(?=\s)", text + "\n")
    return found[0] if found else "http://deb.debian.org/debian"


def make_archive():
    with tempfile.TemporaryDirectory(prefix="ringcast-debian-", dir="/var/tmp") as folder:
        root = pathlib.Path(folder, "root")
        command("debootstrap", "--variant=minbase", "--include=ca-certificates", "bookworm", str(root), mirror())
        for setting in SETTINGS:
            if pathlib.Path(setting).exists():
                (root / setting[1:]).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(setting, root / setting[1:])
        for name in ("apt.conf.d", "sources.list.d"):
            shutil.copytree(f"/etc/apt/{name}", root / "etc/apt" / name, dirs_exist_ok=True)
        for packages in (root / "var/cache/apt/archives").glob("*.deb"):
            packages.unlink()
        made = ARCHIVE.with_suffix(".new")
        command("tar", "-C", str(root), "-cf", str(made), ".")
        made.rename(ARCHIVE)


def archive():
    with locked(f"{ARCHIVE}.lock"):
        if not ARCHIVE.exists() or time.time() - ARCHIVE.stat().st_mtime > ARCHIVE_SECONDS_MAX:
            make_archive()
    return ARCHIVE


def unpack(folder):
    """A system of its own in a folder, which chroot(8) can enter."""
    pathlib.Path(folder).mkdir(parents=True, exist_ok=True)
    command("tar", "-C", str(folder), "-xf", str(archive()))


def base_image():
    """The name of the image, which the local storage then has. One that was pulled is left as it is."""
    with locked(f"{ARCHIVE}.image.lock"):
        if subprocess.run(["podman", "image", "exists", IMAGE], check=False).returncode != 0:
            command("podman", "import", str(archive()), IMAGE)
    return IMAGE
