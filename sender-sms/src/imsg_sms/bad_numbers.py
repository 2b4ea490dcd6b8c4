"""Finds the bad numbers because of which a provider refused whole calls; makes no call itself."""

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from imsg_contract.results import Again, Refused, Sent
from imsg_contract.wire import Recipient
from imsg_sms.providers import ProviderReply, numbers

MAX_REFUSED_CALLS = 48
"""Refused calls that the searches of one list may make, besides the first call of each batch."""

REFUSED_CALLS_EACH = 6
"""Further refused calls for each accepted number. Halving a list with two thirds of bad numbers costs five."""

MIN_REFUSED_ALONE = 12
"""Numbers refused in a call of their own, with none accepted, after which the rest of a list is refused too."""

_DIGITS = re.compile(r"[0-9]{7,20}")

T = TypeVar("T")


@dataclass(slots=True)
class SearchBudget:
    """The refused calls left to the searches of one list, and their counts. All batches of the list share it.

    A list of bad numbers costs a call for each batch and `MAX_REFUSED_CALLS`, however small the batches are.
    """

    refused_calls: int = MAX_REFUSED_CALLS
    accepted: int = 0
    """Numbers that were accepted."""
    refused_alone: int = 0
    """Numbers that were refused in a call of their own."""

    def count_accepted(self, count: int) -> None:
        """Count a call that was accepted for `count` numbers."""
        self.accepted += count
        self.refused_calls += REFUSED_CALLS_EACH * count


class BadNumberSearch:
    """The search within one batch that was refused whole.

    Refused numbers are halved, and both halves are called before either is halved again. Numbers that a reply names
    are bad. Call `find_next` and `record` in turn until `find_next` returns None, then read `replies`.
    """

    def __init__(self, batch: Sequence[Recipient], reply: ProviderReply, budget: SearchBudget) -> None:
        self._budget = budget
        self._last_reply = reply
        self._settled: list[tuple[Recipient, ProviderReply]] = []
        self._next: list[Sequence[Recipient]] = []
        self._refused: list[Sequence[Recipient]] = []
        self._divide(spread(batch), reply)

    def find_next(self) -> Sequence[Recipient] | None:
        """Return the numbers of the next call; None once the search or the budget has ended."""
        if self._budget.refused_calls <= 0:
            return None
        if not self._next and self._refused:
            refused = self._refused.pop()
            middle = len(refused) // 2
            self._next = [refused[middle:], refused[:middle]]
        return self._next.pop() if self._next else None

    def record(self, called: Sequence[Recipient], reply: ProviderReply) -> None:
        """Record the reply to a call for these numbers."""
        if not reply.for_one_number:
            self._settled += [(recipient, reply.by_number.get(recipient.address, reply)) for recipient in called]
            if isinstance(reply.result, Sent):
                self._budget.count_accepted(len(called))
            return
        self._budget.refused_calls -= 1
        self._last_reply = reply
        if len(called) == 1:
            self._budget.refused_alone += 1
            self._settled.append((called[0], reply))
        else:
            self._divide(called, reply)

    @property
    def replies(self) -> Iterator[tuple[Recipient, ProviderReply]]:
        """The reply for each number. Read it after all searches of the list: they decide about numbers not called."""
        yield from self._settled
        reply_to_rest = self._find_reply_to_rest()
        for rest in (*self._next, *self._refused):
            yield from ((recipient, reply_to_rest) for recipient in rest)

    def _divide(self, refused: Sequence[Recipient], reply: ProviderReply) -> None:
        """Settle the numbers that a reply names and call the others next; if it names none, halve them later."""
        named = _find_named(refused, reply)
        if 0 < len(named) < len(refused):
            self._settled += [(recipient, reply) for recipient in refused if recipient.n in named]
            self._next.append([recipient for recipient in refused if recipient.n not in named])
        else:
            self._refused.append(refused)

    def _find_reply_to_rest(self) -> ProviderReply:
        """Return the reply for numbers that were not called alone: the last error, if it is not about a number.

        If it is, and every number called alone was refused, they are refused too; if not, they are tried again later.
        """
        result, concerns = self._last_reply.result, self._last_reply.concerns
        if not isinstance(result, Refused) or concerns != "recipient":
            return self._last_reply
        if not self._budget.accepted and self._budget.refused_alone >= MIN_REFUSED_ALONE:
            why = f"The provider refused the list, each part of it, and {self._budget.refused_alone} numbers alone"
            detail = f"{why}; this one counts as refused too: {result.detail}"
            return ProviderReply(replace(result, detail=detail), concerns)
        why = "The provider refuses a list for some of its numbers, and does not say which"
        return ProviderReply(Again(result.provider, result.code, f"{why}: {result.detail}"), concerns)


def spread(items: Sequence[T]) -> Sequence[T]:
    """Reorder items so that the first few are a sample of all."""
    step = math.isqrt(len(items))
    return [item for at in range(step) for item in items[at::step]]


def _find_named(recipients: Sequence[Recipient], reply: ProviderReply) -> frozenset[int]:
    """Return the `n` of the numbers that a reply names."""
    detail = "" if isinstance(reply.result, Sent) else reply.result.detail
    named = {numbers.read(digits) for digits in _DIGITS.findall(detail)}
    return frozenset(recipient.n for recipient in recipients if recipient.address in named)
