"""What a check of `imsg doctor` found, and how long one may take."""

from dataclasses import dataclass

TIMEOUT_S = 5.0
"""How long one check may take: a person waits."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found; `remedy` is empty where all is well."""

    what: str
    state: str
    remedy: str = ""
