"""The meanings of providers' codes: the vocabulary of their tables."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone

from imsg_contract.wire import Again, Blocked, Refused, Result, Unknown
from imsg_sms.providers import Answer, Concern
from imsg_web.http_pool import NoAnswer, NotSent

BEIJING = timezone(timedelta(hours=8))
"""The clock of mainland China's providers, wherever we are."""

SERVER_ERROR = 500
TOO_MANY = 429
LOOK_AGAIN_S = 60.0
RAW_CHARACTERS = 300
"""How much of an answer with an unlisted code is shown."""

Wait = float | Callable[[float], float]
"""Seconds, or how many at this moment (UNIX time)."""


@dataclass(frozen=True, slots=True)
class Meaning:
    """What a code says: what follows, what it is about, and for how long it holds."""

    result: type[Again | Blocked | Refused | Unknown]
    concerns: Concern
    after_s: Wait = 0.0
    of_one: bool = False
    """The call was refused whole, though perhaps for one of its numbers."""
    is_rate: bool = False
    """All that the provider is given is too much at once, and nothing is wrong with it."""


@dataclass(frozen=True, slots=True)
class Codes:
    """The table of a kind of provider: each code it is known by, else the class that its beginning belongs to."""

    listed: Mapping[str, Meaning]
    classes: Mapping[str, Meaning]
    """Beginning of a code → what codes of that kind mean; the first that fits. `""` fits all."""

    def judge(self, provider: str, code: str, detail: str, *, now: float, about: str = "", raw: str = "") -> Answer:
        """Say what a code of this account means.

        `about` names the template or signature that was used, `raw` is the whole answer.
        """
        meaning = self.listed.get(code)
        if meaning is None:
            meaning = next(found for beginning, found in self.classes.items() if code.startswith(beginning))
            detail = f"{detail} (an unlisted code, judged by its kind: {raw[:RAW_CHARACTERS]})".strip()
        return Answer(
            make(provider, meaning, code, detail, now=now, about=about),
            concerns=meaning.concerns,
            of_one=meaning.of_one,
            is_rate=meaning.is_rate,
        )


def make(provider: str, meaning: Meaning, code: str, detail: str, *, now: float, about: str = "") -> Result:
    """Make the result that a meaning stands for."""
    after_s = meaning.after_s(now) if callable(meaning.after_s) else meaning.after_s
    if meaning.result is Blocked:
        what, wait_s = scope(provider, meaning.concerns, about), after_s or LOOK_AGAIN_S
        return Blocked(provider, what, code, detail, wait_s, passes=meaning.concerns == "account")
    if meaning.result is Again:
        return Again(provider, code, detail, after_s)
    return Refused(provider, code, detail) if meaning.result is Refused else Unknown(provider, code, detail)


def scope(provider: str, concerns: Concern, about: str) -> str:
    """Name what is blocked: the provider as a whole, or one template or signature of it."""
    return f"{provider} {concerns} {about}" if about and concerns in ("template", "signature") else provider


def judge_failure(provider: str, error: NotSent | NoAnswer) -> Answer:
    """Judge a call that was never answered."""
    if isinstance(error, NotSent):
        detail = f"The provider can't be reached: {error}"
        return Answer(Again(provider, "unreachable", detail), concerns="provider")
    return Answer(Unknown(provider, "no_answer", f"The provider did not answer: {error}"), concerns="provider")


def unreadable(provider: str, status: int) -> Answer:
    """Judge an answer without a code: only a refusal by status says that nothing was taken."""
    why = f"The provider answered {status}, and nothing that can be read."
    if status == TOO_MANY or 300 <= status < SERVER_ERROR:  # noqa: PLR2004  HTTP's redirections and client errors
        return Answer(Again(provider, f"http_{status}", why), concerns="provider", is_rate=status == TOO_MANY)
    return Answer(Unknown(provider, f"http_{status}", why), concerns="provider")


def until_tomorrow(now: float) -> float:
    """Seconds until midnight in Beijing."""
    return until_hour(now, 24)


def until_hour(now: float, hour: int) -> float:
    """Seconds until the clock of Beijing shows this hour, today or tomorrow."""
    at = datetime.fromtimestamp(now, BEIJING)
    then = at.replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(hours=hour)
    return (then - at).total_seconds() % 86_400 or 86_400.0


def until_next_hour(now: float) -> float:
    """Seconds until the hour is over."""
    return 3_600.0 - now % 3_600


def moment(text: str) -> datetime | None:
    """Read a provider's `2017-08-30 00:00:00`, which is Beijing's time; None where it is none."""
    try:
        read = datetime.fromisoformat(text)
        return (read if read.tzinfo else read.replace(tzinfo=BEIJING)).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


COMPACT: Mapping[int, str] = {14: "%Y%m%d%H%M%S", 12: "%y%m%d%H%M%S", 10: "%y%m%d%H%M"}
"""Digits of a time written without anything between them → how it is read: Beijing's, as providers write it."""

PLAUSIBLE = timedelta(days=800)
"""How far off a number may be that is taken for seconds since 1970; 2601021504 is an afternoon of 2026 instead."""


def any_moment(text: str, now: datetime) -> datetime | None:
    """Read a time in whatever form a provider writes it: as above, UNIX seconds or milliseconds, or digits alone."""
    text = text.strip()
    if not (text.isascii() and text.isdecimal()):
        return moment(text)
    for seconds in (int(text), int(text) / 1_000) if len(text) in (10, 13) else ():
        at = moment_of(seconds)
        if at is not None and abs(at - now) < PLAUSIBLE:
            return at
    try:
        return datetime.strptime(text, COMPACT[len(text)]).replace(tzinfo=BEIJING).astimezone(UTC)
    except (KeyError, ValueError, OverflowError):
        return None


def moment_of(seconds: object) -> datetime | None:
    """Read a UNIX time; None where it is none."""
    if not isinstance(seconds, int | float) or isinstance(seconds, bool):
        return None
    try:
        return datetime.fromtimestamp(seconds, UTC)
    except (ValueError, OverflowError, OSError):
        return None


def plain(value: object, most: int = 500) -> str:
    """Write a value as databases keep it: bounded, and without U+0000 or halves of a character."""
    return str(value)[:most].replace("\0", "").encode("utf-8", "replace").decode()
