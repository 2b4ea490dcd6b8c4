"""Find the regular expressions whose time grows faster than their text, by measuring them on texts made from them."""

import re
import signal
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from re import _compiler, _constants, _parser  # type: ignore[attr-defined]  # the parser that `re` itself uses
from time import process_time
from typing import Any

SIZES = (1_024, 65_536)
"""Characters. Exponential patterns are found in the short text, most quadratic ones in the long."""

MAX_S = 0.1
"""Processor seconds that a text may take: a linear pattern needs 0.04 s at most."""

DOUBTFUL_S = 0.005
"""Processor seconds of the long text from which a text of LONGER times its length is measured too.

A quadratic pattern takes less than MAX_S where it looks at few places: `[^>]*>` after twenty fixed characters.
"""

LONGER = 8

MAX_GROWTH = 22
"""How many times as long that text may take: 8 is linear, 64 quadratic."""

REPEATS = 3
"""How often a text has to take too long: what else the machine does makes a call slower, and none faster."""

UNBOUNDED = 64
"""A repeat that allows so many counts as endless."""

MAX_CHARACTERS = 9
"""Taken from each pattern: one for every set of its classes that share a character, up to this many."""

METHODS = ("fullmatch", "match", "findall")
"""The methods that are measured. `findall` stands for all that search: search, sub, split, finditer."""

SAMPLES = "a Z0\t\n-.@<\"'\\{中é　１\0"
"""Characters that a class may hold without naming them."""


@dataclass(frozen=True, slots=True)
class Pattern:
    """A regular expression, its place, and the methods that use it."""

    text: str
    flags: int = 0
    methods: tuple[str, ...] = METHODS
    place: str = ""
    is_bytes: bool = False


