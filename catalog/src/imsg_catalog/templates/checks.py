"""What is checked when a template is saved: its texts, and what providers are known to refuse. It names the place."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from imsg_channels import BY_NAME, content
from imsg_channels.sms import MAX_SMS_CHARACTERS
from imsg_channels.templates import fill_text
from imsg_contract.errors import Refusal
from imsg_contract.route_limits import ProviderLimits, TemplateLimits
from imsg_contract.templates import TemplateParam
from imsg_contract.wire import Category
from imsg_rendering.problems import MAX_VALUE_CHARACTERS, Param, Problem, TemplateError
from imsg_rendering.renderer import Renderer
from imsg_web.responses import refuse_value

Languages = Mapping[str, Mapping[str, Mapping[str, Any]]]

PLACE = "languages.{language}.{method}"

CODE_LIMITS = {"tencent": 6}
"""Kind of account → the most characters of a variable of a code (docs/providers.md)."""

OPT_OUT_WORDS = ("拒收请回复R", "退订")
"""One of them has to end an SMS of marketing."""


class _Part(NamedTuple):
    """The content of a language and method."""

    place: str
    method: str
    source: Mapping[str, Any]
    params: Sequence[Param]


class TemplateChecks:
    """Checks templates, given the limits that providers publish."""

    def __init__(self, renderer: Renderer) -> None:
        self._renderer = renderer

    async def check(
        self, category: Category, languages: Languages, limits: Mapping[str, Sequence[ProviderLimits]]
    ) -> tuple[TemplateParam, ...]:
        """Return the params of a template. Raises Refusal wrong_type, which names a text, its line and column."""
        parts = [part async for part in self._inspect(languages)]
        params = _merge(parts, category, limits)
        examples = {param.name: param.example for param in params}
        for part in parts:
            try:
                rendered = await self._renderer.render_one(part.source, examples)
            except TemplateError as error:
                raise refuse_problem(part.place, error.problem) from error
            if part.method == "smtp":
                _check_mail(part.place, rendered)
            else:
                _check_providers(part, rendered, category, limits.get(part.method, ()))
        return params

    async def _inspect(self, languages: Languages) -> Any:  # noqa: ANN401  an iterator of parts
        for language, methods in languages.items():
            for method, source in methods.items():
                place = PLACE.format(language=language, method=method)
                try:
                    yield _Part(place, method, source, await self._renderer.inspect(source))
                except TemplateError as error:
                    raise refuse_problem(place, error.problem) from error


def refuse_problem(place: str, problem: Problem) -> Refusal:
    """Return the refusal of a text, with line and column."""
    field = f"{place}.{problem.field}" if problem.line else place
    zh = f"第 {problem.line} 行第 {problem.column} 列：{problem.zh}" if problem.line else problem.zh
    en = f"line {problem.line}, column {problem.column}: {problem.en}" if problem.line else problem.en
    return refuse_value(field, zh, en)


def find_longest(
    provider: ProviderLimits, template: TemplateLimits | None, variable: str, category: Category
) -> int | None:
    """Return the most characters that a provider takes in a variable; None where none is known."""
    bounds = [provider.longest, CODE_LIMITS.get(provider.kind) if category is Category.CODE else None]
    if template is not None:
        bounds.append(template.variables.get(variable))
    return min((bound for bound in bounds if bound is not None), default=None)


def _merge(
    parts: Sequence[_Part], category: Category, limits: Mapping[str, Sequence[ProviderLimits]]
) -> tuple[TemplateParam, ...]:
    """Merge the params of all texts: the smallest limit of each counts, and whether any text needs it."""
    required: dict[str, bool] = {}
    longest: dict[str, int] = {}
    for part in parts:
        providers = {limit.name: limit for limit in limits.get(part.method, ())}
        for param in part.params:
            required[param.name] = required.get(param.name, False) or param.required
            bounds = [
                bound
                for provider, variable in _find_variables(part.source, param)
                if (known := providers.get(provider)) is not None
                and (bound := find_longest(known, _find_template(known, part.source), variable, category)) is not None
            ]
            longest[param.name] = min([longest.get(param.name, MAX_VALUE_CHARACTERS), *bounds])
    return tuple(
        TemplateParam(name=name, required=needed, max=longest[name], example=_make_example(name, longest[name]))
        for name, needed in required.items()
    )


def _find_variables(source: Mapping[str, Any], param: Param) -> Iterator[tuple[str, str]]:
    """Yield the provider and variable of each text that is the param and nothing else."""
    for provider, entry in source.get("providers", {}).items():
        for variable in entry.get("variables", {}):
            if f"providers.{provider}.variables.{variable}" in param.alone_in:
                yield provider, variable


def _find_template(provider: ProviderLimits, source: Mapping[str, Any]) -> TemplateLimits | None:
    return (provider.limits or {}).get(source["providers"][provider.name]["template"])


def _make_example(name: str, longest: int) -> str:
    return ("123456" if "code" in name.lower() or "码" in name else name)[:longest]


def _check_mail(place: str, rendered: Mapping[str, Any]) -> None:
    try:
        content.read(BY_NAME["smtp"].content, {"text": "", **rendered})
    except Refusal as refusal:
        raise refuse_value(place, str(refusal.values["why_zh"]), str(refusal.values["why_en"])) from refusal


def _check_providers(
    part: _Part, rendered: Mapping[str, Any], category: Category, providers: Sequence[ProviderLimits]
) -> None:
    known = {provider.name: provider for provider in providers}
    for name, entry in rendered["providers"].items():
        place = f"{part.place}.providers.{name}"
        if name not in known:
            if known:
                names = ", ".join(known)
                raise refuse_value(
                    place, f"没有这个服务商，现有：{names}", f"there is no such provider; there are {names}"
                )
            continue
        _check_entry(place, entry, known[name], category, part.method)


def _check_entry(
    place: str, entry: Mapping[str, Any], provider: ProviderLimits, category: Category, method: str
) -> None:
    variables: Mapping[str, str] = entry.get("variables", {})
    template = (provider.limits or {}).get(entry["template"])
    if template is None and provider.limits and method == "wechat":  # of WeChat's the settings name them all
        names = ", ".join(sorted(provider.limits))
        zh, en = f"没有这个模板，现有：{names}", f"there is no such template; there are {names}"
        raise refuse_value(f"{place}.template", zh, en)
    if template is not None:
        if missing := sorted(set(template.variables) - set(variables)):
            names = ", ".join(missing)
            raise refuse_value(f"{place}.variables", f"缺少 {names}", f"{names} is missing")
        if extra := sorted(set(variables) - set(template.variables)):
            names = ", ".join(extra)
            raise refuse_value(f"{place}.variables", f"模板没有变量 {names}", f"the template has no variable {names}")
    for variable, value in variables.items():
        longest = find_longest(provider, template, variable, category)
        if longest is not None and len(value) > longest:
            zh = f"最多 {longest} 个字符，现有 {len(value)} 个"
            raise refuse_value(
                f"{place}.variables.{variable}", zh, f"at most {longest} characters, it has {len(value)}"
            )
    if method != "sms" or template is None or not template.text:
        return
    text = fill_text(template, variables)
    if len(text) > MAX_SMS_CHARACTERS:
        zh = f"短信连同签名最多 {MAX_SMS_CHARACTERS} 个字符，现有 {len(text)} 个"
        raise refuse_value(place, zh, f"an SMS has at most {MAX_SMS_CHARACTERS} characters, this has {len(text)}")
    if category is Category.MARKETING and not any(words in text for words in OPT_OUT_WORDS):
        zh = "营销短信的模板须含“拒收请回复R”，请换用含有它的模板"
        raise refuse_value(place, zh, "marketing has to say 拒收请回复R; take a template that does")
