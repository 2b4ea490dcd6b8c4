"""The names of every exchange, queue, routing key, lane and retry step, and of the Redis keys that services share."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum

STEPS_S = (10, 60, 300, 1_800, 10_800)
"""How long a delayed job waits, in seconds, by the number of its attempt."""

QUERY_STEPS_S = (30, 120, 600)
"""How long a job waits before the channel queries its status at the provider, where the channel can."""

DELIVERY_LIMIT = 100
"""Redeliveries after which RabbitMQ dead-letters a job to history."""

OUTCOME = "outcome"
RECEIPT = "receipt"
CHANGE = "change"
INBOUND = "inbound"
DEAD = "dead"
"""Routing keys that only history receives; `dead` is for messages that could not be read or crashed their worker."""

SCHEDULE = "schedule"
"""The routing key of a job that is not due yet: scheduler keeps it, history shows it."""

RESCHEDULE = "reschedule"
"""The routing key of such a job with another time; only history receives it."""

PROGRESS = "progress"
"""The routing key of how far a request with a fallback is; only history receives it."""

HISTORY_KEYS = ("job.#", SCHEDULE, RESCHEDULE, PROGRESS, OUTCOME, RECEIPT, CHANGE, INBOUND, DEAD)
"""The bindings of history's queue: all but history's own events."""

EVENT = "event"
"""The routing key of events, which history publishes once they are committed; only callbacks receives it."""

LEG = "leg"
"""The routing key of outcomes of legs, which history publishes; only scheduler receives them."""

CALLBACKS_KEYS = (EVENT, CHANGE)
"""The bindings of callbacks' queue: changes too, since the endpoints of a removed user are removed."""


class Lane(StrEnum):
    """The priorities of a channel, the most urgent first: codes pass single messages, single messages pass lists."""

    PRIORITY = "priority"
    """Log-in codes."""
    NORMAL = "normal"
    """Single messages."""
    BULK = "bulk"
    """Lists, and single messages of a user who sends too many of them at once."""
    TEST = "test"
    """What test keys send, apart from all else: its provider is played."""


LIVE_LANES = (Lane.PRIORITY, Lane.NORMAL, Lane.BULK)
"""The lanes of real messages, which share the calls of their channel."""


def lanes_down_to(lane: Lane) -> tuple[Lane, ...]:
    """Return a lane and the more urgent ones that it shares calls with, the most urgent first."""
    return (lane,) if lane is Lane.TEST else LIVE_LANES[: LIVE_LANES.index(lane) + 1]


@dataclass(frozen=True, slots=True)
class Route:
    """The target of a publish: an exchange and a key, or (with an empty exchange) the queue of that name."""

    exchange: str
    key: str


@dataclass(frozen=True, slots=True)
class Topology:
    """The names at the broker; another `prefix` is another, separate iMSG (tests use that)."""

    prefix: str = "imsg"
    methods: tuple[str, ...] = field(kw_only=True)
    """The channels (`imsg_channels.METHODS`): each has a queue for each lane."""
    steps_s: tuple[int, ...] = STEPS_S
    query_steps_s: tuple[int, ...] = QUERY_STEPS_S

    @property
    def waits_s(self) -> tuple[int, ...]:
        """Every delay of a job, ascending: the steps of retries and of status queries."""
        return tuple(sorted({*self.steps_s, *self.query_steps_s}))

    @property
    def exchange(self) -> str:
        """The one topic exchange: new messages pass it, retries do not."""
        return self.prefix

    @property
    def history(self) -> str:
        """The queue that receives everything new."""
        return f"{self.prefix}.history"

    @property
    def catalog(self) -> str:
        """The queue in which the catalog receives suppressions."""
        return f"{self.prefix}.catalog"

    @property
    def suppressions(self) -> Route:
        """The target of a Suppression: the catalog's queue, past the exchange."""
        return self.direct(self.catalog)

    @property
    def callbacks(self) -> str:
        """The queue in which callbacks receives events."""
        return f"{self.prefix}.callbacks"

    @property
    def schedule(self) -> str:
        """The queue in which scheduler receives jobs that are not due yet."""
        return f"{self.prefix}.schedule"

    @property
    def legs(self) -> str:
        """The queue in which scheduler receives the outcomes of legs."""
        return f"{self.prefix}.legs"

    def sinks(self) -> Iterator[tuple[str, tuple[str, ...]]]:
        """Yield (queue, the keys bound to it) of the queues without a delivery limit."""
        yield self.history, HISTORY_KEYS
        yield self.callbacks, CALLBACKS_KEYS
        yield self.schedule, (SCHEDULE,)
        yield self.legs, (LEG,)

    def queue(self, method: str, lane: Lane) -> str:
        """Return the queue of a channel's lane."""
        return f"{self.prefix}.{method}.{lane.value}"

    def retry(self, queue: str, step_s: int) -> str:
        """Return the queue in which a work queue's delayed jobs wait for `step_s` seconds."""
        return f"{queue}.retry.{step_s}"

    def work_queues(self) -> Iterator[tuple[str, str]]:
        """Yield (queue, the key bound to it) for every channel and lane."""
        for method in self.methods:
            for lane in Lane:
                yield self.queue(method, lane), job_key(method, lane)

    def queues_of(self, key: str) -> tuple[str, ...]:
        """Return the queues that a message with this key reaches through the exchange."""
        if key in CALLBACKS_KEYS:
            return (self.callbacks,) if key == EVENT else (self.history, self.callbacks)
        if key == SCHEDULE:
            return (self.history, self.schedule)
        if key == LEG:
            return (self.legs,)
        return (*(queue for queue, bound in self.work_queues() if bound == key), self.history)

    def new(self, key: str) -> Route:
        """Return the route of a new message: through the exchange, so that history receives it."""
        return Route(self.exchange, key)

    def direct(self, queue: str) -> Route:
        """Return the route into one queue, past the exchange: for chunks and retries, which history knows."""
        return Route("", queue)


