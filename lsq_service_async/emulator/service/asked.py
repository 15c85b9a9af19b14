"""What a call asks for, as a handler gets it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .answers import not_per_spec
from .bodies import FORM_TYPE, Body
from .reading import json_object

JSON_BODY = "application/json"


@dataclass(frozen=True)
class Asked:
    """One call, read: what stands for ``{...}`` in its path, its query, and its body."""

    names: Mapping[str, str]
    query: Mapping[str, str]
    body: Body

    def json(self) -> dict[str, Any]:
        """The object that the body is; a 400 where it is none, or comes under another content type."""
        return json_object(self.text(JSON_BODY))

    def text(self, *media_types: str) -> bytes:
        """The JSON of the body, or of the part ticketDTO, not yet parsed; a 400 under any other content type."""
        if self.body.media_type not in media_types:
            raise not_per_spec(f"the content type must be {' or '.join(media_types)}")
        if self.body.problem is not None:
            raise not_per_spec(self.body.problem)
        if self.body.text is None:
            raise not_per_spec("the part ticketDTO is missing")
        return self.body.text

    @property
    def is_form(self) -> bool:
        return self.body.media_type == FORM_TYPE
