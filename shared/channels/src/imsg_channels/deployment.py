"""How a channel's sender runs as a container: what `make generate` writes into the files of compose and Kubernetes."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Deployment:
    """What a container is given, beside what every sender is given."""

    settings: tuple[str, ...]
    """Settings that compose hands on from `.env`, without `IMSG_NAME__`."""
    played: tuple[str, ...] = ()
    """Those of them that the sandbox reads too."""
    literals: tuple[str, ...] = ()
    """Settings of Kubernetes' example, without `IMSG_NAME__`; `{NAME}` is a secret."""
    secrets: tuple[str, ...] = ()
    """Secrets of its provider that the sandbox makes up where it plays it."""
    has_tables: bool = False
    is_asked: bool = False
    """Whether the gateway asks it: it knows the gateway by its key then, and they share a network."""
    memory_mib: int = 256
    memory_why: str = ""
    """Why it is more than others have."""
    requested_mib: int = 96
    ports: tuple[int, ...] = (443,)
    """Of its providers in the world."""
