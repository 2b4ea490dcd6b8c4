"""How the time that a regular expression takes grows with its text, measured on shapes made from its own classes.

Run as a program it reads patterns as JSON lines and prints a line before each and a verdict behind it: in a child,
since an expression that never ends can be stopped only from outside (it does not give up the GIL).
"""

import json
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import product
from math import log
from re import _compiler, _constants, _parser  # type: ignore[attr-defined]  # the parser that `re` itself uses
from time import perf_counter, process_time
from typing import Any

KIB = 1_024
SIZES = tuple(KIB * 2**power for power in range(7))
"""Characters: 1, 2, 4 … 64 KiB."""

FLOOR_S = 0.005
"""Below it nothing is judged: 64 KiB in 5 ms is 80 ns a character, and a quadratic one takes seconds."""

SKIPPED, QUICK_S = SIZES[4:6], 0.000_25
"""Left out where 8 KiB took so little: a quadratic pattern would have taken forty times as long."""

NEGLIGIBLE_S = FLOOR_S / 8**2
"""Of 8 KiB: what grows quadratically from there stays below the floor at 64 KiB, eight times as long."""

MEASURED_S = 0.15
"""Of processor time, for each of the two sizes that decide."""

ENOUGH_S = 0.2
"""Longer than this no larger text is tried: what has grown so far decides."""

MAX_SLOPE = 1.5
"""Of time against length, both as logarithms: 1 is linear, 2 quadratic."""

AHEAD = 2
"""Doublings between the two sizes that are compared."""

AGREED = 3
"""Measurements that have to agree: a processor whose caches others use up makes one of them look steep."""

HELD_S = 3.0
"""Processor seconds after which the kernel ends the child: no text of 64 KiB takes a linear pattern a tenth of it."""

TIMEOUT_S = 1_100
"""Of wall time for all, on a machine that has much else to do; some four minutes on one that has not."""

UNBOUNDED = 64
"""Repeats of at least so many may as well have no end."""

MAX_LETTERS = 9
"""Taken of each pattern: one for every set of its classes that has a letter in common, up to so many."""

USES = ("fullmatch", "match", "findall")
"""The ways a pattern is used, the last of them for all that look at every place: search, sub, split, finditer."""

SAMPLES = "a Z0\t\n-.@<\"'\\{中é　１\0"
"""Letters that a class may hold without naming them."""


@dataclass(frozen=True, slots=True)
class Pattern:
    """A pattern of the product, where it stands, and how it is used."""

    text: str
    flags: int = 0
    uses: tuple[str, ...] = USES
    place: str = ""
    is_bytes: bool = False


@dataclass(frozen=True, slots=True)
class Convicted:
    """A pattern that is worse than linear, and on what."""

    pattern: Pattern
    why: str


def convict(patterns: Sequence[Pattern]) -> list[Convicted]:
    """Measure all in a child, and again in a new one where it had to be ended; return those worse than linear."""
    found: list[Convicted] = []
    rest = list(patterns)
    while rest:
        said = subprocess.run(
            [sys.executable, "-m", "imsg_testing.growth"],
            input="".join(json.dumps(asdict(pattern)) + "\n" for pattern in rest),
            capture_output=True,
            encoding="utf-8",
            timeout=TIMEOUT_S,
            check=False,
        )
        verdicts = [json.loads(line) for line in said.stdout.splitlines()]
        found += (Convicted(rest[verdict["n"]], verdict["why"]) for verdict in verdicts if verdict.get("why"))
        if said.returncode == 0:
            return found
        if said.returncode != -signal.SIGVTALRM:
            raise RuntimeError(said.stderr)
        begun = verdicts[-1]
        found.append(Convicted(rest[begun["n"]], f"does not end: {begun['shape']}"))
        rest = rest[begun["n"] + 1 :]
    return found


