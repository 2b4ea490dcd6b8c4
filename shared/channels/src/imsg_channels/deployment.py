"""How a channel's sender runs as a container: `make generate` writes it into the files of compose and Kubernetes."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Deployment:
    """The settings of a sender's container, beside those of every sender."""

    settings: tuple[str, ...]
    """Settings that compose passes on from `.env`, without `IMSG_NAME__`."""
    played: tuple[str, ...] = ()
    """Those that the sandbox reads too."""
    literals: tuple[str, ...] = ()
    """Settings of Kubernetes' example, without `IMSG_NAME__`; `{NAME}` is a secret."""
    secrets: tuple[str, ...] = ()
    """Secrets of its provider that the sandbox invents."""
    has_tables: bool = False
    is_asked: bool = False
    """Whether the gateway calls it: then it has the gateway's key, and they share a network."""
    memory_mib: int = 256
    memory_why: str = ""
    """Why it is larger than that of others."""
    requested_mib: int = 96
    ports: tuple[int, ...] = (443,)
    """Of its providers in the world."""
