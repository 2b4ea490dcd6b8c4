"""The source of a deployment's files: the senders that are deployed, and the calls between services."""

from collections.abc import Iterator
from pathlib import Path

from imsg_channels import CHANNELS
from imsg_channels.deployment import Deployment
from imsg_channels.spec import ChannelSpec
from imsg_runtime.settings import CALLERS

ROOT = Path(__file__).parents[3]

Lines = Iterator[str]

DEPLOYED: tuple[tuple[ChannelSpec, Deployment], ...] = tuple(
    (channel, channel.deployment) for channel in CHANNELS if channel.deployment is not None
)
SENDERS = [channel.service for channel, _ in DEPLOYED]
IMAGES = ("gateway", "auth", "history", "callbacks", "catalog", *SENDERS, "console")
"""catalog's has scheduler too."""
HOOKED = [channel.service for channel, _ in DEPLOYED if channel.has_hooks]
ASKED = [channel.service for channel, deployment in DEPLOYED if deployment.is_called_by_gateway]
READING = [channel.service for channel, _ in DEPLOYED if channel.calls_history]

ASKING_HISTORY = tuple(caller for caller in CALLERS if caller != "callbacks")


def name_file(service: str) -> str:
    """Return the name of a service as files and settings have it."""
    return service.replace("-", "_")


def write_memory(deployment: Deployment, gib: str, mib: str) -> str:
    """Return the memory of a sender in the largest unit that fits."""
    whole, rest = divmod(deployment.memory_mib, 1024)
    return f"{deployment.memory_mib}{mib}" if rest else f"{whole}{gib}"
