"""Files of people on the command line, read as the web page reads them."""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from imsg.output import complain, usage
from imsg_console import spreadsheets
from imsg_console.readers import UnreadableError
from imsg_console.recipients.address_reader import DUPLICATE, SEVERAL
from imsg_console.recipients.people_sheet import PeopleSheet, Person, Problem, read_best
from imsg_runtime.lines import fill

WHY = {
    DUPLICATE: "the same person as in line {text}",
    SEVERAL: "{text} holds several addresses: write one in each row",
    "send.none_in_row": "no address",
    "send.bad_email": "{text} is no e-mail address",
    "send.bad_phone": "{text} is no phone number",
    "send.landline": "{text} is a landline",
    "send.lost_digits": "{text} has lost digits: make the column text, and enter it again",
}
"""What is wrong with a row, in words."""


def read_people(file: Path) -> PeopleSheet:
    """Read the people of a file, of a workbook those of the sheet with most. Raises a usage error."""
    try:
        content = sys.stdin.buffer.read() if str(file) == "-" else file.read_bytes()
        sheets = spreadsheets.read(content, spreadsheets.split_columns)
    except OSError as error:
        raise usage(fill("{0} can't be read: {1}.", file, (error.strerror or str(error)).lower())) from error
    except UnreadableError as error:
        reason = "is empty" if error.why == "files.empty" else "can't be read; save it as .xlsx or CSV"
        raise usage(f"{file} {reason}.") from error
    _, sheet = read_best([page.rows for page in sheets])
    return sheet


def explain(problem: Problem) -> str:
    """Return what is wrong with a row."""
    return WHY.get(problem.why, "{text} is no address of this column").format(text=problem.text)


def choose_people(
    sheet: PeopleSheet,
    method: str,
    takes: Sequence[Mapping[str, Any]] | None,
    params: Mapping[str, str],
    *,
    leave_out: bool,
) -> list[Person]:
    """Return the people of a sheet who can be sent to.

    `takes` is what a template takes, None without one; `params` are those for all. Raises a usage error that
    names the rows without an address, or without what the template needs. A heading names a param whatever its blanks,
    width and brackets, and in Chinese as in English: 姓名 fills `name`.
    """
    names = [take["name"] for take in takes or ()]
    needed = [take["name"] for take in takes or () if take["required"] and take["name"] not in params]
    wrong = [(problem.line, explain(problem)) for problem in sheet.problems if problem.why != DUPLICATE]
    people: list[Person] = []
    for person in sheet.name_params(names):
        missing = [name for name in needed if name not in person.params]
        if person.find(method) is None:
            wrong.append((person.line, fill("no address for {0}", method)))
        elif missing:
            wrong.append((person.line, fill("{0} is missing", ", ".join(missing))))
        else:
            people.append(person)
    for line, detail in sorted(wrong):
        complain(fill("line {0}: {1}", line, detail))
    if wrong and not leave_out:
        raise usage(fill("{0} rows are wrong, and nothing was sent; --leave-out sends to the others.", len(wrong)))
    if not people:
        raise usage("nobody in the sheet can be sent to, and nothing was sent.")
    return people
