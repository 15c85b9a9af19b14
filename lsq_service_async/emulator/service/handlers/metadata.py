"""What the account's tickets consist of: their fields, and the values of SubType."""

from __future__ import annotations

from typing import Any

from ..account.account import Account
from ..account.fields import FIELDS, SUB_TYPES, Field, first_of
from ..answers import Answer, json_answer
from ..asked import Asked
from ..reading import number_of, text_of


def fields(account: Account, asked: Asked) -> Answer:
    """https://apidocs.leadsquared.com/?p=5117: a page of the fields whose names have SearchText in them."""
    dto = asked.json()
    limit, offset = number_of(dto, "Limit", least=1), number_of(dto, "Offset")
    # An empty text, null, or none at all finds every field (an inference).
    found = _found(text_of(dto, "SearchText") if dto.get("SearchText") else "")
    first = first_of(account.metadata_offset, offset, limit)
    page = [_printed(field) for field in found[first : first + limit]]
    return json_answer({"Total": len(found), "TicketsFields": page})


def sub_types(account: Account, asked: Asked) -> Answer:
    """https://apidocs.leadsquared.com/?p=5102: a bare array."""
    nothing_more = {"SortingOrder": None, "Active": None, "Deleted": None}
    return json_answer([{"Text": text, "Value": text, **nothing_more} for text in SUB_TYPES])


def _found(search: str) -> list[Field]:
    # Where and how it is searched is not stated: here in both names, and without regard to case.
    wanted = search.lower()
    return [field for field in FIELDS if wanted in f"{field.display_name}\n{field.schema_name}".lower()]


def _printed(field: Field) -> dict[str, Any]:
    return {
        "Id": field.id,
        "RelatedTicketCategoryId": 1,
        "DisplayName": field.display_name,
        "SchemaName": field.schema_name,
        "DataType": field.data_type,
        "RenderType": field.render_type,
        "EntityType": None,
        "DefaultValue": None,
        "Sequence": field.id - 1,
        "RelatedLookupId": field.lookup_id,
        "ShowInQuickSearch": False,
        "CreatedBy": "seeddata",
        "CreatedOn": "2024-01-09T10:48:07",
        "ModifiedBy": None,
        "ModifiedOn": "2024-01-09T10:49:18.595",
        "AllowAutoUpdateToOptions": False,
        "LockAfterCreate": False,
        "ParentSchemaName": None,
        "ShowInForm": True,
        "CustomObjectId": None,
        "Version": None,
        "Description": field.description,
        "FieldType": field.field_type,
        "Active": True,
        "Deleted": False,
        "ValidationProperties": _rules(field),
        "UseInSla": False,
    }


def _rules(field: Field) -> dict[str, Any]:
    # The bounds of values and the scale are the same for texts as for numbers, in the vendor's answer too.
    return {
        "NumScale": 2,
        "Regex": field.regex,
        "IsMandatory": field.mandatory,
        "MinValue": -(2**31),
        "MinLength": field.min_length,
        "MaxValue": 2**31 - 1,
        "MaxLength": field.max_length,
    }
