"""The report lists missed targets with their reasons."""

from imsg_bench.report import markdown, reasons
from imsg_bench.result import Result, Series

PAGE = "# Head\n\nwords\n\n## G. Embedded\n\nIt is one process.\n\n## I. Memory\n\nThree databases.\n"


def test_a_page_of_reasons_has_a_section_for_each_measurement() -> None:
    """By the letter before the full stop."""
    assert reasons(PAGE) == {"G": "It is one process.", "I": "Three databases."}


def test_what_was_missed_is_listed_with_why_and_what_was_reached_is_not() -> None:
    """A measurement without a known reason says so."""
    found = {"scale": "quick", "at": "now", "machine": {}}
    results = [
        Result("Z", "Unknown", (Series("rate", "1/s", (1.0,), at_least=2),)),
        Result("Y", "Fine", (Series("other", "1/s", (3.0,), at_least=2),)),
    ]
    page = markdown(found, results, {"Z": "method", "Y": "method"})
    assert "## What was not reached, and why" in page
    assert "- rate: 1.00 1/s, to be ≥ 2" in page
    assert "Not looked into yet." in page
    assert "- other:" not in page


def test_a_run_that_reached_everything_has_no_such_part() -> None:
    """Nothing to explain."""
    found = {"scale": "quick", "at": "now", "machine": {}}
    page = markdown(found, [Result("Y", "Fine", (Series("other", "1/s", (3.0,), at_least=2),))], {"Y": "method"})
    assert "not reached" not in page
