"""Receipts of the provider, read from whatever arrives."""

from datetime import UTC, datetime

from hypothesis import example, given
from hypothesis import strategies as st

from imsg_contract.wire import Status
from imsg_sms.providers.aliyun import read_receipt
from imsg_sms.providers.entries import read_entries
from imsg_sms.providers.meanings import moment

NOW = datetime(2026, 11, 25, 3, 0, tzinfo=UTC)

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=6,
)
NAMES = ("biz_id", "phone_number", "success", "err_code", "err_msg", "report_time", "out_id")


@given(st.binary())
def test_any_body_is_entries_or_none(body: bytes) -> None:
    entries = read_entries(body)
    assert entries is None or isinstance(entries, list)


@given(st.fixed_dictionaries({}, optional=dict.fromkeys(NAMES, JSON)) | JSON)
def test_any_entry_is_a_receipt_or_nothing(entry: object) -> None:
    read_receipt(entry, NOW)


@given(success=JSON, code=JSON, message=JSON, time=JSON, out_id=JSON)
def test_whatever_stands_beside_the_number_a_receipt_can_be_kept(**beside: object) -> None:
    entry = {
        "biz_id": "932702304080415357^0",
        "phone_number": "13800138000",
        "success": beside["success"],
        "err_code": beside["code"],
        "err_msg": beside["message"],
        "report_time": beside["time"],
        "out_id": beside["out_id"],
    }
    read = read_receipt(entry, NOW)
    assert read is not None
    assert read.receipt.status in (Status.DELIVERED, Status.FAILED)
    kept = read.receipt.model_dump_json()
    assert "\\u0000" not in kept
    kept.encode()


@given(st.text() | st.datetimes().map(lambda at: at.isoformat(" ")))
@example("0001-01-01 00:00:00")
@example("9999-12-31 23:59:59-14:00")
def test_any_time_of_the_provider_is_a_moment_or_none(text: str) -> None:
    at = moment(text)
    assert at is None or at.tzinfo is UTC
