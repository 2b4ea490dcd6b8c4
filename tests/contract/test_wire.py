"""The golden files: messages of the broker are read and written in the same bytes tomorrow."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import ValidationError

from imsg_contract.suppressions import Suppression
from imsg_contract.templates import PublishedTemplate
from imsg_contract.wire import Change, ChargeRecord, Events, Inbound, Job, Outcomes, Receipt, Wire

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


def test_no_message_between_services_refuses_fields_of_a_newer_version() -> None:
    def list_kinds(kind: type[Wire]) -> Iterator[type[Wire]]:
        for subclass in kind.__subclasses__():
            yield subclass
            yield from list_kinds(subclass)

    kinds = {*list_kinds(Wire)}
    assert {Job, Events, PublishedTemplate, ChargeRecord} < kinds
    assert {kind.__name__ for kind in kinds if kind.model_config.get("extra") != "ignore"} == set()


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
            free = {"content", "before", "after"}
            return {key: element if key in free else _with_more(element) for key, element in value.items()} | {
                "newer": [1, None]
            }
        case list():
            return [_with_more(element) for element in value]
    return value
