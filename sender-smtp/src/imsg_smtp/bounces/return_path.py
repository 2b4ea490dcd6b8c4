"""Envelope senders: each mail gets its own (VERP), by which its bounces find the message."""

from dataclasses import dataclass, replace

from imsg_smtp.bounces.bounce_token import PREFIX, make_token
from imsg_smtp.mime import Mail, ReturnPath


@dataclass(frozen=True, slots=True)
class ReturnPaths:
    """Makes the envelope senders of mail by one server."""

    key: bytes
    domain: str

    def assign(self, mail: Mail) -> Mail:
        """Return the mail with its envelope sender, the same at every attempt."""
        token = make_token(self.key, *mail.name)
        return replace(mail, return_path=ReturnPath(f"{token}@{self.domain}", token.removeprefix(PREFIX)))
