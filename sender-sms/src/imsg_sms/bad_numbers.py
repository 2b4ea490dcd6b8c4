"""Finds the numbers because of which a provider refused whole calls. Pure."""

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from imsg_contract.wire import Again, Recipient, Refused, Sent
from imsg_sms.providers import Answer, numbers

MAX_REFUSED_CALLS = 48
"""Refused calls that the searches of one list may cost beside the first call for each of its batches."""

REFUSED_CALLS_EACH = 6
"""Further refused calls for each accepted number. Halving a list of which two thirds are bad costs five for each."""

MIN_REFUSED_ALONE = 12
"""Numbers refused alone, with none accepted, after which the rest of a list counts as refused too."""

_DIGITS = re.compile(r"[0-9]{7,20}")

T = TypeVar("T")


@dataclass(slots=True)
class SearchBudget:
    """What the searches of one list may still cost, and what they found: its batches share it.

    A list of bad numbers costs a call for each batch and `MAX_REFUSED_CALLS`, however small the batches are.
    """

    refused_calls: int = MAX_REFUSED_CALLS
    accepted: int = 0
    """Numbers that were accepted."""
    refused_alone: int = 0
    """Numbers that were refused in a call of their own."""

    def note_accepted(self, count: int) -> None:
        """Note a call that was accepted for `count` numbers."""
        self.accepted += count
        self.refused_calls += REFUSED_CALLS_EACH * count


class Search:
    """The search within one batch that was refused whole.

    Refused numbers are halved, and both halves are called before either is halved again. Numbers that an answer names
    are bad. ProviderTemplate `find_next` and `note` in turn until `find_next` returns None, then read `answers`.
    """

    def __init__(self, batch: Sequence[Recipient], answer: Answer, budget: SearchBudget) -> None:
        self._budget = budget
        self._last = answer
        self._settled: list[tuple[Recipient, Answer]] = []
        self._next: list[Sequence[Recipient]] = []
        self._refused: list[Sequence[Recipient]] = []
        self._divide(spread(batch), answer)

    def find_next(self) -> Sequence[Recipient] | None:
        """Return the numbers of the next call; None once the search or the budget has ended."""
        if self._budget.refused_calls <= 0:
            return None
        if not self._next and self._refused:
            refused = self._refused.pop()
            middle = len(refused) // 2
            self._next = [refused[middle:], refused[:middle]]
        return self._next.pop() if self._next else None

    def note(self, called: Sequence[Recipient], answer: Answer) -> None:
        """Note the answer to a call for these numbers."""
        if not answer.of_one:
            self._settled += [(recipient, answer.each.get(recipient.address, answer)) for recipient in called]
            if isinstance(answer.result, Sent):
                self._budget.note_accepted(len(called))
            return
        self._budget.refused_calls -= 1
        self._last = answer
        if len(called) == 1:
            self._budget.refused_alone += 1
            self._settled.append((called[0], answer))
        else:
            self._divide(called, answer)

    @property
    def answers(self) -> Iterator[tuple[Recipient, Answer]]:
        """The answer for each number. Read it once all searches of the list have ended: the rest is judged by them."""
        yield from self._settled
        verdict = self._judge_rest()
        for rest in (*self._next, *self._refused):
            yield from ((recipient, verdict) for recipient in rest)

    def _divide(self, refused: Sequence[Recipient], answer: Answer) -> None:
        """Settle the numbers that an answer names, and call the others next; halve them later where it names none."""
        named = _find_named(refused, answer)
        if 0 < len(named) < len(refused):
            self._settled += [(recipient, answer) for recipient in refused if recipient.n in named]
            self._next.append([recipient for recipient in refused if recipient.n not in named])
        else:
            self._refused.append(refused)

    def _judge_rest(self) -> Answer:
        """Judge numbers that were not found out about: a refused content, or a limit, holds for all of them.

        A refused number says nothing of others, unless every number tried was refused: then they are refused too, else
        they are tried again later.
        """
        result, concerns = self._last.result, self._last.concerns
        if not isinstance(result, Refused) or concerns != "recipient":
            return self._last
        if not self._budget.accepted and self._budget.refused_alone >= MIN_REFUSED_ALONE:
            why = f"The provider refused the list, each part of it, and {self._budget.refused_alone} numbers alone"
            detail = f"{why}; this one counts as refused too: {result.detail}"
            return Answer(replace(result, detail=detail), concerns)
        why = "The provider refuses a list for some of its numbers, and does not say for which"
        return Answer(Again(result.provider, result.code, f"{why}: {result.detail}"), concerns)


def spread(items: Sequence[T]) -> Sequence[T]:
    """Put neighbours apart, so that the first few items are a sample of all."""
    step = math.isqrt(len(items))
    return [item for at in range(step) for item in items[at::step]]


def _find_named(recipients: Sequence[Recipient], answer: Answer) -> frozenset[int]:
    """Return the `n` of the numbers that an answer names."""
    detail = "" if isinstance(answer.result, Sent) else answer.result.detail
    named = {numbers.read(digits) for digits in _DIGITS.findall(detail)}
    return frozenset(recipient.n for recipient in recipients if recipient.address in named)
