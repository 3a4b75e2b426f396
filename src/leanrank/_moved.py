"""Names that have moved: asking for one at its old place says where it is now."""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["no_attribute"]


def no_attribute(module: str, name: str, moved: Mapping[str, str]) -> AttributeError:
    """The error of a module without this attribute; ``moved`` maps old names to new places."""
    if name in moved:
        return AttributeError(f"{module}.{name} has moved: it is now {moved[name]}")
    return AttributeError(f"module {module!r} has no attribute {name!r}")
