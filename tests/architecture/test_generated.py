"""The files are what `make generate` writes; tests/contract compares docs/openapi.json."""

from pathlib import Path

import pytest

from imsg_testing.deployed import ROOT
from imsg_testing.generate import fill, generate


@pytest.mark.parametrize(
    ("path", "text"), [pytest.param(*generated, id=str(generated[0].relative_to(ROOT))) for generated in generate()]
)
def test_a_file_follows_from_the_channels(path: Path, text: str) -> None:
    assert path.read_text(encoding="utf-8") == text, "run make generate"


def test_a_block_keeps_what_stands_around_it() -> None:
    text = "a: 1\n  # made by make generate: b\n  stale: 2\n  # made so far\nc: 3\n"
    filled = fill(text, {"b": lambda: iter(["fresh: 2", "", "more: 2"])})
    assert filled == "a: 1\n  # made by make generate: b\n  fresh: 2\n\n  more: 2\n  # made so far\nc: 3\n"


def test_a_missing_block_is_reported() -> None:
    with pytest.raises(ValueError, match="no block for b"):
        fill("a: 1\n", {"b": lambda: iter(())})
