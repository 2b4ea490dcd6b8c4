"""Providers' texts on a recipient, without the address."""

import pytest

from imsg_history.hidden_contacts import replace_contact


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("zhang.san@corp.example", "<ZHANG.SAN@Corp.Example>: User unknown"),
        ("zhang.san@corp.example", "User zhang.san unknown at corp.example"),
        ("zhang.san@corp.example", "İ: zhang.san@corp.example"),
        ("+8615912341256", "isv.MOBILE_NUMBER_ILLEGAL: 15912341256"),
        ("+8615912341256", "8615912341256,+8615912341256 not reachable"),
        ("7K3-M9Q-2XF", "no 7k3-m9q-2xf here"),
    ],
)
def test_an_address_and_its_parts_give_way_to_the_name(address: str, said: str) -> None:
    kept = replace_contact(address, "小张", said)
    assert kept is not None
    assert "小张" in kept
    for part in ("zhang", "corp", "15912341256", "7k3-m9q-2xf"):
        assert part not in kept.lower()


def test_other_words_stay_as_they_are() -> None:
    assert replace_contact("ann@example.com", "小安", "Announced by annex; 12ann") == "Announced by annex; 12ann"
    assert replace_contact("ann@example.com", "小安", None) is None
