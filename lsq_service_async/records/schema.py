"""How pydantic, and so FastAPI, reads and shows a record: as a JSON object with the record's own attribute names."""

from __future__ import annotations

import functools
import operator
import typing
from collections.abc import Mapping
from typing import Any

import attrs

from .vocabulary import UNSET, Unset


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
                handler.generate_schema(_without_unset(hints[attribute.name])),
                required=attribute.default is attrs.NOTHING,
            )
            for attribute in attrs.fields(record)
        }
        return core_schema.no_info_wrap_validator_function(
            lambda given, read: given if isinstance(given, cls) else cls(**read(given)),
            core_schema.typed_dict_schema(fields, cls=cls, extra_behavior="forbid"),
            ref=f"{cls.__module__}.{cls.__qualname__}:{id(cls)}",
            serialization=core_schema.wrap_serializer_function_ser_schema(lambda record, show: show(_given(record))),
        )


def _without_unset(hint: Any) -> Any:
    """JSON has a way to leave an attribute out, and needs no value for that."""
    kinds = typing.get_args(hint)
    return functools.reduce(operator.or_, (kind for kind in kinds if kind is not Unset)) if Unset in kinds else hint


def _given(record: Any) -> dict[str, Any]:
    values = attrs.asdict(record, recurse=False).items()
    # A dict, because pydantic warns of a read-only view of one.
    return {name: dict(value) if isinstance(value, Mapping) else value for name, value in values if value is not UNSET}
