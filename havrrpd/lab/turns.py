"""Pure: the adverts of one router to the turns of its nodes, and how fair those were."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from havrrpd.lab.wire import Sent


@dataclass(frozen=True, slots=True)
class Turn:
    """From a node's first advert as MASTER to its resignation.

    `takeover`: seconds since the MASTER before resigned; None for the first turn that was seen.
    `others`: more nodes that sent adverts as MASTER meanwhile, and lost. `contested`: for how many
    seconds, from the first advert of this node to the last one of another.
    """

    node: str
    begins: float
    takeover: float | None
    others: frozenset[str]
    contested: float


def turns(adverts: Iterable[Sent]) -> list[Turn]:
    """Each is the node's that was left in the end; the last one may still be contested."""
    found = []
    resigned: float | None = None
    for resigns, group in groupby(adverts, key=lambda sent: sent.priority == 0):
        sent = list(group)
        if resigns:
            resigned = sent[0].at
        else:
            found.append(_turn(sent, resigned))
    return found


def counts(taken: Sequence[Turn], nodes: Iterable[str]) -> dict[str, int]:
    """How many turns each node had."""
    counted = Counter(turn.node for turn in taken)
    return {node: counted[node] for node in nodes}


def unfairness(taken: Sequence[Turn], nodes: Sequence[str]) -> int:
    """The greatest difference of turns between two nodes, after any full round."""
    size = len(nodes)
    ends = range(size, len(taken) + 1, size)
    return max((_difference(counts(taken[:end], nodes)) for end in ends), default=0)


def rounds(taken: Sequence[Turn], size: int) -> Iterator[list[str]]:
    """The nodes of each full round, in their order."""
    for start in range(0, len(taken) - size + 1, size):
        yield [turn.node for turn in taken[start : start + size]]


def _turn(sent: Sequence[Sent], resigned: float | None) -> Turn:
    node = sent[-1].node
    begins = next(s.at for s in sent if s.node == node)
    others = [s for s in sent if s.node != node]
    return Turn(
        node=node,
        begins=begins,
        takeover=None if resigned is None else begins - resigned,
        others=frozenset(s.node for s in others),
        contested=max(0.0, others[-1].at - begins) if others else 0.0,
    )


def _difference(counted: dict[str, int]) -> int:
    return max(counted.values()) - min(counted.values())
