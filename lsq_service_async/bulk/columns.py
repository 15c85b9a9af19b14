"""Makes tickets and rows from named values, such as the columns of a file, a database or a DataFrame."""

from __future__ import annotations

import csv
import difflib
import math
import os
import re
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from datetime import date, datetime, tzinfo
from decimal import Decimal
from functools import lru_cache, partial
from typing import Any, Literal
from uuid import UUID

import attrs

from .._config_validators import to_time_zone
from ..attachments import Attachable, Attachment
from ..errors import InvalidRequestError, shown
from ..records import NewTicket, TicketUpdate
from .rows import KEY_LENGTH, BulkRow

TicketType = type[NewTicket] | type[TicketUpdate]
Attach = Callable[[str], Attachment]
KEY, TARGET, FILES, ERROR = "key", "target", "attachments", "error"
RESERVED = (KEY, TARGET, FILES, ERROR)
"""Columns that are not fields of the ticket."""
_DUE_DATE = "due_date"
_LIKE_THIS = "write it like 2026-01-31T09:00:00+05:30"
_SCHEMA_NAME = re.compile(r"[A-Za-z]\w*(?:\.\w+)*", re.ASCII)
_ROUNDED = 1e15  # spreadsheets store only 15 digits of a number
_AS_TEXT = "put the value in quotes, or format the cell as text and enter it again"
_PHONE = re.compile("phone|mobile", re.IGNORECASE)
_SCIENTIFIC = re.compile(r"\s*\+?[0-9]+(?:[.,][0-9]*)?[eE]\+?[0-9]+\s*")


class ColumnError(ValueError):
    """A column has a name or a value that cannot be used. The message advises how to correct it."""

    def __init__(self, column: object, message: str) -> None:
        self._column, self._message = column, message
        name = column if isinstance(column, str) and column.isprintable() else shown(column)
        super().__init__(f"column {name}: {message}")

    def renamed(self, names: Mapping[Any, Any]) -> ColumnError:
        """Return the error with the name of the column in the input: ``names[column]``, if that exists."""
        return ColumnError(names.get(self._column, self._column), self._message)


def field_names(ticket_type: TicketType) -> tuple[str, ...]:
    """Return the attribute names of a ticket, such as title and lead_email, without ``fields``."""
    return tuple(field.name for field in attrs.fields(ticket_type) if field.name != "fields")


_TEXTS = {KEY, TARGET, *field_names(NewTicket)} - {_DUE_DATE}


def fields_of(names: Iterable[Any], ticket_type: TicketType, *, in_file: bool = False) -> tuple[str, ...]:
    """Return one name for each column: an attribute of the ticket, a reserved column, or a schema name.

    "Lead Email", "lead-email" and "LEAD_EMAIL" mean lead_email. A schema name, such as CustomData.SRC_CS_2, must
    contain a capital letter. Reserved columns are accepted only with ``in_file``. Raises ColumnError for any other
    name, and for two names of one field.
    """
    known = _known(ticket_type is TicketUpdate, in_file)
    found: dict[str, str] = {}
    fields = []
    for name in names:
        if not isinstance(name, str):
            hint = "; csv.DictReader uses None for cells beyond the header" if name is None else ""
            raise ColumnError(name, f"the name of a column must be text{hint}")
        field = known.get(_folded(name)) or _schema_name(name, known)
        if field.lower() in found:
            raise ColumnError(name, f"same field as {found[field.lower()]}; remove one of the two")
        found[field.lower()] = name
        fields.append(field)
    return tuple(fields)


@lru_cache
def _known(is_update: bool, in_file: bool) -> Mapping[str, str]:
    """Return the attributes of a ticket and the reserved columns, by their `_folded` names."""
    reserved = [name for name in RESERVED if in_file and (is_update or name != TARGET)]
    return {_folded(name): name for name in (*field_names(TicketUpdate if is_update else NewTicket), *reserved)}


def _folded(name: str) -> str:
    return re.sub(r"[\s_-]", "", name).lower()


