"""What of a provider is left alone after trouble: all of it, or the one template, signature, sender or domain."""

from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

from imsg_contract.wire import Again, Blocked, Concern, Refused, Result, Sent, Unknown
from imsg_runtime.observe import logger

log = logger(__name__)

THRESHOLD = 5
"""Failures of a scope in a row after which it is left alone."""

COOL_OFF_S = 30.0

MAX_SCOPES = 4_096
"""Of which something is remembered; what had trouble longest ago is forgotten."""

OF_MESSAGE: frozenset[Concern | None] = frozenset({None, "recipient", "content"})
"""Troubles of one message alone: the provider has answered it, and so is well."""

Key = tuple[str, str]
"""A concern, and what it is about: ("template", "SMS_154950909"). All of a provider is ("provider", "")."""

WHOLE: Key = ("provider", "")

About = Mapping[Concern, str]
"""What a call uses: its template, signature, sender, and the way from domain to domain."""


@dataclass(slots=True)
class _Trouble:
    """How a scope has fared since it last went well."""

    failures: int = 0
    why: Again | Blocked | Unknown | None = None
    until: float | None = None
    """Left alone until then; None: not yet. Once it is over one call tries, and what becomes of it decides."""


class Breakers:
    """The breakers of one provider. Ask `find_block` right before each call, and `note` what came of it.

    One Blocked opens the breaker of its scope for as long as it says, since it holds for all of the scope until
    somebody acts; of Again and Unknown it takes `threshold` in a row. Whatever is sent outside the scope goes on.
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

    def find_block(self, about: About) -> Blocked | None:
        """Say why and for how long a call that uses these is not to be made; None: make it, it may be the one try."""
        if not self._troubles:
            return None
        now = self._clock()
        found = [(key, trouble) for key in _keys(about) if (trouble := self._troubles.get(key)) is not None]
        for key, trouble in found:
            if trouble.until is not None and now < trouble.until:
                return self._block(key, trouble, trouble.until - now)
        for _, trouble in found:
            if trouble.until is not None:
                trouble.until = now + self._wait_s(trouble.why)
        return None

    def find_outage(self) -> Blocked | None:
        """Say why nothing gets through, and after how long one may try; None once one was answered.

        Asking takes no try.
        """
        trouble = self._troubles.get(WHOLE)
        if trouble is None or trouble.until is None or trouble.why is None:
            return None
        why, left_s = trouble.why, max(0.0, trouble.until - self._clock())
        return Blocked(self._provider, self._whole, why.code, why.detail, left_s, why.concerns)

    def clear(self, concern: Concern, what: str) -> None:
        """Use again what was left alone: it was put right."""
        self._clear([(concern, what)])

    def note_answer(self) -> None:
        """Note that the provider answered, though only that it wants less: it is there."""
        self._clear([WHOLE])

    def note(self, about: About, result: Result) -> None:
        """Note what a call was answered, for the scope that its trouble concerns alone."""
        match result:
            case Sent():
                self._clear(_keys(about))
            case Blocked():
                self._open(about, self._trouble(about, result), result, result.after_s)
            case Again() | Unknown() if result.concerns not in OF_MESSAGE:
                if not (isinstance(result, Again) and result.is_paced):
                    self._count(about, result)
            case Again() | Refused() | Unknown():
                self._clear(key for key in _keys(about) if key[0] != "domain")

    def _count(self, about: About, result: Again | Unknown) -> None:
        trouble = self._trouble(about, result)
        trouble.failures += 1
        if trouble.failures >= self._threshold:
            self._open(about, trouble, result, self._wait_s(result))

    def _wait_s(self, why: Result | None) -> float:
        """Say how long a scope is left alone after failures in a row, or after the one try was given away."""
        return self._away_s if isinstance(why, Again) else self._cool_off_s

    def _open(self, about: About, trouble: _Trouble, why: Again | Blocked | Unknown, for_s: float) -> None:
        if trouble.until is None:
            concern, what = _key(about, why.concerns)
            log.warning(
                "scope_blocked", provider=self._provider, concerns=concern, what=what, code=why.code, why=why.detail
            )
        trouble.until = self._clock() + for_s

    def _trouble(self, about: About, result: Again | Blocked | Unknown) -> _Trouble:
        key = _key(about, result.concerns)
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
            return replace(why, after_s=left_s, hops=())
        concern, about = key
        scope = f"{self._whole} {concern} {about}" if about else self._whole
        said = "" if why is None else why.detail
        detail = f"It failed several times in a row, and is not tried for a while. {said}".strip()
        return Blocked(self._provider, scope, "circuit_open", detail, left_s, concerns=why.concerns if why else None)


def _key(about: About, concern: Concern | None) -> Key:
    """Name the scope of a trouble; one of which nobody said what it used concerns all of the provider."""
    if concern is None or concern not in about:
        return WHOLE
    return concern, about[concern]


def _keys(about: About) -> Iterator[Key]:
    yield WHOLE
    yield from about.items()
