"""Machines die; nothing acknowledged is lost, nothing counts twice."""

import asyncio
import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from signal import SIGCONT, SIGSTOP
from typing import Any

import psycopg
import pytest

from ballot.client.api import NoAnswer, Refused, Reply
from ballot.client.vote import Election
from ballot.client.voter import Voter
from ballot.cluster import ClusterNode
from ballot.ports import free_port
from ballot.serve import node_command, stop_all
from tests.chaos.machines import send, with_descendants
from tests.support.town import PASSWORD, Town
from tests.support.waiting import PATIENCE_S, until

pytestmark = pytest.mark.cluster


async def cast_somewhere(voter: Voter, election: Election, first: int = 0) -> Reply:
    """Casts again and again, at one node after another, until one answers."""
    async with asyncio.timeout(PATIENCE_S):
        for node in range(first, first + 1000):
            try:
                return await voter.cast(election, node % 3)
            except NoAnswer:
                await asyncio.sleep(0.02)
    raise AssertionError("unreachable")


async def cast_count(town: Town, election: Election) -> int:
    return await town.cast_count(election)


async def outcome(town: Town, body: bytes, node: int) -> str:
    """What one node says to a raw cast: the refusal's name, or "recorded" or "known"."""
    headers = {"Content-Type": "application/octet-stream"}
    try:
        reply = await town.line.send(node, "POST", "/api/votes", headers=headers, body=body, fresh=True)
    except Refused as error:
        return error.refusal
    return "recorded" if reply.status == 201 else "known"


def test_casts_race_on_all_nodes_for_one_credential_and_exactly_one_wins(town: Town) -> None:
    async def race() -> None:
        voter = await town.voter()
        election = await town.opened([voter])
        await voter.ask_credential(election)
        ballots = [seal(voter, election, answer) for answer in ([0], [1], [2]) for _ in range(3)]
        outcomes = await asyncio.gather(*(outcome(town, body, turn % 3) for turn, body in enumerate(ballots)))
        assert sorted(outcomes)[:8] == ["AlreadyCast"] * 8
        assert sorted(outcomes)[8:] == ["recorded"]
        assert await cast_count(town, election) == 1

    town.run(race())


def seal(voter: Voter, election: Election, answer: list[int]) -> bytes:
    from ballot.client import vote

    secrets = voter.secrets(election)
    assert secrets is not None
    return vote.seal_ballot(election, voter._key(secrets.ballot_key), secrets, [answer])


def test_the_same_ballot_cast_again_anywhere_gets_the_same_receipt(town: Town) -> None:
    async def again() -> None:
        voter = await town.voter()
        election = await town.opened([voter])
        await town.ready_to_cast(voter, election)
        replies = [await voter.cast(election, node % 3) for node in range(6)]
        assert [reply.status for reply in replies] == [201] + [200] * 5
        answers = [reply.json() for reply in replies]
        assert len({(a["index"], a["header"], a["salt"]) for a in answers}) == 1
        for answer in answers:
            await voter.accept(election, answer)
        assert await cast_count(town, election) == 1

    town.run(again())


def test_casts_that_arrive_at_once_get_one_entry_and_one_receipt(town: Town) -> None:
    async def at_once() -> None:
        voter = await town.voter()
        election = await town.opened([voter])
        await town.ready_to_cast(voter, election)
        replies = await asyncio.gather(*(voter.cast(election, node % 3) for node in range(9)))
        assert sorted(reply.status for reply in replies) == [200] * 8 + [201]
        assert len({(reply.json()["index"], reply.json()["salt"]) for reply in replies}) == 1

    town.run(at_once())


