"""An election with trustees of its own on three real nodes: two of three open it, and the third withholds its key."""

from __future__ import annotations

import asyncio
import io
import json
from email import message_from_bytes, policy
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from click.testing import CliRunner
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

from ballot import trustee_cli, trustee_key
from ballot.cli import main
from ballot.client.account import Account
from ballot.client.api import Public, Refused, b64, unb64
from ballot.client.log import Log
from ballot.client.trust import Trust
from ballot.client.trustee import Trustee, factors
from ballot.client.wallet import MemoryStore
from ballot.ledger import rsa
from ballot.replay.audit import audit
from ballot.replay.export import read_export
from ballot.replay.report import Report
from ballot.voting.trustee import enrolment_message, release_message
from tests.cluster.test_api import ask
from tests.support.keys import long_key
from tests.support.town import FRUIT, PASSWORD, Town
from tests.support.waiting import PATIENCE_S

pytestmark = pytest.mark.cluster

PASSPHRASE = "a passphrase for tests"  # noqa: S105
NAMES = ["Tess", "Tom", "Tina"]
TINA = "tina@example.org"


class Stage:
    """The election step by step; Tess and Tom use the library, Tina the command line on a machine of her own."""

    def __init__(self, town: Town, folder: Path) -> None:
        self.town, self.folder = town, folder
        self.election = b""

    async def begin(self) -> None:
        town = self.town
        self.voters = [await town.voter() for _ in range(3)]
        self.accounts = [await town.account() for _ in range(2)]
        self.trustees = [self.trustee(account, long_key(4 + at)) for at, account in enumerate(self.accounts)]
        self.election = await town.organiser.draft("Trusted", [FRUIT], k=2)
        await town.organiser.upload_roll(self.election, [voter.account.email for voter in self.voters])
        for name, email in zip(NAMES, [*(account.email for account in self.accounts), TINA], strict=True):
            await town.organiser.invite_trustee(self.election, email, name)

    def trustee(self, account: Account, key: RSAPrivateKey) -> Trustee:
        genesis = self.town.cluster.genesis
        log = Log(Public(self.town.line), Trust.in_genesis(genesis.header, genesis.public), MemoryStore())
        return Trustee(account, log, key)

    async def ballot_trustee(self, command: str, *more: str) -> dict[str, Any]:
        """Runs `ballot trustee` as Tina does; what it prints."""
        loop = asyncio.get_running_loop()

        async def code(email: str) -> str:
            waiting = asyncio.run_coroutine_threadsafe(self.town.postbox.code(email), loop)
            return await asyncio.wrap_future(waiting)

        arguments = ["trustee", command, str(self.folder / "tina.key"), "--json", *more]
        if command != "keygen":
            arguments += ["--url", self.town.cluster.nodes[1].url, "--email", TINA, "--election", b64(self.election)]
            arguments += ["--genesis", self.town.cluster.genesis.hash.hex()]
        typed = "\n".join([PASSPHRASE, PASSPHRASE] if command == "keygen" else [PASSPHRASE, PASSWORD, "y"]) + "\n"
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(trustee_cli, "ask_code", code)
            patch.setattr(trustee_key, "BCRYPT_ROUNDS", 1)
            done = await asyncio.to_thread(CliRunner().invoke, main, arguments, input=typed)
        assert done.exit_code == 0, (done.output, done.exception)
        printed: dict[str, Any] = json.loads(done.stdout)
        return printed

    async def view(self) -> dict[str, Any]:
        return await self.town.organiser.election(self.election)

    async def vote(self) -> None:
        await self.town.organiser.open(self.election)
        await self.town.caught_up()
        for voter, answer in zip(self.voters, ([0], [0, 1], [2]), strict=True):
            opened = await voter.fetch_election(self.election)
            await self.town.ready_to_cast(voter, opened, answer)
            await voter.accept(opened, (await voter.cast(opened, 0)).json())
        await self.town.organiser.close(self.election)
        await self.town.organiser.wait_for(self.election, ["published"], PATIENCE_S)


@pytest.fixture(scope="module")
def stage(town: Town, tmp_path_factory: pytest.TempPathFactory) -> Stage:
    stage = Stage(town, tmp_path_factory.mktemp("trustee"))
    town.run(stage.begin())
    return stage


async def refused(work: Any) -> str:
    with pytest.raises(Refused) as caught:
        await work
    return f"{caught.value.status} {caught.value.refusal}"


