"""The mirror's entries of an address, and the senders that they block."""

import pytest

from imsg_contract.suppressions import Entry, Reason, find_reason, write_entries

NOW_S = 1_800_000_000.0


@pytest.mark.parametrize(
    ("entry", "sender", "category", "found"),
    [
        (Entry(Reason.HARD_BOUNCE), "", "code", Reason.HARD_BOUNCE),
        (Entry(Reason.UNSUBSCRIBE, "news", "marketing"), "news", "marketing", Reason.UNSUBSCRIBE),
        (Entry(Reason.UNSUBSCRIBE, "news", "marketing"), "news", "notice", None),
        (Entry(Reason.UNSUBSCRIBE, "news", "marketing"), "", "marketing", None),
        (Entry(Reason.UNSUBSCRIBE, "news", "marketing"), None, "marketing", Reason.UNSUBSCRIBE),
        (Entry(Reason.OPT_OUT, "天存", None), "天存", "notice", Reason.OPT_OUT),
        (Entry(Reason.OPT_OUT, None, "marketing"), "天存", "marketing", Reason.OPT_OUT),
        (Entry(Reason.COMPLAINT, until_s=NOW_S + 1), "", "notice", Reason.COMPLAINT),
        (Entry(Reason.COMPLAINT, until_s=NOW_S), "", "notice", None),
    ],
)
def test_an_entry_keeps_from_an_address_what_it_is_about_and_nothing_else(
    entry: Entry, sender: str | None, category: str, found: Reason | None
) -> None:
    assert find_reason(write_entries([entry]).encode(), sender, category, NOW_S) is found


def test_of_several_the_first_that_holds_is_the_reason() -> None:
    entries = [Entry(Reason.UNSUBSCRIBE, "news"), Entry(Reason.HARD_BOUNCE)]

    assert find_reason(write_entries(entries).encode(), "", "notice", NOW_S) is Reason.HARD_BOUNCE


def test_a_reason_of_a_later_version_keeps_as_an_opt_out_does() -> None:
    assert find_reason(b'[["by_law",null,null,null,"more"]]', "", "notice", NOW_S) is Reason.OPT_OUT
