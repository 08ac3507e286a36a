"""The election definition: what is voted on, by whom, under which keys. Frozen when the election opens.

Its document (protocol.md, message 3) is hashed into the election's id, and the id into everything after it.
"""

import unicodedata
from collections.abc import Sequence

import msgspec

from ..ledger.frame import frame_hash
from . import document, write_in
from .choice import encode_choice
from .counting import METHODS
from .counting.method import MOST_POINTS, Form
from .question import DefinitionError as DefinitionError
from .question import Question as Question

VERSION = 1
MAX_QUESTIONS = 50
MAX_OPTIONS = 200
MAX_FIGURES = 200_000
"""Sum of squares of the numbers of candidates: a result has about as many figures, and must fit into one entry."""
MAX_TITLE = 200
MAX_TEXT = 2000
MAX_NAME = 200
MAX_TRUSTEES = 255  # shares are points of GF(2^8), and 0 is the secret's
MODULUS_BYTES = 384  # RSA-3072
LENGTH_PREFIX = 2
PAD_STEP = 64
MAX_PAD_LEN = LENGTH_PREFIX + 0xFFFF
MAX_CLAIMS_S = 366 * 86_400
LEAST_EPOCH_US = 600_000_000
LEAST_EPOCH_BALLOTS = 20


class Trustee(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A holder of one decryption key; `n` is the RSA-3072 modulus in hex."""

    name: str
    n: str


class Registrar(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The key that signs credentials of one weight; `n` is the RSA-3072 modulus in hex."""

    weight: int
    n: str


class Roll(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The electoral roll: number of leaves and RFC 6962 root in hex."""

    size: int
    root: str


class Epochs(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Ballots are published while the election is open: at most every `interval_us`, at least `ballots` at a time."""

    interval_us: int
    ballots: int


class ElectionDefinition(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """An election. Times are microseconds since 1970; `closes_us` 0 means closed by hand.

    `pad_len` is the length of every plaintext including its 2-byte length, `k` the number of trustees needed.
    `origin` is the log's name and `genesis` the hash of its first entry in hex. `claims_s` is how many seconds after
    the close credentials may be claimed as unused; left out, as in definitions made before there was an end: for ever.
    Without `epochs` the whole board is published after the close.
    """

    version: int = VERSION
    title: str
    questions: list[Question]
    opens_us: int
    closes_us: int
    pad_len: int
    k: int
    trustees: list[Trustee]
    registrars: list[Registrar]
    roll: Roll
    origin: str
    genesis: str
    claims_s: int | msgspec.UnsetType = msgspec.UNSET
    epochs: Epochs | msgspec.UnsetType = msgspec.UNSET


def encode_definition(definition: ElectionDefinition) -> bytes:
    """The definition's document. Raises DefinitionError if the definition is not acceptable."""
    check_definition(definition)
    return document.encode(msgspec.to_builtins(definition))


def decode_definition(data: bytes) -> ElectionDefinition:
    """The definition of a document; DefinitionError unless it is canonical, complete and acceptable."""
    try:
        definition = msgspec.convert(document.decode(data), ElectionDefinition)
    except (document.DocumentError, msgspec.ValidationError) as error:
        raise DefinitionError(f"not an election definition: {error}") from error
    # A field with a default could be left out and still be read: then two documents would say the same.
    if encode_definition(definition) != data:
        raise DefinitionError("the definition leaves out a field")
    return definition


def election_id(definition_bytes: bytes) -> bytes:
    """The election's id, 32 bytes: H(election, document), over the bytes as stored."""
    return frame_hash("election", definition_bytes)


def check_questions(questions: Sequence[Question]) -> None:
    """Raises DefinitionError, naming the question, unless all can be put on a ballot and counted."""
    if not 1 <= len(questions) <= MAX_QUESTIONS:
        raise DefinitionError(f"an election has 1 to {MAX_QUESTIONS} questions, not {len(questions)}")
    for number, question in enumerate(questions, 1):
        try:
            _check_question(question)
        except DefinitionError as error:
            raise DefinitionError(f"question {number}: {error}") from error
    if sum(len(question.candidates) ** 2 for question in questions) > MAX_FIGURES:
        raise DefinitionError("the questions have too many options together for one count")


def pad_length(questions: Sequence[Question]) -> int:
    """The least multiple of 64 bytes that holds the 2-byte length and the longest valid choice."""
    longest = encode_choice([longest_answer(question) for question in questions])
    steps = -(-(LENGTH_PREFIX + len(longest)) // PAD_STEP)
    return steps * PAD_STEP


def longest_answer(question: Question) -> Sequence[int | str]:
    """The valid answer whose document is the longest."""
    return write_in.longest(question, METHODS[question.method].longest_answer(question))


def check_definition(definition: ElectionDefinition) -> None:
    """Raises DefinitionError for what no election may be. Whether keys are strong is for `keycheck`."""
    if definition.version != VERSION:
        raise DefinitionError(f"version {definition.version} is not known")
    _check_text("the title", definition.title, MAX_TITLE)
    check_questions(definition.questions)
    if not 0 <= definition.opens_us <= document.MAX_INTEGER:
        raise DefinitionError("the opening time is out of range")
    if definition.closes_us != 0 and not definition.opens_us < definition.closes_us <= document.MAX_INTEGER:
        raise DefinitionError("the election closes before it opens")
    if definition.claims_s is not msgspec.UNSET and not 1 <= definition.claims_s <= MAX_CLAIMS_S:
        raise DefinitionError(f"unused credentials are claimed for 1 to {MAX_CLAIMS_S} seconds after the close")
    if not pad_length(definition.questions) <= definition.pad_len <= MAX_PAD_LEN:
        raise DefinitionError("pad_len does not hold every choice")
    _check_epochs(definition)
    _check_keys(definition)
    if not 0 <= definition.roll.size <= document.MAX_INTEGER:
        raise DefinitionError("the size of the roll is out of range")
    heaviest = max(registrar.weight for registrar in definition.registrars)
    if definition.roll.size * heaviest * MOST_POINTS > document.MAX_INTEGER:
        raise DefinitionError("the weights are too large for an exact count of so many voters")
    _check_hex("the root of the roll", definition.roll.root, 32)
    _check_text("the origin", definition.origin, MAX_NAME)
    _check_hex("the genesis hash", definition.genesis, 32)


def check_trustee_name(name: str) -> None:
    """Raises DefinitionError for what no definition takes."""
    _check_text("a trustee's name", name, MAX_NAME)


def _check_epochs(definition: ElectionDefinition) -> None:
    epochs = definition.epochs
    if epochs is msgspec.UNSET:
        return
    if not LEAST_EPOCH_US <= epochs.interval_us <= document.MAX_INTEGER:
        raise DefinitionError(f"an epoch lasts at least {LEAST_EPOCH_US // 60_000_000} minutes")
    if not LEAST_EPOCH_BALLOTS <= epochs.ballots <= document.MAX_INTEGER:
        raise DefinitionError(f"an epoch has at least {LEAST_EPOCH_BALLOTS} ballots")


def _check_keys(definition: ElectionDefinition) -> None:
    trustees, registrars = definition.trustees, definition.registrars
    if not 1 <= len(trustees) <= MAX_TRUSTEES:
        raise DefinitionError(f"an election has 1 to {MAX_TRUSTEES} trustees")
    if not 1 <= definition.k <= len(trustees):
        raise DefinitionError("k is not between 1 and the number of trustees")
    for trustee in trustees:
        check_trustee_name(trustee.name)
    if not registrars:
        raise DefinitionError("an election has at least one registrar key")
    if not all(1 <= registrar.weight < 2**32 for registrar in registrars):
        raise DefinitionError("a weight is not between 1 and 2^32 - 1")
    if len({registrar.weight for registrar in registrars}) != len(registrars):
        raise DefinitionError("two registrar keys have the same weight")
    moduli = [trustee.n for trustee in trustees] + [registrar.n for registrar in registrars]
    for modulus in moduli:
        _check_hex("a modulus", modulus, MODULUS_BYTES)
    if len(set(moduli)) != len(moduli):
        raise DefinitionError("a modulus occurs twice: one key, one purpose")


def _check_question(question: Question) -> None:
    _check_text("the text", question.text, MAX_TEXT)
    if not question.options or len(question.candidates) > MAX_OPTIONS:
        raise DefinitionError(f"a question has 1 to {MAX_OPTIONS} options, not {len(question.candidates)}")
    _check_names("option", question.options + question.declared)
    _check_names("grade", question.grades)
    method = METHODS.get(question.method)
    if method is None:
        raise DefinitionError(f"method {question.method!r} is not one of {', '.join(METHODS)}")
    if question.write_ins and method.form is not Form.LIST:
        raise DefinitionError(f"no names can be written in where {question.method} wants a number for every option")
    if question.grades and method.form is not Form.GRADES:
        raise DefinitionError(f"{question.method} has no grades")
    method.check_question(question)
    write_in.check_names(question)


def _check_names(what: str, names: Sequence[str]) -> None:
    article = "an" if what == "option" else "a"
    for name in names:
        _check_text(f"{article} {what}", name, MAX_NAME)
    # Two spellings of the same letters look the same on a ballot.
    if len({unicodedata.normalize("NFC", name) for name in names}) != len(names):
        raise DefinitionError(f"two {what}s have the same name")


def _check_text(what: str, text: str, limit: int) -> None:
    if not text.strip():
        raise DefinitionError(f"{what} is empty")
    if text != text.strip():
        raise DefinitionError(f"{what} begins or ends with a space")
    if len(text) > limit:
        raise DefinitionError(f"{what} is longer than {limit} characters")
    # Control characters and lone surrogates; line breaks are allowed nowhere a name or title is shown.
    if any(unicodedata.category(char) in ("Cc", "Cs") for char in text):
        raise DefinitionError(f"{what} has a control character")


def _check_hex(what: str, text: str, length: int) -> None:
    if len(text) != 2 * length or set(text) - set("0123456789abcdef"):
        raise DefinitionError(f"{what} is not {length} bytes in lower-case hex")
