"""Faults on order: what shall go wrong at which provider, and how many more times."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

LATENCY_MS = 2_000
"""How late an answer comes where the order does not say."""

HANG_S = 600.0
"""How long a hanging provider keeps its caller waiting at most: RFC 5321's own patience after the final dot."""


class Fault(StrEnum):
    """What can be ordered; which of them a provider knows stands in SUPPORTED."""

    LATENCY = "latency"
    HANG = "hang"
    SERVER_ERROR = "5xx"
    RESET_BEFORE = "reset_before"
    RESET_AFTER = "reset_after"
    GREYLIST = "greylist"
    EXPIRED_TOKEN = "expired_token"  # noqa: S105  a fault's name
    LOST_RECEIPT = "lost_receipt"


SUPPORTED: Mapping[str, frozenset[Fault]] = {
    "smtp": frozenset(Fault) - {Fault.EXPIRED_TOKEN, Fault.LOST_RECEIPT},
    "sms": frozenset(Fault) - {Fault.EXPIRED_TOKEN, Fault.GREYLIST},
    "wechat": frozenset(Fault) - {Fault.GREYLIST},
    "wecom": frozenset(Fault) - {Fault.GREYLIST, Fault.EXPIRED_TOKEN, Fault.LOST_RECEIPT},
}
"""Method → the faults its stand-in plays. A provider that joins adds its row."""


@dataclass(slots=True)
class Order:
    """One ordered fault; `times` None means until it is taken back."""

    method: str
    fault: Fault
    times: int | None
    ms: int = LATENCY_MS


class Faults:
    """The orders in force, at most one for each method and fault."""

    def __init__(self) -> None:
        self._orders: dict[tuple[str, Fault], Order] = {}

    def place(self, order: Order) -> None:
        """Put an order in force in place of the one before; `times` 0 takes it back."""
        key = (order.method, order.fault)
        self._orders.pop(key, None)
        if order.times != 0:
            self._orders[key] = order

    def strike(self, method: str, *faults: Fault) -> Order | None:
        """Use up one of the first of these faults that is in force; None where all is well."""
        for fault in faults:
            order = self._orders.get((method, fault))
            if order is None:
                continue
            if order.times is not None:
                order.times -= 1
                if order.times == 0:
                    del self._orders[method, fault]
            return order
        return None

    def list_orders(self) -> list[Order]:
        """Return the orders in force, oldest first."""
        return list(self._orders.values())

    def clear(self) -> None:
        """Take every order back."""
        self._orders.clear()
