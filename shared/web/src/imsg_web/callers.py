"""Which service calls, by its key, and on behalf of which user.

It is apart from `service_client`, since a service that only is called need not load httpx (2 MiB).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import quote, unquote

from pydantic import SecretStr
from starlette.requests import Request
from starlette.types import ASGIApp

from imsg_contract import roles
from imsg_contract.constant_time import equals
from imsg_contract.roles import READERS, SENDERS, Role, refuse_role
from imsg_runtime.settings import CALLERS, PeerKeys

KEY_HEADER = "x-imsg-key"
CALLER_HEADER = "x-imsg-caller"
ROLE_HEADER = "x-imsg-role"
ID_HEADER = "x-imsg-caller-id"
SINCE_HEADER = "x-imsg-caller-since"
"""The user's immutable id, and when it was registered (Unix milliseconds)."""
ADDRESS_HEADER = "x-imsg-address"
"""The address of the client, as the gateway saw it."""
USED_KEY_HEADER = "x-imsg-used-key"
"""The id of the API key that the user showed, a space, and its name, percent-encoded; absent for a token."""

MAX_ADDRESS = 64
"""Characters of a client's address: more than any has."""

Apps = Mapping[str, ASGIApp]
"""Host name → app, where services share a process; empty where they are apart."""

IS_SERVICE_CALL = "imsg.of_a_service"
"""The name in the scope of a request with a valid service key."""


@dataclass(frozen=True, slots=True)
class UsedKey:
    """The API key by which a call is made."""

    id: str
    name: str


@dataclass(frozen=True, slots=True)
class Caller:
    """The user on whose behalf a call is made, as the gateway has verified."""

    username: str
    role: Role
    user_id: str
    """Immutable: a username may be given to another user later. Empty for a command of iMSG itself."""
    since: datetime
    """When the user was registered."""
    key: UsedKey | None = None
    """The API key by which the user calls; None: a token."""
    address: str = ""
    """The client's address, as the gateway saw it; empty where it is not known."""

    @property
    def is_admin(self) -> bool:
        """Whether the caller is an administrator."""
        return self.role == "admin"

    @property
    def sees_all(self) -> bool:
        """Whether the user sees the data of all users."""
        return self.role in READERS

    @property
    def sees_content(self) -> bool:
        """Whether the user reads the content of the messages that the user sees."""
        return self.role in SENDERS

    def headers(self) -> dict[str, str]:
        """Return the headers of the caller; the name is percent-encoded, since headers are ASCII."""
        key = {} if self.key is None else {USED_KEY_HEADER: f"{self.key.id} {quote(self.key.name, safe='')}"}
        address = {ADDRESS_HEADER: self.address} if self.address else {}
        return (
            key
            | address
            | {
                CALLER_HEADER: quote(self.username, safe=""),
                ROLE_HEADER: self.role,
                ID_HEADER: self.user_id,
                SINCE_HEADER: str(round(self.since.timestamp() * 1_000)),
            }
        )


@dataclass(frozen=True, slots=True)
class Rule:
    """Which services may call some URLs of a service."""

    owner: str
    verb: str
    """`*` for every verb."""
    path: str
    """One path, or all below it where it ends in `/`."""
    callers: frozenset[str]

    def covers(self, path: str) -> bool:
        """Return whether the rule is for a path."""
        return path.startswith(self.path) if self.path.endswith("/") else path == self.path


GATEWAY, CALLBACKS, SCHEDULER, WECHAT = "gateway", "callbacks", "scheduler", "sender-wechat"

RULES = (
    Rule("auth", "PUT", "/internal/events", frozenset({CALLBACKS})),
    Rule("auth", "*", "/internal/wechat/", frozenset({WECHAT})),
    Rule("auth", "POST", "/internal/user-cache", frozenset({GATEWAY, SCHEDULER})),
    Rule("auth", "*", "/", frozenset({GATEWAY})),
    Rule("callbacks", "*", "/", frozenset({GATEWAY})),
    Rule("history", "GET", "/internal/attachments/", frozenset(CALLERS) - {CALLBACKS, SCHEDULER}),
    Rule("history", "GET", "/internal/recipients/", frozenset({GATEWAY, "sender-smtp"})),
    Rule("history", "GET", "/api/requests/", frozenset({GATEWAY, SCHEDULER})),
    Rule("history", "GET", "/internal/open/", frozenset({SCHEDULER})),
    Rule("history", "GET", "/internal/open", frozenset({SCHEDULER})),
    Rule("history", "*", "/", frozenset({GATEWAY})),
    Rule("catalog", "*", "/", frozenset({GATEWAY})),
    Rule("scheduler", "*", "/", frozenset({GATEWAY})),
    Rule("wechat", "*", "/", frozenset({GATEWAY})),
)
"""Which service may call what: the first matching rule decides. Other services call none with a key."""


def find_callers(owner: str, verb: str, path: str) -> frozenset[str]:
    """Return the services that may call a URL of `owner`; none where no rule matches."""
    fitting = (rule for rule in RULES if rule.owner == owner and rule.verb in ("*", verb))
    return next((rule.callers for rule in fitting if rule.covers(path)), frozenset())


class CallerCheck:
    """Checks the service key of a request and returns its caller, None where the service calls for itself.

    With `peer_keys`, a key opens only what its service may call (`RULES`). Without, `shared` is the key of all services
    and opens everything.
    """

    def __init__(self, owner: str, shared: tuple[SecretStr, ...], peer_keys: PeerKeys) -> None:
        self._owner = owner
        by_service = peer_keys.by_service()
        self._shared = () if by_service else _encode(shared)
        self._service_keys = [(key, name) for name, keys in by_service.items() for key in _encode(keys)]

    def __call__(self, request: Request) -> Caller | None:
        """Check the service key. Raises Refusal no_right, also where its service may not call this URL."""
        presented = request.headers.get(KEY_HEADER, "").encode()
        if not (self._is_shared(presented) or self._may_call(presented, request)):
            raise refuse_role()
        request.scope[IS_SERVICE_CALL] = True
        name = request.headers.get(CALLER_HEADER)
        if name is None:
            return None
        role = roles.read(request.headers.get(ROLE_HEADER))
        since = datetime.fromtimestamp(int(request.headers[SINCE_HEADER]) / 1_000, UTC)
        return Caller(
            unquote(name),
            role,
            request.headers[ID_HEADER],
            since,
            _read_key(request),
            request.headers.get(ADDRESS_HEADER, "")[:MAX_ADDRESS],
        )

    def _is_shared(self, presented: bytes) -> bool:
        return any(equals(presented, key) for key in self._shared)

    def _may_call(self, presented: bytes, request: Request) -> bool:
        """Return whether a service with this key may call; several share one while keys are being separated."""
        services = {name for key, name in self._service_keys if equals(presented, key)}
        return not services.isdisjoint(find_callers(self._owner, request.method, request.url.path))


def _read_key(request: Request) -> UsedKey | None:
    key_id, space, name = request.headers.get(USED_KEY_HEADER, "").partition(" ")
    return UsedKey(key_id, unquote(name)) if space else None


def _encode(keys: tuple[SecretStr, ...]) -> tuple[bytes, ...]:
    return tuple(key.get_secret_value().encode() for key in keys)
