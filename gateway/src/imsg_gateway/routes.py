"""The table of what the gateway answers: path, right, who does it."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from enum import Enum, auto

from starlette.responses import Response

from imsg_contract.errors import Refusal
from imsg_gateway.authentication import Credential
from imsg_gateway.request import ClientRequest
from imsg_web.bodies import MAX_BODY_BYTES


class Right(Enum):
    """Who may."""

    OPEN = auto()
    """Everybody."""
    USER = auto()
    """Whoever has a token that holds."""
    ADMIN = auto()
    """Whoever has an administrator's token."""
    SENDER = auto()
    """A user; the handler settles the token itself, in the step that counts the request (the hot path)."""


NO_NAMES = ("", ".", "..")
"""What stands in a path for something else than a name; a client to a service would resolve it."""

OPEN_BODY_BYTES = 64 * 1024
"""The most that is read of somebody who need not show a token: a log-in is two short texts."""

Handler = Callable[[ClientRequest, Credential | None], Awaitable[Response]]
"""Answers a request; the credential is None for what is open to everybody, and judged for USER and ADMIN."""


@dataclass(frozen=True, slots=True)
class Route:
    """One URL and verb. `{}` in the path stands for one name."""

    verb: str
    path: str
    right: Right
    handler: Handler
    needs_body: bool = False
    fields: frozenset[str] = frozenset()
    """Fields of the body that are honoured, `token` apart."""
    params: frozenset[str] = frozenset()
    """Fields of the query that are honoured, `token` apart."""
    owner: str = ""
    at: str = ""
    """Which service answers what is relayed, and at which path of its own."""

    @property
    def max_body_bytes(self) -> int:
        """The most that is read of a body here."""
        return OPEN_BODY_BYTES if self.right is Right.OPEN else MAX_BODY_BYTES

    def strays(self, asked: ClientRequest) -> list[str]:
        """List the fields of a request that nothing here honours: the body's, then the query's, each once."""
        found = [name for name in asked.fields if name not in self.fields]
        found += [name for name, _ in asked.query if name not in self.params]
        return list(dict.fromkeys(found))


class Table:
    """Finds routes."""

    def __init__(self, routes: Sequence[Route]) -> None:
        self.routes = tuple(routes)
        self._exact: dict[str, dict[str, Route]] = {}
        self._named: dict[tuple[str, ...], dict[str, Route]] = {}
        for route in routes:
            if "{}" in route.path:
                self._named.setdefault(tuple(route.path.split("/")), {})[route.verb] = route
            else:
                self._exact.setdefault(route.path, {})[route.verb] = route

    def find(self, verb: str, path: str) -> tuple[Route, tuple[str, ...]]:
        """Return the route and the names in its path. Raises Refusal no_such_url, no_such_method."""
        names: tuple[str, ...] = ()
        verbs = self._exact.get(path)
        if verbs is None:
            verbs, names = self._match(path)
        if (route := verbs.get(verb)) is not None:
            return route, names
        allowed = ", ".join(sorted(verbs))
        raise Refusal("no_such_method", path=path, method=verb, allowed=allowed, headers={"Allow": allowed})

    def _match(self, path: str) -> tuple[dict[str, Route], tuple[str, ...]]:
        given = tuple(path.split("/"))
        for segments, verbs in self._named.items():
            if len(segments) != len(given):
                continue
            pairs = list(zip(segments, given, strict=True))
            if all(want in ("{}", have) for want, have in pairs) and "\0" not in path:
                names = tuple(have for want, have in pairs if want == "{}")
                if all(name not in NO_NAMES for name in names):
                    return verbs, names
        raise Refusal("no_such_url", path=path.replace("\0", ""))
