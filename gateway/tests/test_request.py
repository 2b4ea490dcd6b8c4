"""Fields of a large body are found at any position, though most of the body is skipped."""

import pytest

from imsg_gateway.json_bounds import PIECE_BYTES
from imsg_gateway.request import LARGE_BYTES, Body, parse_body

NUL = b"\\u0000"


def _read(body: bytes) -> Body:
    return parse_body(body, needs_body=True)


def _with(escape: bytes, at: int) -> bytes:
    """Make a large body with an escape at a place."""
    head = b'{"file": "'
    return head + b"A" * (at - len(head)) + escape + b"A" * LARGE_BYTES + b'"}'


@pytest.mark.parametrize("before", range(len(NUL) + 1))
def test_an_escaped_nul_is_seen_across_the_end_of_a_piece(before: int) -> None:
    assert _read(_with(NUL, 3 * PIECE_BYTES - before)).may_have_nul


def test_another_escape_is_none() -> None:
    assert not _read(_with(b"\\n\\u0001", 3 * PIECE_BYTES - 2)).may_have_nul
