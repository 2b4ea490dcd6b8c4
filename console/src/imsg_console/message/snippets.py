"""The code that sends a request again, for curl, Python and Java: right for every character, and short.

Long data stays out of it: attachments are read from their files, many recipients from `recipients.txt`.
"""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from imsg_console.message.summary import is_template

LIST_FILE = "recipients.txt"

KEY_PLACE = "YOUR-API-KEY"
"""The placeholder of the key in code of a request that was sent; ASCII, as a header has to be."""

LONG_LIST = 20
"""Recipients from which on they are read from a file."""

JAVA_LITERAL = 10_000
"""Letters of one Java string constant: it takes 65,535 bytes (JVMS, section 4.4.7), and a letter up to six."""


@dataclass(frozen=True, slots=True)
class SentRequest:
    """A request that was sent, or an example of one."""

    url: str
    """Where iMSG is, without a slash at the end."""
    method: str
    to: Sequence[str]
    content: Any
    files: Sequence[str] = ()
    """Names of attachments."""
    account: str | None = None
    category: str = "notice"
    can_query: bool = True
    """Whether the key may query the request."""

    @property
    def is_long(self) -> bool:
        """Whether the recipients are read from a file."""
        return len(self.to) > LONG_LIST


@dataclass(frozen=True, slots=True)
class _Base64:
    name: str


@dataclass(frozen=True, slots=True)
class _Lines:
    name: str


_Piece = str | _Base64 | _Lines
"""The JSON text in pieces: what is written out, and what is read from a file."""


def curl(sent: SentRequest, key: str) -> str:
    """Write it for a POSIX shell."""
    pieces = list(_body(sent))
    if len(pieces) == 1:
        quote, body = "'JSON'", str(pieces[0])  # quoted: the shell leaves every character alone
    else:
        quote, body = "JSON", "".join(map(_for_shell, pieces))
    return (
        f"curl {_shell(sent.url + '/api/v2/messages')} -H {_shell(f'Authorization: Bearer {key}')} "
        f"-d @- <<{quote}\n{body}\nJSON\n"
    )


def curl_me(url: str, key: str) -> str:
    """Write the call that says what a key may do."""
    return f"curl {_shell(url + '/api/v2/me')} -H {_shell(f'Authorization: Bearer {key}')}\n"


def python(sent: SentRequest, key: str) -> str:
    """Write it for Python 3.11 or newer and imsg-client, which is beside the server's source in clients/python."""
    names = "Attachment, Client" if sent.files else "Client"
    words = [f"        {_text(sent.content)},"]
    if is_template(sent.content):
        words = [f"        {name}={_text(value)}," for name, value in _words(sent.content).items()]
    more: list[str] = []
    if sent.files:
        files = ", ".join(f"Attachment.read({_text(name)})" for name in sent.files)
        more.append(f"        attachments=[{files}],")
    if sent.account:
        more.append(f"        account={_text(sent.account)},")
    if sent.category != "notice":
        more.append(f"        category={_text(sent.category)},")
    return "\n".join(
        [
            "# pip install ./clients/python  (in a copy of iMSG's source)",
            f"from imsg_client import {names}",
            "",
            f"with Client({_text(sent.url)}, key={_text(key)}) as imsg:",
            "    sent = imsg.send(",
            f"        {_text(sent.method)},",
            f"        {_python_to(sent)},",
            *words,
            *more,
            "    )",
            "    print(sent)",
            *(["    print(imsg.wait_until_settled(sent.id))"] if sent.can_query else []),
            "",
        ]
    )


def java(sent: SentRequest, key: str) -> str:
    """Write it for Java 11 or newer, with its standard library alone: `java Send.java`."""
    return _JAVA.format(
        url=_java_text(f"{sent.url}/api/v2/messages"),
        authorization=_java_text(f"Bearer {key}"),
        body="\n            + ".join(_for_java(piece) for piece in _body(sent)),
        base64=_JAVA_BASE64 if sent.files else "",
        lines=_JAVA_LINES if sent.is_long else "",
    )


_JAVA = """\
import java.net.URI;
import java.net.http.*;
import java.nio.file.*;
import java.util.*;
import java.util.stream.*;

public class Send {{{base64}{lines}
    public static void main(String[] args) throws Exception {{
        String body = {body};
        HttpRequest request = HttpRequest.newBuilder(URI.create({url}))
            .header("Authorization", {authorization})
            .POST(HttpRequest.BodyPublishers.ofString(body)).build();
        HttpResponse<String> response = HttpClient.newHttpClient().send(request, HttpResponse.BodyHandlers.ofString());
        System.out.println(response.body());
    }}
}}
"""

