"""Receipts and times of providers are parsed from any input without errors."""

from datetime import UTC, datetime
from functools import partial

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from imsg_contract.wire import Status
from imsg_sms.providers.aliyun import read_inbound, read_receipt
from imsg_sms.providers.entries import read_entries
from imsg_sms.providers.meanings import parse_beijing_time, parse_time
from imsg_sms.providers.template_provider import read_all

NOW = datetime(2026, 11, 25, 3, 0, tzinfo=UTC)

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=6,
)
NAMES = ("biz_id", "phone_number", "success", "err_code", "err_msg", "report_time", "out_id")
WRITTEN = ("phone_number", "content", "send_time", "sign_name", "dest_code", "sequence_id")


@given(st.binary())
def test_any_body_is_entries_or_none(body: bytes) -> None:
    entries = read_entries(body)
    assert entries is None or isinstance(entries, list)


@given(st.fixed_dictionaries({}, optional=dict.fromkeys((*NAMES, *WRITTEN), JSON)) | JSON)
def test_any_entry_is_a_receipt_an_inbound_message_or_nothing(entry: object) -> None:
    for reading in (read_receipt, read_inbound):
        batch = read_all([entry, entry], partial(reading, "aliyun"), NOW)
        assert len(batch.receipts) + len(batch.inbound) + batch.unreadable == 2


@given(success=JSON, code=JSON, message=JSON, time=JSON, out_id=JSON)
def test_a_receipt_with_any_other_fields_can_be_stored(**other: object) -> None:
    entry = {
        "biz_id": "932702304080415357^0",
        "phone_number": "13800138000",
        "success": other["success"],
        "err_code": other["code"],
        "err_msg": other["message"],
        "report_time": other["time"],
        "out_id": other["out_id"],
    }
    read = read_receipt("aliyun", entry, NOW)
    assert read is not None
    assert read.receipt.status in (Status.DELIVERED, Status.FAILED)
    kept = read.receipt.model_dump_json()
    assert "\\u0000" not in kept
    kept.encode()


@given(st.text() | st.datetimes().map(lambda at: at.isoformat(" ")))
@example("0001-01-01 00:00:00")
@example("9999-12-31 23:59:59-14:00")
def test_any_time_of_the_provider_is_a_moment_or_none(text: str) -> None:
    at = parse_beijing_time(text)
    assert at is None or at.tzinfo is UTC


@pytest.mark.parametrize(
    "text",
    [
        "2026-11-25 10:00:01", "2026-11-25T10:00:01+08:00", "1764036001", "1764036001000", "20261125100001",
        "261125100001", "2611251000",
    ],
)  # fmt: skip
def test_a_time_is_read_in_the_forms_that_providers_write(text: str) -> None:
    read = parse_time(text, NOW)
    assert read is not None
    assert abs((read.replace(year=2026, second=1) - datetime(2026, 11, 25, 2, 0, 1, tzinfo=UTC)).total_seconds()) < 1


@given(st.text() | st.integers(0, 10**15).map(str))
@example("²")
@example("99999999999999")
def test_any_time_in_any_form_is_a_moment_or_none(text: str) -> None:
    at = parse_time(text, NOW)
    assert at is None or at.tzinfo is not None
