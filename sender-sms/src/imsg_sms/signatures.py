"""The signature of a message, for which an opt-out holds."""

from collections import defaultdict
from collections.abc import Iterable, Mapping

from imsg_contract.wire import TemplateLimits

FREE = ""
"""Stands for free text, beside the names of templates."""


def find_signatures(providers: Iterable[tuple[Mapping[str, TemplateLimits], bool]]) -> dict[str, str]:
    """Say the signature of each template that has the same at every provider, without 【】.

    Of each provider are given its templates and whether it sends any words. Where providers differ, or one knows none,
    nothing is said: the person then gets nothing of which they may have opted out.
    """
    found: defaultdict[str, set[str]] = defaultdict(set)
    for limits, takes_text in providers:
        default = next((one for one in limits.values() if one.default), None)
        if default is not None:
            found[FREE].add(default.signature)
        elif takes_text:
            found[FREE].add("")
        for name, one in limits.items():
            found[name].add(one.signature)
    bare = {name: next(iter(each)).strip("【】") for name, each in found.items() if len(each) == 1}
    return {name: signature for name, signature in bare.items() if signature}


def find_only(limits: Mapping[str, TemplateLimits]) -> str | None:
    """Say the one signature of all of a provider's templates, without 【】; None where there are several, or none."""
    found = {one.signature.strip("【】") for one in limits.values()}
    return next(iter(found)) or None if len(found) == 1 else None
