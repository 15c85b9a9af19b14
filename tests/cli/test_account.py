"""The commands `lead find`, `fields` and `sub-types`."""

from __future__ import annotations

import json
from typing import Any

import pytest

from lsq_service_async.emulator import Emulator


@pytest.mark.parametrize("given", ["wim@example.com", "+91-5550100001"])
def test_a_lead_is_found_by_email_or_phone(served: Emulator, cli: Any, given: str) -> None:
    """Text with an @ is an e-mail address, other text is a phone number."""
    code, out, _ = cli("lead", "find", given)
    assert (code, json.loads(out)["email"]) == (0, "wim@example.com")


def test_a_lead_that_does_not_exist_is_an_error(served: Emulator, cli: Any) -> None:
    """The exit code is 1, and the message names the address."""
    assert cli("lead", "find", "nobody@example.com") == (1, "", "Error: no lead has 'nobody@example.com'\n")
    assert cli("lead", "find", "not a phone")[0] == 2


def test_fields_and_sub_types_are_lists(served: Emulator, cli: Any) -> None:
    """A search returns the fields that match it."""
    names = [field["schema_name"] for field in json.loads(cli("fields")[1])]
    assert len(names) > 1
    found = [field["schema_name"] for field in json.loads(cli("fields", "--search", "Status")[1])]
    assert (0 < len(found) < len(names), "Status" in found) == (True, True)
    assert json.loads(cli("sub-types")[1])[0]
