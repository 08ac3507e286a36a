"""What the project is made of: packages pinned with the hashes of their files, and an audit that says what it did."""

from __future__ import annotations

import configparser
import re

from tests.support.dependencies import CONSTRAINTS, LOCK, ROOT, differences, judge, pins, plain


def test_every_package_is_pinned_with_the_hashes_of_its_files() -> None:
    for block in re.split(r"\n(?=\S)", LOCK.read_text().strip()):
        assert re.match(r"[A-Za-z0-9._-]+==\S+", block), block
        assert re.findall(r"--hash=sha256:[0-9a-f]{64}\b", block), block


def test_the_hashes_are_of_the_versions_in_constraints() -> None:
    """After a change of constraints.txt or setup.cfg: make lock."""
    locked, wanted = pins(LOCK.read_text()), pins(CONSTRAINTS.read_text())
    assert {name: version for name, version in locked.items() if name in wanted} == wanted
    assert set(locked) - set(wanted) == set()


def test_everything_that_setup_asks_for_is_locked() -> None:
    parser = configparser.ConfigParser()
    parser.read(ROOT / "setup.cfg", encoding="utf-8")
    lists = [parser["options"]["install_requires"], *parser["options.extras_require"].values()]
    asked = {plain(re.split(r"[\[<>=!~ ]", line)[0]) for text in lists for line in text.split("\n") if line}
    assert asked - set(pins(LOCK.read_text())) == set()


def test_the_image_is_made_of_the_same_files_without_what_only_tests_need() -> None:
    image, everything = ((ROOT / name).read_text() for name in ("deploy/requirements.txt", "requirements.txt"))
    blocks = set(re.split(r"\n(?=\S)", image.strip()))
    assert blocks < set(re.split(r"\n(?=\S)", everything.strip()))
    parser = configparser.ConfigParser()
    parser.read(ROOT / "setup.cfg", encoding="utf-8")
    lines = filter(None, parser["options"]["install_requires"].split("\n"))
    asked = {plain(re.split(r"[\[<>=!~ ]", line)[0]) for line in lines}
    assert asked <= set(pins(image)) and "pytest" not in pins(image)
    assert "--require-hashes" in (ROOT / "Dockerfile").read_text()


def test_the_environment_is_installed_by_hash_and_audited() -> None:
    assert "--require-hashes" in (ROOT / "Makefile").read_text()
    assert "make audit" in (ROOT / ".ci" / "run").read_text()


def test_a_package_in_another_version_is_found() -> None:
    pinned = {"falcon": "4.4.0", "msgpack": "1.2.4"}
    installed = {"falcon": "4.4.1", "msgpack": "1.2.4", "stowaway": "1.0", "pip": "26.0", "ballot-ledger": "0.1"}
    assert [line.split()[0] for line in differences(installed, pinned)] == ["falcon", "stowaway"]


def test_a_report_of_nothing_is_not_taken_for_a_pass() -> None:
    """pip-audit ends well when it could look up nothing at all."""
    assert judge({"dependencies": [{"name": "falcon", "skip_reason": "not found"}]}) == (0, [])
    advisory = {"id": "PYSEC-1", "fix_versions": ["2"]}
    found = {"name": "falcon", "version": "1", "vulns": [advisory]}
    assert judge({"dependencies": [found, {"name": "msgpack", "version": "1", "vulns": []}]}) == (
        2,
        ["falcon 1: PYSEC-1, mended in 2"],
    )
