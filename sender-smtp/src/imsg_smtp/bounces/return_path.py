"""The envelope sender of each mail, by which what comes back finds it (VERP); asked for by what RFC 3461 offers."""

from dataclasses import dataclass, replace

from imsg_smtp.bounces.bounce_token import PREFIX, make_token
from imsg_smtp.mime import Mail, Return


@dataclass(frozen=True, slots=True)
class ReturnPaths:
    """Makes them, of mail by one server."""

    key: bytes
    domain: str

    def give(self, mail: Mail) -> Mail:
        """Give a mail its own; the same at every attempt."""
        token = make_token(self.key, *mail.name)
        return replace(mail, returns=Return(f"{token}@{self.domain}", token.removeprefix(PREFIX)))
