"""The stack file against what it must be, without a Docker daemon; `make swarm-test` runs it for real."""

from __future__ import annotations

import re
import subprocess
from itertools import chain, cycle
from pathlib import Path
from typing import Any

import pytest
import yaml

from ballot import __version__
from ballot.keys import init_keys
from ballot.ledger import rsa
from tests.support.keys import long_key
from tests.swarm import standins

ROOT = Path(__file__).parents[2]
FILE = ROOT / "swarm-stack.yml"
TEXT = FILE.read_text()
STACK: dict[str, Any] = yaml.safe_load(TEXT)
SERVICES: dict[str, dict[str, Any]] = STACK["services"]
NODES = (1, 2, 3)
LASTING = {name: service for name, service in SERVICES.items() if not name.startswith("migrate")}


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pool = cycle([long_key(1), long_key(2), long_key(3)])
    folder = tmp_path_factory.mktemp("stack") / "keys"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rsa, "generate", lambda bits: next(pool))
        init_keys(folder, len(NODES), "vote.example.org")
    return folder


def secret_file(source: str) -> str:
    """Where the secret lies in the keys' folder."""
    return str(STACK["secrets"][source]["file"]).removeprefix("${BALLOT_KEYS:-./keys}/")


def mounted(service: str) -> dict[str, str]:
    """Name inside the container to file in the keys' folder."""
    return {one["target"]: secret_file(one["source"]) for one in SERVICES[service].get("secrets", [])}


def volumes(service: str) -> set[str]:
    return {one.partition(":")[0] for one in SERVICES[service].get("volumes", []) if isinstance(one, str)}


def test_every_secret_is_made_by_keys_init_and_mounted_somewhere(keys: Path) -> None:
    for source in STACK["secrets"]:
        assert (keys / secret_file(source)).is_file(), source
    used = {one["source"] for service in SERVICES.values() for one in service.get("secrets", [])}
    assert used == set(STACK["secrets"])


@pytest.mark.parametrize("node", NODES)
def test_a_node_has_all_of_its_own_secrets_and_none_of_anothers(keys: Path, node: int) -> None:
    own = {path.name: f"node{node}/{path.name}" for path in (keys / f"node{node}").iterdir()}
    shared = {path.name: f"shared/{path.name}" for path in (keys / "shared").iterdir()}
    assert mounted(f"ledger{node}") == {"genesis": "genesis", **shared, **own}
    assert set(mounted(f"postgres{node}").values()) == {f"node{node}/postgres_password"}


def test_the_authoritys_key_is_mounted_nowhere() -> None:
    assert "authority" not in TEXT


def test_only_a_services_own_user_reads_its_secrets() -> None:
    users = {"ledger": "10001", "migrate": "10001", "postgres": "999", "redis": "999", "gateway": "99"}
    assert "USER 10001:10001" in (ROOT / "Dockerfile").read_text()
    for name, service in SERVICES.items():
        user = users[name.rstrip("123")]
        assert service.get("user", "10001:10001") == f"{user}:{user}"
        for one in service["secrets"]:
            assert (one["uid"], one["mode"]) == (user, 0o400), name


def test_no_password_is_in_an_environment_or_a_command() -> None:
    for service in SERVICES.values():
        for name, value in service.get("environment", {}).items():
            assert "PASSWORD" not in name or name.endswith("_FILE")
            assert not re.search(r"password=|://[^/@]*:[^/@]*@", str(value)), name


def test_every_ballot_variable_of_a_service_is_a_documented_setting_that_the_code_reads() -> None:
    documented = (ROOT / "docs" / "settings.md").read_text()
    code = (ROOT / "ballot" / "config.py").read_text()
    for name in chain.from_iterable(service.get("environment", {}) for service in SERVICES.values()):
        if name.startswith("BALLOT_"):
            assert f"| `{name}` |" in documented
            assert re.search(rf'"(BALLOT_)?{name.removeprefix("BALLOT_")}"', code), name


def test_every_variable_of_the_file_is_documented() -> None:
    operations = (ROOT / "docs" / "operations.md").read_text()
    for name in set(re.findall(r"\$\{(BALLOT_\w+)", TEXT)):
        assert f"`{name}`" in operations, name


def test_no_two_services_share_a_volume_and_each_keeps_its_own() -> None:
    found = list(chain.from_iterable(map(volumes, SERVICES)))
    assert sorted(found) == sorted(STACK["volumes"])
    for node in NODES:
        assert volumes(f"ledger{node}") == {f"state{node}"}
        assert volumes(f"postgres{node}") == {f"postgres{node}"}


