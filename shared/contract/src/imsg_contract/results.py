"""The results of an attempt, as a channel reports them: sent, again, refused, blocked or unknown."""

from dataclasses import dataclass, field
from typing import ClassVar, Literal, final

Kind = Literal["sent", "again", "refused", "blocked", "unknown"]
"""Which of the five results it is. Results have no subclasses: a table by kind or class has them all."""

Concern = Literal["recipient", "domain", "content", "template", "signature", "sender", "account", "provider"]
"""What a failure concerns. Messages that have nothing of it in common are not affected."""


@dataclass(frozen=True, slots=True)
class Hop:
    """A provider that was called earlier in the same attempt and answered `Again` or `Blocked`, and its answer."""

    provider: str
    code: str
    detail: str
    before_s: float = 0.0
    """How long before the end of the attempt it answered."""


@final
@dataclass(frozen=True, slots=True)
class Sent:
    """The provider accepted the message."""

    kind: ClassVar[Kind] = "sent"
    provider: str
    provider_id: str | None = None
    detail: str | None = None
    hops: tuple[Hop, ...] = ()
    """The providers that were called earlier in the same attempt; other results have them too."""
    segments: int | None = None
    """How many segments the provider charges, where its answer has them."""


@final
@dataclass(frozen=True, slots=True)
class Again:
    """The provider refused the message for now; `after_s` is how long it asked to wait, 0 if it did not say."""

    kind: ClassVar[Kind] = "again"
    provider: str
    code: str
    detail: str
    after_s: float = 0.0
    concerns: Concern | None = field(default=None, compare=False)
    """What the failure concerns; None: this message alone. Not compared: results are equal if the answers were."""
    is_paced: bool = False
    """Whether the message waits for a rate limit only: it uses up no attempt."""
    was_called: bool = field(default=True, compare=False)
    """Whether the provider was called for this message."""
    hops: tuple[Hop, ...] = ()


@final
@dataclass(frozen=True, slots=True)
class Refused:
    """The provider refused the message for good."""

    kind: ClassVar[Kind] = "refused"
    provider: str
    code: str
    detail: str
    concerns: Concern | None = field(default=None, compare=False)
    hops: tuple[Hop, ...] = ()


@final
@dataclass(frozen=True, slots=True)
class Blocked:
    """No message to any recipient can be sent for now: a wrong login, an empty balance, an open breaker.

    `scope` names what is blocked (a server, a provider, an account); `after_s` is how long to wait before the next try.
    It uses up no attempt.
    """

    kind: ClassVar[Kind] = "blocked"
    provider: str
    scope: str
    code: str
    detail: str
    after_s: float
    concerns: Concern | None = field(default=None, compare=False)
    """What of the scope is blocked; None: all of it."""
    passes: bool = field(default=False, compare=False)
    """Whether the block ends for every message, as that of a quota or an empty balance does: none fails for it."""
    was_called: bool = field(default=True, compare=False)
    """Whether the provider was called for this message; False while a breaker is open."""
    hops: tuple[Hop, ...] = ()


@final
@dataclass(frozen=True, slots=True)
class Unknown:
    """The provider may have accepted the message: it was sent, and no answer came."""

    kind: ClassVar[Kind] = "unknown"
    provider: str
    code: str
    detail: str
    concerns: Concern | None = field(default=None, compare=False)
    hops: tuple[Hop, ...] = ()


Result = Sent | Again | Refused | Blocked | Unknown
"""The result of one attempt for one recipient; `imsg_delivery.decide` turns it into a status."""
