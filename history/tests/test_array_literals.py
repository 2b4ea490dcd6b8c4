"""Arrays as PostgreSQL reads them, each kind of value that a row holds."""

from datetime import UTC, datetime

import pytest

from imsg_history import array_literals

AT = datetime(2026, 11, 25, 8, 0, 0, 123456, tzinfo=UTC)


@pytest.mark.parametrize(
    ("values", "written"),
    [
        ((), "{}"),
        ((1, None, -2), "{1,NULL,-2}"),
        (("a", None, "", "NULL", "您好"), '{"a",NULL,"","NULL","您好"}'),
        (('say "so"', "c:\\d", "{a,b}"), '{"say \\"so\\"","c:\\\\d","{a,b}"}'),
        ((AT,), '{"2026-11-25T08:00:00.123456+00:00"}'),
        ((b"\x00\xff", b""), '{"\\\\x00ff","\\\\x"}'),
    ],
)
def test_values_are_written_as_an_array(values: tuple[object, ...], written: str) -> None:
    assert array_literals.write(values) == written
