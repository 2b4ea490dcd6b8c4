"""How a channel's sender runs as a container: `make generate` writes it into the files of compose and Kubernetes."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Deployment:
    """The settings of a sender's container, beside those of every sender."""

    settings: tuple[str, ...]
    """Settings that compose passes on from `.env`, without `IMSG_NAME__`."""
    literals: tuple[str, ...] = ()
    """Settings of Kubernetes' example, without `IMSG_NAME__`; `{NAME}` is a secret."""
    secrets: tuple[str, ...] = ()
    """Secrets of its provider that the sandbox generates."""
    has_tables: bool = False
    is_called_by_gateway: bool = False
    """Whether the gateway calls the sender: then they share a key and a network."""
    calls_auth: bool = False
    """Whether the sender calls auth; the key for it is the one of a channel with `calls_history`."""
    memory_mib: int = 256
    memory_why: str = ""
    """Why the memory limit is above the default."""
    requested_mib: int = 96
    ports: tuple[int, ...] = (443,)
    """The ports of its providers."""
