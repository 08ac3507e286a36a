"""The accounting of an election, at every checkpoint and at the end, and the proof that a registrar minted."""

from __future__ import annotations

from .report import Accounting, Level, Minting
from .scene import Election, Scene


def account(election: Election) -> Accounting:
    """What the log has said so far, without what only a count can tell."""
    issued, unused, published = len(election.issued), len(election.claimed), election.board.count
    silent = issued - max(published, election.casts) - unused
    return Accounting(
        roll=len(election.roll) or len(election.added),
        issued=issued,
        cast=election.casts,
        published=published,
        unused=unused,
        silent=silent,
    )


def note_checkpoint(scene: Scene) -> None:
    """A checkpoint covers the log so far: notes the accounting of every election that the entries since are about."""
    for name in scene.touched:
        election = scene.elections[name]
        now = account(election)
        numbers = (now.roll, now.issued, now.cast, now.published, *election.stated, now.unused, now.silent)
        election.series.note((scene.tree.size, *numbers))
    scene.touched.clear()


def check_minted(scene: Scene, index: int, election: Election) -> None:
    """More credentials were used than issued: at any entry, for a credential is issued before it can be used.

    While casts are hidden nobody can tell whether a claim is of a credential that was cast, which is somebody else's
    fault (ClaimedButCast): claims are added only to the ballot keys on the whole board.
    """
    issued, ballots, unused = len(election.issued), 0, 0
    if election.published_at:
        ballots, unused = len(election.spent), election.unspent
    if election.casts > ballots + unused:
        ballots, unused = election.casts, 0
    if ballots + unused > issued:
        find_minted(scene, index, election, Minting(index, 0, issued, ballots, unused, dict(election.spans)))


def find_minted(scene: Scene, index: int, election: Election, minting: Minting) -> None:
    """Reported once an election, with the counts at the entry where it first shows. A log that is damaged accuses
    nobody: the credential may be in an entry that cannot be read.
    """
    if election.minting is not None or scene.findings.damaged:
        return
    election.minting = minting
    of_weight = f" of weight {minting.weight}" if minting.weight else ""
    used = f"{minting.ballots} ballots{of_weight} and {minting.unused} unused credentials"
    detail = f"{used}, {minting.issued} were issued: the registrar minted {minting.excess}"
    scene.find(Level.BALLOTS, "CredentialsMinted", index, detail)
