"""Several mail servers as one: by weight and domain, the next where one says not now, never after a doubtful answer."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Protocol

from imsg_contract.wire import Blocked, Category, Refused, Result
from imsg_delivery.provider_pool import Provider, ProviderPool, refuse_switched_off
from imsg_delivery.routes import Facts, Route
from imsg_runtime.settings import variable
from imsg_smtp.mime import Mail
from imsg_smtp.pool import FindBlock
from imsg_smtp.replies import PROVIDER


class Sending(Protocol):
    """What hands in a mail."""

    async def send(self, mail: Mail, find_block: FindBlock = lambda _: None) -> Result:
        """Hand in a mail, unless `find_block` finds, once its turn has come, that it is not to be."""

    def find_outage(self) -> Blocked | None:
        """Say why nothing gets through, and after how long one mail may try; None once one was answered."""


class Relays:
    """The way a mail takes.

    A message prefers one server at every attempt, chosen by its own Message-ID: what went wrong without anybody's
    knowing is repeated where the repeat may be recognised. Where there are several, results name theirs.
    """

    def __init__(self, relays: Mapping[str, Sending], routes: Sequence[Route], clock: Callable[[], float]) -> None:
        self._relays = relays
        self.provider_pool = ProviderPool(PROVIDER, routes, clock, stays=())

    async def send(self, mail: Mail, category: Category = Category.NOTICE, forced: str | None = None) -> Result:
        """Hand in a mail to the first server that does not say not now, or to the one that is forced alone."""
        ranked = self.provider_pool.fixed
        if ranked is None or forced is not None:
            facts = Facts(mail.message_id, mail.recipient, mail.sender, category=category)
            ranked = self.provider_pool.rank(facts, forced)

        async def hand_in(provider: Provider) -> Result:
            def find_block(_: Mail) -> Blocked | None:
                is_used = provider.is_on or forced == provider.name
                return None if is_used else refuse_switched_off(PROVIDER, provider.name)

            relay = self._relays[provider.name]
            result = await relay.send(mail, find_block)
            if (outage := relay.find_outage()) is not None:
                provider.stats.note(outage)  # while it lasts calls are held back, and none would tell of it
            return result if len(self._relays) == 1 else replace(result, provider=provider.name)

        result = await self.provider_pool.send(ranked, mail.message_id, hand_in)
        return result or self._say_why_not(mail, forced)

    def find_outage(self) -> Blocked | None:
        """Say why no server that is switched on takes anything."""
        return self.provider_pool.find_outage(lambda name: self._relays[name].find_outage())

    def _say_why_not(self, mail: Mail, forced: str | None) -> Result:
        if forced is not None and self.provider_pool.find(forced) is None:
            why = f"There is no mail server {forced}; there are {', '.join(self._relays)}."
            return Refused(PROVIDER, "no_provider", why, "content")
        what = f"mail from {_domain(mail.sender)} to {_domain(mail.recipient)}"
        return self.provider_pool.refuse(what, f"give one of {variable('smtp', 'servers')} these domains, or none")


def _domain(address: str) -> str:
    return address.rpartition("@")[2]
