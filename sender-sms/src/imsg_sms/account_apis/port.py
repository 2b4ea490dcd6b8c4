"""The port by which a provider is asked about an account."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Protocol

from imsg_contract.provider_accounts import ProviderEntry, Words


class AccountRefused(Exception):  # noqa: N818  an answer
    """The provider does not take the call; the text is its code and its words."""

    def __init__(self, code: object, message: object = "") -> None:
        super().__init__(f"{code} {message}".strip())
        self.code = str(code)


@dataclass(frozen=True, slots=True)
class Balance:
    """What an account has left: money, or messages of its packages."""

    amount: float
    bought: float | None
    """Of packages: how many were bought."""
    text: Words


class AccountApi(Protocol):
    """What a provider can be asked about an account.

    Every method raises AccountRefused, NotSent and NoAnswer. Lists are None where the provider has no call for them.
    With `wanted`, those alone are asked for; one that is not in the answer is unknown there.
    """

    async def list_signatures(self, wanted: Collection[str] | None = None) -> Sequence[ProviderEntry] | None:
        """Return the signatures, with their filing where the provider says it."""

    async def list_templates(self, wanted: Collection[str] | None = None) -> Sequence[ProviderEntry] | None:
        """Return the templates."""

    async def read_balance(self) -> Balance | None:
        """Return what is left; None where the provider has no call for it."""


class WithoutEntries:
    """A provider that knows neither signatures nor templates."""

    async def list_signatures(self, wanted: Collection[str] | None = None) -> Sequence[ProviderEntry] | None:
        """Return nothing."""
        del wanted
        return None

    async def list_templates(self, wanted: Collection[str] | None = None) -> Sequence[ProviderEntry] | None:
        """Return nothing."""
        del wanted
        return None
