"""The settings of the e-mail channel, checked at start."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, model_validator

from imsg_delivery.channel import Uncertain
from imsg_runtime.settings import Common, is_loopback, variable
from imsg_smtp import senders

Security = Literal["none", "starttls", "tls"]

PORTS = {"none": 25, "starttls": 587, "tls": 465}
"""Where servers listen, by security (RFC 5321, RFC 6409, RFC 8314)."""


def _is_sender(text: str) -> str:
    senders.parse(text)
    return text


def _is_file(path: Path) -> Path:
    if not path.is_file():
        raise ValueError(
            f"there is no file {path}; correct the path, or unset it to trust the system's own authorities"
        )
    return path


class Smtp(BaseModel):
    """The mail server, and how it is used. `IMSG_SMTP__HOST` and `[smtp] host` are one setting."""

    model_config = ConfigDict(frozen=True)

    host: Annotated[str, Field(min_length=1, pattern=r"^[^\s/@]+$")]
    port: Annotated[int, Field(ge=1, le=65_535)] | None = None
    username: str | None = None
    password: SecretStr | None = None
    security: Security | None = None
    ca_file: Annotated[Path, AfterValidator(_is_file)] | None = None
    """Certificates trusted beside the system's own: a company's own authority."""
    sender: Annotated[str, AfterValidator(_is_sender)]
    connections: Annotated[int, Field(ge=1, le=100)] = 8
    """How many connections to the server are open at once; the server's own limit per account is the ceiling."""
    uncertain: Uncertain = "repeat"

    @property
    def protection(self) -> Security:
        """The security that is set; else none on this machine, and STARTTLS to any other."""
        return self.security or ("none" if is_loopback(self.host) else "starttls")

    @property
    def server_port(self) -> int:
        """The port that is set; else the one that belongs to the security."""
        return self.port or PORTS[self.protection]

    @model_validator(mode="after")
    def _belongs_together(self) -> "Smtp":
        if (self.username is None) != (self.password is None):
            raise ValueError("a username and a password belong together; set both, or neither")
        if self.username is not None and self.protection == "none" and not is_loopback(self.host):
            raise ValueError(
                f"with security none the password would travel to {self.host} unencrypted; "
                f"set {variable('smtp', 'security')} to starttls or tls, or unset username and password"
            )
        return self


class Settings(Common):
    """All that sender-smtp reads."""

    smtp: Annotated[Smtp, Field(default_factory=dict, validate_default=True)]
    history_url: str
    """Where history keeps attachments and long contents."""
