"""Look-ups of who is erased or suppressed and of what is cancelled, sent with a Redis call that is made anyway."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from imsg_contract.topology import CANCELS, CANCELS_COMPLETE
from imsg_contract.wire import Job
from imsg_people import cancels, tombstones
from imsg_people.suppressions import COMPLETE, SuppressionMirror, SuppressionQuery
from imsg_people.tombstones import Tombstones
from imsg_runtime.redis import Read


@dataclass(frozen=True, slots=True)
class Exclusions:
    """Recipients that get no message, by their numbers `n`."""

    erased: Collection[int] = ()
    suppressed: Mapping[int, str] = field(default_factory=dict)
    """n → reason."""
    cancelled: Collection[int] | None = ()
    """None: the mirror of cancels is incomplete, so that it is not known."""


NO_EXCLUSIONS = Exclusions()


def name_sender(job: Job) -> str | None:
    """Return the sender of a job by which suppressions are found: the account, or the sender that the content names.

    Empty for the default sender; None where history keeps the content, which has not been fetched yet.
    """
    if job.account is not None:
        return job.account
    if job.content is None:
        return None
    named = job.content.get("sender") if isinstance(job.content, dict) else None
    return named if isinstance(named, str) else ""


class RecipientLookup:
    """The look-up of a chunk's recipients: made once, its reads are sent with other Redis calls."""

    __slots__ = ("_mirror", "_ns", "_query", "_request", "_tombstones", "empty_replies", "reads")

    def __init__(
        self,
        request: str,
        ns: Sequence[int],
        tombstone_lookup: tombstones.Lookup | None,
        query: SuppressionQuery | None,
        mirror: SuppressionMirror | None,
    ) -> None:
        self._request, self._ns = request, ns
        self._tombstones, self._query, self._mirror = tombstone_lookup, query, mirror
        self.reads: list[Read] = []
        """The Redis reads; `read` takes their replies."""
        self.empty_replies: list[list[bytes | None]] = []
        """The replies where no recipient is excluded."""
        if tombstone_lookup is not None:
            self.reads.append(tombstone_lookup.command)
            self.empty_replies.append([None] * len(tombstone_lookup.command.fields))
        if query is not None and mirror is not None:
            self.reads.append(mirror.make_read(query))
            self.empty_replies.append([COMPLETE, *[None] * len(query.addresses)])
        self.reads.append(Read("HMGET", CANCELS, (CANCELS_COMPLETE, request)))
        self.empty_replies.append(list(cancels.NOTHING_CANCELLED))

    def only(self, ns: Sequence[int]) -> "RecipientLookup":
        """Return the look-up of some of the recipients."""
        tombstone_lookup = None if self._tombstones is None else self._tombstones.only(ns)
        query = None if self._query is None else self._query.only(ns)
        return RecipientLookup(self._request, ns, tombstone_lookup, query, self._mirror)

    async def read(self, replies: Sequence[Any]) -> Exclusions:
        """Return the excluded recipients. Raises RedisUnavailable, RedisRefused where it has to read again."""
        *replies, record = replies
        cancelled = cancels.find_cancelled(record, self._ns)
        erased: Collection[int] = ()
        if self._tombstones is not None and any(replies[0]):
            erased = self._tombstones.read(replies[0])
        if self._mirror is None or self._query is None:
            return Exclusions(erased, cancelled=cancelled)
        suppressed = await self._mirror.read(self._query, replies[-1])
        if self._tombstones is not None and any(replies[0]):
            # An erased recipient may have opted out before: that suppression is kept under the digest.
            digests = self._tombstones.read_digests(replies[0])
            unknown = {n: digest for n, digest in digests.items() if n not in erased and n not in suppressed}
            suppressed = {**suppressed, **await self._mirror.find_erased(self._query, unknown)}
        return Exclusions(erased, suppressed, cancelled)


class RecipientLookups:
    """Makes the look-ups of one sender."""

    def __init__(
        self,
        tombstone_lookup: Tombstones | None,
        mirror: SuppressionMirror | None,
        name_sender: Callable[[Job], str | None] = name_sender,
    ) -> None:
        """`tombstone_lookup` is None without an erasure key, `mirror` where suppressions do not apply."""
        self._tombstones = tombstone_lookup
        self._mirror = mirror
        self._name_sender = name_sender

    async def prepare(self, job: Job) -> RecipientLookup:
        """Return the look-up of a job's recipients."""
        addresses = {recipient.n: recipient.address for recipient in job.recipients}
        tombstone_lookup = (
            None if self._tombstones is None else await self._tombstones.prepare(addresses, job.accepted_at)
        )
        query = None if self._mirror is None else SuppressionQuery(addresses, self._name_sender(job), job.category)
        return RecipientLookup(job.request, list(addresses), tombstone_lookup, query, self._mirror)
