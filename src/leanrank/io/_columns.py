"""Columns by name: which hold rows, columns and values of a list of entries."""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import suppress

from leanrank._files import FileError, PathLike

__all__ = ["find_column", "find_columns", "find_roles", "named_roles", "plain_name"]

_ROLES = (
    "row rows i user userid userno customer customerid client member reader reviewer reviewerid "
    "viewer patient subject rowid",
    "col cols column columns j item itemid movie movieid film filmid product productid asin book "
    "bookid isbn song track artist artistid game gameid business businessid article columnid",
    "value values v x y rating ratings score stars",
)
"""What columns of a long table are called, for rows, columns and values."""
_WORDS = ("row", "column", "value")


def plain_name(name: str) -> str:
    """A name without capitals and signs: "User-ID" is "userid"."""
    return re.sub(r"[^a-z0-9]", "", name.lower())


def find_column(path: PathLike, first: Sequence[str], wanted: str | int, what: str) -> int:
    """The column of a name, or of a number counted from 1."""
    names = [name.strip() for name in first]
    if isinstance(wanted, str) and names.count(wanted.strip()) == 1:
        return names.index(wanted.strip())
    with suppress(ValueError):
        if 1 <= int(wanted) <= len(first):
            return int(wanted) - 1
    raise FileError(
        f"{path}: {what} '{wanted}' is not one of its {len(first)} columns ("
        + ", ".join(names[:20])
        + "); give a name of these, or a number from 1"
    )


def find_columns(path: PathLike, first: Sequence[str], wanted: Sequence[str | int]) -> list[int]:
    """Different columns, each by its name or number."""
    found = [find_column(path, first, name, "column") for name in wanted]
    if len(set(found)) != len(found):
        count = {2: "two", 3: "three"}.get(len(found), f"{len(found)}")
        raise FileError(f"{path}: columns must be {count} different ones")
    return found


def named_roles(names: Sequence[str], count: int = 3) -> list[int] | None:
    """The columns of rows, columns and values by their names; None where these do not tell."""
    plain = [plain_name(name) for name in names]
    places = [[k for k, name in enumerate(plain) if name in role.split()] for role in _ROLES]
    found = [place[0] for place in places[:count] if len(place) == 1]
    return found if len(found) == count else None


def find_roles(
    path: PathLike,
    names: Sequence[str],
    wanted: Sequence[str | int] | None,
    count: int,
    beside: Sequence[int] = (),
) -> tuple[list[int], bool]:
    """Where the first ``count`` of row, column and value are in a list of entries.

    And whether they were found by names of columns.

    Parameters
    ----------
    path : path
    names : sequence of str
        Of all columns.
    wanted : sequence of str or int, optional
        What was said of them. By default they are found by their names; if these do not tell, and
        there are just as many, in this order.
    count : int
    beside : sequence of int
        Columns that hold something else.
    """
    if wanted is not None:
        if len(wanted) != count:
            raise FileError(f"columns must be {count}, for {_listed(count)}, got {len(wanted)}")
        named = any(str(name) in map(str.strip, names) for name in wanted)
        return find_columns(path, names, wanted), named
    found = named_roles(names, count)
    named = found is not None
    others = [k for k in range(len(names)) if k not in beside]
    if found is None and len(others) == count and not _contradicted([names[k] for k in others]):
        found = others
        # Labels alone do not tell whether they stand below names, as values do.
        named = count < 3 and any(_is_role(name) for name in names)
    if found is None:
        raise FileError(
            f"{path}: does not tell which of its {len(names)} columns "
            f"({', '.join(name.strip() for name in names[:20])}) hold {_listed(count)}; say so, by "
            "name or by number from 1 (--columns)"
            + ("; a table with gaps is for `leanrank complete`" if count == 3 else "")
        )
    return found, named


def _listed(count: int) -> str:
    words = _WORDS[:count]
    return words[0] if count == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def _is_role(name: str) -> bool:
    """Whether it is what columns are called; single letters are labels as well."""
    return len(name.strip()) > 1 and any(plain_name(name) in role.split() for role in _ROLES)


def _contradicted(names: Sequence[str]) -> bool:
    """Whether the name of a column says that it is something else than its place says."""
    return any(
        plain_name(name) in role.split()
        for k, name in enumerate(names)
        for place, role in enumerate(_ROLES)
        if place != k
    )
