"""A torment: clients send, plugs are pulled, everything heals by itself, and the books balance, or the test fails."""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from imsg_testing import fault_table
from imsg_testing.api import wait
from imsg_testing.fault_books import SETTLED_WITHIN_S, Balance, Books
from imsg_testing.fault_clients import Addresses, Clients, Whole, mail_address
from imsg_testing.fault_mail import Manner

IN_FLIGHT = 8
"""Mails that one sender has under way at most: its connections."""


@dataclass(slots=True)
class Torment:
    """One torment under way, and its balance once it is over."""

    whole: Whole
    clients: Clients
    books: Books
    balance: Balance | None = field(default=None)

    def received(self) -> int:
        """Count what has arrived for these clients' recipients."""
        return self.books.received().total()

    def wait_for_arrivals(self, more: int, within_s: float = 120.0) -> None:
        """Wait until so much more has arrived."""
        goal = self.received() + more
        wait(lambda: self.received() >= goal, within_s, every_s=0.05, why=lambda: f"{self.received()} of {goal}")

    def tell(self, place: int, title: str, done: str, *, twice_at_most: int = 0, why: str = "") -> None:
        """Judge how often something arrived twice, and write the row."""
        assert self.balance is not None, "it is not over"
        assert self.balance.duplicates <= twice_at_most, (
            f"{self.balance.duplicates} duplicates, {twice_at_most} explained"
        )
        explained = f"Twice at most {twice_at_most}: {why}." if twice_at_most else ""
        fault_table.write(fault_table.Row(place, title, done, explained, self.balance))


@contextmanager
def tormented(
    whole: Whole,
    *,
    method: str = "smtp",
    address: Addresses = mail_address,
    received: Callable[[], Counter[str]] | None = None,
    may_break: bool = False,
    within_s: float = SETTLED_WITHIN_S,
) -> Iterator[Torment]:
    """Torment a whole.

    `received` counts what the provider got where it is not the mailbox; `may_break` where a gateway is killed, so that
    answers may fail to come.
    """
    clients = Clients(whole, method, address)
    suffix = f"@{clients.name}.example.com"
    torment = Torment(whole, clients, Books(whole, clients, received or (lambda: whole.mailbox.counts(suffix))))
    try:
        yield torment
        whole.wait_until_whole()
        torment.balance = torment.books.balance(within_s)
        assert may_break or clients.broken == 0, f"answers that never came: {clients.breaks}"
        ids = whole.mailbox.message_ids(suffix)
        assert all(len(one) == 1 for one in ids.values()), "a repeat has the Message-ID of the first"
    finally:
        whole.mailbox.manner, whole.mailbox.latency_s = Manner.TAKE, 0.0
        clients.close()
