"""Every exchange, queue, key, lane and step of the broker, and the Redis keys that two services share."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum

STEPS_S = (10, 60, 300, 1_800, 10_800)
"""How long a postponed job waits, in seconds, by the number of its attempt."""

ASKING_S = (30, 120, 600)
"""How long a job waits before its provider is asked what became of it, where a channel can ask."""

DELIVERY_LIMIT = 100
"""Redeliveries after which RabbitMQ itself moves a job to history as dead."""

OUTCOME = "outcome"
RECEIPT = "receipt"
CHANGE = "change"
INBOUND = "inbound"
DEAD = "dead"
"""Keys of what only history hears; `dead` carries what could not be read or broke its worker."""

HISTORY_KEYS = ("job.#", OUTCOME, RECEIPT, CHANGE, INBOUND, DEAD)
"""What history's queue is bound to: all but what it says itself, or it would hear its own events."""

EVENT = "event"
"""The key of what happened to messages, told by history once it is committed; only callbacks hears it."""

CALLBACKS_KEYS = (EVENT, CHANGE)
"""What callbacks' queue is bound to: changes too, since a user who is removed has no endpoints any more."""


class Lane(StrEnum):
    """The ways through a channel, the most urgent first: a code waits for nobody, a single message for no list."""

    PRIORITY = "priority"
    """Log-in codes."""
    NORMAL = "normal"
    """Single messages."""
    BULK = "bulk"
    """Lists, and single messages of a user who sends too many of them at once."""


def lanes_down_to(lane: Lane) -> tuple[Lane, ...]:
    """Return a lane and those above it, the most urgent first."""
    lanes = tuple(Lane)
    return lanes[: lanes.index(lane) + 1]


@dataclass(frozen=True, slots=True)
class Route:
    """Where a publish goes: a key of an exchange, or (exchange empty) straight into the queue of that name."""

    exchange: str
    key: str


@dataclass(frozen=True, slots=True)
class Topology:
    """The names of everything at the broker; another `prefix` is another, separate iMSG (tests use that)."""

    prefix: str = "imsg"
    methods: tuple[str, ...] = field(kw_only=True)
    """The channels there are (`imsg_channels.METHODS`): each has a queue for each of its lanes."""
    steps_s: tuple[int, ...] = STEPS_S
    asking_s: tuple[int, ...] = ASKING_S

    @property
    def waits_s(self) -> tuple[int, ...]:
        """Every time a job may wait for, rising: the steps of retries and those of asking."""
        return tuple(sorted({*self.steps_s, *self.asking_s}))

    @property
    def exchange(self) -> str:
        """The one topic exchange: only what is new passes it."""
        return self.prefix

    @property
    def history(self) -> str:
        """The queue that hears everything new."""
        return f"{self.prefix}.history"

    @property
    def catalog(self) -> str:
        """The queue in which the catalog is told to whom nothing may be sent any more."""
        return f"{self.prefix}.catalog"

    @property
    def suppressions(self) -> Route:
        """Where a Suppression goes: past the exchange, since the catalog alone hears it."""
        return self.direct(self.catalog)

    @property
    def callbacks(self) -> str:
        """The queue of events, for who tells them to clients."""
        return f"{self.prefix}.callbacks"

    def sinks(self) -> Iterator[tuple[str, tuple[str, ...]]]:
        """Yield (queue, the keys bound to it) of those that never give a message up."""
        yield self.history, HISTORY_KEYS
        yield self.callbacks, CALLBACKS_KEYS

    def queue(self, method: str, lane: Lane) -> str:
        """Name the queue in which a lane's jobs wait for their channel."""
        return f"{self.prefix}.{method}.{lane.value}"

    def retry(self, queue: str, step_s: int) -> str:
        """Name the queue in which a work queue's postponed jobs wait for `step_s` seconds."""
        return f"{queue}.retry.{step_s}"

    def work_queues(self) -> Iterator[tuple[str, str]]:
        """Yield (queue, the key bound to it) for every channel and lane."""
        for method in self.methods:
            for lane in Lane:
                yield self.queue(method, lane), job_key(method, lane)

    def queues_of(self, key: str) -> tuple[str, ...]:
        """Return the queues that a message with this key reaches through the exchange; history hears all but events."""
        if key in CALLBACKS_KEYS:
            return (self.callbacks,) if key == EVENT else (self.history, self.callbacks)
        return (*(queue for queue, bound in self.work_queues() if bound == key), self.history)

    def new(self, key: str) -> Route:
        """Route something new: through the exchange, so that history hears of it."""
        return Route(self.exchange, key)

    def direct(self, queue: str) -> Route:
        """Route into one queue, past the exchange: parts and retries, which history already knows."""
        return Route("", queue)


def job_key(method: str, lane: Lane) -> str:
    """Make the key under which a new job passes the exchange."""
    return f"job.{method}.{lane.value}"


