"""Which providers a message may take, in which order: weights, conditions and switches make a list. Pure."""

import hashlib
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from imsg_contract.addresses import domain_of
from imsg_contract.wire import Category

_BETWEEN = re.compile(r"[,;，；、\r\n]")


@dataclass(frozen=True, slots=True)
class Route:
    """A provider with its weight and its conditions."""

    name: str
    weight: int = 1
    """Its share of messages; 0: only where others can't send now, in the order of the list."""
    prefixes: tuple[str, ...] = ()
    """Of phone numbers (E.164): `+86`, `+852`. Empty, here and below: whatever it is."""
    sender_domains: frozenset[str] = frozenset()
    recipient_domains: frozenset[str] = frozenset()
    templates: frozenset[str] = frozenset()
    categories: frozenset[Category] = frozenset()

    @property
    def is_special(self) -> bool:
        """Whether the route has conditions: it precedes the routes without."""
        return bool(self.prefixes or self.sender_domains or self.recipient_domains or self.templates or self.categories)

    def takes(self, facts: "Facts") -> bool:
        """Return whether a message fulfils the conditions."""
        return (
            (not self.prefixes or facts.address.startswith(self.prefixes))
            and (not self.sender_domains or domain_of(facts.sender) in self.sender_domains)
            and (not self.recipient_domains or domain_of(facts.address) in self.recipient_domains)
            and (not self.templates or facts.template in self.templates)
            and (not self.categories or facts.category in self.categories)
        )


@dataclass(frozen=True, slots=True)
class Facts:
    """The properties of a message that conditions test."""

    name: str
    """The message's name, the same at every attempt: a repeat prefers the same provider."""
    address: str = ""
    sender: str = ""
    template: str = ""
    category: Category = Category.NOTICE


@dataclass(frozen=True, slots=True)
class Switch:
    """What administrators changed of a provider while iMSG runs; None: as the settings say."""

    enabled: bool | None = None
    weight: int | None = None

    def apply(self, route: Route) -> Route | None:
        """Change a route; None where it is switched off."""
        if self.enabled is False:
            return None
        return route if self.weight is None else replace(route, weight=self.weight)


@dataclass(frozen=True, slots=True)
class Order:
    """The routes that are on, in the order of the list."""

    routes: Sequence[Route]
    fixed: Sequence[Route] | None = field(init=False)
    """The one order of all messages, where neither conditions nor lots make several."""

    def __post_init__(self) -> None:
        drawn = sum(route.weight > 0 for route in self.routes)
        is_fixed = drawn <= 1 and not any(route.is_special for route in self.routes)
        object.__setattr__(self, "fixed", _sort(self.routes, "") if is_fixed else None)

    def rank(self, facts: Facts) -> Sequence[Route]:
        """Order the routes that take a message: special ones first, each class by weighted lot, weight 0 last."""
        if self.fixed is not None:
            return self.fixed
        return _sort([route for route in self.routes if route.takes(facts)], facts.name)

    def share(self, name: str) -> float | None:
        """Return a route's share of the messages without conditions, from 0 to 1; None for a route with conditions."""
        general = [route for route in self.routes if not route.is_special]
        total = sum(route.weight for route in general)
        route = next((route for route in general if route.name == name), None)
        if route is None:
            return 0.0 if all(route.name != name for route in self.routes) else None
        if not total:
            return 1.0 if route is general[0] else 0.0
        return route.weight / total


def split_list(text: str) -> tuple[str, ...]:
    """Split a list such as `code, notice` or `code，notice` at commas, semicolons and line breaks of both scripts."""
    return tuple(part for piece in _BETWEEN.split(text) if (part := piece.strip()))


def split_categories(text: str) -> frozenset[Category]:
    """Read `code, notice`, as settings write it. Raises ValueError."""
    words = split_list(text)
    for word in words:
        if word not in set(Category):
            raise ValueError(f"{word} is no category; there are {', '.join(Category)}")
    return frozenset(map(Category, words))


def check_categories(text: str) -> str:
    """Return a text that names categories. Raises ValueError."""
    split_categories(text)
    return text


def _sort(routes: Sequence[Route], message: str) -> list[Route]:
    return sorted(routes, key=lambda route: (not route.is_special, -_lot(message, route)))


def _lot(message: str, route: Route) -> float:
    """Draw a message's lot for a route by weighted rendezvous hashing: the highest of all carries it."""
    if not route.weight:
        return 0.0
    digest = hashlib.sha256(f"{route.name} {message}".encode()).digest()
    drawn = (int.from_bytes(digest[:8], "big") + 1) / (2**64 + 1)
    return route.weight / -math.log(drawn)
