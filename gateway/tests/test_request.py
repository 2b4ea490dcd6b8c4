"""What is sought in a large body is found wherever it stands, though most of the body is passed over."""

import pytest
from starlette.datastructures import Headers

from imsg_contract.errors import Refusal
from imsg_gateway.request import LARGE_BYTES, MAX_PARTS, PIECE_BYTES, ClientRequest, read

NUL = b"\\u0000"


def _read(body: bytes) -> ClientRequest:
    scope = {"method": "POST", "query_string": b""}
    return read(scope, Headers({}), "/api/v2/messages", (), body, address="192.0.2.1", needs_body=True)


def _with(escape: bytes, at: int) -> bytes:
    """Make a large body with an escape at a place."""
    head = b'{"file": "'
    return head + b"A" * (at - len(head)) + escape + b"A" * LARGE_BYTES + b'"}'


@pytest.mark.parametrize("before", range(len(NUL) + 1))
def test_an_escaped_nul_is_seen_across_the_end_of_a_piece(before: int) -> None:
    assert _read(_with(NUL, 3 * PIECE_BYTES - before)).may_have_nul


def test_another_escape_is_none() -> None:
    assert not _read(_with(b"\\n\\u0001", 3 * PIECE_BYTES - 2)).may_have_nul


@pytest.mark.parametrize("empty", [b"[]", b"{}"])
def test_parts_are_counted_in_every_piece_of_a_large_body(empty: bytes) -> None:
    """The object, its list and two colons are four more."""
    text = b"A" * LARGE_BYTES
    room = MAX_PARTS - 4
    most = b'{"file": "' + text + b'", "to": [' + b",".join([empty] * room) + b"]}"
    assert len(_read(most).fields["to"]) == room
    with pytest.raises(Refusal, match="not_json"):
        _read(most[:-2] + b"," + empty + b"]}")
