"""docs/settings.md has every setting, in both languages, with a valid example."""

import json
import re
from typing import get_origin

import pytest
from pydantic import TypeAdapter, ValidationError
from pydantic_settings import NoDecode

from imsg.all_in_one import MODELS
from imsg_delivery.provider_kinds import find_form_field
from imsg_runtime.settings import variable
from imsg_testing.deployed import ROOT
from imsg_testing.settings_pages import Setting, find_settings
from imsg_testing.settings_texts import CHINESE, ELSEWHERE

SETTINGS = find_settings()
WITH_EXAMPLE = [
    setting
    for setting in SETTINGS
    if setting.example and not setting.example.endswith((".pem", ".json")) and setting.path[0] != "peer_keys"
]
"""All but tables, files that would have to be here, and the one that is a part of its field."""


def describe(setting: Setting) -> str:
    return " ".join((setting.info.description or "").split())


def test_every_first_word_that_a_service_reads_is_on_the_page() -> None:
    read = {name for model in MODELS for name, field in model.model_fields.items() if not field.exclude}
    assert read - {setting.path[0] for setting in SETTINGS} == set()


def test_every_description_is_translated_and_no_translation_is_left_over() -> None:
    """A field of a provider's form has its Chinese beside it."""
    others = [setting for setting in SETTINGS if find_form_field(setting.info) is None]
    described = {describe(setting) for setting in others} | {setting.meaning for setting in ELSEWHERE}
    assert described == set(CHINESE)


@pytest.mark.parametrize("setting", WITH_EXAMPLE, ids=lambda setting: ".".join(setting.path))
def test_an_example_is_taken(setting: Setting) -> None:
    is_json = get_origin(setting.info.annotation) is tuple and NoDecode not in setting.info.metadata
    body = json.loads(setting.example) if is_json else setting.example
    TypeAdapter(setting.info.rebuild_annotation()).validate_python(body)


def test_a_wrong_example_is_not_taken() -> None:
    (weight,) = (setting for setting in SETTINGS if setting.path == ("smtp", "weight"))
    with pytest.raises(ValidationError):
        TypeAdapter(weight.info.rebuild_annotation()).validate_python("many")


def test_a_secret_is_marked() -> None:
    rows = dict(
        re.findall(r"^\| `(IMSG_\w+)`(?:<br>`\S+`)? (\| .*)$", (ROOT / "docs/settings.md").read_text(), re.MULTILINE)
    )
    for path in (("smtp", "password"), ("token_key",), ("peer_keys", "NAME"), ("wecom", "robots", "NAME", "key")):
        assert "**secret**" in rows[variable(*path)]
    assert "**secret**" not in rows["IMSG_PORT"]
