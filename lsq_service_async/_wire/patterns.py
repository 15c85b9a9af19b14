"""Searches a text for a regular expression of the account, in linear time. ``re`` could block the event loop.

A pattern becomes a graph of states. All states that are possible at a position of the text are followed together.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from re import _constants, _parser  # type: ignore[attr-defined]  # typeshed has no stubs for them
from typing import Any

import attrs

_MAX_PATTERN = 1000  # characters
_MAX_STATES = 2000
_MAX_STEPS = 30_000  # about 0.05 s
_CATEGORIES = {
    _constants.CATEGORY_DIGIT: r"\d", _constants.CATEGORY_NOT_DIGIT: r"\D", _constants.CATEGORY_SPACE: r"\s",
    _constants.CATEGORY_NOT_SPACE: r"\S", _constants.CATEGORY_WORD: r"\w", _constants.CATEGORY_NOT_WORD: r"\W",
}  # fmt: skip
_POSITIONS = {
    _constants.AT_BEGINNING: r"\A", _constants.AT_BEGINNING_STRING: r"\A", _constants.AT_END: "$",
    _constants.AT_END_STRING: r"\Z", _constants.AT_BOUNDARY: r"\b", _constants.AT_NON_BOUNDARY: r"\B",
}  # fmt: skip


class _UndecidableError(Exception):
    """The pattern is not supported, is too large, or takes too many steps."""


@attrs.define(eq=False)
class _State:
    """A state that consumes one character, which must pass ``test``. Without a ``test``, the state consumes nothing.

    ``position`` is a pattern, such as ``$``, that must match at the current position.
    """

    following: list[_State]
    test: Callable[[str], bool] | None = None
    position: re.Pattern[str] | None = None


def is_found(pattern: str, text: str) -> bool:
    """Return whether a pattern occurs in a text. If this cannot be decided quickly, return True."""
    try:
        if len(pattern) > _MAX_PATTERN:
            return True
        parsed = _parser.parse(pattern)
        if parsed.state.flags & (re.IGNORECASE | re.MULTILINE | re.DOTALL | re.ASCII):
            return True
        return _Graph(parsed).is_found(text)
    except (re.error, OverflowError, RecursionError, Warning, _UndecidableError):
        return True


class _Graph:
    def __init__(self, parsed: Any) -> None:
        self._states = 0
        self._end = _State([])
        self._start = self._chain(parsed, self._end)

    def is_found(self, text: str) -> bool:
        states: set[_State] = set()
        steps = 0
        for index in range(len(text) + 1):
            reached = self._closure([self._start, *states], text, index)
            steps += len(reached)
            if self._end in reached:
                return True
            if steps > _MAX_STEPS:
                raise _UndecidableError
            character = text[index : index + 1]
            states = {
                following
                for state in reached
                if state.test is not None and character and state.test(character)
                for following in state.following
            }
        return False

    def _closure(self, states: Iterable[_State], text: str, index: int) -> set[_State]:
        """Return the states, and all states that can be reached without consuming a character."""
        reached: set[_State] = set()
        waiting = list(states)
        while waiting:
            state = waiting.pop()
            if state not in reached and (state.position is None or state.position.match(text, index)):
                reached.add(state)
                waiting += state.following if state.test is None else ()
        return reached

    def _state(self, *args: Any, **more: Any) -> _State:
        self._states += 1
        if self._states > _MAX_STATES:
            raise _UndecidableError
        return _State(*args, **more)

    def _chain(self, items: Iterable[Any], after: _State) -> _State:
        for operation, argument in reversed(list(items)):
            after = self._node(operation, argument, after)
        return after

    def _node(self, operation: Any, argument: Any, after: _State) -> _State:
        if operation in (_constants.MAX_REPEAT, _constants.MIN_REPEAT):
            return self._repeat(argument, after)
        if operation is _constants.SUBPATTERN and not argument[1] and not argument[2]:
            return self._chain(argument[3], after)
        if operation is _constants.BRANCH:
            return self._state([self._chain(branch, after) for branch in argument[1]])
        if operation is _constants.AT:
            return self._state([after], position=re.compile(_POSITIONS[argument]))
        return self._state([after], test=_test(operation, argument))

    def _repeat(self, bounds: Any, after: _State) -> _State:
        least, most, items = bounds
        if most is _constants.MAXREPEAT:
            loop = self._state([after])
            loop.following.append(self._chain(items, loop))
            after = loop
        else:
            end = after
            for _ in range(most - least):
                after = self._state([end, self._chain(items, after)])
        for _ in range(least):
            first = self._chain(items, after)
            if first is after:  # an empty group has no states, so the limit of states would not end this loop
                break
            after = first
        return after


def _test(operation: Any, argument: Any) -> Callable[[str], bool]:
    if operation is _constants.ANY:
        return lambda character: character != "\n"
    if operation is _constants.LITERAL:
        return lambda character: ord(character) == argument
    if operation is _constants.NOT_LITERAL:
        return lambda character: ord(character) != argument
    if operation is _constants.RANGE:
        return lambda character: argument[0] <= ord(character) <= argument[1]
    if operation is _constants.CATEGORY:
        category = re.compile(_CATEGORIES[argument])
        return lambda character: category.match(character) is not None
    if operation is not _constants.IN:
        raise _UndecidableError
    is_negated = argument[0][0] is _constants.NEGATE
    tests = [_test(*item) for item in argument[is_negated:]]
    return lambda character: any(test(character) for test in tests) != is_negated
