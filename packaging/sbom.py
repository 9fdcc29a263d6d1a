#!/usr/bin/env python3
"""sbom: writes what programs are made of, as CycloneDX 1.5.

  sbom.py FILE PROGRAM...

The libraries that the programs load come from ldd, and their packages and versions from dpkg. The
same programs on the same system give the same bytes: the time is SOURCE_DATE_EPOCH, or else that of
the newest commit.
"""
import datetime
import json
import os
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
# Debian packages whose headers have the code that ringcast uses: no library of theirs is loaded.
COMPILED_IN = ("libxxhash-dev",)


def output_of(*command):
    return subprocess.run(command, check=True, text=True, stdout=subprocess.PIPE, cwd=ROOT).stdout


def version_of_ringcast():
    text = (ROOT / "codec/base/version.h").read_text(encoding="utf8")
    return re.search(r'#define RINGCAST_VERSION "(.+)"', text)[1]


def version_of_zig():
    return re.search(r"^zig_version=(.+)$", (ROOT / "scripts/setup.sh").read_text(encoding="utf8"), re.M)[1]


def timestamp():
    seconds = int(os.environ.get("SOURCE_DATE_EPOCH") or output_of("git", "log", "-1", "--format=%ct"))
    return datetime.datetime.fromtimestamp(seconds, datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def loaded_by(program):
    """{name: path} of all libraries that a program loads."""
    return dict(re.findall(r"^\s(\S+) => (/\S+)", output_of("ldd", program), re.M))


def needed_by(path):
    """The names of the libraries that a program or a library itself asks for."""
    return re.findall(r"\(NEEDED\).*\[(.+)\]", output_of("readelf", "-d", path))


def packages_of(paths):
    """{path: the Debian package of this library}. dpkg may know it by a name without /usr."""
    real = {path: os.path.realpath(path) for path in paths}
    names = {name for it in real.values() for name in (it, it.removeprefix("/usr"))}
    found = subprocess.run(["dpkg-query", "-S", *names], text=True, capture_output=True, check=False).stdout
    owners = {name: package for package, name in re.findall(r"^([^:\n]+):.*? (/\S+)$", found, re.M)}
    for it in real.values():
        if it not in owners and it.removeprefix("/usr") not in owners:
            sys.exit(f"sbom: {it} belongs to no Debian package: install it with apt")
    return {path: owners.get(it) or owners[it.removeprefix("/usr")] for path, it in real.items()}


def license_of(package):
    """In the words of the package, or None if it does not say so in a form for machines."""
    text = pathlib.Path("/usr/share/doc", package, "copyright").read_text(encoding="utf8", errors="replace")
    found = re.search(r"^Files: *\*\n(?:.+\n)*?License: *(\S.*)$", text, re.M)
    return found[1] if found else None


def component(package, how):
    fields = "${Version} ${Architecture} ${source:Package} ${source:Version}"
    version, architecture, source, source_version = output_of("dpkg-query", "-W", "-f", fields, package).split()
    made = {
        "type": "library",
        "bom-ref": package,
        "name": package,
        "version": version,
        "purl": f"pkg:deb/debian/{package}@{version}?arch={architecture}",
        "properties": [{"name": "ringcast:use", "value": how},
                       {"name": "ringcast:source", "value": f"{source} {source_version}"}],
    }
    if name := license_of(package):
        made["licenses"] = [{"license": {"name": name}}]
    return made


def dependencies(programs):
    """{package: the packages that it uses}, of ringcast and of all libraries."""
    loaded = {program: loaded_by(program) for program in programs}
    owners = packages_of({path for paths in loaded.values() for path in paths.values()})
    uses = {"ringcast": set(COMPILED_IN)}
    for program, paths in loaded.items():
        for path in [program, *paths.values()]:
            user = owners.get(path, "ringcast")
            found = {owners[paths[name]] for name in needed_by(path) if name in paths}
            uses.setdefault(user, set()).update(found - {user})
    return uses


def bom(programs):
    version = version_of_ringcast()
    uses = dependencies(programs)
    components = [component(package, "loaded") for package in uses if package != "ringcast"]
    components += [component(package, "compiled in") for package in COMPILED_IN]
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.5.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": {
            "timestamp": timestamp(),
            "tools": {"components": [{"type": "application", "name": "zig", "version": version_of_zig()}]},
            "component": {"type": "application", "bom-ref": "ringcast", "name": "ringcast", "version": version,
                          "purl": f"pkg:generic/ringcast@{version}",
                          "licenses": [{"license": {"id": "Apache-2.0"}}]},
        },
        "components": sorted(components, key=lambda it: it["name"]),
        "dependencies": [{"ref": user, "dependsOn": sorted(used)} for user, used in sorted(uses.items())],
    }


def main():
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    file = pathlib.Path(sys.argv[1])
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(bom(sys.argv[2:]), indent=2) + "\n", encoding="utf8")


if __name__ == "__main__":
    main()