async def post(account: Account, election: bytes, what: str, fields: dict[str, Any]) -> dict[str, Any]:
    answer: dict[str, Any] = (await account.api.ask("POST", f"/api/elections/{b64(election)}/{what}", fields)).json()
    return answer


def letters(mailbox: Path, address: str) -> list[str]:
    messages = [message_from_bytes(path.read_bytes(), policy=policy.default) for path in (mailbox / "new").iterdir()]
    return [str(message["Subject"]) for message in messages if message["To"] == address]


def test_the_invited_are_mailed_see_the_draft_and_enrol_each_one_key(stage: Stage) -> None:
    async def run() -> None:
        town, election, (tess, tom) = stage.town, stage.election, stage.trustees
        stranger = await town.account()
        own = f"/api/elections/{b64(election)}"
        assert await refused(stranger.api.ask("GET", own)) == "404 UnknownElection"
        assert await refused(town.organiser.open(election)) == "409 TrusteeMissing"
        invited = await town.organiser.trustees(election)
        assert [one["email"] for one in invited["invited"]] == [*(a.email for a in stage.accounts), TINA]
        assert invited["keys_needed"] == 2
        assert await refused(tess.account.api.ask("GET", f"{own}/trustees")) == "403 NotOrganiser"
        for trustee in (tess, tom):
            entry = await trustee.enrol(await trustee.invitation(election))
            assert (await trustee.enrol(await trustee.invitation(election))).index == entry.index
        made = await stage.ballot_trustee("keygen")
        enrolled = await stage.ballot_trustee("enrol", "--register")
        assert enrolled["fingerprint"] == made["fingerprint"]
        shown = (await town.organiser.trustees(election))["invited"]
        assert shown[2]["trustee"]["fingerprint"] == made["fingerprint"], "what the two compare by telephone"
        shown = (await stage.view())["trustees"]
        assert [(one["number"], one["name"], one["status"]) for one in shown] == [
            (number, name, "enrolled") for number, name in enumerate(NAMES, 1)
        ]
        for address in (stage.accounts[0].email, TINA):
            assert "You are asked to be a trustee: Trusted" in letters(town.cluster.mailbox, address)

    stage.town.run(run())


def test_what_is_wrong_with_an_enrolment_is_named(stage: Stage) -> None:
    async def run() -> None:
        town, tess = stage.town, stage.accounts[0]
        other = await town.organiser.draft("Another", [FRUIT])

        async def enrolling(key: RSAPrivateKey, name: str = "Tess", **changes: Any) -> str:
            n = rsa.modulus(key)
            proof = rsa.sign(key, enrolment_message(other, name, n))
            fields = {"n": b64(n), "name": name, "proof": b64(proof)} | changes
            return await refused(post(tess, other, "trustees", fields))

        assert await enrolling(long_key(7)) == "404 UnknownElection"
        await town.organiser.invite_trustee(other, tess.email, "Tess")
        assert await enrolling(long_key(4)) == "409 KeyReused"
        assert await enrolling(long_key(7), "Somebody") == "409 TrusteesChanged"
        assert await enrolling(long_key(7), proof=b64(bytes(384))) == "422 BadSignature"
        assert await enrolling(long_key(7), n=b64(b"\xff" * 384)) == "422 WeakKey"
        assert await enrolling(long_key(7), n=b64(bytes(256))) == "422 WeakKey"
        assert await refused(town.organiser.invite_trustee(other, tess.email, "Theresa")) == "409 AlreadyInvited"
        assert await refused(town.organiser.invite_trustee(other, "x@example.org", " ")) == "422 BadDefinition"
        path, organiser = f"/api/elections/{b64(other)}/trustees/invite", town.organiser_account
        for email, status in (("y@example.org", 201), ("y@example.org", 201), ("z@example.org", 422)):
            body = {"email": email, "name": "Y"}
            told = await ask(town, "POST", path, organiser, body=body, node=2, Idempotency_Key="an invitation")
            assert told.status == status, told.body
        invited = (await town.organiser.trustees(other))["invited"]
        assert [one["email"] for one in invited] == [tess.email, "y@example.org"]
        await town.organiser.withdraw_trustee(other, unb64(invited[1]["trustee"]["user"]))
        assert await refused(town.organiser.withdraw_trustee(other, bytes(16))) == "404 UnknownTrustee"
        assert (await town.organiser.withdraw_trustee(other, tess.id))["invited"] == []
        assert await enrolling(long_key(7)) == "404 UnknownElection"

    stage.town.run(run())


