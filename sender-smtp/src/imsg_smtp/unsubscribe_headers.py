"""The one-click unsubscribe headers of a marketing mail (RFC 8058): only iMSG can read the address in the link."""

from dataclasses import dataclass

from cryptography.hazmat.primitives.ciphers.aead import AESSIV

from imsg_contract.unsubscribing import PATH, Subscription, write_token


@dataclass(frozen=True, slots=True)
class UnsubscribeHeaders:
    """Writes the headers of one sender and category, the same at every attempt: a repeat is the same mail."""

    url: str
    """The public URL of iMSG, https."""
    key: bytes
    sender: str
    category: str

    def headers(self, address: str) -> bytes:
        """Return both header lines of a mail to an address."""
        ciphertext = AESSIV(self.key).encrypt(Subscription(address, self.sender, self.category).pack(), None)
        link = f"{self.url.rstrip('/')}{PATH}{write_token(ciphertext)}"
        return (f"List-Unsubscribe: <{link}>\r\nList-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n").encode("ascii")
