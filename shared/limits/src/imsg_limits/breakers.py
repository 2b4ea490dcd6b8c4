"""What of a provider is left alone after trouble: all of it, or the one template, signature, sender or domain."""

from collections import OrderedDict
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TypeVar

from imsg_contract.wire import Again, Blocked, Concern, Refused, Result, Sent, Unknown
from imsg_runtime.logs import logger

log = logger(__name__)

THRESHOLD = 5
"""Failures of a scope in a row after which it is left alone."""

COOL_OFF_S = 30.0

TRY_S = 10.0
"""How long the one call that tries a blocked scope has it to itself: without an answer by then another tries."""

FIRST_S = 5.0
"""How long a blocked scope rests once a second message was refused like the first; each further one doubles it."""

OWN_S = 60.0
"""After how long a message comes again, at the latest, whose refusal may be its own."""

RECENT_S = 600.0
"""How long an accepted message speaks for its scope."""

ALONE_S = 900.0
"""How long a message may be refused alone in a scope that has accepted others; then it has failed for good."""

REFUSALS = 3
"""Messages in a row that must be refused to block a scope which accepted one within `RECENT_S`."""

MAX_SCOPES = 4_096
"""Of which something is remembered; what had trouble longest ago is forgotten. So with messages that were refused."""

MAX_SUSPECTS = 1_000

OF_MESSAGE: frozenset[Concern | None] = frozenset({None, "recipient", "content"})
"""Troubles of one message alone: the provider has answered it, and so is well."""

Key = tuple[str, str]
"""A concern, and what it is about: ("template", "SMS_154950909"). All of a provider is ("provider", "")."""

WHOLE: Key = ("provider", "")

About = Mapping[Concern, str]
"""What a call uses: its template, signature, sender, and the way from domain to domain."""


@dataclass(slots=True)
class _Trouble:
    """How a scope has fared since it last accepted a message."""

    failures: int = 0
    why: Again | Blocked | Unknown | None = None
    until: float | None = None
    """Left alone until then; None: not blocked. Once it is over one call tries, and what becomes of it decides."""
    suspects: OrderedDict[str, None] = field(default_factory=OrderedDict)
    """The messages that failed: others try before them, and their next failure says nothing new."""
    suspects_until: float = 0.0
    """Suspects do not try before."""
    tries: int = 0
    """How many others tried it in vain since it was blocked."""
    is_trying: bool = False
    is_sure: bool = False
    """More than one message says so, or none: it was found before there was one."""


