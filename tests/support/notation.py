"""How scenarios write messages, states and logs, and how they point at messages."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from ballot.ledger.raft.core import RaftCore
from ballot.ledger.raft.messages import (
    Append,
    AppendReply,
    AskRead,
    Committed,
    Heartbeat,
    HeartbeatReply,
    Message,
    PreVote,
    PreVoteReply,
    ReadReply,
    Vote,
    VoteReply,
)
from tests.support.raft import Item, Node, describe_conf, name_read


class Pattern:
    """Words that a message must match, all of them: `1->*`, `Append`, `@3` (its term). No word matches everything."""

    def __init__(self, words: Sequence[str]) -> None:
        self._words = words

    def matches(self, message: Message) -> bool:
        return all(self._fits(word, message) for word in self._words)

    @staticmethod
    def _fits(word: str, message: Message) -> bool:
        if word.startswith("@"):
            return message.term == int(word[1:])
        if "->" not in word:
            return type(message).__name__ == word
        sender, to = word.split("->")
        return sender in ("*", str(message.sender)) and to in ("*", str(message.to))


def show_message(message: Message) -> str:
    kind = type(message).__name__
    return f"{message.sender}->{message.to} {kind}@{message.term} {_details(message)}".rstrip()


def _details(message: Message) -> str:
    match message:
        case PreVote() | Vote():
            forced = " by transfer" if message.transfer else ""
            return f"last {message.last_index}/{message.last_term}{forced}"
        case PreVoteReply() | VoteReply():
            return "granted" if message.granted else "refused"
        case Append():
            entries = ", ".join(show_item(cast(Item, entry)) for entry in message.entries)
            return f"prev {message.prev_index}/{message.prev_term} commit {message.commit} [{entries}]"
        case AppendReply():
            if message.refused:
                return f"refused {message.refused} hint {message.hint}/{message.hint_term}"
            return f"match {message.match}"
        case Committed():
            return f"commit {message.commit}"
        case Heartbeat():
            return f"commit {message.commit} round {message.round}"
        case HeartbeatReply():
            return f"round {message.round}"
        case AskRead():
            return name_read(message.read)
        case ReadReply():
            return f"{name_read(message.read)} at {message.index}"
        case _:
            return ""


def show_item(item: Item) -> str:
    return f"{item.index}/{item.term} {item.command}"


def show_state(node: Node) -> str:
    if not node.running:
        hard = node.disk.hard
        return f"{node.id}: down, on disk term {hard.term} vote {hard.vote} last {node.disk.last_index}"
    core: RaftCore = node.core
    log = core.log
    return (
        f"{node.id}: {core.role} term {core.term} vote {core.vote} leader {core.leader}"
        f" last {log.last_index}/{log.last_term} durable {log.durable} commit {core.commit} {describe_conf(log.conf)}"
    )


def show_log(node: Node) -> str:
    items = [node.item(index) for index in range(1, node.core.log.last_index + 1)]
    return f"{node.id}: " + ", ".join(show_item(item) for item in items)


def show_progress(node: Node) -> list[str]:
    leadership = node.core.leadership
    if leadership is None:
        return [f"{node.id} does not lead"]
    lines = [
        f"{peer}: match {p.match} next {p.next} in flight {p.inflight}" + (" probing" if p.probing else "")
        for peer, p in leadership.peers.items()
    ]
    pace = leadership.pace
    return [*lines, f"waits for {pace.waits_for}, room for {pace.room}"] if pace.waits_for else lines
