"""How pydantic, and so FastAPI, reads and shows a record: as a JSON object with the record's own attribute names."""

from __future__ import annotations

import functools
import operator
import types
import typing
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

import attrs

from .constants import UNSET, FieldValue, Unset

NOT_SHOWN: Final = {"lsq_service_async.shown": False}
"""The metadata of an attribute that stays out of the JSON: it may repeat what was never meant for the web."""


class Record:
    """Serves as a pydantic type. pydantic_core is imported by who asks for the schema, and by nobody else."""

    __slots__ = ()

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> Any:
        """A JSON object with these attributes and no others; the component of an OpenAPI document bears the class's
        name. An instance passes as it is."""
        from pydantic_core import core_schema

        record: Any = cls  # every record is an attrs class, which a checker cannot know here
        hints = typing.get_type_hints(cls)
        fields = {
            attribute.name: core_schema.typed_dict_field(
                handler.generate_schema(_in_json(hints[attribute.name])),
                required=attribute.default is attrs.NOTHING,
                serialization_exclude=attribute.metadata == NOT_SHOWN,
            )
            for attribute in attrs.fields(record)
        }
        return core_schema.no_info_wrap_validator_function(
            lambda given, read: given if isinstance(given, cls) else cls(**read(given)),
            core_schema.typed_dict_schema(fields, cls=cls, extra_behavior="forbid"),
            ref=f"{cls.__module__}.{cls.__qualname__}:{id(cls)}",
            serialization=core_schema.wrap_serializer_function_ser_schema(lambda record, show: show(_given(record))),
        )


class _Date:
    """A datetime that knows its zone. One without would be refused later, and under the service's name for it."""

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> Any:
        from pydantic_core import core_schema

        return core_schema.datetime_schema(tz_constraint="aware")


class _Value:
    """A `FieldValue`. What is none gets one error, and not one for each of the kinds that it is not."""

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> Any:
        from pydantic_core import core_schema

        return core_schema.union_schema(
            [handler.generate_schema(kind) for kind in (str, int, float, bool, _Date, None)],
            custom_error_type="field_value",
            custom_error_message="Input should be a string, a number, a boolean or null",
        )


_IN_JSON: Final[Mapping[Any, Any]] = {datetime: _Date, Mapping[str, FieldValue]: Mapping[str, _Value]}


def _in_json(hint: Any) -> Any:
    """What a hint means in JSON, which has a way to leave an attribute out and needs no value for that."""
    kinds = typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
    return functools.reduce(operator.or_, (_IN_JSON.get(kind, kind) for kind in kinds if kind is not Unset))


def _given(record: Any) -> dict[str, Any]:
    values = attrs.asdict(record, recurse=False).items()
    # A dict, because pydantic warns of a read-only view of one.
    return {name: dict(value) if isinstance(value, Mapping) else value for name, value in values if value is not UNSET}
