"""Refusals as OpenAPI describes them: closed, with the table's own codes, and read back as they were written."""

from imsg_contract.error_responses import describe, reasons_of
from imsg_contract.errors import REASONS


def test_a_refusal_is_described_under_its_own_status_with_its_own_code() -> None:
    found = describe(["too_many_tries", "wrong_password", "token_invalid"])
    assert set(found) == {"401", "429"}
    schema = found["401"]["content"]["application/json"]["schema"]
    assert schema["additionalProperties"] is False
    assert schema["properties"]["errorCode"]["enum"] == [10005, 10007]
    assert schema["properties"]["reason"]["enum"] == ["token_invalid", "wrong_password"]
    assert "Retry-After" in found["429"]["headers"]


def test_every_reason_of_the_table_can_be_described_and_read_back() -> None:
    assert set(reasons_of(describe(REASONS))) == set(REASONS)


def test_only_an_unknown_outcome_names_the_request() -> None:
    for reason in REASONS:
        (answer,) = describe([reason]).values()
        assert ("id" in answer["content"]["application/json"]["schema"]["properties"]) == (reason == "outcome_unknown")


def test_only_a_recipient_cap_names_a_cap() -> None:
    for reason in REASONS:
        (answer,) = describe([reason]).values()
        assert ("cap" in answer["content"]["application/json"]["schema"]["properties"]) == (reason == "recipient_cap")


def test_a_description_holds_no_unfilled_value() -> None:
    (answer,) = describe(["username_taken"]).values()
    assert answer["description"] == "- 10004 `username_taken`: The username … exists; choose another."


def test_a_value_that_is_the_same_in_every_refusal_is_named() -> None:
    (answer,) = describe(["method_unknown"], {"methods_en": "smtp or sms"}).values()
    assert answer["description"] == "- 10008 `method_unknown`: method must be smtp or sms."
