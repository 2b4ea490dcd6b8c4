"""The signature of a message: an opt-out holds for one signature."""

from collections import defaultdict
from collections.abc import Iterable, Mapping

from imsg_contract.route_limits import TemplateLimits

FREE_TEXT = ""
"""The key of free text, beside the names of templates."""


def find_signatures(providers: Iterable[tuple[Mapping[str, TemplateLimits], bool]]) -> dict[str, str]:
    """Return the signature, without 【】, of each template that has the same one at every provider.

    `providers` are pairs of limits by template, and whether the provider sends any text. A template whose signature
    differs, or is unknown at one provider, is left out: an opt-out of any signature then suppresses it.
    """
    by_template: defaultdict[str, set[str]] = defaultdict(set)
    for limits, takes_text in providers:
        default = next((template for template in limits.values() if template.default), None)
        if default is not None:
            by_template[FREE_TEXT].add(default.signature)
        elif takes_text:
            by_template[FREE_TEXT].add("")
        for name, template in limits.items():
            by_template[name].add(template.signature)
    bare = {
        name: next(iter(signatures)).strip("【】") for name, signatures in by_template.items() if len(signatures) == 1
    }
    return {name: signature for name, signature in bare.items() if signature}


def find_only_signature(limits: Mapping[str, TemplateLimits]) -> str | None:
    """Return the signature, without 【】, that all templates of a provider have; None if they differ or have none."""
    signatures = {template.signature.strip("【】") for template in limits.values()}
    return next(iter(signatures)) or None if len(signatures) == 1 else None
