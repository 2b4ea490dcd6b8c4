"""Circuit breakers of a provider and of its scopes: a template, a signature, a sender or a domain."""

from collections import OrderedDict
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TypeVar

from imsg_contract.results import Again, Blocked, Concern, Refused, Result, Sent, Unknown
from imsg_runtime.logs import logger

log = logger(__name__)

THRESHOLD = 5
"""Consecutive failures after which a scope's breaker opens."""

COOL_OFF_S = 30.0

TRY_S = 10.0
"""How long one call probes an open breaker; without a result by then another call probes."""

FIRST_REST_S = 5.0
"""The pause between probes after a second message was refused; each further one doubles it."""

MESSAGE_RETRY_S = 60.0
"""The longest time until a message is retried whose refusal may concern it alone."""

RECENT_S = 600.0
"""How long an accepted message counts for its scope."""

MESSAGE_FAILS_S = 900.0
"""How long a message may be refused in a scope that accepts others before it fails."""

REFUSALS = 3
"""Refused messages that open the breaker of a scope which accepted one within `RECENT_S`."""

MAX_SCOPES = 4_096
"""The most scopes, and refused messages, that are kept; the oldest are dropped."""

MAX_SUSPECTS = 1_000

MESSAGE_CONCERNS: frozenset[Concern | None] = frozenset({None, "recipient", "content"})
"""Concerns of one message alone: the provider itself works."""

Key = tuple[str, str]
"""A concern and its value: ("template", "SMS_154950909"); ("provider", "") for the whole provider."""

PROVIDER_KEY: Key = ("provider", "")

CallScopes = Mapping[Concern, str]
"""The scopes of a call: its template, signature, sender and pair of domains."""


@dataclass(slots=True)
class _Breaker:
    """The failures of a scope since it last accepted a message."""

    failures: int = 0
    why: Again | Blocked | Unknown | None = None
    until: float | None = None
    """When one call may probe the open breaker; None: the breaker is closed."""
    suspects: OrderedDict[str, None] = field(default_factory=OrderedDict)
    """Messages that failed: other messages probe first, and a repeated failure of these changes nothing."""
    suspects_until: float = 0.0
    """When suspects may probe."""
    tries: int = 0
    """Failed probes since the breaker opened."""
    is_trying: bool = False
    is_sure: bool = False
    """Whether several messages failed, or the failure was found without a message."""


