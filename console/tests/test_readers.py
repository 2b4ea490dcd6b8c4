"""An upload delays no other person: it is bounded, read in another process, and ends with its page."""

import asyncio
from pathlib import Path

import pytest

from imsg_console.readers import MAX_LARGE, Reader, Readers, UnreadableError
from imsg_console.recipients.recipient_files import Overview, join, read_column, read_overviews, read_pasted
from imsg_console.spreadsheets import read_columns, read_lines
from imsg_console.texts import Texts
from imsg_testing.gated_reader import read_when_opened

LONG = b"reader@example.com,a name\n" * 4_000
"""Takes longer to read than anything small."""

HUGE = {
    "lines": b"a\n" * 2_600_000,
    "carriage returns": b"a\r" * 2_600_000,
    "separators of lines": "a\u2028".encode() * 1_300_000,
    "commas": b"," * 5_000_000,
    "blanks": b"a " * 2_500_000,
    "bars": b"a|" * 2_500_000,
    "UTF-16": b"\xff\xfe" + "上\n".encode("utf-16-le") * 1_300_000,
}


async def read(readers: Readers, reader: Reader, content: bytes, *asked: object, session: str = "one") -> list[object]:
    return await readers.run(session, f"page of {session}", reader, content, *asked)


@pytest.mark.parametrize("content", HUGE.values(), ids=HUGE)
@pytest.mark.parametrize("reader", [read_overviews, read_pasted, read_lines, read_columns])
async def test_rows_beyond_the_limit_are_refused(reader: Reader, content: bytes) -> None:
    asked = ["smtp"] if reader in (read_overviews, read_pasted) else []
    with pytest.raises(UnreadableError) as refused:
        await read(Readers(), reader, content, *asked)
    assert refused.value.why == "files.too_large"
    assert all("50,000" in Texts(language)(refused.value.why, name="名单.csv") for language in ("zh", "en"))


async def test_recipients_in_a_line_beyond_the_limit_are_refused() -> None:
    with pytest.raises(UnreadableError, match="too_large"):
        await read(Readers(), read_pasted, b"a@x.cn " * 60_000, "smtp")


async def test_ten_thousand_in_one_line_are_a_list_and_no_table_of_ten_thousand_columns() -> None:
    content = ",".join(f"reader{number}@example.com" for number in range(10_000)).encode()
    (found,) = await read(Readers(), read_overviews, content, "smtp")
    assert Overview(**found).width == 1  # type: ignore[arg-type]
    pieces = await read(Readers(), read_column, content, "smtp", 0, 0, False)  # noqa: FBT003  as JSON has it
    assert len(join(pieces).found) == 10_000  # type: ignore[arg-type]


async def test_one_session_reads_one_file_at_a_time_and_delays_no_other(tmp_path: Path) -> None:
    readers, gate = Readers(), tmp_path / "open"
    of_one = [asyncio.create_task(read(readers, read_when_opened, LONG, str(gate))) for _ in range(MAX_LARGE + 1)]

    await read(readers, read_pasted, b"li@example.com", "smtp", session="another")
    with pytest.raises(UnreadableError, match="busy"):
        await of_one.pop()
    assert not any(task.done() for task in of_one)
    gate.touch()
    assert await asyncio.gather(*of_one) == [[len(LONG)]] * MAX_LARGE


async def test_what_is_read_ends_with_its_page() -> None:
    readers = Readers()
    reading = asyncio.create_task(read(readers, read_pasted, LONG, "smtp"))
    waiting = asyncio.create_task(readers.run("one", "another page", read_pasted, b"li@example.com", "smtp"))
    await asyncio.sleep(0)
    readers.end("page of one")
    with pytest.raises(asyncio.CancelledError):
        await reading
    assert [len(join([piece]).found) for piece in await waiting] == [1]


async def test_a_bug_of_a_reader_is_distinguished_from_what_can_not_be_read() -> None:
    with pytest.raises(RuntimeError, match="KeyError"):
        await read(Readers(), read_pasted, b"a" * 40_000, None)
