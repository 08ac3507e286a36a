"""The architecture and the house rules, held by a test: imports, purity, packaging, sizes, words."""

import ast
import configparser
import os
import subprocess
import sys
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ALLOWED = {
    "ledger": {"ledger"},
    "voting": {"voting", "ledger"},
    "mail": {"mail"},
    "projections": {"projections", "mail", "voting", "ledger"},
    "client": {"client", "voting", "ledger"},
    "drills": {"drills", "client", "mail", "voting", "ledger"},
    "replay": {"replay", "client", "projections", "voting", "ledger"},
    "http": {"http", "replay", "projections", "mail", "voting", "ledger"},
}
FOLDERS = sorted(ALLOWED)

# What pure code may not name: each of these is the world outside, or a source of time or chance.
EFFECTS = {
    *("aiohttp", "asyncio", "concurrent", "falcon", "gunicorn", "http", "io", "logging", "multiprocessing"),
    *("pathlib", "psycopg", "queue", "random", "redis", "select", "selectors", "shutil", "signal", "smtplib"),
    *("socket", "ssl", "subprocess", "sys", "tempfile", "threading", "time", "urllib", "uvloop"),
}
CHANCE = {"os", "secrets"}
MAY_DRAW_RANDOM_BYTES = {"ballot.voting.blind", "ballot.voting.envelope"}
IMPURE_CALLS = {
    *("open", "print", "input", "uuid.uuid1", "uuid1", "uuid.uuid4", "uuid4"),
    *("datetime.now", "datetime.utcnow", "datetime.today", "date.today"),
}

SHADOWED = {"client", "server", "cookies", "cookiejar"}
MOST_LINES_OF_A_FILE = 400
MOST_LINES_OF_A_FUNCTION = 60
NOT_OURS = {
    *(".git", ".venv", ".fuzz", ".hypothesis", "__pycache__", "build", "dist", "wheels", "node_modules"),
    "ballot-cluster",
}
TEXT = {
    ".py",
    ".md",
    ".cfg",
    ".toml",
    ".txt",
    ".yml",
    ".yaml",
    ".json",
    ".sql",
    ".html",
    ".css",
    ".js",
    ".mjs",
    ".ts",
    ".sh",
    "",
}
# Joined here so that this file does not hold them itself.
FORBIDDEN = [
    "/".join(parts)
    for parts in (
        ("", "work", ""),
        ("..", "shared"),
        ("", "root", ".pyenv"),
        ("", "opt", "pypi"),
        ("", "opt", "wheels"),
        ("", "tmp", "plan"),
        ("https:", "", "pypi.org"),
        ("https:", "", "files.pythonhosted.org"),
        ("https:", "", "registry.npmjs.org"),
    )
]


def sources(folder: str) -> list[Path]:
    return sorted((ROOT / folder).rglob("*.py"))


def product_code() -> list[Path]:
    own = sorted((ROOT / "ballot").glob("*.py"))  # Without its links to the folders.
    return own + [path for folder in FOLDERS for path in sources(folder)]


def module_name(path: Path) -> str:
    """The name a file is imported by: `ballot.ledger.frame`; a package's `__init__` has the package's own name."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    parts = parts[:-1] if parts[-1] == "__init__" else parts
    return ".".join(parts if parts[0] == "ballot" else ("ballot", *parts))


@cache
def modules() -> dict[str, Path]:
    return {module_name(path): path for path in product_code()}


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_bytes(), filename=str(path))


def base_of(node: ast.ImportFrom, path: Path) -> str:
    """The absolute module a `from … import` names, dots resolved against the file's own package."""
    if not node.level:
        return node.module or ""
    package = module_name(path).split(".")
    if path.name != "__init__.py":
        package.pop()
    package = package[: len(package) - (node.level - 1)]
    return ".".join([*package, *([node.module] if node.module else [])])


def imports_in(node: ast.AST, path: Path) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        base = base_of(node, path)
        for alias in node.names:
            inner = f"{base}.{alias.name}"
            is_module = inner in modules() or inner in {f"ballot.{folder}" for folder in FOLDERS}
            yield inner if is_module else base


def imported(path: Path) -> set[str]:
    """Every module a file imports, at any depth of nesting, as absolute names."""
    return {name for node in ast.walk(tree(path)) for name in imports_in(node, path)}


def reached(start: Path) -> dict[str, Path]:
    """The project's own modules that a file needs, directly or through others, itself included."""
    found: dict[str, Path] = {}
    waiting = [start]
    while waiting:
        path = waiting.pop()
        if module_name(path) not in found:
            found[module_name(path)] = path
            waiting += [modules()[name] for name in imported(path) if name in modules()]
    return found


def layer(module: str) -> str:
    """`ballot.ledger.raft.log` lies in `ledger`, the command line in `ballot`, all else nowhere (empty)."""
    first, _, rest = module.partition(".")
    if first != "ballot":
        return ""
    inner = rest.partition(".")[0]
    return inner if inner in ALLOWED else "ballot"