def measure(pattern: Pattern, tell: Callable[[str], None]) -> str:
    """Say on which shape, and by how much, a pattern is worse than linear; empty where it is not."""
    written: Any = pattern.text.encode("latin-1") if pattern.is_bytes else pattern.text
    compiled = re.compile(written, pattern.flags)
    for use, shape in product(pattern.uses, sorted(shapes(pattern.text, compiled.flags))):
        run: Callable[[Any], object] = getattr(compiled, use)
        tell(f"{use} {shape}")
        if why := _time_growth(run, shape, is_bytes=pattern.is_bytes):
            return f"{use} {shape}: {why}"
    return ""


@dataclass(frozen=True, slots=True, order=True)
class Shape:
    """A text of any length: a beginning, what is repeated, an end that breaks the match."""

    beginning: str
    repeated: str
    end: str

    def text(self, length: int) -> str:
        """Write it with a length of about so many characters."""
        return self.beginning + self.repeated * (length // len(self.repeated)) + self.end

    def __str__(self) -> str:
        """Say it in one line."""
        return f"{self.beginning!r} + {self.repeated!r} * n + {self.end!r}"


def _time_growth(run: Callable[[Any], object], shape: Shape, *, is_bytes: bool) -> str:
    """Go through the sizes by the clock, which the machine's other work can only make look worse; then look closely."""

    def write(size: int) -> Any:  # noqa: ANN401  str or bytes, as the pattern is
        text = shape.text(size)
        return text.encode("latin-1", "replace") if is_bytes else text

    size, took_s = 0, 0.0
    for size in SIZES:
        if size in SKIPPED and took_s < NEGLIGIBLE_S:
            return ""
        if size in SKIPPED and took_s < QUICK_S:
            continue
        took_s = _clock(run, write(size))
        if took_s > ENOUGH_S:
            break
    if took_s < FLOOR_S or _processor_time(run, write(size), once=True) < FLOOR_S:
        return ""
    if size in SIZES[:AHEAD]:
        long_s = _processor_time(run, write(size))
        return f"{long_s:.2f} s for {size} characters" if long_s > FLOOR_S else ""
    return _judge_slope(run, took_s, write(size), write(size // 2**AHEAD))


def _judge_slope(run: Callable[[Any], object], took_s: float, long: str | bytes, short: str | bytes) -> str:
    """Look at the shorter text by the clock, the best of some runs; only where that looks steep, measure both."""
    if _slope(took_s, min(_clock(run, short) for _ in range(AGREED))) <= MAX_SLOPE:
        return ""
    slope = 0.0
    for _ in range(AGREED):
        slope = _slope(_processor_time(run, long), _processor_time(run, short))
        if slope <= MAX_SLOPE:
            return ""
    return f"its time grows with the power {slope:.1f} of the length"


def _slope(long_s: float, short_s: float) -> float:
    return log(long_s / short_s) / log(2**AHEAD)


def _clock(run: Callable[[Any], object], text: str | bytes) -> float:
    start = perf_counter()
    run(text)
    return perf_counter() - start


def _processor_time(run: Callable[[Any], object], text: str | bytes, *, once: bool = False) -> float:
    """Measure one run by many, since on some machines this clock goes by hundredths of a second."""
    start, runs, taken_s = process_time(), 0, 0.0
    while taken_s < MEASURED_S:
        run(text)
        runs += 1
        taken_s = process_time() - start
        if once:
            break
    return taken_s / runs


def shapes(text: str, flags: int = 0) -> set[Shape]:
    """Make the shapes that may cost a pattern much: of each repeat what it takes, behind what leads to it."""
    tree = _parser.parse(text, flags & ~re.UNICODE)
    letters = _letters(tree)
    breakers = ("", *letters[-1:], *letters[:1])
    made = {Shape("", one, end) for one in letters for end in breakers}
    made |= {
        Shape("", one + other, end)
        for one, other in product(letters, repeat=2)
        if one != other
        for end in ("", letters[-1])
    }
    whole = _witness(tree)
    for before, repeat in _repeats(tree, ""):
        one = _witness(repeat)
        own = [letter for letter in letters if any(_takes(leaf, letter) for leaf in _leaves(repeat))]
        repeated = {one, *own, *(first + second for first, second in product(own[:3], repeat=2))}
        made |= {Shape(before, piece, end) for piece in repeated for end in (*breakers, *letters[1:3])}
        made |= {Shape("", before + piece, end) for piece in {"", one, *own[:3]} for end in ("", letters[-1])}
    made |= {Shape("", piece, end) for piece in (whole, whole[:-1], whole + letters[-1]) for end in breakers}
    return {shape for shape in made if shape.repeated}


def _letters(tree: Any) -> list[str]:  # noqa: ANN401  the parser's own, untyped
    """Choose a letter for each set of leaves that take the same; the last is one that none takes, if there is any."""
    leaves = list(_leaves(tree))
    known = "".join(letter for leaf in leaves for letter in _list_characters(leaf)) + SAMPLES
    chosen: dict[tuple[object, ...], str] = {}
    for letter in known:
        in_word = letter.isalnum() or letter == "_"  # what \b tells apart
        chosen.setdefault((in_word, *(_takes(leaf, letter) for leaf in leaves)), letter)
    nobody = [letter for (_, *taken), letter in chosen.items() if not any(taken)] or ["\0"]
    classes = [leaf for leaf in leaves if leaf[0] is not _constants.LITERAL]
    others = [letter for letter in chosen.values() if letter not in nobody]
    others.sort(key=lambda letter: not any(_takes(leaf, letter) for leaf in classes))
    return [*others[:MAX_LETTERS], nobody[-1]]


def _repeats(tree: Any, before: str) -> Iterator[tuple[str, Any]]:  # noqa: ANN401
    """Yield every repeat without an end, what can lead to it first."""
    for op, value in tree:
        for inner in _inner(op, value):
            if _is_repeat(op) and value[1] >= UNBOUNDED:
                yield before, inner
            yield from _repeats(inner, before)
        before += _witness([(op, value)])


def _leaves(tree: Any) -> Iterator[tuple[Any, Any]]:  # noqa: ANN401
    for op, value in tree:
        if op in (_constants.LITERAL, _constants.NOT_LITERAL, _constants.IN, _constants.ANY):
            yield op, value
        for inner in _inner(op, value):
            yield from _leaves(inner)


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


def _witness(tree: Any) -> str:  # noqa: ANN401
    """Write a short text that a tree takes, its assertions left out of account."""
    text = ""
    for op, value in tree:
        if op in (_constants.LITERAL, _constants.NOT_LITERAL, _constants.IN, _constants.ANY):
            text += next((one for one in (*_list_characters((op, value)), *SAMPLES) if _takes((op, value), one)), "")
        elif _is_repeat(op):
            text += _witness(value[2]) * max(value[0], 1)
        elif op not in (_constants.ASSERT, _constants.ASSERT_NOT) and (inner := _inner(op, value)):
            text += _witness(inner[0])
    return text


def _list_characters(leaf: tuple[Any, Any]) -> list[str]:
    op, value = leaf
    if op in (_constants.LITERAL, _constants.NOT_LITERAL):
        return [chr(value)]
    if op is not _constants.IN:
        return []
    found = []
    for kind, item in value:
        found += [item] if kind is _constants.LITERAL else list(item) if kind is _constants.RANGE else []
    return [chr(code) for code in found]


def _takes(leaf: tuple[Any, Any], letter: str) -> bool:
    key = repr(leaf)
    if key not in _COMPILED:
        tree = _parser.SubPattern(_parser.State(), [leaf])
        _COMPILED[key] = _compiler.compile(tree, 0)
    return _COMPILED[key].fullmatch(letter) is not None


_COMPILED: dict[str, re.Pattern[str]] = {}


def main() -> None:
    """Measure what stands on the standard input."""
    signal.signal(signal.SIGVTALRM, signal.SIG_DFL)
    for n, line in enumerate(sys.stdin):
        told = json.loads(line)
        pattern = Pattern(**{**told, "uses": tuple(told["uses"])})

        def tell(shape: str, n: int = n) -> None:
            signal.setitimer(signal.ITIMER_VIRTUAL, HELD_S)
            _say(n=n, shape=shape)

        _say(n=n, why=measure(pattern, tell))


def _say(**fields: object) -> None:
    sys.stdout.write(json.dumps(fields) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
