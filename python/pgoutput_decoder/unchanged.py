"""The stand-in for a value that PostgreSQL did not send."""

from __future__ import annotations

import enum
from typing import Final


class Unchanged(enum.Enum):
    """The type of `UNCHANGED`."""

    UNCHANGED = "UNCHANGED"

    def __repr__(self) -> str:
        return "UNCHANGED"

    def __str__(self) -> str:
        return "UNCHANGED"

    def __bool__(self) -> bool:
        return False


UNCHANGED: Final = Unchanged.UNCHANGED
"""In `message.after`: a value stored out of line (TOAST) that the update left as it was.

Not `None`, which is SQL's NULL: writing NULL to a copy of the table would lose the value. It is
false in a condition, equals only itself, and stays itself when copied or pickled.
"""
