"""A text that nothing shows by accident."""

from __future__ import annotations

import re
from typing import NoReturn, Self


class Secret:
    """A text that no repr, str, copy or pickle shows; only `reveal` does."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """The text itself, for the one place that sends it."""
        return self._text

    def fits(self, pattern: str) -> bool:
        """Whether the whole text matches; for checks that may not hold it."""
        return isinstance(self._text, str) and re.fullmatch(pattern, self._text) is not None

    def __repr__(self) -> str:
        return "Secret(***)"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and self._text == other._text

    def __hash__(self) -> int:
        return hash((Secret, self._text))

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: object) -> Self:
        return self

    def __getstate__(self) -> NoReturn:
        raise TypeError("a Secret has no state to show")

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Secret is not pickled; call Config.from_env() in the worker instead")


def secret(value: str | Secret) -> Secret:
    return value if isinstance(value, Secret) else Secret(value)
