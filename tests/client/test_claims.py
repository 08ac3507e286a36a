"""Claims of unused credentials: what the voter's program sends, keeps and believes."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from ballot.cli import main
from ballot.client.api import unb64
from ballot.client.claims import NotClaimable
from ballot.client.trust import Untrusted
from ballot.client.wallet import FolderStore, Secrets, decode_secrets
from ballot.ledger import rsa
from ballot.ledger.frame import frame
from tests.client.test_voter import ANSWERS, Scene, run
from tests.support.registrar import MemoryLine, ballot_key


@pytest.fixture
def scene() -> Scene:
    scene = Scene()
    scene.cluster.open()
    return scene


def kept(scene: Scene) -> Secrets:
    [data] = [record for name, record in scene.store._records.items() if len(name) == 64]
    return decode_secrets(data)


def test_a_credential_that_was_never_cast_is_claimed_and_the_claim_is_proven(scene: Scene) -> None:
    async def claim() -> int:
        return await scene.voter.claim_unused(await scene.ready())

    index = run(claim())
    entry, secrets = scene.cluster.entries[index - 1], kept(scene)
    assert (entry.kind, secrets.claimed_at) == ("CredentialUnused", index)
    message = frame("unused", secrets.eid, rsa.modulus(ballot_key()), secrets.prefix, secrets.credential)
    rsa.verify(rsa.modulus(ballot_key()), entry.fields["signature"], message)


def test_a_claim_travels_over_a_fresh_connection_without_anything_that_names_a_person(scene: Scene) -> None:
    async def claim() -> None:
        election = await scene.ready()
        scene.voter.account.api.bearer = "token"
        await scene.voter.claim_unused(election)

    run(claim())
    [(_, _, _, headers, fresh)] = [sent for sent in scene.line.requests if sent[2] == "/api/votes/unused"]
    assert fresh and headers == {"Content-Type": "application/json"}
    first = next(place for place, sent in enumerate(scene.line.requests) if sent[2] == "/api/votes/unused")
    assert all(fresh for *_, fresh in scene.line.requests[first:]), "nor does the proof that follows"


def test_a_claim_is_repeated_to_the_byte_and_recorded_once(scene: Scene) -> None:
    async def claim() -> tuple[int, int]:
        election = await scene.ready()
        first = await scene.voter.claim_unused(election)
        return first, await scene.new_voter().claim_unused(election)

    first, second = run(claim())
    assert first == second
    assert scene.line.claims[0] == scene.line.claims[1]


def test_every_claim_has_one_size(scene: Scene) -> None:
    other = Scene()
    other.cluster.open()
    for one in (scene, other):
        run(claim_of(one))
    assert scene.line.claims[0] != other.line.claims[0]
    assert len(scene.line.claims[0]) == len(other.line.claims[0])


async def claim_of(scene: Scene) -> int:
    return await scene.voter.claim_unused(await scene.ready())


def test_only_a_credential_that_is_there_and_was_not_cast_is_claimed(scene: Scene) -> None:
    async def nothing() -> None:
        await scene.voter.enrol()
        await scene.voter.claim_unused(await scene.voter.fetch_election(scene.cluster.entries[1].fields["election"]))

    async def cast() -> None:
        election = await scene.ready()
        scene.voter.fill_in(election, ANSWERS)
        await scene.voter.accept(election, await scene.cast(election))
        await scene.voter.claim_unused(election)

    with pytest.raises(NotClaimable, match="no credential"):
        run(nothing())
    with pytest.raises(NotClaimable, match="receipt"):
        run(cast())
    assert scene.line.claims == []


def test_an_answer_that_is_not_proven_is_not_believed(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """A node that swallows claims says 201 and names any entry."""
    election = run(scene.ready())
    for index in (1, None, "2"):
        monkeypatch.setattr(scene.cluster, "claim", lambda fields, index=index: (201, {"index": index}))
        with pytest.raises(Untrusted):
            run(scene.voter.claim_unused(election))
    assert kept(scene).claimed_at == 0


def test_the_signature_is_stored_before_it_is_sent(scene: Scene) -> None:
    election = run(scene.ready())
    sent: list[bytes] = []
    claim = scene.cluster.claim

    def note(fields: Any) -> Any:
        sent.append(kept(scene).claim)
        return claim(fields)

    scene.cluster.claim = note  # type: ignore[method-assign]
    run(scene.voter.claim_unused(election))
    assert sent == [kept(scene).claim] and sent[0]
    assert unb64(json.loads(scene.line.claims[0])["signature"]) == sent[0]


def test_the_command_line_claims_from_a_wallet_folder(
    scene: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    election = run(scene.ready())
    wallet, genesis = tmp_path / "wallet", tmp_path / "genesis"
    store = FolderStore(wallet)
    for name, record in scene.store._records.items():
        store.save(name, record)
    first = scene.cluster.genesis
    genesis.write_bytes(frame("genesis-file", first.header, first.public))
    monkeypatch.setattr("ballot.voter_booth.Line", lambda nodes, tls: MemoryLine(scene.cluster))
    options = ["--wallet", str(wallet), "--node", "http://127.0.0.1:1", "--genesis", str(genesis)]
    done = CliRunner().invoke(main, ["voter", "claim", election.eid.hex(), *options])
    assert done.exit_code == 0, done.output
    claimed = decode_secrets(store.load(election.eid.hex()) or b"").claimed_at
    assert done.output == f"claimed: {claimed}\neid: {election.eid.hex()}\n"
    assert scene.cluster.entries[claimed - 1].kind == "CredentialUnused"
    for name in ("f" * 64, "../identity"):
        refused = CliRunner().invoke(main, ["voter", "claim", name, *options])
        assert refused.exit_code == 1 and "no secrets" in refused.output
