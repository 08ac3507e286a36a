"""The drills `election`, `vote`, `signature-rejection` and `double-vote`."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

from ..client.api import Refused, b64
from ..client.vote import identity_proof
from ..ledger import rsa
from ..ledger.frame import frame
from ..voting.ballot import Ballot, cast_frame, parse_ballot
from .record import Recorder, expect
from .stage import QUESTION, TITLE, Stage


async def election(stage: Stage, record: Recorder) -> None:
    with record.step("an organiser drafts an election") as step:
        organiser = await stage.organiser()
        draft = await organiser.draft(f"{TITLE}{secrets.token_hex(4)}", [QUESTION])
        step.saw = b64(draft)
    with record.step("a roll with one good and one bad line") as step:
        (voter, stranger) = await stage.voters(2)
        taken = await organiser.upload_roll(draft, [voter.account.email, "not an address"])
        step.saw = f"{taken['accepted']} taken, {len(taken['refused'])} refused"
        expect((taken["accepted"], len(taken["refused"])) == (1, 1), step.saw)
    with record.step("open it, and check the definition against the log") as step:
        opened = await organiser.open(draft)
        for person in (voter, stranger):
            person.account.api.index = int(opened["opened_at"])
        believed = await voter.fetch_election(draft)
        step.saw = f"eid {believed.eid.hex()[:16]}, entry {opened['opened_at']}"
    with record.step("somebody who is not on the roll asks for a credential") as step:
        step.saw = await _refusal(stranger.ask_credential(believed))
        expect(step.saw == "NotOnRoll", f"answered {step.saw}")
    with record.step("close, publish, count") as step:
        results = await stage.close(believed)
        step.saw = f"{results['tally']['ballots']['valid']} valid ballots"
        expect(results["tally"]["ballots"]["valid"] == 0, step.saw)


async def vote(stage: Stage, record: Recorder) -> None:
    with record.step("two voters with credentials and sealed ballots"):
        voters, believed = await stage.opened(2)
    answers = []
    with record.step("each casts at another node and verifies the receipt") as step:
        for place, voter in enumerate(voters):
            reply = await stage.line.persist(lambda node, voter=voter: voter.cast(believed, node), place)  # type: ignore[misc]
            answers.append(reply.json())
            await voter.accept(believed, reply.json())
        step.saw = f"entries {', '.join(str(answer['index']) for answer in answers)}"
    with record.step("the same ballot again at every node") as step:
        for place in range(len(stage.numbers)):
            name, again = await stage.outcome(voters[0].fill_in(believed, [[0]]), place)
            expect(name == "known" and again is not None, f"node {stage.numbers[place]} answered {name}")
            assert again is not None
            same = all(again.json()[part] == answers[0][part] for part in ("index", "header", "salt"))
            expect(same, f"node {stage.numbers[place]} gave another receipt")
        step.saw = "the same receipt everywhere"
    with record.step("close, publish, count, and look for the ballots on the board") as step:
        results = await stage.close(believed)
        names = await stage.download(believed)
        found = sum(voter.is_published(believed, names) for voter in voters)
        step.saw = f"{found} of 2 on the board, {results['tally']['ballots']['valid']} counted"
        expect((found, results["tally"]["ballots"]["valid"]) == (2, 2), step.saw)


async def signature_rejection(stage: Stage, record: Recorder) -> None:
    with record.step("a voter with a credential and a sealed ballot"):
        (voter,), believed = await stage.opened(1)
        good = parse_ballot(voter.fill_in(believed, [[0]]))
        key = rsa.load_private(stage.secrets(voter, believed).ballot_key)
        other = await asyncio.to_thread(rsa.generate, 2048)
        invented = secrets.token_bytes(len(good.credential))
    forged = [
        ("with one bit of its signature flipped", "BadSignature", _signed(good.cast, _flip(good.signature))),
        ("signed by another key", "BadSignature", _signed(good.cast, rsa.sign(other, good.cast))),
        ("with an invented credential", "BadCredential", _with(good, key, credential=invented)),
        ("under a key that no credential is for", "BadCredential", _with(good, other, bpk=rsa.modulus(other))),
        ("for another election", "UnknownElection", _with(good, key, eid=secrets.token_bytes(32))),
    ]
    for place, (what, wanted, body) in enumerate(forged):
        with record.step(f"cast a ballot {what}") as step:
            step.saw, _ = await stage.outcome(body, place)
            expect(step.saw == wanted, f"answered {step.saw}")
    with record.step("enrol an identity key with somebody else's proof") as step:
        identity, thief = [await asyncio.to_thread(rsa.generate, 3072) for _ in range(2)]
        proof = identity_proof(thief, voter.account.id)
        fields = {"n": b64(rsa.modulus(identity)), "signature": b64(proof)}
        step.saw = await _refusal(voter.account.api.ask("PUT", "/api/auth/identity-key", fields))
        expect(step.saw == "BadSignature", f"answered {step.saw}")
    with record.step("the good ballot is recorded, and nothing else was") as step:
        name, reply = await stage.outcome(good.body, 0)
        expect(name == "recorded" and reply is not None, f"answered {name}")
        assert reply is not None
        await voter.accept(believed, reply.json())
        count = await stage.cast_count(believed)
        step.saw = f"{count} ballot recorded"
        expect(count == 1, step.saw)
    with record.step("close and count"):
        await stage.close(believed)


async def double_vote(stage: Stage, record: Recorder) -> None:
    with record.step("one voter seals nine different ballots under one credential"):
        (voter,), believed = await stage.opened(1)
        ballots = stage.rivals(voter, believed, 9)
    with record.step("all are cast at once, at all nodes") as step:
        outcomes = [name for name, _ in await asyncio.gather(*map(stage.outcome, ballots, range(len(ballots))))]
        step.saw = ", ".join(f"{outcomes.count(name)} {name}" for name in sorted(set(outcomes)))
        expect(outcomes.count("recorded") == 1, step.saw)
        expect(set(outcomes) <= {"recorded", "AlreadyCast", "VoteInProgress"}, step.saw)
    with record.step("every other ballot again, one after the other") as step:
        others = [body for body, name in zip(ballots, outcomes, strict=True) if name != "recorded"]
        again = [(await stage.outcome(body, place))[0] for place, body in enumerate(others)]
        step.saw = f"{again.count('AlreadyCast')} of {len(again)} AlreadyCast"
        expect(set(again) == {"AlreadyCast"}, f"answered {', '.join(again)}")
    with record.step("a second credential for the same voter") as step:
        step.saw = await _refusal(stage.ask_second_credential(voter, believed))
        expect(step.saw == "AlreadyIssued", f"answered {step.saw}")
    with record.step("close and count") as step:
        results = await stage.close(believed)
        step.saw = f"{results['tally']['ballots']['valid']} counted"
        expect(results["tally"]["ballots"]["valid"] == 1, step.saw)


async def _refusal(asking: Awaitable[object]) -> str:
    """The name of the refusal that what is asked meets, or `yes`."""
    try:
        await asking
    except Refused as error:
        return error.refusal
    return "yes"


def _signed(cast: bytes, signature: bytes) -> bytes:
    return frame("ballot", cast, signature)


def _flip(signature: bytes) -> bytes:
    return signature[:-1] + bytes([signature[-1] ^ 1])


def _with(good: Ballot, key: RSAPrivateKey, *, eid: bytes = b"", bpk: bytes = b"", credential: bytes = b"") -> bytes:
    """The good ballot with one part replaced, rightly signed by `key`."""
    cast = cast_frame(eid or good.eid, bpk or good.bpk, good.prefix, credential or good.credential, good.envelope)
    return _signed(cast, rsa.sign(key, cast))
