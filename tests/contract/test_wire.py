"""The golden files: what travels through the broker today must be read, and written alike, tomorrow."""

import json
from pathlib import Path

import pytest
from pydantic import ValidationError

from imsg_contract.suppressions import Suppression
from imsg_contract.topology import Lane
from imsg_contract.wire import Category, Change, Inbound, Job, Outcomes, Receipt, Wire

FOLDER = Path(__file__).parent / "wire"

GOLDEN: dict[str, type[Wire]] = {
    "job_whole": Job,
    "job_part": Job,
    "job_by_reference": Job,
    "outcomes": Outcomes,
    "receipt": Receipt,
    "receipt_named": Receipt,
    "complaint": Receipt,
    "inbound": Inbound,
    "change": Change,
    "suppression": Suppression,
}


def golden(name: str) -> bytes:
    """Read a golden file without its last line break."""
    return (FOLDER / f"{name}.json").read_bytes().rstrip(b"\n")


def test_every_golden_file_has_its_type() -> None:
    assert {file.stem for file in FOLDER.glob("*.json")} == set(GOLDEN)


@pytest.mark.parametrize("name", GOLDEN)
def test_a_golden_file_is_read_and_written_as_it_is(name: str) -> None:
    """Byte for byte: compact, UTF-8, Chinese unescaped, in the order of the fields."""
    body = golden(name)
    assert GOLDEN[name].model_validate_json(body).encode() == body


@pytest.mark.parametrize("name", GOLDEN)
def test_fields_of_a_newer_version_are_ignored(name: str) -> None:
    body = golden(name)
    newer = _with_more(json.loads(body))
    assert GOLDEN[name].model_validate_json(json.dumps(newer)).encode() == body


@pytest.mark.parametrize("name", ["job_whole", "job_part", "job_by_reference"])
def test_a_job_of_before_copies_were_numbered_is_read(name: str) -> None:
    older = json.loads(golden(name))
    del older["turn"]
    assert Job.model_validate_json(json.dumps(older)).fencing_token == 0


@pytest.mark.parametrize("name", ["job_whole", "job_part", "job_by_reference"])
def test_a_job_of_before_requests_had_references_is_read(name: str) -> None:
    older = json.loads(golden(name))
    del older["reference"]
    assert Job.model_validate_json(json.dumps(older)).reference is None


@pytest.mark.parametrize(("name", "lane"), [("job_whole", "bulk"), ("job_by_reference", "normal")])
def test_a_job_of_two_lanes_is_read_and_one_of_three_can_be_read_by_who_knows_two(name: str, lane: str) -> None:
    """The lane is `way`, and `lane` in the words of before: `single` for all but `bulk`."""
    written = json.loads(golden(name))
    word = {"bulk": "bulk", "normal": "single", "priority": "single"}
    assert (written["way"], written["lane"]) == (lane, word[lane])
    del written["way"]
    older = Job.model_validate_json(json.dumps(written))
    assert older.lane == lane
    urgent = older.model_copy(update={"lane": Lane.PRIORITY}).encode()
    assert json.loads(urgent)["lane"] == "single"
    assert Job.model_validate_json(urgent).lane is Lane.PRIORITY


@pytest.mark.parametrize("name", ["job_whole", "job_part", "job_by_reference"])
def test_a_job_of_before_there_were_categories_is_a_notice(name: str) -> None:
    older = json.loads(golden(name))
    del older["category"]
    assert Job.model_validate_json(json.dumps(older)).category is Category.NOTICE


@pytest.mark.parametrize(
    ("name", "fields"),
    [
        ("job_whole", ("user_id",)),
        ("job_part", ("user_id",)),
        ("job_by_reference", ("user_id",)),
        ("change", ("actor_id", "subject_id")),
    ],
)
def test_what_was_written_before_users_had_ids_is_read(name: str, fields: tuple[str, ...]) -> None:
    older = json.loads(golden(name))
    for field in fields:
        del older[field]
    read = GOLDEN[name].model_validate_json(json.dumps(older))
    assert [getattr(read, field) for field in fields] == [None] * len(fields)


def test_a_complaint_moves_no_message_of_a_history_that_does_not_know_them() -> None:
    older = json.loads(golden("complaint"))
    del older["complaint_of"]
    read = Receipt.model_validate_json(json.dumps(older))
    assert (read.request, read.address) == (None, ""), "it joins none by its own name, nor by whom it went to"


@pytest.mark.parametrize("name", GOLDEN)
def test_a_message_of_another_version_is_refused(name: str) -> None:
    """The version is raised only when an old reader would misread."""
    other = {**json.loads(golden(name)), "v": 2}
    with pytest.raises(ValidationError):
        GOLDEN[name].model_validate_json(json.dumps(other))


def test_a_part_is_named_by_its_request_and_first_recipient() -> None:
    whole = Job.model_validate_json(golden("job_whole"))
    assert whole.name == f"{whole.request}/0"
    rest = whole.model_copy(update={"chunk": 50, "recipients": whole.recipients[1:]})
    assert rest.name == f"{whole.request}/50"


def _with_more(value: object) -> object:
    """Add an unknown field to every object but those whose keys are free."""
    match value:
        case dict():
            free = {"content", "details"}
            return {key: one if key in free else _with_more(one) for key, one in value.items()} | {"newer": [1, None]}
        case list():
            return [_with_more(one) for one in value]
    return value
