"""What keeps a message from a recipient, looked up in a round trip that is made anyway: an erasure, a suppression."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from imsg_contract.wire import Job
from imsg_people import tombstones
from imsg_people.suppressions import COMPLETE, Question, SuppressionMirror
from imsg_people.tombstones import Tombstones
from imsg_runtime.redis import Read


@dataclass(frozen=True, slots=True)
class Found:
    """Who may not be sent to."""

    erased: Collection[int] = ()
    suppressed: Mapping[int, str] = field(default_factory=dict)
    """n → why."""


NOBODY = Found()


def name_sender(job: Job) -> str | None:
    """Name whose message it is where its channel has no other way: the account, or the sender that the content names.

    Empty: the one that needs no name. Of a content that is kept by history it can't be told before that is fetched.
    """
    if job.account is not None:
        return job.account
    if job.content is None:
        return None
    named = job.content.get("sender") if isinstance(job.content, dict) else None
    return named if isinstance(named, str) else ""


class Lookup:
    """A question about a chunk's recipients that is made once, and sent along with whatever else Redis is asked."""

    __slots__ = ("_mirror", "_question", "_stones", "nothing", "questions")

    def __init__(
        self, stones: tombstones.Lookup | None, question: Question | None, mirror: SuppressionMirror | None
    ) -> None:
        self._stones, self._question, self._mirror = stones, question, mirror
        self.questions: list[Read] = []
        """The reads; their replies are read by `read`."""
        self.nothing: list[list[bytes | None]] = []
        """The replies that say of nobody that they may not be sent to."""
        if stones is not None:
            self.questions.append(stones.question)
            self.nothing.append([None] * len(stones.question.fields))
        if question is not None and mirror is not None:
            self.questions.append(mirror.ask(question))
            self.nothing.append([COMPLETE, *[None] * len(question.addresses)])

    def only(self, ns: Sequence[int]) -> "Lookup":
        """Ask about some of them."""
        stones = None if self._stones is None else self._stones.only(ns)
        return Lookup(stones, None if self._question is None else self._question.only(ns), self._mirror)

    async def read(self, replies: Sequence[Any]) -> Found:
        """Say who may not be sent to. Raises RedisUnavailable, RedisRefused where it has to ask again."""
        erased: Collection[int] = ()
        if self._stones is not None and any(replies[0]):
            erased = self._stones.read(replies[0])
        if self._mirror is None or self._question is None:
            return Found(erased) if erased else NOBODY
        suppressed = await self._mirror.read(self._question, replies[-1])
        if self._stones is not None and any(replies[0]):
            # Who was erased and is written to anew is known by a digest alone, if they had asked for nothing more.
            digests = self._stones.read_digests(replies[0])
            unknown = {n: one for n, one in digests.items() if n not in erased and n not in suppressed}
            suppressed = {**suppressed, **await self._mirror.find_erased(self._question, unknown)}
        return Found(erased, suppressed) if erased or suppressed else NOBODY


class Lookups:
    """Makes the questions of one sender."""

    def __init__(
        self,
        stones: Tombstones | None,
        mirror: SuppressionMirror | None,
        name_sender: Callable[[Job], str | None] = name_sender,
    ) -> None:
        """`stones` is None where nobody can be erased (no key is set), `mirror` where nobody looks at suppressions."""
        self._stones = stones
        self._mirror = mirror
        self._name_sender = name_sender

    async def prepare(self, job: Job) -> Lookup | None:
        """Make the question about the recipients of a job; None where there is nothing to ask."""
        addresses = {recipient.n: recipient.address for recipient in job.recipients}
        stones = None if self._stones is None else await self._stones.prepare(addresses, job.accepted_at)
        if self._mirror is None:
            return None if stones is None else Lookup(stones, None, None)
        return Lookup(stones, Question(addresses, self._name_sender(job), job.category), self._mirror)