def test_a_leader_killed_between_commit_and_answer_leaves_the_retry_the_same_receipt(town: Town) -> None:
    """The leader's process dies once a follower has the cast committed; whatever it had to say never comes."""

    async def kill_and_retry() -> None:
        voter = await town.voter()
        election = await town.opened([voter])
        body = await town.ready_to_cast(voter, election)
        leader = await town.leader()
        node = town.cluster.nodes[leader - 1]
        follower = next(other for other in (1, 2, 3) if other != leader)
        before = (await town.status(follower))["commit"]
        reader, writer = await asyncio.open_connection("127.0.0.1", int(node.url.rsplit(":", 1)[1]))
        head = "POST /api/votes HTTP/1.1\r\nHost: x\r\nContent-Type: application/octet-stream\r\n"
        writer.write(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        commit = before
        while commit <= before:
            commit = (await town.status(follower))["commit"]
        node.kill_ledger()
        unheard = await read_answer(reader)
        writer.close()
        reply = await cast_somewhere(voter, election, follower - 1)
        assert reply.status == 200, "it was recorded already"
        await voter.accept(election, reply.json())
        if unheard is not None:
            assert (unheard["index"], unheard["salt"]) == (reply.json()["index"], reply.json()["salt"])
        node.start_ledger()
        await asyncio.to_thread(town.cluster.wait_ready)
        assert await cast_count(town, election) == 1

    town.run(kill_and_retry())


async def read_answer(reader: asyncio.StreamReader) -> dict[str, Any] | None:
    """The dead leader's worker may just have had its answer: then it must be the right one."""
    try:
        async with asyncio.timeout(PATIENCE_S):
            status = await reader.readline()
            while (await reader.readline()).strip():
                pass
            return json.loads(await reader.read(1 << 16)) if b"201" in status else None
    except (TimeoutError, ValueError, OSError):
        return None


def test_a_leader_whose_disk_stalls_hands_over_and_voting_goes_on(town: Town) -> None:
    """Its PostgreSQL hangs, it does not: it still answers heartbeats, so nobody else would depose it."""

    async def stall() -> None:
        voters = [await town.voter() for _ in range(2)]
        election = await town.opened(voters)
        for voter in voters:
            await town.ready_to_cast(voter, election)
        victim = await town.leader()
        others = [place for place in range(3) if place != victim - 1]
        hung = with_descendants(town.cluster.nodes[victim - 1].postgres.pid)
        send(hung, SIGSTOP)
        try:
            for voter, node in zip(voters, others, strict=True):
                assert (await voter.cast(election, node)).status == 201
            assert (await town.leader()) != victim
        finally:
            send(hung, SIGCONT)
        await asyncio.to_thread(town.cluster.wait_ready)
        assert await cast_count(town, election) == 2
        assert len(await digests(town)) == 1

    town.run(stall())


def test_a_stopped_process_is_replaced_and_ends_when_it_goes_on(town: Town) -> None:
    """Trap 22 with real processes: the leader's is stopped with its locks held, and a second one is started for it."""

    async def replace() -> None:
        voter = await town.voter()
        election = await town.opened([voter])
        await town.ready_to_cast(voter, election)
        victim = await town.leader()
        node, epoch = town.cluster.nodes[victim - 1], writer_epoch(town, victim)
        stopped = [node.ledger_pid]
        send(stopped, SIGSTOP)
        with second_process(node) as second:
            try:
                await until(lambda: writer_epoch(town, victim) > epoch)
                assert (await cast_somewhere(voter, election, victim)).status == 201
            finally:
                send(stopped, SIGCONT)
            await until(lambda: not node.ledger_pid)
            assert second.poll() is None, "the one that replaced it lives on"
        node.start_ledger()
        await asyncio.to_thread(town.cluster.wait_ready)
        assert await cast_count(town, election) == 1
        assert len(await digests(town)) == 1

    town.run(replace())


def writer_epoch(town: Town, number: int) -> int:
    with psycopg.connect(town.cluster.nodes[number - 1].settings.dsn) as connection:
        row = connection.execute("select epoch from ledger_state").fetchone()
    assert row is not None
    return int(row[0])


@contextmanager
def second_process(node: ClusterNode) -> Iterator[subprocess.Popen[bytes]]:
    """Another ledger process of the node, with its database and its state file. The first one has its port."""
    environment = {**node.environment, "BALLOT_LISTEN": f"127.0.0.1:{free_port()}"}
    with node.log.open("ab") as log:
        process = subprocess.Popen(node_command(), env=environment, stdout=log, stderr=log)
    try:
        yield process
    finally:
        stop_all([process])


def test_a_node_restarted_after_kill_9_ends_with_the_same_state_digest(town: Town) -> None:
    async def restart() -> None:
        voters = [await town.voter() for _ in range(3)]
        election = await town.opened(voters)
        for voter in voters:
            await town.ready_to_cast(voter, election)
        victim = await town.leader()
        node = town.cluster.nodes[victim - 1]
        others = [place for place in range(3) if place != victim - 1]
        await cast_somewhere(voters[0], election, others[0])
        node.kill_ledger()
        await cast_somewhere(voters[1], election, others[0])
        await cast_somewhere(voters[2], election, others[1])
        node.start_ledger()
        await asyncio.to_thread(town.cluster.wait_ready)
        assert await cast_count(town, election) == 3
        assert len(await digests(town)) == 1

    town.run(restart())


async def digests(town: Town) -> set[tuple[int, str]]:
    """What the nodes say their public state is, once they stand at the same entry."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            replies = [(await town.line.send(n, "GET", "/api/ledger/digest")).json() for n in range(3)]
            found = {(reply["index"], reply["digest"]) for reply in replies}
            if len({index for index, _ in found}) == 1:
                return found
            await asyncio.sleep(0.1)


def test_a_node_without_a_majority_answers_503_and_loses_nothing(town: Town) -> None:
    async def lonely() -> None:
        voter = await town.voter()
        election = await town.opened([voter])
        body = await town.ready_to_cast(voter, election)
        for node in town.cluster.nodes[1:]:
            node.kill_ledger()
        url = town.line.urls[0] + "/api/votes"
        status, headers = await post(url, body)
        assert status == 503
        assert int(headers["Retry-After"]) >= 1
        for node in town.cluster.nodes[1:]:
            node.start_ledger()
        await asyncio.to_thread(town.cluster.wait_ready)
        await voter.accept(election, (await cast_somewhere(voter, election)).json())
        assert await cast_count(town, election) == 1

    town.run(lonely())


async def post(url: str, body: bytes) -> tuple[int, dict[str, str]]:
    import aiohttp

    headers = {"Content-Type": "application/octet-stream"}
    async with aiohttp.ClientSession() as session, session.post(url, data=body, headers=headers) as response:
        return response.status, dict(response.headers)


@contextmanager
def no_mutex(town: Town) -> Iterator[None]:
    """The same nodes, their HTTP servers restarted with the lock switched off."""
    for setting in ("0", "1"):
        for node in town.cluster.nodes:
            node.stop_http()
            node.environment["BALLOT_MUTEX"] = setting
            node.start_http()
        town.cluster.wait_ready()
        if setting == "0":
            yield


def test_nobody_votes_twice_with_the_mutex_switched_off(town: Town) -> None:
    async def race() -> None:
        voter = await town.voter()
        election = await town.opened([voter])
        await voter.ask_credential(election)
        ballots = [seal(voter, election, [choice]) for choice in (0, 1, 2) for _ in range(6)]
        outcomes = await asyncio.gather(*(outcome(town, body, turn % 3) for turn, body in enumerate(ballots)))
        assert outcomes.count("recorded") == 1
        assert outcomes.count("AlreadyCast") == len(ballots) - 1
        assert await cast_count(town, election) == 1

    with no_mutex(town):
        town.run(race())


async def log_in(town: Town, voter: Voter) -> Reply:
    """One try at one node with the right password."""
    body = json.dumps({"email": voter.account.email, "password": PASSWORD}).encode()
    return await town.line.send(0, "POST", "/api/auth/login", headers={"Content-Type": "application/json"}, body=body)


def test_voting_goes_on_without_redis(town: Town) -> None:
    """Redis holds codes, sessions and locks; none of them is what keeps a ballot from counting twice."""

    async def without() -> None:
        voter = await town.voter()
        election = await town.opened([voter])
        await voter.ask_credential(election)
        town.cluster.redis.stop()
        try:
            ballots = [seal(voter, election, answer) for answer in ([0], [1], [2])]
            outcomes = await asyncio.gather(*(outcome(town, body, node) for node, body in enumerate(ballots)))
            with pytest.raises(NoAnswer, match="503 Unavailable"):
                await log_in(town, voter)
        finally:
            town.cluster.redis.start()
        assert sorted(outcomes) == ["AlreadyCast", "AlreadyCast", "recorded"]
        assert await cast_count(town, election) == 1

    town.run(without())