def is_job_key(key: str) -> bool:
    """Tell whether a message with this key is a Job."""
    return key.startswith("job.")


def user_key(name: str) -> str:
    """Name the hash of a user in the user cache, which auth writes for the gateways (promise 7)."""
    return f"imsg:user:{name}"


def counts_key(name: str) -> str:
    """Name the hash that counts a user's windows; its field `id` says whose they are (a name may be given again)."""
    return f"imsg:used:{{{user_key(name)}}}"


CHANNEL_LOOK_S = 0.5
"""How old what a worker knows of its channel's state may be when it takes a delivery."""


def channel_key(method: str) -> str:
    """Name the hash that holds a channel's state: written by its workers, paused through the gateway."""
    return f"imsg:channel:{method}"


def providers_key(method: str) -> str:
    """Name the hash in which a channel's senders tell every second how each of its providers stands.

    A field is `UNIX_SECONDS PROCESS`, its value what `imsg_delivery.reporting` makes.
    """
    return f"imsg:providers:{method}"


def switches_key(method: str) -> str:
    """Name the hash of what administrators changed of a channel's providers: auth keeps and writes it, senders obey.

    Provider → `{"enabled": …, "weight": …}`, null where it is as the settings say.
    """
    return f"imsg:switches:{method}"


SWITCHES_COMPLETE = "*"
"""A field of `switches_key` that names no provider; without it (Redis was flushed) senders go on as they heard last."""


def retry_after_key(method: str) -> str:
    """Name the hash of whom a channel's providers want to be given less for now, shared by its senders."""
    return f"imsg:held:{method}"


def pace_key(method: str, scope: str) -> str:
    """Name a token bucket that a channel's senders share: until when what was taken fills it, in microseconds."""
    return f"imsg:pace:{method}:{scope}"


def followers_key(account: str) -> str:
    """Name the set of tags that follow an official account now: written by sender-wechat, read by the gateway."""
    return f"imsg:followers:{account}"


def left_key(account: str) -> str:
    """Name the set of tags that followed an official account once and have left: 10014, not 10011."""
    return f"imsg:left:{account}"


def addresses_key(method: str) -> str:
    """Name the set of addresses that a channel has, where its sender knows them all: others are refused at once."""
    return f"imsg:addresses:{method}"


def names_key(method: str) -> str:
    """Name the hash of what a send may name of a channel: written by its sender, read by the gateway.

    A field is `sender`, `reply_to` or `provider`, its value JSON: a name → the users who may use it, empty: all.
    """
    return f"imsg:names:{method}"


def suppressed_key(method: str) -> str:
    """Name the hash address (`addresses.identity`) → entries (`suppressions`): written by the catalog, read at claims.

    Its field `SUPPRESSED_COMPLETE` stands where it is whole.
    """
    return f"imsg:suppressed:{method}"


SUPPRESSED_COMPLETE = "*"
"""A field of `suppressed_key` that is no address: where it is missing (Redis was flushed), who is suppressed is not
known, and the catalog writes all of them anew."""


FOLLOWERS_COMPLETE = "*"
"""A member of `followers_key`, and of `addresses_key`, that is none: written with the others, it says that the set is
whole. Where it is missing (Redis was flushed, the sender has not started) the gateway lets the unknown pass, and the
sender settles."""


REPLAYS = "imsg:replay:"
"""What every record of an Idempotency-Key begins with: a hash of the gateway's, `id`, and `job` until it is settled."""

TOMBSTONES = "imsg:tombstones"
"""The hash digest → `AT_MS ID` of addresses whose data was erased: written by history, read before anything is sent."""

ERASED = "imsg:erased"
"""The hash of who erases by itself → up to which tombstone (Unix ms) it has: senders by their methods, callbacks and
catalog by their names. Who has never said so is not waited for."""

RECORDED_BY_ALL = "all"
"""The field of `recorded_key` that holds the smallest mark."""


def recorded_key(queue: str) -> str:
    """Name the hash replica → up to when it has recorded its queue (Unix ms), written every second by the replica.

    The field `RECORDED_BY_ALL` says up to when all of them have.
    """
    return f"imsg:recorded:{queue}"


WRITABLE = "imsg:writable"
"""What every service writes now and then to see whether Redis takes writes; it says nothing and soon expires."""

BACKING_UP = "imsg:backing-up"
"""Set while `imsg backup` copies Redis' log: nobody has it written anew meanwhile."""


def no_provider_key(method: str) -> str:
    """Name what an idling sender writes: that its channel has no provider, and what to set."""
    return f"imsg:no-provider:{method}"


def template_limits_key(method: str) -> str:
    """Name the hash template → limits (JSON) that a sender publishes and the gateway checks content by."""
    return f"imsg:templates:{method}"


def route_limits_key(method: str) -> str:
    """Name what a sender publishes of its providers' routes and limits (JSON), and the gateway checks content by."""
    return f"imsg:routes:{method}"