class Breakers:
    """The breakers of one provider. Call `find_block` right before each call, and `record_result` with its result.

    One Blocked opens the breaker of its scope, as do `threshold` consecutive Again or Unknown. Messages outside the
    scope are sent.

    A refusal that concerns one message alone must not stop the others. So messages that have not failed probe first, at
    once after the first refusal and less often after each further one. If the scope accepted a message within
    `RECENT_S`, `REFUSALS` messages open its breaker. A message fails if it is refused again after others were accepted,
    or for `MESSAGE_FAILS_S` in a scope that accepted others. Each process counts its own calls only.
    """

    def __init__(
        self,
        provider: str,
        clock: Callable[[], float],
        *,
        threshold: int = THRESHOLD,
        cool_off_s: float = COOL_OFF_S,
        again_cool_off_s: float | None = None,
        scope: str = "",
    ) -> None:
        """`scope` names the whole provider in a Blocked; by default it is the provider's name.

        `again_cool_off_s` is the cool-off after an Again, by default `cool_off_s`. It may be shorter: a refused probe
        costs nothing, while one without an answer leaves a message in doubt.
        """
        self._provider = provider
        self._scope = scope or provider
        self._clock = clock
        self._threshold = threshold
        self._cool_off_s = cool_off_s
        self._again_cool_off_s = cool_off_s if again_cool_off_s is None else again_cool_off_s
        self._breakers: OrderedDict[Key, _Breaker] = OrderedDict()
        self._accepted_at: OrderedDict[Key, float] = OrderedDict()
        self._refused_at: OrderedDict[tuple[str, Key], float] = OrderedDict()
        """When a message was first refused for what concerns a scope."""

    def find_block(self, scopes: CallScopes, messages: Collection[str] = ()) -> Blocked | None:
        """Return why and for how long a call with these scopes must not be made; None: make it, perhaps as the probe.

        `messages` are the names of the call's messages.
        """
        if not self._breakers:
            return None
        now = self._clock()
        open_ = [
            (key, breaker_of_key)
            for key in _keys(scopes)
            if (breaker_of_key := self._breakers.get(key)) and breaker_of_key.until is not None
        ]
        for key, breaker in open_:
            if (left_s := _until(breaker, messages) - now) > 0:
                return self._block(key, breaker, left_s)
        for _, breaker in open_:
            breaker.is_trying = True
            breaker.until = now + self._try_s(breaker.why)
            if _are_suspects(breaker, messages):
                breaker.suspects_until = breaker.until
        return None

    def find_outage(self) -> Blocked | None:
        """Return why the whole provider is blocked, and for how long; None if it is not.

        It starts no probe. The refusal of one message alone is no outage.
        """
        breaker = self._breakers.get(PROVIDER_KEY)
        if breaker is None or breaker.until is None or breaker.why is None or not breaker.is_sure:
            return None
        why, left_s = breaker.why, max(0.0, breaker.until - self._clock())
        return Blocked(self._provider, self._scope, why.code, why.detail, left_s, why.concerns, was_called=False)

    def clear(self, concern: Concern, what: str) -> None:
        """Close the breaker of a scope whose problem was corrected."""
        self._clear([(concern, what)])

    def record_answer(self) -> None:
        """Close the provider's breaker: it answered, if only to be called less often."""
        self._clear([PROVIDER_KEY])

    def record_result(self, scopes: CallScopes, result: Result, message: str = "") -> Result:
        """Record the result of a message for its scope; return the result to use for the message.

        Without a message's name the result was found before any message, and holds for all of them.
        """
        match result:
            case Sent():
                self._clear(_keys(scopes))
                self._accept(scopes)
            case Blocked():
                return self._refuse(scopes, result, message)
            case Again() | Unknown() if result.concerns not in MESSAGE_CONCERNS:
                if not (isinstance(result, Again) and result.is_paced):
                    self._count(scopes, result, message)
            case Again() | Refused() | Unknown():
                self._clear(key for key in _keys(scopes) if key[0] != "domain")
        return result

    def _accept(self, scopes: CallScopes) -> None:
        now = self._clock()
        for key in _keys(scopes):
            _remember(self._accepted_at, key, now)

    def _refuse(self, scopes: CallScopes, result: Blocked, message: str) -> Result:
        """Open the scope's breaker, or refuse the message alone."""
        key, now = _key(scopes, result.concerns), self._clock()
        if not message:
            breaker = self._find_breaker(key, result)
            breaker.is_sure = True
            self._open(key, breaker, now + result.after_s)
            return result
        known = self._breakers.get(key)
        is_shared = (
            known is not None and known.until is not None and any(suspect != message for suspect in known.suspects)
        )
        accepted_at = self._accepted_at.get(key)
        refused_at = self._refused_at.get((message, key))
        if refused_at is None:
            _remember(self._refused_at, (message, key), now)
        elif (
            accepted_at is not None
            and not is_shared
            and (refused_at < accepted_at or now - refused_at >= MESSAGE_FAILS_S)
        ):
            return self._refuse_message(key, result)
        breaker = self._find_breaker(key, result)
        is_new = _suspect(breaker, message)
        own_s = min(result.after_s, MESSAGE_RETRY_S)
        is_recent = accepted_at is not None and now - accepted_at <= RECENT_S
        if breaker.until is None and is_recent and len(breaker.suspects) < REFUSALS:
            return _retry_message(result, own_s)
        breaker.is_sure = breaker.is_sure or len(breaker.suspects) > 1
        breaker.suspects_until = now + result.after_s
        rest_s = self._rest(breaker, result.after_s, is_new=is_new)
        if rest_s is not None:
            self._open(key, breaker, now + rest_s)
        return replace(result, after_s=own_s)

    def _rest(self, breaker: _Breaker, most_s: float, *, is_new: bool) -> float | None:
        """Return the seconds until the next probe; None: no change, the call began before the breaker opened."""
        if breaker.until is None:
            return 0.0
        if not breaker.is_trying:
            return None
        breaker.is_trying = False
        if not is_new:
            return 0.0
        breaker.tries += 1
        return min(most_s, FIRST_REST_S * 2.0 ** min(breaker.tries - 1, 20))

    def _refuse_message(self, key: Key, result: Blocked) -> Again | Refused:
        """Refuse a message whose refusal concerns it alone; retry it if the cause passes by itself."""
        log.info("refused_alone", provider=self._scope, concerns=key[0], what=key[1], code=result.code)
        if result.passes:
            return _retry_message(result, result.after_s)
        why = f"{result.detail} Others like it were accepted, so it is this message's own."
        return Refused(result.provider, result.code, why, "recipient")

    def _count(self, scopes: CallScopes, result: Again | Unknown, message: str) -> None:
        key, wait_s = _key(scopes, result.concerns), self._wait_s(result)
        breaker = self._find_breaker(key, result)
        is_new = not message or _suspect(breaker, message)
        breaker.failures += 1
        until = self._clock() + wait_s
        breaker.suspects_until = until
        if breaker.until is None:
            if breaker.failures >= self._threshold:
                breaker.is_sure = True
                self._open(key, breaker, until)
        elif is_new:
            breaker.is_trying, breaker.is_sure = False, True
            breaker.until = until
        elif breaker.is_trying:
            breaker.is_trying = False
            breaker.until = self._clock()

    def _wait_s(self, why: Result | None) -> float:
        """Return the cool-off after consecutive failures."""
        return self._again_cool_off_s if isinstance(why, Again) else self._cool_off_s

    def _try_s(self, why: Result | None) -> float:
        """Return how long one call probes."""
        return min(TRY_S, self._cool_off_s) if isinstance(why, Blocked) else self._wait_s(why)

    def _open(self, key: Key, breaker: _Breaker, until: float) -> None:
        if breaker.until is None and breaker.why is not None:
            code, why = breaker.why.code, breaker.why.detail
            log.warning("scope_blocked", provider=self._scope, concerns=key[0], what=key[1], code=code, why=why)
        breaker.until = until

    def _find_breaker(self, key: Key, result: Again | Blocked | Unknown) -> _Breaker:
        breaker = self._breakers.setdefault(key, _Breaker())
        self._breakers.move_to_end(key)
        if len(self._breakers) > MAX_SCOPES:
            self._breakers.popitem(last=False)
        if key != PROVIDER_KEY:
            self._clear([PROVIDER_KEY])  # the provider answered
        breaker.why = result
        return breaker

    def _clear(self, keys: Iterator[Key] | list[Key]) -> None:
        if self._breakers:
            for key in keys:
                breaker = self._breakers.pop(key, None)
                if breaker is not None and breaker.until is not None:
                    log.info("scope_open", provider=self._scope, concerns=key[0], what=key[1])

    def _block(self, key: Key, breaker: _Breaker, left_s: float) -> Blocked:
        why = breaker.why
        if isinstance(why, Blocked):
            return replace(why, after_s=left_s, was_called=False, hops=())
        concern, scopes = key
        scope = f"{self._scope} {concern} {scopes}" if scopes else self._scope
        reason = "" if why is None else why.detail
        detail = f"It failed several times in a row, and is not tried for a while. {reason}".strip()
        concerns = None if why is None else why.concerns
        return Blocked(self._provider, scope, "circuit_open", detail, left_s, concerns, was_called=False)


