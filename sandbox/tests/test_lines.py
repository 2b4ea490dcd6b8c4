"""The incoming half of an SMTP connection: what is looked at piece by piece is what stood there as a whole."""

import asyncio
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imsg_sandbox import lines
from imsg_sandbox.lines import Body, Input, TooLong

PIECES = st.lists(
    st.sampled_from([b"\r\n", b".", b"\r", b"\n", b"a", b"..", b"x" * 60, b"y" * 997, b"\r\n.\r\n."]), max_size=60
)


async def _read(sent: bytes, step: int, limit: int = 1 << 20) -> tuple[Body, bytes]:
    """Read a body that comes in steps, and the line behind it."""
    reader = asyncio.StreamReader()
    for at in range(0, len(sent), step):
        reader.feed_data(sent[at : at + step])
    reader.feed_eof()
    incoming = Input(reader)
    return await incoming.body(limit), await incoming.line(100)


@given(PIECES, st.integers(1, 97))
def test_a_body_is_the_same_in_whatever_pieces_it_comes(written: list[bytes], step: int) -> None:
    """The reference: everything at once, as RFC 5321 (4.5.2) says it, and the two checks by patterns."""
    whole = b"".join(written)
    stuffed = (b"\r\n" + whole).replace(b"\r\n.", b"\r\n..")[2:]
    if b"\r\n.\r\n" in b"\r\n" + stuffed + b"\r\n.\r\n"[:-1]:
        return  # a lone dot can't be left in what was stuffed
    before = lines.CHUNK_BYTES
    lines.CHUNK_BYTES = 64
    try:
        body, behind = asyncio.run(_read(stuffed + b"\r\n.\r\nNOOP\r\n", step))
    finally:
        lines.CHUNK_BYTES = before

    assert body.join() == whole + b"\r\n"
    assert behind == b"NOOP"
    assert body.has_bare_line_feed == (re.search(rb"(?<!\r)\n", whole + b"\r\n") is not None)
    assert body.has_long_line == (max(map(len, (whole + b"\r\n").split(b"\n"))) > lines.LINE_OCTETS)


async def test_a_body_over_its_limit_is_read_to_its_end_and_dropped() -> None:
    reader = asyncio.StreamReader()
    reader.feed_data(b"x" * 3_000_000 + b"\r\n.\r\nNOOP\r\n")
    reader.feed_eof()
    incoming = Input(reader)
    with pytest.raises(TooLong):
        await incoming.body(1_000_000)
    assert await incoming.line(100) == b"NOOP"


async def test_a_mail_that_has_come_whole_lets_others_have_their_turns() -> None:
    """A stream gives what it has without a turn of the loop: megabytes would be looked at in one go."""
    reader = asyncio.StreamReader()
    reader.feed_data(b"x" * 76 * 20_000 + b"\r\n.\r\n")
    reading = asyncio.create_task(Input(reader).body(2_000_000))
    turns = 0
    while not reading.done():
        await asyncio.sleep(0)
        turns += 1
    assert turns >= 76 * 20_000 // lines.CHUNK_BYTES