def _schema_name(name: str, known: Mapping[str, str]) -> str:
    stripped = name.strip()
    if not stripped:
        raise ColumnError("?", "the column has no name; name it or remove it")
    if _folded(name) == TARGET:
        text = 'only an update has a target; use operation="update" (--operation update), or remove the column'
        raise ColumnError(name, text)
    if _SCHEMA_NAME.fullmatch(stripped) and not stripped.islower():
        return stripped
    close = difflib.get_close_matches(_folded(name), known, 1)
    others = f"use one of {', '.join(known.values())}, or a schema name, such as CustomData.X"
    raise ColumnError(name, f"no such field; {f'did you mean {known[close[0]]}?' if close else others}")


def make_ticket(
    record: Mapping[str, Any], ticket_type: TicketType, zone: tzinfo | None = None
) -> NewTicket | TicketUpdate:
    """Return a ticket with the values of *record* that are not empty. *record* has the names that `fields_of` returns.

    *zone* is used for dates that have no time zone. Raises ColumnError for a value that cannot be sent.
    """
    names = field_names(ticket_type)
    named: dict[str, Any] = {}
    fields: dict[str, Any] = {}
    for name, value in record.items():
        if name not in RESERVED and not (isinstance(value, str) and not value):
            (named if name in names else fields)[name] = _checked(name, value, zone, is_text=name in names)
    return ticket_type(**named, fields=fields)


def _checked(name: str, value: Any, zone: tzinfo | None, *, is_text: bool) -> Any:
    """Check a value, and convert it to a type that a ticket accepts."""
    if isinstance(value, str):
        check_text(name, value)
    if name == _DUE_DATE:
        return _due_date(value, zone)
    if is_text and value is not None and not isinstance(value, str):
        raise ColumnError(name, f"expected text, not {type(value).__name__}; {_AS_TEXT}")
    if isinstance(value, datetime):
        return _in_zone(name, value, zone)
    if not isinstance(value, str | int | float | None):
        kind = type(value).__name__
        raise ColumnError(name, f"a field holds one value: text, a number, true, false or null, not a {kind}")
    if isinstance(value, float) and not math.isfinite(value):
        raise ColumnError(name, f"{value} is not a finite number")
    return value