def _are_suspects(breaker: _Breaker, messages: Collection[str]) -> bool:
    return bool(messages) and all(message in breaker.suspects for message in messages)


def _until(breaker: _Breaker, messages: Collection[str]) -> float:
    until = breaker.until or 0.0
    return max(until, breaker.suspects_until) if _are_suspects(breaker, messages) else until


def _suspect(breaker: _Breaker, message: str) -> bool:
    """Record that a message failed; return whether it is its first failure."""
    if message in breaker.suspects:
        return False
    breaker.suspects[message] = None
    if len(breaker.suspects) > MAX_SUSPECTS:
        breaker.suspects.popitem(last=False)
    return True


def _retry_message(blocked: Blocked, after_s: float) -> Again:
    """Return the result by which one message is retried, without blocking others."""
    return Again(blocked.provider, blocked.code, blocked.detail, after_s, blocked.concerns)


K = TypeVar("K")


def _remember(times: OrderedDict[K, float], key: K, now: float) -> None:
    times[key] = now
    times.move_to_end(key)
    if len(times) > MAX_SCOPES:
        times.popitem(last=False)


def _key(scopes: CallScopes, concern: Concern | None) -> Key:
    """Return the key of a concern; the provider's where the call named no such scope."""
    if concern is None or concern not in scopes:
        return PROVIDER_KEY
    return concern, scopes[concern]


def _keys(scopes: CallScopes) -> Iterator[Key]:
    yield PROVIDER_KEY
    yield from scopes.items()