def calls(path: Path) -> Iterator[str]:
    """What a file calls, as `name` or `owner.name`; `datetime.datetime.now` counts as `datetime.now`."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Call):
            yield ".".join(ast.unparse(node.func).rsplit(".", 2)[-2:])


def effects(path: Path, forbidden: Iterable[str]) -> list[str]:
    """Forbidden packages and calls of a file and of everything of ours it reaches."""
    names = set(forbidden)
    found = []
    for module, source in reached(path).items():
        found += [f"{module} imports {name}" for name in imported(source) if name.partition(".")[0] in names]
        found += [f"{module} calls {name}" for name in calls(source) if name in IMPURE_CALLS]
    return sorted(found)


def test_imports_point_downward() -> None:
    wrong = [
        f"{module_name(path)} imports {name}"
        for folder in FOLDERS
        for path in sources(folder)
        for name in sorted(imported(path))
        if layer(name) and layer(name) not in ALLOWED[folder]
    ]
    assert wrong == []


def test_folders_import_each_other_relatively() -> None:
    wrong = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for folder in FOLDERS
        for path in sources(folder)
        for node in ast.walk(tree(path))
        if (isinstance(node, ast.Import) and any(layer(alias.name) for alias in node.names))
        or (isinstance(node, ast.ImportFrom) and not node.level and layer(node.module or ""))
    ]
    assert wrong == []


def test_a_folder_is_never_imported_by_its_bare_name() -> None:
    """`import ledger` works by accident from the repository root and loads every module a second time."""
    bare = {folder for folder in FOLDERS if folder != "http"}
    files = [*product_code(), *sources("tests"), *sources("bench")]
    wrong = [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in files
        for name in sorted(imported(path))
        if name.partition(".")[0] in bare
    ]
    assert wrong == []


@pytest.mark.parametrize("path", sources("ledger/raft"), ids=module_name)
def test_raft_is_pure(path: Path) -> None:
    assert effects(path, EFFECTS | CHANCE) == []


@pytest.mark.parametrize("path", sources("voting"), ids=module_name)
def test_voting_is_pure(path: Path) -> None:
    assert effects(path, EFFECTS) == []


def test_chance_enters_voting_only_where_cryptography_needs_it() -> None:
    drawing = {module_name(path) for path in sources("voting") if imported(path) & CHANCE}
    assert drawing <= MAY_DRAW_RANDOM_BYTES


def test_the_http_folder_does_not_shadow_the_standard_library() -> None:
    assert not (ROOT / "http" / "__init__.py").exists()
    names = {path.stem for path in (ROOT / "http").iterdir()}
    assert names & SHADOWED == set()
    program = "import http.client, sys; sys.stdout.write(http.client.__file__)"
    found = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert Path(found.stdout).resolve() == Path(os.__file__).resolve().parent / "http" / "client.py"


def setup_cfg() -> configparser.ConfigParser:
    parser = configparser.ConfigParser()
    parser.read(ROOT / "setup.cfg", encoding="utf-8")
    return parser


def pairs(text: str) -> dict[str, str]:
    """A setup.cfg section value of `name = value` lines."""
    return {
        name.strip(): value.strip() for name, _, value in (line.partition("=") for line in text.split("\n") if line)
    }


def package_folders() -> dict[str, str]:
    """Import name to folder of every package on disk, nested ones included."""
    folders = {path.parent for folder in FOLDERS for path in sources(folder)} | {ROOT / name for name in FOLDERS}
    relative = sorted(folder.relative_to(ROOT) for folder in folders)
    return {".".join(("ballot", *folder.parts)): folder.as_posix() for folder in relative}


def test_setup_cfg_lists_the_packages_on_disk() -> None:
    options = setup_cfg()["options"]
    assert pairs(options["package_dir"]) == package_folders()
    assert sorted(options["packages"].split()) == sorted(["ballot", *package_folders()])


def test_setup_cfg_packs_every_data_file() -> None:
    """A file that is not Python and matches no pattern is missing from the wheel, though never from a checkout."""
    patterns = setup_cfg()["options.package_data"]
    missing = []
    for package, folder in package_folders().items():
        globs = patterns.get(package, "").replace(",", " ").split()
        listed = {path for glob in globs for path in files(folder, glob)}
        deeper = {ROOT / other for other in package_folders().values() if other.startswith(f"{folder}/")}
        for path in files(folder, "**/*"):
            if path.suffix not in {".py", ".pyc"} and path not in listed and not deeper & set(path.parents):
                missing.append(path.relative_to(ROOT).as_posix())
    assert missing == []


def files(folder: str, glob: str) -> set[Path]:
    return {path for path in (ROOT / folder).glob(glob) if path.is_file()}


def test_the_links_in_ballot_are_the_folders_and_relative() -> None:
    links = {path.name: os.readlink(path) for path in (ROOT / "ballot").iterdir() if path.is_symlink()}
    assert links == {folder: f"../{folder}" for folder in FOLDERS}


def test_files_stay_short() -> None:
    lengths = {path: len(path.read_text().splitlines()) for path in product_code()}
    assert {path.name: count for path, count in lengths.items() if count > MOST_LINES_OF_A_FILE} == {}


def test_functions_stay_short() -> None:
    long = [
        f"{path.relative_to(ROOT)}:{node.lineno} {node.name} has {length} lines"
        for path in product_code()
        for node in ast.walk(tree(path))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        if (length := (node.end_lineno or node.lineno) - node.lineno + 1) > MOST_LINES_OF_A_FUNCTION
    ]
    assert long == []


def own_text_files() -> Iterator[Path]:
    for folder, inner, names in os.walk(ROOT):
        inner[:] = [name for name in inner if name not in NOT_OURS and not name.endswith(("_cache", ".egg-info"))]
        # In a linked worktree, .git is a file that names a path.
        yield from (Path(folder, name) for name in names if Path(name).suffix in TEXT and name != ".git")


def test_no_file_names_a_place_on_somebodys_machine() -> None:
    wrong = []
    for path in own_text_files():
        text = path.read_text(encoding="utf-8", errors="replace")
        wrong += [f"{path.relative_to(ROOT)} has {word}" for word in FORBIDDEN if word in text]
    assert wrong == []


def test_no_merge_is_left_half_done() -> None:
    marks = ("<" * 7 + " ", ">" * 7 + " ")
    wrong = [
        f"{path.relative_to(ROOT)}:{number}"
        for path in own_text_files()
        for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), 1)
        if line.startswith(marks)
    ]
    assert wrong == []