def check_text(name: str, text: str) -> None:
    """Raise ColumnError for text that cannot be sent, and for a phone number that a spreadsheet has rounded."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ColumnError(name, f"{shown(text)} contains half of a surrogate pair; correct the text") from None
    if _PHONE.search(name) and _SCIENTIFIC.fullmatch(text):
        raise ColumnError(
            name, f"{text!r} was rounded by a spreadsheet; format the column as text and enter the phone number again"
        )


def _due_date(value: Any, zone: tzinfo | None) -> datetime | None:
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value.strip())
        except ValueError:
            raise ColumnError(_DUE_DATE, f"{shown(value, 40)} is not a date; {_LIKE_THIS}") from None
    if not isinstance(value, datetime | None):
        day = "a date has no time; " if isinstance(value, date) else ""
        raise ColumnError(_DUE_DATE, f"expected text, not {type(value).__name__}; {day}{_LIKE_THIS}")
    return value and _in_zone(_DUE_DATE, value, zone)


def _in_zone(name: str, moment: datetime, zone: tzinfo | None) -> datetime:
    if moment.tzinfo is not None or zone is not None:
        return moment if moment.tzinfo else moment.replace(tzinfo=zone)
    text = f"{str(moment)!r} has no time zone; {_LIKE_THIS}, or set the time zone of such dates"
    raise ColumnError(name, f"{text} (--time-zone, LSQ_TIME_ZONE, or time_zone= in a program)")


def attachments_of(record: Mapping[str, Any], attach: Attach) -> tuple[Attachable, ...]:
    """Return the attachments of a record. *attach* makes an attachment from a path given as text.

    The column holds a list, or one text of paths separated by ``;``. A path that contains ``;`` is in double quotes.
    """
    given = () if record.get(FILES) is None else record[FILES]
    try:
        if isinstance(given, str):
            given = next(csv.reader([given], delimiter=";", skipinitialspace=True, strict=True))
        items = [item.strip() if isinstance(item, str) else item for item in given]
        if isinstance(given, Mapping | bytes) or not all(
            isinstance(item, str | os.PathLike | Attachment) for item in items
        ):
            raise TypeError
        return tuple(attach(item) if isinstance(item, str) else item for item in items if item)
    except (TypeError, csv.Error):
        text = "expected paths as text, separated by ;, with double quotes around a path that contains ;"
        raise ColumnError(FILES, text) from None
    except InvalidRequestError as error:
        raise ColumnError(FILES, str(error)) from None


def text_value(record: Mapping[str, Any], name: str) -> str | None:
    """Return a key or a ticket number as text, or None if the column is empty or missing."""
    value = record.get(name)
    if isinstance(value, bool) or not isinstance(value, str | int | None):
        raise ColumnError(name, f"expected text, not {type(value).__name__}; {_AS_TEXT}")
    if value is None:
        return None
    check_text(name, str(value))
    return str(value).strip() or None


def row_arguments(
    record: Mapping[str, Any], ticket_type: TicketType, attach: Attach, zone: tzinfo | None
) -> dict[str, Any]:
    """Return the arguments of a `BulkRow`. *record* has the names that `fields_of` returns."""
    key, target = text_value(record, KEY), text_value(record, TARGET)
    if key and len(key) > KEY_LENGTH:
        raise ColumnError(KEY, f"{len(key)} characters; a key has at most {KEY_LENGTH}")
    if ticket_type is TicketUpdate and not target:
        raise ColumnError(TARGET, "it is empty; enter the number of the ticket to change")
    ticket, files = make_ticket(record, ticket_type, zone), attachments_of(record, attach)
    return {"key": key, "ticket": ticket, "attachments": files, "target": target}


def rows_from(
    records: Any,
    *,
    key: Hashable = None,
    columns: Mapping[Any, str | None] | None = None,
    operation: Literal["create", "update"] = "create",
    attachments_from: str | os.PathLike[str] = ".",
    time_zone: str | tzinfo | None = None,
) -> Iterator[BulkRow]:
    """Make a row from each record of a table.

    The table is a pandas or polars DataFrame, or any iterable of mappings, such as a ``csv.DictReader`` or a list of
    ``sqlite3.Row``. Its columns have names like those of a file for `bulk run`: ``title``, "Lead Email",
    ``CustomData.SRC_CS_2``. ``columns`` renames columns that have other names, as in ``{"Subject": "title"}``. A column
    that is renamed to None is left out. ``key`` is the name of the column that identifies a row. Its value is a part of
    the ticket only if ``columns`` renames this column to a field.

    Values that are None, NaN, NaT or empty text are left out. In text fields, numbers become text. ``time_zone`` is
    used for dates that have no time zone.

    The column ``attachments`` holds a list, or one text of paths separated by ``;``. A path given as text must be in
    the folder ``attachments_from`` or below it. A `Path` or an `Attachment` in a list can be in any folder.

    Each row is made when the run needs it. A record that cannot be used raises InvalidRequestError with the number of
    the record. To check all records before any row is sent, pass ``list(rows_from(...))`` to `create`.
    """
    if operation not in ("create", "update"):
        raise InvalidRequestError(f'operation must be "create" or "update", not {shown(operation)}.')
    for name, value, kind, what in (
        ("key", key, Hashable, "the name of a column"),
        ("attachments_from", attachments_from, str | os.PathLike, "a folder"),
    ):
        if not isinstance(value, kind):
            raise InvalidRequestError(f"{name} must be {what}, not {shown(value)}.")
    zone = time_zone_of(time_zone)
    names = (records.fieldnames or ()) if isinstance(records, csv.DictReader) else ()
    try:
        if hasattr(records, "to_dicts"):  # polars
            records = records.to_dicts()
        elif hasattr(records, "to_dict"):  # pandas
            names, records = getattr(records, "columns", ()), records.to_dict("records")
    except Exception as error:
        raise InvalidRequestError(f"records must be a DataFrame, not {shown(records)}: {error}") from None
    if not isinstance(records, Iterable):
        raise InvalidRequestError(f"records must be a synchronous iterable of mappings, not {shown(records)}")
    renamed = _renamed(columns, key)
    for name, count in Counter(names).items():  # a record keeps only one of these columns
        if count > 1 and renamed.get(_unmarked(name), "") is not None:
            raise InvalidRequestError(f"{count} columns have the name {shown(name)}; rename or remove all but one.")
    ticket_type = NewTicket if operation == "create" else TicketUpdate
    return _rows(records, key, renamed, ticket_type, partial(Attachment.from_folder, attachments_from), zone)


def _renamed(columns: Any, key: Hashable) -> dict[Any, str | None]:
    """Return the new names of columns. The key column is also a field only if *columns* renames it to one."""
    given = {} if columns is None else columns
    if not isinstance(given, Mapping) or not all(isinstance(name, str | None) for name in given.values()):
        raise InvalidRequestError(f"columns must be a mapping of names to names, not {shown(columns)}.")
    return {**given, **({key: KEY} if key is not None and given.get(key) is None else {})}


def _rows(
    records: Iterable[Any],
    key: Hashable,
    renamed: Mapping[Any, str | None],
    ticket_type: TicketType,
    attach: Attach,
    zone: tzinfo | None,
) -> Iterator[BulkRow]:
    for number, record in enumerate(records, 1):
        if not hasattr(record, "keys"):
            raise InvalidRequestError(f"record {number} is not a mapping of names to values, but {shown(record)}")
        given_names: dict[Any, Any] = {}
        try:
            given = [name for name in record.keys() if renamed.get(_unmarked(name), "") is not None]  # noqa: SIM118 -- sqlite3.Row
            names = [_unmarked(name) for name in given]
            if key is not None and key not in names:
                raise ColumnError(key, "the record does not have this column, which identifies the row")
            wanted = [renamed.get(name, name) for name in names]
            values = [record[name] for name in given]
            if key is not None and renamed[key] != KEY:  # the column is also a field of the ticket
                wanted, values, names = [*wanted, KEY], [*values, values[names.index(key)]], [*names, key]
            given_names = dict(zip(wanted, names, strict=True))
            fields = fields_of(wanted, ticket_type, in_file=True)
            given_names |= dict(zip(fields, names, strict=True))
            cells = cells_of(fields, values)
            row = BulkRow(**row_arguments(cells, ticket_type, attach, zone))
        except ColumnError as error:
            raise InvalidRequestError(f"record {number}, {error.renamed(given_names)}") from None
        yield row


def _unmarked(name: Any) -> Any:
    """Remove the byte order mark that csv.DictReader leaves in the first name."""
    return name.removeprefix("\ufeff") if isinstance(name, str) else name


def cells_of(fields: Iterable[str], values: Sequence[Any]) -> dict[str, Any]:
    """Convert values of a workbook, a database or a DataFrame to Python's own types. Absent values are left out.

    Whole floats become int, and numbers in text fields become text. A float of 1e15 or more in a text field stays a
    float, because a spreadsheet may have rounded it.
    """
    return {name: _plain(name, value) for name, value in zip(fields, values, strict=False) if not _is_absent(value)}


def _is_absent(value: Any) -> bool:
    try:
        return value is None or bool(value == "") or bool(value != value)  # NaN and NaT do not equal themselves
    except (TypeError, ArithmeticError):  # pandas.NA, or a signaling NaN of Decimal
        return True
    except ValueError:  # an array of numpy
        return False


def _plain(name: str, value: Any) -> Any:
    if isinstance(value, str):
        return value
    if getattr(value, "ndim", None) == 0:  # a scalar of numpy
        value = value.item()
    if hasattr(value, "to_pydatetime"):  # a Timestamp of pandas
        value = value.to_pydatetime(warn=False)
    if isinstance(value, float) and name in _TEXTS and abs(value) >= _ROUNDED:
        return value  # its last digits may be wrong, so `_checked` rejects it
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, int) and value.bit_length() > 1024:  # larger than any float
        raise ColumnError(name, "the number is too large to be sent; make it text")
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return str(value) if isinstance(value, Decimal | UUID) or (is_number and name in _TEXTS) else value


def time_zone_of(given: str | tzinfo | None) -> tzinfo | None:
    """Return the time zone with this name, or a tzinfo unchanged. Raises InvalidRequestError for any other value."""
    zone = None if given is None else to_time_zone(given)
    if not isinstance(zone, tzinfo | None):
        raise InvalidRequestError(f"time_zone must be a tzinfo or a name such as 'Asia/Kolkata', not {shown(given)}")
    return zone
