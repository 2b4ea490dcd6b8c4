"""Under which signature a message goes."""

from imsg_contract.route_limits import TemplateLimits
from imsg_sms.signatures import FREE_TEXT, find_only_signature, find_signatures


def limits(signature: str, *, default: bool = False) -> TemplateLimits:
    """Make a template's limits."""
    return TemplateLimits(signature=signature, default=default)


def test_a_signature_is_shown_where_every_provider_has_the_same() -> None:
    signed = {"code": limits("【天存】"), "text": limits("【天存】", default=True), "visit": limits("【天存】")}
    other = {"code": limits("【天存】"), "visit": limits("【天存医院】")}
    assert find_signatures([(signed, False), (other, False)]) == {"code": "天存", "text": "天存", FREE_TEXT: "天存"}


def test_no_signature_is_shown_where_a_provider_of_free_text_has_none() -> None:
    known = {"text": limits("【天存】", default=True)}
    assert find_signatures([(known, False), ({}, True)]) == {"text": "天存"}
    assert find_signatures([({"text": limits("", default=True)}, True)]) == {}


def test_a_provider_has_one_signature_where_all_of_its_templates_have_it() -> None:
    assert find_only_signature({"code": limits("【天存】"), "visit": limits("【天存】")}) == "天存"
    assert find_only_signature({"code": limits("【天存】"), "visit": limits("【天存医院】")}) is None
    assert find_only_signature({"code": limits("")}) is None
    assert find_only_signature({}) is None