def job_key(method: str, lane: Lane) -> str:
    """Return the routing key of a new job."""
    return f"job.{method}.{lane.value}"


def is_job_key(key: str) -> bool:
    """Return whether a message with this key is a Job."""
    return key.startswith("job.") or key in (SCHEDULE, RESCHEDULE)


def user_key(name: str) -> str:
    """Return the hash of a user in the user cache, which auth writes for the gateways (promise 7)."""
    return f"imsg:user:{name}"


def counts_key(name: str, *, of_tests: bool = False) -> str:
    """Return the hash of a user's counts, or of those of test keys.

    Its field `id` is the user's, since a name may be given to another user.
    """
    return f"imsg:used:{{{user_key(name)}}}{':test' if of_tests else ''}"


PRICES = "imsg:prices"
"""The prices (`prices.write_prices`), which the catalog writes for gateways and history."""

TEMPLATES = "imsg:templates"
"""The published templates (`templates.PublishedTemplate`), which the catalog writes for the gateways: name → the
version that is in force, `NAME@VERSION` → each that ever was, and an empty field where all are there."""

QUOTAS_OF_ALL = "imsg:quotas"
"""The rows of the installation's quotas, which auth writes for the gateways; without it no request is charged."""

COUNTS_OF_ALL = "imsg:used:all"
"""The hash of the installation's counts."""


def refunded_key(request: str) -> str:
    """Return the set of the parts of a request that were refunded already."""
    return f"imsg:refunded:{request}"


def next_due_key(method: str) -> str:
    """Return when the next scheduled job of a channel is due (Unix ms), 0 for none: scheduler writes it."""
    return f"imsg:next-due:{method}"


CANCELS = "imsg:cancels"
"""The hash of what was cancelled: request → `*`, or the numbers of its messages with commas; scheduler writes it."""

CANCELS_COMPLETE = "*"
"""A field of `CANCELS` that is no request; without it (Redis was flushed) senders begin nothing older than the loss."""

THRESHOLDS = "imsg:thresholds"
"""The list of quotas that came to 80 or 100 %: the step that charges appends to it, auth publishes and removes them."""

CAPS = "imsg:caps"
"""The rows of the caps, which auth writes for gateways and senders."""

WINDOWS = "imsg:windows"
"""JSON of the windows and holidays (`imsg_limits.windows.Calendar`), which auth writes for gateways and scheduler."""


def capped_key(method: str, digest: str) -> str:
    """Return the sorted set of the messages of a day to an address: senders write it, the gateway reads it."""
    return f"imsg:capped:{method}:{digest}"


CHANNEL_LOOK_S = 0.5
"""The greatest age of the channel's state that a worker still uses."""


def channel_key(method: str) -> str:
    """Return the hash of a channel's state: its workers write it, the gateway writes pauses."""
    return f"imsg:channel:{method}"


def providers_key(method: str) -> str:
    """Return the hash in which a channel's senders report the state of each provider every second.

    A field is `UNIX_SECONDS PROCESS`, its value what `imsg_delivery.reporting` makes.
    """
    return f"imsg:providers:{method}"


def switches_key(method: str) -> str:
    """Return the hash of what administrators changed of a channel's providers: auth writes it, senders obey.

    Provider → `{"enabled": …, "weight": …}`, null where it is as the settings say.
    """
    return f"imsg:switches:{method}"


SWITCHES_COMPLETE = "*"
"""A field of `switches_key` that names no provider; without it (Redis was flushed) senders keep what they read last."""


