"""How mail of a domain is sent: by which servers, and signed by which keys."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class DkimPublic:
    """The public part of a key that signs."""

    domain: str
    selector: str
    public: str = ""
    """The `p` that its DNS record must have; empty where the provider signs."""
    record: str = ""
    """The whole DNS record; empty where the provider signs."""

    @property
    def at(self) -> str:
        """The name of its DNS record."""
        return f"{self.selector}._domainkey.{self.domain}"


@dataclass(frozen=True, slots=True)
class MailSetup:
    """How mail of a sender's domain is sent."""

    domain: str
    hosts: Sequence[str] = ()
    """The mail servers that may send it."""
    keys: Sequence[DkimPublic] = ()
