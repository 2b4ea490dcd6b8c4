"""Templates in Liquid: what they take, what is wrong with them, and their words. Nothing here waits or keeps anything.

A source is the content of a channel whose texts are Liquid: `{subject, text, html?}` of mail, for example. All texts
are rendered, however deep they stand; values are escaped in those under the key `html` alone.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache, partial
from types import MappingProxyType
from typing import Any

from liquid import BoundTemplate, Environment, Node, StrictDefaultUndefined, Token
from liquid.ast import ConditionalBlockNode
from liquid.builtin.expressions import FilteredExpression, Path
from liquid.builtin.filters.misc import date as liquid_date
from liquid.builtin.tags.if_tag import IfNode
from liquid.builtin.tags.unless_tag import UnlessNode
from liquid.exceptions import (
    FilterArgumentError,
    LiquidError,
    LiquidSyntaxError,
    ResourceLimitError,
    UndefinedError,
)
from liquid.expression import Expression
from liquid.filter import with_environment

from imsg_rendering.problems import (
    MAX_PARAMS,
    MAX_SOURCE_CHARACTERS,
    MAX_VALUE_CHARACTERS,
    Param,
    Problem,
    TemplateError,
)

HTML = "html"
"""The key of the text in which values are escaped."""

UNSUPPORTED_TAGS = ("include", "render")
UNSUPPORTED_FILTERS = ("safe",)
"""There are no other templates to include, and no value that is known to be HTML."""


class _Environment(Environment):
    block_nesting_limit = 20
    context_depth_limit = 20
    loop_iteration_limit = 10_000
    local_namespace_limit = 512 * 1024
    output_stream_limit = 512 * 1024


@with_environment
def _date(value: Any, layout: str, *, environment: Environment) -> str:  # noqa: ANN401  any value
    """Format a date; not the present one, with which a check and a send would differ."""
    if value in {"now", "today"}:
        raise FilterArgumentError("date takes no now: give the date as a param", token=None)
    return str(liquid_date(value, layout, environment=environment))


def _make_environment(*, autoescape: bool) -> Environment:
    environment = _Environment(undefined=StrictDefaultUndefined, strict_filters=True, autoescape=autoescape)
    for tag in UNSUPPORTED_TAGS:
        del environment.tags[tag]
    for name in UNSUPPORTED_FILTERS:
        del environment.filters[name]
    environment.add_filter("date", _date)
    return environment


_PLAIN, _ESCAPING = _make_environment(autoescape=False), _make_environment(autoescape=True)


class Template:
    """A compiled source."""

    def __init__(self, source: Mapping[str, Any]) -> None:
        """Compile a source. Raises TemplateError."""
        texts = dict(_walk(source))
        if sum(map(len, texts.values())) > MAX_SOURCE_CHARACTERS:
            raise TemplateError(
                Problem(
                    "too_long",
                    f"模板最多 {MAX_SOURCE_CHARACTERS} 个字符",
                    f"a template has at most {MAX_SOURCE_CHARACTERS} characters",
                )
            )
        self._source = source
        self._compiled = {field: _compile(field, text) for field, text in texts.items()}
        self.params = _find_params(self._compiled)
        if len(self.params) > MAX_PARAMS:
            raise TemplateError(
                Problem("too_long", f"模板最多 {MAX_PARAMS} 个变量", f"a template has at most {MAX_PARAMS} params")
            )

    def render(self, params: Mapping[str, str]) -> dict[str, Any]:
        """Return the source with its texts rendered, ignoring params that it does not take. Raises TemplateError."""
        self._check(params)
        values = {param.name: params.get(param.name) for param in self.params}
        rendered: dict[str, Any] = _fill(self._source, lambda field: self._render(field, values))
        return rendered

    def _check(self, params: Mapping[str, str]) -> None:
        for param in self.params:
            value = params.get(param.name)
            if value is None and param.required:
                raise TemplateError(Problem("missing", f"缺少 {param.name}", f"{param.name} is missing", param.name))
            if len(value or "") > MAX_VALUE_CHARACTERS:
                zh, en = f"最多 {MAX_VALUE_CHARACTERS} 个字符", f"has at most {MAX_VALUE_CHARACTERS} characters"
                raise TemplateError(Problem("value", f"{param.name} {zh}", f"{param.name} {en}", param.name))

    def _render(self, field: str, values: Mapping[str, str | None]) -> str:
        compiled = self._compiled[field]
        try:
            return compiled.render(**values)
        except Exception as error:  # a person's program: whatever it raises is wrong with it
            raise TemplateError(_explain(field, compiled.source, error)) from error


@lru_cache(maxsize=64)
def _compile_at(text: str, *, escapes: bool) -> BoundTemplate:
    return (_ESCAPING if escapes else _PLAIN).from_string(text)


def _compile(field: str, text: str) -> "_Compiled":
    try:
        compiled = _Compiled(text, _compile_at(text, escapes=_is_html(field)))
    except Exception as error:  # as above
        raise TemplateError(_explain(field, text, error)) from error
    for name, spans in compiled.template.analyze(include_partials=False).filters.items():
        if name not in _PLAIN.filters:
            where = _find_place(text, spans[0].index)
            raise TemplateError(Problem("syntax", f"没有过滤器 {name}", f"there is no filter {name}", field, *where))
    return compiled


@dataclass(frozen=True, slots=True)
class _Compiled:
    source: str
    template: BoundTemplate

    def render(self, **values: str | None) -> str:
        return str(self.template.render(**values))


def _is_html(field: str) -> bool:
    return field.rpartition(".")[2] == HTML


def _walk(source: Any, path: str = "") -> Iterator[tuple[str, str]]:  # noqa: ANN401  any JSON
    """Yield each text, and the path of its keys."""
    if isinstance(source, str):
        yield path, source
    elif isinstance(source, Mapping):
        for key, value in source.items():
            yield from _walk(value, f"{path}.{key}" if path else key)


def _fill(source: Any, render: Callable[[str], str], path: str = "") -> Any:  # noqa: ANN401  any JSON
    if isinstance(source, str):
        return render(path)
    if isinstance(source, Mapping):
        return {key: _fill(value, render, f"{path}.{key}" if path else key) for key, value in source.items()}
    return source


def _find_params(compiled: Mapping[str, _Compiled]) -> tuple[Param, ...]:
    """List the params in the order of the texts."""
    required: dict[str, bool] = {}
    alone: dict[str, list[str]] = {}
    for field, text in compiled.items():
        names = set(text.template.analyze(include_partials=False).globals)
        uses = list(_find_uses(text.template.nodes, frozenset()))
        order = sorted(names, key=lambda name: next((n for n, use in enumerate(uses) if use[0] == name), len(uses)))
        for name in order:
            is_required = any(use == (name, True) for use in uses)
            required[name] = required.get(name, False) or is_required
            if text.source.strip() in {f"{{{{ {name} }}}}", f"{{{{{name}}}}}"}:
                alone.setdefault(name, []).append(field)
    return tuple(Param(name, is_required, tuple(alone.get(name, ()))) for name, is_required in required.items())


def _find_uses(nodes: Any, guarded: frozenset[str]) -> Iterator[tuple[str, bool]]:  # noqa: ANN401  nodes
    """Yield each name that is used, and whether it must have a value there."""
    for node in nodes:
        is_condition = isinstance(node, IfNode | UnlessNode | ConditionalBlockNode)
        inner = guarded
        for expression in node.expressions():
            for name, needs_value in _find_names(expression, needs_value=not is_condition):
                yield name, needs_value and name not in guarded
                inner = inner | {name} if is_condition else inner
        yield from _find_uses(_list_children(node), inner)


def _list_children(node: Node) -> list[Node]:
    return list(node.children(_STATIC, include_partials=False))


_STATIC: Any = None
"""What Liquid asks for to load partial templates, of which there are none."""


def _find_names(expression: Expression, *, needs_value: bool) -> Iterator[tuple[str, bool]]:
    if isinstance(expression, Path) and expression.path:
        yield str(expression.path[0]), needs_value
    filters = expression.filters if isinstance(expression, FilteredExpression) else None
    has_default = bool(filters) and filters is not None and filters[0].name == "default"
    for child in expression.children():
        is_left = isinstance(expression, FilteredExpression) and child is expression.left
        yield from _find_names(child, needs_value=needs_value and not (is_left and has_default))


_REASONS: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "BlockNestingError": ("嵌套过深", "it is nested too deep"),
        "ContextDepthError": ("嵌套过深", "it is nested too deep"),
        "LoopIterationLimitError": ("循环次数过多", "it loops too often"),
        "OutputStreamLimitError": ("生成的内容过长", "it writes too much"),
        "LocalNamespaceLimitError": ("变量占用的内存过多", "its variables take too much memory"),
    }
)


def _explain(field: str, text: str, error: Exception) -> Problem:
    token = _find_token(error)
    index = len(text) if token is None or token.start_index < 0 else min(token.start_index, len(text))
    line, column = _find_place(text, index)
    of = partial(Problem, field=field, line=line, column=column)
    near = "" if token is None else " ".join(token.value.split())[:40]
    message = str(error.message if isinstance(error, LiquidError) else error).partition("\n")[0][:200]
    if isinstance(error, ResourceLimitError):
        zh, en = _REASONS.get(type(error).__name__, ("超出限制", "it exceeds a limit"))
        return of("limit", zh, en)
    if isinstance(error, RecursionError):
        return of("limit", *_REASONS["BlockNestingError"])
    if isinstance(error, UndefinedError):
        return of("missing", f"没有 {near} 的这个值", message)
    if isinstance(error, LiquidSyntaxError):
        return of("syntax", _translate(message, near), message)
    return of("value", f"无法处理“{near}”处的值", message or type(error).__name__)


def _find_place(text: str, index: int) -> tuple[int, int]:
    """Return line and column, from 1."""
    return text.count("\n", 0, index) + 1, index - text.rfind("\n", 0, index)


def _translate(message: str, near: str) -> str:
    """Write in Chinese what a syntax error of Liquid says."""
    if message.startswith("expected tag "):
        return f"缺少 {{% {message.removeprefix('expected tag ').partition(',')[0]} %}}"
    if message.startswith(("expected '}}'", "expected '%}'")):
        return f"缺少 {message[10:12]}"
    if message.startswith("unexpected tag"):
        return f"标签 {near} 不存在，或没有与它对应的开始标签"
    return f"“{near}”处语法不正确" if near else "语法不正确"


def _find_token(error: Exception) -> Token | None:
    """Return the token that an error is about; where it names none, that of the innermost tag that was parsed."""
    token = getattr(error, "token", None)
    if isinstance(token, Token) and token.start_index >= 0:
        return token
    last_token, trace = None, error.__traceback__
    while trace is not None:
        of_tag = trace.tb_frame.f_locals.get("token")
        if isinstance(of_tag, Token) and of_tag.start_index >= 0:
            last_token = of_tag
        trace = trace.tb_next
    return last_token
