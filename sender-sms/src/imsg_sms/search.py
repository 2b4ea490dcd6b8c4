"""The search for the numbers that spoil a call which is refused whole. Pure."""

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace

from imsg_contract.wire import Again, Recipient, Refused, Sent
from imsg_sms.providers import Answer, numbers

MOST_IN_VAIN = 48
"""Calls of a search that may be refused; each number that gets through gives one back, up to as many."""

ENOUGH_ALONE = 12
"""Numbers that are refused alone, where nothing gets through, after which all of a list count as bad."""

_DIGITS = re.compile(r"[0-9]{7,20}")


class Search:
    """Which calls to make next, and what they came to.

    Refused numbers are cut in halves, both of which are called before either is cut again: whoever can be reached is
    soon. What an answer names is bad by its word. A list of which hardly anything gets through is given up.
    """

    def __init__(self, recipients: Sequence[Recipient], answer: Answer) -> None:
        """Begin with a call for all of the `recipients` that was refused whole with this `answer`."""
        self._last = answer
        self._left = MOST_IN_VAIN
        self._taken = 0
        self._alone = 0
        self._settled: list[tuple[Recipient, Answer]] = []
        self._next: list[Sequence[Recipient]] = []
        self._refused: list[Sequence[Recipient]] = []
        self.note(_spread(recipients), answer)

    def find_next(self) -> Sequence[Recipient] | None:
        """Return the numbers of the next call; None once the search is over."""
        if self._left <= 0:
            return None
        if not self._next and self._refused:
            some = self._refused.pop()
            middle = len(some) // 2
            self._next = [some[middle:], some[:middle]]
        return self._next.pop() if self._next else None

    def note(self, some: Sequence[Recipient], answer: Answer) -> None:
        """Note what a call for these was answered."""
        if not answer.of_one:
            self._settled += [(one, answer.each.get(one.address, answer)) for one in some]
            if isinstance(answer.result, Sent):
                self._taken += len(some)
                self._left = min(MOST_IN_VAIN, self._left + len(some))
            return
        self._left -= 1
        self._last = answer
        if len(some) == 1:
            self._alone += 1
            self._settled.append((some[0], answer))
            return
        named = _find_named(some, answer)
        if 0 < len(named) < len(some):
            self._settled += [(one, answer) for one in some if one.n in named]
            self._next.append([one for one in some if one.n not in named])
        else:
            self._refused.append(some)

    @property
    def answers(self) -> Iterator[tuple[Recipient, Answer]]:
        """Say what each recipient is answered, those too that no call was made for any more."""
        yield from self._settled
        verdict = self._judge_rest()
        for some in (*self._next, *self._refused):
            yield from ((one, verdict) for one in some)

    def _judge_rest(self) -> Answer:
        """Judge what was given up: a trouble of the content, or a limit, is everybody's; of numbers it depends."""
        result, concerns = self._last.result, self._last.concerns
        if not isinstance(result, Refused) or concerns != "recipient":
            return self._last
        if not self._taken and self._alone >= ENOUGH_ALONE:
            why = f"The provider refused the list, each part of it, and {self._alone} numbers alone"
            detail = f"{why}; this one counts as refused too: {result.detail}"
            return Answer(replace(result, detail=detail), concerns)
        why = "The provider refuses a list for some of its numbers, and does not say for which"
        return Answer(Again(result.provider, result.code, f"{why}: {result.detail}"), concerns)


def _spread(recipients: Sequence[Recipient]) -> Sequence[Recipient]:
    """Put neighbours apart, so that those who are tried alone speak for the whole list."""
    step = math.isqrt(len(recipients))
    return [one for at in range(step) for one in recipients[at::step]]


def _find_named(some: Sequence[Recipient], answer: Answer) -> frozenset[int]:
    """Find the numbers that an answer names."""
    detail = "" if isinstance(answer.result, Sent) else answer.result.detail
    said = {numbers.read(digits) for digits in _DIGITS.findall(detail)}
    return frozenset(one.n for one in some if one.address in said)
