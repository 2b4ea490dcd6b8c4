"""The mutants that may survive stand in lines that are there, each with a reason."""

import tomllib

from imsg_testing.deployed import ROOT

LISTED = tomllib.loads((ROOT / "tests/mutants.toml").read_text(encoding="utf-8"))["survivors"]


def test_each_line_whose_mutants_may_survive_is_there_and_has_a_reason() -> None:
    for row in LISTED:
        lines = {line.strip() for line in (ROOT / row["module"]).read_text(encoding="utf-8").splitlines()}
        assert row["line"] in lines, f"tests/mutants.toml: {row['module']} has no line {row['line']!r}"
        assert row["why"].strip(), row["line"]