async def events(town: Town, election: bytes, name: str) -> Any:
    """The first event of this name in the election's stream."""
    headers = {"Authorization": f"Bearer {town.organiser_account.api.bearer}"}
    url = f"{town.cluster.nodes[0].url}/api/elections/{b64(election)}/events"
    async with aiohttp.ClientSession() as session, session.get(url, headers=headers) as response:
        found = False
        async for line in response.content:
            if found and line.startswith(b"data:"):
                return json.loads(line.removeprefix(b"data:"))
            found = found or line.strip() == f"event: {name}".encode()
    raise AssertionError(f"no event {name}")


def test_the_count_waits_for_two_good_keys_and_says_so(stage: Stage) -> None:
    async def run() -> None:
        await stage.vote()
        before = await stage.view()
        assert (before["keys_needed"], before["keys_missing"]) == (2, 2)
        assert await events(stage.town, stage.election, "keys") == {"needed": 2, "released": 0, "missing": 2}
        tess = stage.trustees[0]
        board = await tess.board(stage.election)
        await check_bad_releases(stage, board.checkpoint.size)
        released = await tess.release(board)
        assert released.missing == 1
        assert (await tess.release(board)).index == released.index
        await asyncio.sleep(1)
        after = await stage.view()
        assert (after["status"], after["keys_missing"]) == ("published", 1)
        assert [one["status"] for one in after["trustees"]] == ["released", "enrolled", "enrolled"]

    stage.town.run(run())


async def check_bad_releases(stage: Stage, size: int) -> None:
    """Each is refused by name, and none counts."""
    eid = (await stage.trustees[0].board(stage.election)).election.eid
    root = stage.trustees[0].log.trust.newest.root
    size = stage.trustees[0].log.trust.newest.size
    key, other = long_key(4), long_key(9)
    p, q = factors(key)
    strange = factors(other)

    async def releasing(p: bytes, q: bytes, size: int = size, root: bytes = root, signer: RSAPrivateKey = key) -> str:
        signature = rsa.sign(signer, release_message(eid, size, root))
        fields = {"p": b64(p), "q": b64(q), "size": size, "root": b64(root), "signature": b64(signature)}
        return await refused(post(stage.accounts[0], stage.election, "trustee-key", fields))

    assert await releasing(q, p) == "422 BadTrusteeKey"
    assert await releasing(*strange) == "422 BadTrusteeKey"
    assert await releasing(p, strange[1]) == "422 BadTrusteeKey"
    assert await releasing(p[1:], q) == "422 BadTrusteeKey"
    assert await releasing(p, q, signer=other) == "422 BadSignature"
    assert await releasing(p, q, root=bytes(32)) == "422 CheckpointDiffers"
    assert await releasing(p, q, root=bytes(31)) == "422 CheckpointDiffers"
    assert await releasing(p, q, size=3) == "409 CheckpointTooEarly"
    assert await releasing(p, q, size=10**9) == "422 BadRange"
    assert (await stage.view())["keys_missing"] == 2


def test_with_the_second_key_it_is_counted_and_the_audit_passes(stage: Stage) -> None:
    async def run() -> None:
        town, election = stage.town, stage.election
        done = await stage.ballot_trustee("release")
        assert done["keys_missing"] == 0
        await town.organiser.wait_for(election, ["tallied"], PATIENCE_S)
        report = await audited(town, election)
        (counted,) = [one for one in report.elections if one.title == "Trusted"]
        assert report.findings == [] and counted.recounted
        assert (counted.accounting.valid, counted.outcomes[0].names) == (3, ["Apple"])

    stage.town.run(run())


def test_a_key_released_after_the_count_is_taken_and_changes_nothing(stage: Stage) -> None:
    async def run() -> None:
        tom = stage.trustees[1]
        before = (await stage.town.organiser.results(stage.election))["tally"]
        released = await tom.release(await tom.board(stage.election))
        assert released.missing == 0
        assert [one["status"] for one in (await stage.view())["trustees"]] == ["released"] * 3
        assert (await stage.town.organiser.results(stage.election))["tally"] == before
        assert (await audited(stage.town, stage.election)).findings == []

    stage.town.run(run())


async def audited(town: Town, election: bytes) -> Report:
    """The audit of a node's export once every node attested the count."""
    results = await town.attested(election)
    assert not results["disputed"]
    genesis = town.cluster.genesis
    public = Public(town.line)
    log = Log(public, Trust.in_genesis(genesis.header, genesis.public), MemoryStore())
    await log.checkpoint(town.organiser_account.api.index)
    export = (await public.get("/api/ledger/export")).body
    return await asyncio.to_thread(audit, read_export(io.BytesIO(export)), workers=1)
