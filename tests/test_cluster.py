"""A cluster on one machine: whose folder it is, and what it says before any server starts."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

import pytest

from ballot.cluster import Cluster, ClusterError, _write_environment


def test_a_folder_in_which_a_cluster_runs_is_refused_and_left_alone(tmp_path: Path) -> None:
    with (tmp_path / "lock").open("w") as running:
        fcntl.flock(running, fcntl.LOCK_EX)
        with pytest.raises(ClusterError, match="a cluster is running in"):
            Cluster(tmp_path).start()
    assert [path.name for path in tmp_path.iterdir()] == ["lock"]


def test_more_nodes_than_there_are_keys_of_are_refused_and_the_folder_is_free_again(tmp_path: Path) -> None:
    (tmp_path / "keys" / "node3").mkdir(parents=True)
    (tmp_path / "keys" / "genesis").touch()
    for _ in range(2):
        with pytest.raises(ClusterError, match="no keys of node 5"):
            Cluster(tmp_path, nodes=5).start()


def test_a_nodes_environment_is_its_owners_alone_and_a_shell_reads_it(tmp_path: Path) -> None:
    odd = "a 'quoted' $HOME; `x`"
    file = _write_environment(tmp_path / "environment", {"BALLOT_NODE": "1", "BALLOT_DSN": odd})
    assert file.stat().st_mode & 0o777 == 0o600
    with os.popen(f". {file}; env") as shell:
        assert f"BALLOT_DSN={odd}\n" in shell.read()
