"""The steps by which callbacks' tables came to be what they are; the missing ones run at every start."""

from pathlib import Path

from imsg_database.migrate import Steps

STEPS = Steps(folder=Path(__file__).with_name("versions"), versions="callbacks_version", head="0003")
