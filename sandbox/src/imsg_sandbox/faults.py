"""Faults that tests and people order: what goes wrong at which provider, and how many more times."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

LATENCY_MS = 2_000
"""The delay of an answer where the order has no `ms`."""

HANG_S = 600.0
"""How long a hanging provider keeps its caller waiting: the timeout of RFC 5321 after the final dot."""


class Fault(StrEnum):
    """The faults; SUPPORTED says which of them a channel has."""

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
"""Method → the faults that its providers play."""


@dataclass(slots=True)
class Order:
    """One ordered fault; `times` None means until it is cancelled."""

    method: str
    fault: Fault
    times: int | None
    ms: int = LATENCY_MS


class Faults:
    """The orders in force, at most one for each method and fault."""

    def __init__(self) -> None:
        self._orders: dict[tuple[str, Fault], Order] = {}

    def order(self, order: Order) -> None:
        """Apply an order in place of an earlier one; `times` 0 cancels it."""
        key = (order.method, order.fault)
        self._orders.pop(key, None)
        if order.times != 0:
            self._orders[key] = order

    def use(self, method: str, *faults: Fault) -> Order | None:
        """Use the first of these faults that is in force once; return None where none is."""
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
        """Cancel every order."""
        self._orders.clear()
