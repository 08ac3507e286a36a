"""A question of an election, and how a definition or an answer is refused."""

import msgspec


class DefinitionError(ValueError):
    """The election definition, or one of its questions, is not acceptable; the message says why."""


class InvalidChoice(ValueError):
    """The plaintext of a ballot is not a valid choice; `reason` says why and quotes nothing of the ballot."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Question(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One question.

    `method` is a name in `counting.METHODS`. `max_choices` is the number of ranks on a ranked ballot, the
    number of options one may approve, and 1 for plurality. `rules` are the method's own, see its file.
    An option is referred to by its position in `options`, from 0.
    """

    text: str
    method: str
    options: list[str]
    max_choices: int
    rules: dict[str, int | bool] = msgspec.field(default_factory=dict)
