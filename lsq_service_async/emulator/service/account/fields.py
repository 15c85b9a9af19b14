"""The fields of the invented account's tickets, and how a page of them is found.

Only a Select that renders as a Dropdown is printed by the vendor; the names of the other types are invented.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Literal

OffsetReading = Literal["from_zero", "from_one", "page"]
"""What an Offset counts: records before the page, the place of its first record, or pages (from 1 on).

The vendor's sample sends 0, and the prose says that 1 gives the records 1 to 25; so 0 is the beginning in each.
"""

_FIRST: Mapping[OffsetReading, Callable[[int, int], int]] = {
    "from_zero": lambda offset, limit: offset,
    "from_one": lambda offset, limit: max(offset - 1, 0),
    "page": lambda offset, limit: max(offset - 1, 0) * limit,
}


def check_reading(reading: OffsetReading) -> None:
    if reading not in _FIRST:
        raise ValueError(f"an offset is read as one of {', '.join(_FIRST)}; not {reading!r}")


def first_of(reading: OffsetReading, offset: int, limit: int) -> int:
    """The index of the page's first record, from 0 on."""
    return _FIRST[reading](offset, limit)


@dataclass(frozen=True, kw_only=True)
class Field:
    """One field; ``lookup_id`` where its values are a list."""

    schema_name: str
    display_name: str
    data_type: str
    render_type: str
    id: int = 0
    lookup_id: int | None = None
    description: str | None = None
    mandatory: bool = False
    min_length: int = 0
    max_length: int = 200
    regex: str = ""

    @property
    def field_type(self) -> str:
        return "custom" if self.schema_name.startswith("CustomData.") else "standard"


def _text(schema: str, name: str, description: str | None = None, *, longest: int = 200, regex: str = "") -> Field:
    return Field(
        schema_name=schema,
        display_name=name,
        data_type="Text",
        render_type="Textbox" if longest <= 200 else "TextArea",
        description=description,
        max_length=longest,
        regex=regex,
    )


def _select(schema: str, name: str, lookup_id: int, description: str | None = None) -> Field:
    return Field(
        schema_name=schema,
        display_name=name,
        data_type="Select",
        render_type="Dropdown",
        lookup_id=lookup_id,
        description=description,
    )


def _other(kind: str, schema: str, name: str) -> Field:
    return Field(schema_name=schema, display_name=name, data_type=kind, render_type=kind)


def _mandatory(field: Field) -> Field:
    return replace(field, mandatory=True, min_length=1)


_STANDARD = (
    _mandatory(_text("Title", "Title", "Title of the ticket")),
    _text("Description", "Description", "What it is about", longest=4000),
    _select("Type", "Type", 2),
    _mandatory(_select("Status", "Status", 1, "Status of the ticket")),
    _select("Priority", "Priority", 3),
    _select("Channel", "Channel", 4),
    _select("SubType", "Sub Type", 5),
    _text("CcEmails", "CC", longest=1000),
    _text("Tags", "Tags", longest=500),
    _other("DateTime", "DueDate", "Due Date"),
    _text("TicketKey", "Ticket Key", longest=20),
    _other("Number", "TicketCategoryId", "Category"),
    _text("RelatedCustomerId", "Customer", longest=36),
    _other("Number", "RelatedServiceGroupId", "Service Group"),
    _text("RelatedAgentId", "Assigned Agent", longest=36),
    _other("Number", "RelatedStageId", "Stage"),
    _text("RelatedRequester", "Requester", longest=36),
)
_CUSTOM = (
    _select("CustomData.SRC_CS_2", "Source of Contact", 6),
    _text("CustomData.OrderNumber", "Order Number", longest=10, regex="^[A-Z]{2}-[0-9]{4,7}$"),
    _other("DateTime", "CustomData.OrderedOn", "Ordered On"),
    _text("CustomData.SerialNumber", "Serial Number", longest=24, regex="^[0-9A-Z]+$"),
    _select("CustomData.Product", "Product", 7),
    _text("CustomData.Model", "Model", longest=40),
    _text("CustomData.FirmwareVersion", "Firmware Version", longest=16, regex=r"^[0-9]+(\.[0-9]+){1,3}$"),
    _other("DateTime", "CustomData.WarrantyEnd", "End of Warranty"),
    _text("CustomData.ShopCode", "Shop Code", longest=6, regex="^[A-Z0-9]{6}$"),
    _select("CustomData.Region", "Region", 8),
    _select("CustomData.Language", "Language", 9),
    _text("CustomData.PinCode", "PIN Code", longest=6, regex="^[1-9][0-9]{5}$"),
    _text("CustomData.Street", "Street", longest=120),
    _text("CustomData.City", "City", longest=60),
    _text("CustomData.AlternatePhone", "Alternate Phone", longest=16, regex=r"^\+?[0-9-]{6,15}$"),
    _text("CustomData.InvoiceNumber", "Invoice Number", longest=12),
    _other("Number", "CustomData.InvoiceAmount", "Invoice Amount"),
    _text("CustomData.ErrorCode", "Error Code", longest=8, regex="^E[0-9]{3,4}$"),
    _text("CustomData.Steps", "Steps to Reproduce", longest=2000),
    _other("DateTime", "CustomData.VisitOn", "Visit On"),
    _select("CustomData.VisitSlot", "Visit Slot", 10),
    _other("Number", "CustomData.Satisfaction", "Satisfaction"),
    _text("CustomData.Remark", "Remark", longest=50),
)

FIELDS = tuple(replace(field, id=id) for id, field in enumerate(_STANDARD + _CUSTOM, 1))
SUB_TYPES = ("Acceptable", "Damaged", "Late", "Wrong Item", "Billing", "Password", "Other")