def test_a_database_is_reached_by_its_own_node_alone() -> None:
    for node in NODES:
        there = {name for name, service in SERVICES.items() if f"db{node}" in service["networks"]}
        assert there == {f"ledger{node}", f"postgres{node}", f"migrate{node}"}
        assert f"host=postgres{node} " in SERVICES[f"ledger{node}"]["environment"]["BALLOT_DSN"]
    assert {name for name, net in STACK["networks"].items() if not net.get("internal")} == {"front"}
    assert all("encrypted" in net["driver_opts"] for net in STACK["networks"].values())
    assert [name for name, service in SERVICES.items() if service.get("ports")] == ["gateway"]


def test_no_two_nodes_are_placed_on_one_host_and_each_stands_beside_its_database() -> None:
    for node in NODES:
        place = {"constraints": [f"node.labels.ballot == ${{BALLOT_HOST_{node}:-{node}}}"]}
        for name in ("ledger", "postgres", "migrate"):
            assert SERVICES[f"{name}{node}"]["deploy"]["placement"] == place


def test_every_service_is_confined_and_limited() -> None:
    for name, service in SERVICES.items():
        assert service["read_only"] and service["cap_drop"] == ["ALL"] and service["init"], name
        assert {"cpus", "memory"} <= service["deploy"]["resources"]["limits"].keys(), name
    for name, service in LASTING.items():
        assert {"cpus", "memory"} <= service["deploy"]["resources"]["reservations"].keys(), name
        assert service["deploy"]["endpoint_mode"] == "dnsrr", name


def test_an_update_stops_a_node_before_it_starts_it_and_goes_back_when_that_fails() -> None:
    for node in NODES:
        service = SERVICES[f"ledger{node}"]
        update = service["deploy"]["update_config"]
        assert (update["parallelism"], update["order"], update["failure_action"]) == (1, "stop-first", "rollback")
        # gunicorn drains for 10 s, `ballot serve` waits as long for each of its processes.
        assert service["stop_grace_period"] == "30s"
        assert service["environment"]["BALLOT_MIGRATE"] == "0"
        assert SERVICES[f"migrate{node}"]["deploy"]["mode"] == "replicated-job"


def test_the_image_is_built_of_every_folder_that_is_installed_and_of_no_test() -> None:
    lines = (ROOT / ".dockerignore").read_text().split("\n")
    installed = re.findall(r"^    ballot\.\w+ = (\w+)$", (ROOT / "setup.cfg").read_text(), re.MULTILINE)
    assert lines[1] == "*"
    assert {"ballot", *installed} <= {line.removeprefix("!") for line in lines}
    assert not {"!tests", "!keys", "!.git"} & set(lines)


def test_the_image_is_of_this_version_and_every_base_image_has_a_stand_in() -> None:
    assert f"ballot-ledger:{__version__}}}" in SERVICES["ledger1"]["image"]
    tags = {re.sub(r"\$\{\w+:-(.*)\}", r"\1", service["image"]) for service in SERVICES.values()}
    [python] = re.findall(r"ARG PYTHON_IMAGE=(\S+)", (ROOT / "Dockerfile").read_text())
    assert {*tags, python} - {f"ballot-ledger:{__version__}"} == set(standins.PACKAGES)


@pytest.mark.parametrize("service", SERVICES)
def test_the_roll_deploys_one_service_at_a_time_as_the_file_has_it(service: str) -> None:
    script = (ROOT / "deploy" / "roll.sh").read_text()
    [function] = re.findall(r"^only\(\) \{.*?^\}", script, re.DOTALL | re.MULTILINE)
    done = subprocess.run(["sh", "-c", f"{function}\nonly {service}"], cwd=ROOT, capture_output=True, check=True)
    part = yaml.safe_load(done.stdout)
    assert part["services"] == {service: SERVICES[service]}
    assert {name: part[name] for name in ("secrets", "configs", "networks", "volumes")} == {
        name: STACK[name] for name in ("secrets", "configs", "networks", "volumes")
    }


def test_the_gateway_logs_no_request_and_tells_an_address_to_the_accounts_alone() -> None:
    lines = [line.strip() for line in (ROOT / "deploy" / "haproxy.cfg").read_text().splitlines()]
    frontend = lines[lines.index("frontend https") : lines.index("backend nodes")]
    assert not [line for line in lines if line.startswith(("option httplog", "option tcplog", "option forwardfor"))]
    assert not [line for line in frontend if line.startswith("log")]
    assert "http-request del-header X-Forwarded-For" in frontend
    assert [line for line in frontend if "%[src]" in line] == [
        "http-request set-header X-Forwarded-For %[src] if { path_beg /api/auth/ }"
    ]