_JAVA_BASE64 = """
    static String base64(String name) throws Exception {
        return Base64.getEncoder().encodeToString(Files.readAllBytes(Path.of(name)));
    }
"""

_JAVA_LINES = """
    static String lines(String name) throws Exception {
        return Files.readAllLines(Path.of(name)).stream()
            .map(line -> '"' + line.replace("\\\\", "\\\\\\\\").replace("\\"", "\\\\\\"") + '"')
            .collect(Collectors.joining(","));
    }
"""


def _body(sent: SentRequest) -> Iterable[_Piece]:
    """Write the body of POST /api/v2/messages in as few pieces as can be."""
    fields: dict[str, Any] = {"method": sent.method, **_words(sent.content)}
    if sent.account:
        fields["account"] = sent.account
    if sent.category != "notice":
        fields["category"] = sent.category
    text = _text(fields).removesuffix("}")
    if not sent.is_long:
        text += f', "to": {_text(list(sent.to))}'
    else:
        yield text + ', "to": ['
        yield _Lines(LIST_FILE)
        text = "]"
    if sent.files:
        text += ', "attachment": ['
        for number, name in enumerate(sent.files):
            yield text + f'{", " if number else ""}{{"filename": {_text(name)}, "file": "'
            yield _Base64(name)
            text = '"}'
        text += "]"
    yield text + "}"


def _words(content: Any) -> dict[str, Any]:  # noqa: ANN401  any JSON
    """Return the fields that say what is sent: a content, or a template that users keep."""
    if not is_template(content):
        return {"content": content}
    return {name: content[name] for name in ("template", "params", "language") if content.get(name)}


def _text(value: Any) -> str:  # noqa: ANN401  any JSON
    """Write a value as JSON that is a literal of Python too: strings, lists and objects of them alone."""
    return json.dumps(value, ensure_ascii=False)


def _python_to(sent: SentRequest) -> str:
    if sent.is_long:
        return f'open("{LIST_FILE}", encoding="utf-8").read().splitlines()'
    return _text(list(sent.to))


def _shell(word: str) -> str:
    return "'" + word.replace("'", "'\\''") + "'"


def _for_shell(piece: _Piece) -> str:
    """Write a piece into a here-document in which the shell still reads `$`, backquotes and backslashes."""
    match piece:
        case _Base64(name):
            return f"$(base64 < {_shell(_path(name))} | tr -d '\\n')"
        case _Lines(name):
            return f"""$(sed 's/["\\\\]/\\\\&/g; s/.*/"&"/' {_shell(name)} | paste -sd , -)"""
        case str(text):
            return text.replace("\\", "\\\\").replace("$", "\\$").replace("`", "\\`")


def _path(name: str) -> str:
    return f"./{name}" if name.startswith("-") else name


def _for_java(piece: _Piece) -> str:
    match piece:
        case _Base64(name):
            return f"base64({_java_text(name)})"
        case _Lines(name):
            return f"lines({_java_text(name)})"
        case str(text):
            return _java_text(text)


def _java_text(text: str) -> str:
    """Write a string of Java; in constants short enough for its compiler."""
    if len(text) > JAVA_LITERAL:
        parts = [text[at : at + JAVA_LITERAL] for at in range(0, len(text), JAVA_LITERAL)]
        return f'String.join("", {", ".join(map(_java_text, parts))})'
    return '"' + "".join(map(_java_letter, text)) + '"'


def _java_letter(letter: str) -> str:
    if letter in '"\\':
        return f"\\{letter}"
    if letter.isascii() and letter.isprintable():  # others as escapes: how Java reads its source depends on the locale
        return letter
    return "".join(f"\\u{unit:04x}" for unit in _units(letter))


def _units(letter: str) -> list[int]:
    encoded = letter.encode("utf-16-be", "surrogatepass")
    return [int.from_bytes(encoded[at : at + 2]) for at in range(0, len(encoded), 2)]


LANGUAGES: Mapping[str, Callable[[SentRequest, str], str]] = {"curl": curl, "Python": python, "Java": java}
"""Name → what writes the code of a request, with an API key."""