def accounts_key(method: str) -> str:
    """Return the hash of a channel's accounts that administrators set up: auth writes it, senders read it.

    Its fields are `version` and `sealed` (`provider_accounts.ProviderMirror`).
    """
    return f"imsg:provider-accounts:{method}"


def kinds_key(method: str) -> str:
    """Return the key of the kinds of accounts that a channel's senders know (`provider_accounts.ChannelProviders`)."""
    return f"imsg:provider-kinds:{method}"


def attention_key(method: str) -> str:
    """Return the hash account → `provider_accounts.AccountState`, which senders write after each look."""
    return f"imsg:provider-attention:{method}"


def provider_calls_key(method: str) -> str:
    """Return the hash id → sealed `provider_accounts.ProviderCall`: auth writes it, one sender takes each."""
    return f"imsg:provider-calls:{method}"


def provider_answers_key(method: str) -> str:
    """Return the hash id → sealed `provider_accounts.ProviderCheck`: senders write it, auth takes each."""
    return f"imsg:provider-answers:{method}"


def retry_after_key(method: str) -> str:
    """Return the hash of what a channel's providers throttle, shared by its senders."""
    return f"imsg:held:{method}"


def pace_key(method: str, scope: str) -> str:
    """Return the key of a token bucket that a channel's senders share: when it is full, in microseconds."""
    return f"imsg:pace:{method}:{scope}"


def followers_key(account: str) -> str:
    """Return the set of an official account's followers, by tag: sender-wechat writes it."""
    return f"imsg:followers:{account}"


def left_key(account: str) -> str:
    """Return the set of tags that have left an official account: 10014, not 10011."""
    return f"imsg:left:{account}"


def addresses_key(method: str) -> str:
    """Return the set of a channel's addresses, where its sender knows them all: the gateway refuses others."""
    return f"imsg:addresses:{method}"


def names_key(method: str) -> str:
    """Return the hash of the names that a send may use: the channel's sender writes it, the gateway reads it.

    A field is `sender`, `reply_to` or `provider`, its value JSON: a name → the users who may use it, empty: all.
    """
    return f"imsg:names:{method}"


def suppressed_key(method: str) -> str:
    """Return the hash address (`addresses.identity`) → entries (`suppressions`), which the catalog writes.

    It is complete where it has the field `SUPPRESSED_COMPLETE`.
    """
    return f"imsg:suppressed:{method}"


SUPPRESSED_COMPLETE = "*"
"""A field of `suppressed_key` that is no address: where it is missing (Redis was flushed), the hash is incomplete, and
the catalog writes it again."""


FOLLOWERS_COMPLETE = "*"
"""A member of `followers_key` and of `addresses_key` that is no address: it says that the set is complete. Where it is
missing (Redis was flushed, the sender has not started) the gateway accepts unknown addresses, and the
sender decides."""


REPLAYS = "imsg:replay:"
"""The prefix of the hash of an Idempotency-Key, which the gateway writes: `id`, and `job` until it is settled."""

TOMBSTONES = "imsg:tombstones"
"""The hash digest → `AT_MS ID` of erased addresses: history writes it, senders read it before they send."""

ERASED = "imsg:erased"
"""The hash service → the last tombstone (Unix ms) that it has processed: senders by their methods, callbacks and
catalog by their names. An erasure does not wait for a service without a field."""

RECORDED_BY_ALL = "all"
"""The field of `recorded_key` that holds the smallest mark."""


def recorded_key(queue: str) -> str:
    """Return the key of the hash replica → time up to which it has recorded its queue (Unix ms).

    Each replica writes its field every second. The field `RECORDED_BY_ALL` is the earliest of these times.
    """
    return f"imsg:recorded:{queue}"


WRITABLE = "imsg:writable"
"""The key that every service writes to probe whether Redis accepts writes; it soon expires."""

REPLICAS = "imsg:replicas"
"""The hash `SERVICE REPLICA` → `findings.Replica`: every replica writes what it is and what it lacks."""

BACKED_UP = "imsg:backed-up"
"""When `scripts/backup` last copied the containers (Unix seconds)."""

BACKING_UP = "imsg:backing-up"
"""Set while `imsg backup` copies Redis' log, which must not be rewritten meanwhile."""


def no_provider_key(method: str) -> str:
    """Return the key in which an idle sender says which settings its channel lacks."""
    return f"imsg:no-provider:{method}"


def template_limits_key(method: str) -> str:
    """Return the hash template → limits (JSON), which a sender publishes and the gateway checks content by."""
    return f"imsg:templates:{method}"


def approved_key(method: str) -> str:
    """Return the hash `PROVIDER/TEMPLATE` → limits (JSON): the templates that providers say they have approved."""
    return f"imsg:approved:{method}"


def route_limits_key(method: str) -> str:
    """Return the key of a channel's routes and limits (JSON), which its sender publishes and the gateway checks by."""
    return f"imsg:routes:{method}"
