"""Makes records usable as pydantic types, as models of FastAPI requests and responses, and with ``jsonable_encoder``.

The JSON of a record is an object whose keys are the names of the attributes.
"""

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

NOT_IN_JSON: Final = {"lsq_service_async.in_json": False}
"""The attrs metadata that excludes an attribute from the JSON of its record."""


class Record:
    """The base class of all records."""

    __slots__ = ()

    @property
    def __dict__(self) -> dict[str, Any]:  # type: ignore[override]  # records have slots
        """The attributes that are in the JSON. FastAPI's ``jsonable_encoder`` reads this property with `vars`."""
        return _json_attributes(self)

    @property
    def __pydantic_serializer__(self) -> Any:
        """The serializer that pydantic uses for a record in a plain dict, or in a value typed as ``Any``."""
        kind: Any = type(self)
        return _serializer(kind)

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> Any:
        """Return a schema that accepts a record unchanged, or a JSON object without unknown attributes."""
        from pydantic_core import core_schema

        record: Any = cls  # for type checkers: every record is an attrs class
        hints = typing.get_type_hints(cls)
        fields = {
            attribute.name: core_schema.typed_dict_field(
                handler.generate_schema(_json_type(hints[attribute.name])),
                required=attribute.default is attrs.NOTHING,
                serialization_exclude=attribute.metadata == NOT_IN_JSON,
            )
            for attribute in attrs.fields(record)
        }
        return core_schema.no_info_wrap_validator_function(
            lambda given, validate: given if isinstance(given, cls) else cls(**validate(given)),
            core_schema.typed_dict_schema(fields, cls=cls, extra_behavior="forbid"),
            ref=f"{cls.__module__}.{cls.__qualname__}:{id(cls)}",
            serialization=core_schema.wrap_serializer_function_ser_schema(
                lambda record, serialize: serialize(_json_attributes(record))
            ),
        )


class _AwareDatetime:
    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> Any:
        from pydantic_core import core_schema

        return core_schema.datetime_schema(tz_constraint="aware")


class _FieldValue:
    """A `FieldValue`. pydantic reports one error for a wrong value, not one for each type of the union."""

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> Any:
        from pydantic_core import core_schema

        return core_schema.union_schema(
            [handler.generate_schema(kind) for kind in (str, int, float, bool, _AwareDatetime, None)],
            custom_error_type="field_value",
            custom_error_message="Input should be a string, a number, a boolean or null",
        )


_JSON_TYPES: Final[Mapping[Any, Any]] = {datetime: _AwareDatetime, Mapping[str, FieldValue]: Mapping[str, _FieldValue]}


def _json_type(hint: Any) -> Any:
    """Return the type of an attribute in JSON, without `Unset`."""
    kinds = typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
    return functools.reduce(operator.or_, (_JSON_TYPES.get(kind, kind) for kind in kinds if kind is not Unset))


@functools.cache
def _serializer(cls: Any) -> Any:
    from pydantic import TypeAdapter

    return TypeAdapter(cls).serializer


def _json_attributes(record: Any) -> dict[str, Any]:
    values = attrs.asdict(record, recurse=False, filter=_is_in_json).items()
    # pydantic warns about read-only mappings
    return {name: dict(value) if isinstance(value, Mapping) else value for name, value in values}


def _is_in_json(attribute: attrs.Attribute[Any], value: Any) -> bool:
    return value is not UNSET and attribute.metadata != NOT_IN_JSON