@dataclass(frozen=True, slots=True, order=True)
class Shape:
    """A text of any length: a beginning, a repeated piece, an end that breaks the match."""

    beginning: str
    repeated: str
    end: str

    def text(self, length: int) -> str:
        """Return the text with about `length` characters."""
        return self.beginning + self.repeated * (length // len(self.repeated)) + self.end

    def encode(self, length: int, *, is_bytes: bool) -> Any:  # noqa: ANN401  what the pattern matches
        """Return the text, or its bytes."""
        text = self.text(length)
        return text.encode("latin-1", "replace") if is_bytes else text

    def __str__(self) -> str:
        """Return the shape as an expression."""
        return f"{self.beginning!r} + {self.repeated!r} * n + {self.end!r}"


def find_slow_shape(pattern: Pattern) -> str:
    """Return the method and the shape for which a pattern takes more than linear time; empty for a linear pattern."""
    source: Any = pattern.text.encode("latin-1") if pattern.is_bytes else pattern.text
    compiled = re.compile(source, pattern.flags)
    for size, method, shape in product(SIZES, pattern.methods, sorted(shapes(pattern.text, compiled.flags))):
        call = getattr(compiled, method)
        text = shape.encode(size, is_bytes=pattern.is_bytes)
        took_s = _measure(call, text, MAX_S)
        if took_s >= MAX_S:
            is_slow = all(_measure(call, text, MAX_S) >= MAX_S for _ in range(REPEATS))
        else:
            is_slow = size == SIZES[-1] and took_s > DOUBTFUL_S and _grows(call, shape, took_s, pattern)
        if is_slow:
            return f"{method} {shape}"
    return ""


def _grows(match: Callable[[Any], object], shape: Shape, took_s: float, pattern: Pattern) -> bool:
    """Return whether a longer text takes more than its share of time, each time it is measured."""
    longer = shape.encode(SIZES[-1] * LONGER, is_bytes=pattern.is_bytes)
    limit_s = MAX_GROWTH * took_s
    return all(_measure(match, longer, limit_s) >= limit_s for _ in range(REPEATS))


def _measure(match: Callable[[Any], object], text: str | bytes, limit_s: float) -> float:
    """Return the processor seconds of a call, at most `limit_s`.

    `re` looks for signals, so that a timer ends an exponential match.
    """

    def interrupt(*_: object) -> None:
        raise TimeoutError

    before = signal.signal(signal.SIGVTALRM, interrupt)
    start = process_time()
    try:
        signal.setitimer(signal.ITIMER_VIRTUAL, limit_s)
        match(text)
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
    except TimeoutError:
        return limit_s
    finally:
        signal.signal(signal.SIGVTALRM, before)
    return process_time() - start


def shapes(text: str, flags: int = 0) -> set[Shape]:
    """Return the texts that may cost a pattern much: each repeat's own characters, after what leads to the repeat."""
    tree = _parser.parse(text, flags & ~re.UNICODE)
    characters = _choose_characters(tree)
    last = characters[-1]
    ends = ("", last, characters[0])
    made = {Shape("", piece, end) for piece in characters for end in ends}
    made |= {
        Shape("", first + second, end)
        for first, second in product(characters, repeat=2)
        if first != second
        for end in ("", last)
    }
    whole = _sample(tree)
    for before, repeat in _repeats(tree, ""):
        sample = _sample(repeat)
        own = [character for character in characters if any(_matches(atom, character) for atom in _atoms(repeat))]
        repeated = {sample, *own, *(first + second for first, second in product(own[:3], repeat=2))}
        made |= {Shape(before, piece, end) for piece in repeated for end in (*ends, *characters[1:3])}
        made |= {Shape("", before + piece, end) for piece in {"", sample, *own[:3]} for end in ("", last)}
    made |= {Shape("", piece, end) for piece in (whole, whole[:-1], whole + last) for end in ends}
    return {shape for shape in made if shape.repeated}


def _choose_characters(tree: Any) -> list[str]:  # noqa: ANN401  the parser's own, untyped
    """Return one character for each set of atoms that match the same; the last one matches no atom, if possible."""
    atoms = list(_atoms(tree))
    known = "".join(character for atom in atoms for character in _list_characters(atom)) + SAMPLES
    chosen: dict[tuple[object, ...], str] = {}
    for character in known:
        in_word = character.isalnum() or character == "_"  # \b tells them apart
        chosen.setdefault((in_word, *(_matches(atom, character) for atom in atoms)), character)
    foreign = [character for (_, *matched), character in chosen.items() if not any(matched)] or ["\0"]
    classes = [atom for atom in atoms if atom[0] is not _constants.LITERAL]
    own = [character for character in chosen.values() if character not in foreign]
    own.sort(key=lambda character: not any(_matches(atom, character) for atom in classes))
    return [*own[:MAX_CHARACTERS], foreign[-1]]


def _repeats(tree: Any, before: str) -> Iterator[tuple[str, Any]]:  # noqa: ANN401
    """Yield every endless repeat, after a text that leads to it."""
    for op, value in tree:
        for inner in _inner(op, value):
            if _is_repeat(op) and value[1] >= UNBOUNDED:
                yield before, inner
            yield from _repeats(inner, before)
        before += _sample([(op, value)])


def _atoms(tree: Any) -> Iterator[tuple[Any, Any]]:  # noqa: ANN401
    for op, value in tree:
        if op in (_constants.LITERAL, _constants.NOT_LITERAL, _constants.IN, _constants.ANY):
            yield op, value
        for inner in _inner(op, value):
            yield from _atoms(inner)


def _inner(op: Any, value: Any) -> Sequence[Any]:  # noqa: ANN401
    if _is_repeat(op):
        return (value[2],)
    if op is _constants.BRANCH:
        return tuple(value[1])
    if op is _constants.SUBPATTERN:
        return (value[3],)
    if op in (_constants.ASSERT, _constants.ASSERT_NOT):
        return (value[1],)
    if op is _constants.ATOMIC_GROUP:
        return (value,)
    return ()


def _is_repeat(op: Any) -> bool:  # noqa: ANN401
    return op in (_constants.MAX_REPEAT, _constants.MIN_REPEAT, _constants.POSSESSIVE_REPEAT)


def _sample(tree: Any) -> str:  # noqa: ANN401
    """Return a short text that a tree matches. Assertions are ignored."""
    text = ""
    for op, value in tree:
        if op in (_constants.LITERAL, _constants.NOT_LITERAL, _constants.IN, _constants.ANY):
            candidates = (*_list_characters((op, value)), *SAMPLES)
            text += next((character for character in candidates if _matches((op, value), character)), "")
        elif _is_repeat(op):
            text += _sample(value[2]) * max(value[0], 1)
        elif op not in (_constants.ASSERT, _constants.ASSERT_NOT) and (inner := _inner(op, value)):
            text += _sample(inner[0])
    return text


def _list_characters(atom: tuple[Any, Any]) -> list[str]:
    op, value = atom
    if op in (_constants.LITERAL, _constants.NOT_LITERAL):
        return [chr(value)]
    if op is not _constants.IN:
        return []
    codes = []
    for kind, item in value:
        codes += [item] if kind is _constants.LITERAL else list(item) if kind is _constants.RANGE else []
    return [chr(code) for code in codes]


def _matches(atom: tuple[Any, Any], character: str) -> bool:
    key = repr(atom)
    if key not in _COMPILED:
        _COMPILED[key] = _compiler.compile(_parser.SubPattern(_parser.State(), [atom]), 0)
    return _COMPILED[key].fullmatch(character) is not None


_COMPILED: dict[str, re.Pattern[str]] = {}
