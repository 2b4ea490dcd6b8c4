"""The ETag of a list that is replaced whole: of two concurrent changes the second is refused."""

import hashlib
from typing import Annotated

from fastapi import Header
from pydantic_core import to_json

from imsg_contract.errors import Refusal

IfMatch = Annotated[
    str | None, Header(description="The ETag that GET answered; a PUT without it is 428, with an older one 412.")
]


def make_etag(value: object) -> str:
    """Return the ETag of what can be written as JSON: the same for the same value, in every process."""
    return f'"{hashlib.sha256(to_json(value)).hexdigest()[:32]}"'


def require_match(if_match: str | None, current: object) -> None:
    """Require that a client has seen what it replaces; `*` matches anything.

    Raises Refusal if_match_required, changed.
    """
    if if_match is None:
        raise Refusal("if_match_required")
    tags = [tag.strip() for tag in if_match.split(",")]
    if "*" not in tags and make_etag(current) not in tags:
        raise Refusal("changed")
