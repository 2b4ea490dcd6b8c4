"""Files of people on the command line, read as the web page reads them."""

import sys
from pathlib import Path

from imsg.output import usage
from imsg_console import spreadsheets
from imsg_console.readers import UnreadableError
from imsg_console.recipients.people_sheet import PeopleSheet, Problem, read_best

DUPLICATE = "people.duplicate"

WHY = {
    DUPLICATE: "the same person as in line {text}",
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
        raise usage(f"{file} can't be read: {(error.strerror or str(error)).lower()}.") from error
    except UnreadableError as error:
        reason = "is empty" if error.why == "files.empty" else "can't be read; save it as .xlsx or CSV"
        raise usage(f"{file} {reason}.") from error
    _, sheet = read_best([page.rows for page in sheets])
    return sheet


def explain(problem: Problem) -> str:
    """Say what is wrong with a row."""
    return WHY.get(problem.why, "{text} is no address of this column").format(text=problem.text)