class Breakers:
    """The breakers of one provider. Ask `find_block` right before each call, and `note` what came of it.

    One Blocked opens the breaker of its scope, since it holds for all of the scope until somebody acts; of Again and
    Unknown it takes `threshold` in a row. Whatever is sent outside the scope goes on.

    A refusal that belongs to one message alone must not stop the others. So a message that has not failed tries a
    blocked scope first, at once after the first refusal and less often after each further one. A message that failed
    before neither tries before its time nor prolongs the block. Where the scope accepted a message lately, it takes
    `REFUSALS` messages to block it. A message that is refused again after others were accepted has failed for good; so
    has one that was refused for `ALONE_S` while no other was, in a scope that accepted others before. Each process
    knows of its own calls only, so that with several processes such a message fails by the latter at the latest.
    """

    def __init__(
        self,
        provider: str,
        clock: Callable[[], float],
        *,
        threshold: int = THRESHOLD,
        cool_off_s: float = COOL_OFF_S,
        away_s: float | None = None,
        whole: str = "",
    ) -> None:
        """`whole` is what blocks of all of it are called, where that is not the provider's name.

        `away_s`, where it is given, is the cool-off after an Again: a try that was not taken costs nothing, while one
        without an answer leaves a message in doubt.
        """
        self._provider = provider
        self._whole = whole or provider
        self._clock = clock
        self._threshold = threshold
        self._cool_off_s = cool_off_s
        self._away_s = cool_off_s if away_s is None else away_s
        self._troubles: OrderedDict[Key, _Trouble] = OrderedDict()
        self._accepted_at: OrderedDict[Key, float] = OrderedDict()
        self._refused_at: OrderedDict[tuple[str, Key], float] = OrderedDict()
        """When a message was first refused for what concerns a scope."""

    def find_block(self, about: About, messages: Collection[str] = ()) -> Blocked | None:
        """Say why and for how long a call that uses these is not to be made; None: make it, it may be the one try.

        `messages` are the names of those that the call is for.
        """
        if not self._troubles:
            return None
        now = self._clock()
        found = [(key, one) for key in _keys(about) if (one := self._troubles.get(key)) and one.until is not None]
        for key, trouble in found:
            if (left_s := _until(trouble, messages) - now) > 0:
                return self._block(key, trouble, left_s)
        for _, trouble in found:
            trouble.is_trying = True
            trouble.until = now + self._try_s(trouble.why)
            if _are_suspects(trouble, messages):
                trouble.suspects_until = trouble.until
        return None

    def find_outage(self) -> Blocked | None:
        """Say why nothing gets through, and after how long one may try; None once one was answered.

        Asking takes no try. What one message alone was refused for is no outage.
        """
        trouble = self._troubles.get(WHOLE)
        if trouble is None or trouble.until is None or trouble.why is None or not trouble.is_sure:
            return None
        why, left_s = trouble.why, max(0.0, trouble.until - self._clock())
        return Blocked(self._provider, self._whole, why.code, why.detail, left_s, why.concerns, was_called=False)

    def clear(self, concern: Concern, what: str) -> None:
        """Use again what was left alone: it was put right."""
        self._clear([(concern, what)])

    def note_answer(self) -> None:
        """Note that the provider answered, though only that it wants less: it is there."""
        self._clear([WHOLE])

    def note(self, about: About, result: Result, message: str = "") -> Result:
        """Note what a message was answered, for the scope that its trouble concerns alone; return what it means.

        Without a message's name it was found before there was a message, and holds for each of them.
        """
        match result:
            case Sent():
                self._clear(_keys(about))
                self._accept(about)
            case Blocked():
                return self._refuse(about, result, message)
            case Again() | Unknown() if result.concerns not in OF_MESSAGE:
                if not (isinstance(result, Again) and result.is_paced):
                    self._count(about, result, message)
            case Again() | Refused() | Unknown():
                self._clear(key for key in _keys(about) if key[0] != "domain")
        return result

    def _accept(self, about: About) -> None:
        now = self._clock()
        for key in _keys(about):
            _remember(self._accepted_at, key, now)

    def _refuse(self, about: About, result: Blocked, message: str) -> Result:
        """Block the scope, or find that the refusal is the message's own."""
        key, now = _key(about, result.concerns), self._clock()
        if not message:
            trouble = self._trouble(key, result)
            trouble.is_sure = True
            self._open(key, trouble, now + result.after_s)
            return result
        known = self._troubles.get(key)
        is_shared = known is not None and known.until is not None and any(one != message for one in known.suspects)
        accepted_at = self._accepted_at.get(key)
        refused_at = self._refused_at.get((message, key))
        if refused_at is None:
            _remember(self._refused_at, (message, key), now)
        elif accepted_at is not None and not is_shared and (refused_at < accepted_at or now - refused_at >= ALONE_S):
            return self._settle(key, result)
        trouble = self._trouble(key, result)
        is_new = _suspect(trouble, message)
        own_s = min(result.after_s, OWN_S)
        is_recent = accepted_at is not None and now - accepted_at <= RECENT_S
        if trouble.until is None and is_recent and len(trouble.suspects) < REFUSALS:
            return _wait(result, own_s)
        trouble.is_sure = trouble.is_sure or len(trouble.suspects) > 1
        trouble.suspects_until = now + result.after_s
        rest_s = self._rest(trouble, result.after_s, is_new=is_new)
        if rest_s is not None:
            self._open(key, trouble, now + rest_s)
        return replace(result, after_s=own_s)

    def _rest(self, trouble: _Trouble, most_s: float, *, is_new: bool) -> float | None:
        """Say how long a scope rests until another message tries; None: no change, the failure was under way before."""
        if trouble.until is None:
            return 0.0
        if not trouble.is_trying:
            return None
        trouble.is_trying = False
        if not is_new:
            return 0.0
        trouble.tries += 1
        return min(most_s, FIRST_S * 2.0 ** min(trouble.tries - 1, 20))

    def _settle(self, key: Key, result: Blocked) -> Again | Refused:
        """Refuse for good what was refused before and after others were accepted, unless it passes by itself."""
        log.info("refused_alone", provider=self._provider, concerns=key[0], what=key[1], code=result.code)
        if result.passes:
            return _wait(result, result.after_s)
        why = f"{result.detail} Others like it were accepted, so it is this message's own."
        return Refused(result.provider, result.code, why, "recipient")

    def _count(self, about: About, result: Again | Unknown, message: str) -> None:
        key, wait_s = _key(about, result.concerns), self._wait_s(result)
        trouble = self._trouble(key, result)
        is_new = not message or _suspect(trouble, message)
        trouble.failures += 1
        until = self._clock() + wait_s
        trouble.suspects_until = until
        if trouble.until is None:
            if trouble.failures >= self._threshold:
                trouble.is_sure = True
                self._open(key, trouble, until)
        elif is_new:
            trouble.is_trying, trouble.is_sure = False, True
            trouble.until = until
        elif trouble.is_trying:
            trouble.is_trying = False
            trouble.until = self._clock()

    def _wait_s(self, why: Result | None) -> float:
        """Say how long a scope is left alone after failures in a row."""
        return self._away_s if isinstance(why, Again) else self._cool_off_s

    def _try_s(self, why: Result | None) -> float:
        """Say how long a scope is left to the one call that tries it."""
        return min(TRY_S, self._cool_off_s) if isinstance(why, Blocked) else self._wait_s(why)

    def _open(self, key: Key, trouble: _Trouble, until: float) -> None:
        if trouble.until is None and trouble.why is not None:
            code, why = trouble.why.code, trouble.why.detail
            log.warning("scope_blocked", provider=self._provider, concerns=key[0], what=key[1], code=code, why=why)
        trouble.until = until

    def _trouble(self, key: Key, result: Again | Blocked | Unknown) -> _Trouble:
        trouble = self._troubles.setdefault(key, _Trouble())
        self._troubles.move_to_end(key)
        if len(self._troubles) > MAX_SCOPES:
            self._troubles.popitem(last=False)
        if key != WHOLE:
            self._clear([WHOLE])  # it answered
        trouble.why = result
        return trouble

    def _clear(self, keys: Iterator[Key] | list[Key]) -> None:
        if self._troubles:
            for key in keys:
                trouble = self._troubles.pop(key, None)
                if trouble is not None and trouble.until is not None:
                    log.info("scope_open", provider=self._provider, concerns=key[0], what=key[1])

    def _block(self, key: Key, trouble: _Trouble, left_s: float) -> Blocked:
        why = trouble.why
        if isinstance(why, Blocked):
            return replace(why, after_s=left_s, was_called=False, hops=())
        concern, about = key
        scope = f"{self._whole} {concern} {about}" if about else self._whole
        said = "" if why is None else why.detail
        detail = f"It failed several times in a row, and is not tried for a while. {said}".strip()
        concerns = None if why is None else why.concerns
        return Blocked(self._provider, scope, "circuit_open", detail, left_s, concerns, was_called=False)


