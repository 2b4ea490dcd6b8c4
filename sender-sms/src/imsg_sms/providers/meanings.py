"""The meanings of providers' codes, and the tables that list them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone

from imsg_contract.results import Again, Blocked, Refused, Result, Unknown
from imsg_sms.providers import Concern, ProviderReply
from imsg_web.http_pool import NoAnswer, NotSent

BEIJING = timezone(timedelta(hours=8))
"""The time zone of mainland China's providers."""

SERVER_ERROR = 500
TOO_MANY_REQUESTS = 429
RETRY_BLOCKED_S = 60.0
RAW_CHARACTERS = 300
"""The part of a response with an unlisted code that the detail quotes."""

Delay = float | Callable[[float], float]
"""Seconds, or a function from the time (Unix s) to seconds."""


@dataclass(frozen=True, slots=True)
class Meaning:
    """The meaning of a code: the result, what the error concerns, and how long it holds."""

    result: type[Again | Blocked | Refused | Unknown]
    concerns: Concern
    after_s: Delay = 0.0
    for_one_number: bool = False
    """The whole call was refused, perhaps because of one of its numbers."""
    is_rate_limit: bool = False
    """The account exceeds the provider's rate limit; the messages are fine."""


@dataclass(frozen=True, slots=True)
class CodeTable:
    """The codes of a kind of provider; an unlisted code is judged by its prefix."""

    listed: Mapping[str, Meaning]
    by_prefix: Mapping[str, Meaning]
    """Prefix of a code → meaning; the first match counts. `""` matches every code."""

    def make_reply(
        self, provider: str, code: str, detail: str, *, now: float, about: str = "", raw: str = ""
    ) -> ProviderReply:
        """Return the reply that a code of this account means.

        `about` is the template or signature that was used; `raw` is the whole response.
        """
        meaning = self.listed.get(code)
        if meaning is None:
            meaning = next(meaning for prefix, meaning in self.by_prefix.items() if code.startswith(prefix))
            detail = f"{detail} (an unlisted code, judged by its kind: {raw[:RAW_CHARACTERS]})".strip()
        return ProviderReply(
            make_result(provider, meaning, code, detail, now=now, about=about),
            concerns=meaning.concerns,
            for_one_number=meaning.for_one_number,
            is_rate_limit=meaning.is_rate_limit,
        )


def make_result(provider: str, meaning: Meaning, code: str, detail: str, *, now: float, about: str = "") -> Result:
    """Make the result of a meaning."""
    after_s = meaning.after_s(now) if callable(meaning.after_s) else meaning.after_s
    if meaning.result is Blocked:
        scope, wait_s = name_scope(provider, meaning.concerns, about), after_s or RETRY_BLOCKED_S
        return Blocked(provider, scope, code, detail, wait_s, passes=meaning.concerns == "account")
    if meaning.result is Again:
        return Again(provider, code, detail, after_s)
    return Refused(provider, code, detail) if meaning.result is Refused else Unknown(provider, code, detail)


def name_scope(provider: str, concerns: Concern, about: str) -> str:
    """Return the scope of a block: the provider, or one template or signature of it."""
    return f"{provider} {concerns} {about}" if about and concerns in ("template", "signature") else provider


def make_failure_reply(provider: str, error: NotSent | NoAnswer) -> ProviderReply:
    """Return the reply for a call without a response."""
    if isinstance(error, NotSent):
        detail = f"The provider can't be reached: {error}"
        return ProviderReply(Again(provider, "unreachable", detail), concerns="provider")
    return ProviderReply(Unknown(provider, "no_answer", f"The provider did not answer: {error}"), concerns="provider")


def make_unreadable_reply(provider: str, status: int) -> ProviderReply:
    """Return the reply for a response without a code. With a status of 3xx or 4xx, the provider accepted nothing."""
    why = f"The provider answered {status}, and nothing that can be read."
    if status == TOO_MANY_REQUESTS or 300 <= status < SERVER_ERROR:  # noqa: PLR2004  HTTP's redirections and client errors
        return ProviderReply(
            Again(provider, f"http_{status}", why), concerns="provider", is_rate_limit=status == TOO_MANY_REQUESTS
        )
    return ProviderReply(Unknown(provider, f"http_{status}", why), concerns="provider")


def seconds_until_tomorrow(now: float) -> float:
    """Return the seconds until midnight in Beijing."""
    return seconds_until_hour(now, 24)


def seconds_until_hour(now: float, hour: int) -> float:
    """Return the seconds until the next time that it is this hour in Beijing."""
    at = datetime.fromtimestamp(now, BEIJING)
    then = at.replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(hours=hour)
    return (then - at).total_seconds() % 86_400 or 86_400.0


def seconds_until_next_hour(now: float) -> float:
    """Return the seconds until the next full hour."""
    return 3_600.0 - now % 3_600


def parse_beijing_time(text: str) -> datetime | None:
    """Parse `2017-08-30 00:00:00`, in Beijing's time, or any ISO 8601 time; None if it is none."""
    try:
        parsed = datetime.fromisoformat(text)
        return (parsed if parsed.tzinfo else parsed.replace(tzinfo=BEIJING)).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


COMPACT: Mapping[int, str] = {14: "%Y%m%d%H%M%S", 12: "%y%m%d%H%M%S", 10: "%y%m%d%H%M"}
"""The number of digits of a time without separators (in Beijing's time) → its format."""

PLAUSIBLE = timedelta(days=800)
"""How far from now a number may be as a Unix time. 2601021504 is not one, but 2026-01-02 15:04."""


def parse_time(text: str, now: datetime) -> datetime | None:
    """Parse a time as providers write it: ISO 8601, Unix seconds or milliseconds, or digits without separators.

    None if it is none of these.
    """
    text = text.strip()
    if not (text.isascii() and text.isdecimal()):
        return parse_beijing_time(text)
    for seconds in (int(text), int(text) / 1_000) if len(text) in (10, 13) else ():
        at = from_unix_time(seconds)
        if at is not None and abs(at - now) < PLAUSIBLE:
            return at
    try:
        return datetime.strptime(text, COMPACT[len(text)]).replace(tzinfo=BEIJING).astimezone(UTC)
    except (KeyError, ValueError, OverflowError):
        return None


def from_unix_time(seconds: object) -> datetime | None:
    """Convert a JSON number, a Unix time in seconds; None if it is none."""
    if not isinstance(seconds, int | float) or isinstance(seconds, bool):
        return None
    try:
        return datetime.fromtimestamp(seconds, UTC)
    except (ValueError, OverflowError, OSError):
        return None


def clean_text(value: object, max_characters: int = 500) -> str:
    """Return a value as text that databases accept: bounded, without U+0000 and lone surrogates."""
    return str(value)[:max_characters].replace("\0", "").encode("utf-8", "replace").decode()
