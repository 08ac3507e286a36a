"""A question of an election, and how a definition or an answer is refused."""

import msgspec

OTHER = "other names"


class DefinitionError(ValueError):
    """The election definition, or one of its questions, is not acceptable; the message says why."""


class InvalidChoice(ValueError):
    """The plaintext of a ballot is not a valid choice; `reason` says why and quotes nothing of the ballot."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def _no_rules() -> dict[str, int | bool]:
    return {}


# Fields that came later are left out of the document while they are empty, so that a definition made before them keeps
# its hash. `rules` has always been written, hence a factory that msgspec does not take for a default.
class Question(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """One question.

    `method` is a name in `counting.METHODS`. `max_choices` is the number of ranks on a ranked ballot, the number of
    options one may approve, 1 for plurality, and the number of options where each gets a number. `rules` are the
    method's own, see its file. `grades`, best first, is the scale of a method that grades. `write_ins` is how many
    names of one's own a ballot has room for; `declared` are names that are not on the ballot, yet count by name when
    written in (see `write_in`).

    An option is referred to by its position in `options`, from 0; in a result the numbers go on through `candidates`.
    """

    text: str
    method: str
    options: list[str]
    max_choices: int
    rules: dict[str, int | bool] = msgspec.field(default_factory=_no_rules)
    grades: list[str] = msgspec.field(default_factory=list)
    write_ins: int = 0
    declared: list[str] = msgspec.field(default_factory=list)

    @property
    def candidates(self) -> list[str]:
        """Whatever votes are counted for, by number: the options, the declared, and all other names together."""
        return [*self.options, *self.declared, *([OTHER] if self.write_ins else [])]

    @property
    def other(self) -> int | None:
        """The number of all other names together, which is nobody and so never elected."""
        return len(self.options) + len(self.declared) if self.write_ins else None

    @property
    def lines(self) -> int:
        """How many marks a ballot can hold at most: its options, and the lines for names."""
        return len(self.options) + self.write_ins
