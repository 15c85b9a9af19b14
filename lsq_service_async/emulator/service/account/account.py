"""The one account that there is: what it holds, and how it is set up."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ..answers import not_per_spec, unknown_ticket
from ..drafts import Value
from .fields import FIELDS, OffsetReading, check_reading
from .store import StoredTicket, TicketStore


@dataclass(frozen=True)
class Account:
    """``admin``: whose keys they are. ``enforce_mandatory``: new tickets need what the metadata call mandatory."""

    org_id: str
    store: TicketStore
    admin: bool = True
    enforce_mandatory: bool = False
    metadata_offset: OffsetReading = "from_zero"

    def __post_init__(self) -> None:
        check_reading(self.metadata_offset)

    def ticket(self, name: str) -> StoredTicket:
        """The ticket of that number or GUID; a 404 where there is none, or none any more."""
        ticket = self.store.find(name)
        if ticket is None:
            raise unknown_ticket(name)
        return ticket

    def check_mandatory(self, fields: Mapping[str, Value]) -> None:
        """A 400 that names all mandatory fields which are missing, null or empty, if that is enforced."""
        mandatory = [field.schema_name for field in FIELDS if field.mandatory] if self.enforce_mandatory else []
        missing = [name for name in mandatory if fields.get(name) in (None, "")]
        if missing:
            raise not_per_spec(f"mandatory fields are missing: {', '.join(missing)}")