def _are_suspects(trouble: _Trouble, messages: Collection[str]) -> bool:
    return bool(messages) and all(message in trouble.suspects for message in messages)


def _until(trouble: _Trouble, messages: Collection[str]) -> float:
    until = trouble.until or 0.0
    return max(until, trouble.suspects_until) if _are_suspects(trouble, messages) else until


def _suspect(trouble: _Trouble, message: str) -> bool:
    """Note that a message failed; tell whether it is the first time."""
    if message in trouble.suspects:
        return False
    trouble.suspects[message] = None
    if len(trouble.suspects) > MAX_SUSPECTS:
        trouble.suspects.popitem(last=False)
    return True


def _wait(no: Blocked, after_s: float) -> Again:
    """Let one message come again, and nothing else wait for it."""
    return Again(no.provider, no.code, no.detail, after_s, no.concerns)


K = TypeVar("K")


def _remember(times: OrderedDict[K, float], key: K, now: float) -> None:
    times[key] = now
    times.move_to_end(key)
    if len(times) > MAX_SCOPES:
        times.popitem(last=False)


def _key(about: About, concern: Concern | None) -> Key:
    """Name the scope of a trouble; one of which nobody said what it used concerns all of the provider."""
    if concern is None or concern not in about:
        return WHOLE
    return concern, about[concern]


def _keys(about: About) -> Iterator[Key]:
    yield WHOLE
    yield from about.items()
