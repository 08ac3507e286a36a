"""Attacks on the election of `log_builder`, each with the level and the name under which an audit must catch it.

`FILE` attacks change records, as anyone can who holds the export. `INSIDER` attacks change what the log says and seal
it anew, as a majority of the nodes together could; then only what others signed, or what can be computed, tells.
`OUTSIDE` ones cannot show in one export and are stopped elsewhere. `SILENT` ones pass, and docs/protocol.md says why.
"""

from tests.support.attacks.ballots import BALLOT_ATTACKS
from tests.support.attacks.base import Attack, Export, edit, kind_at, with_board
from tests.support.attacks.count import COUNT_ATTACKS, dissent
from tests.support.attacks.epochs import EPOCH_ATTACKS
from tests.support.attacks.file import FILE, as_bytes, dropped, fork
from tests.support.attacks.members import MEMBERS
from tests.support.attacks.outside import OUTSIDE, Outside
from tests.support.attacks.silent import SILENT
from tests.support.attacks.voters import VOTER_ATTACKS
from tests.support.attacks.weak import WEAK_ATTACKS

INSIDER: dict[str, Attack] = MEMBERS | WEAK_ATTACKS | VOTER_ATTACKS | BALLOT_ATTACKS | EPOCH_ATTACKS | COUNT_ATTACKS
ATTACKS: dict[str, Attack] = FILE | INSIDER

__all__ = [
    "ATTACKS",
    "FILE",
    "INSIDER",
    "OUTSIDE",
    "SILENT",
    "Attack",
    "Export",
    "Outside",
    "as_bytes",
    "dissent",
    "dropped",
    "edit",
    "fork",
    "kind_at",
    "with_board",
]
