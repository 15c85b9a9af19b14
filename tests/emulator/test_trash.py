"""Trashing tickets, against the vendor's printed request and answer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
import pytest

from lsq_service_async.emulator import Emulator, TicketStore

Client = Callable[[Emulator], httpx.AsyncClient]


async def test_trash_answers_as_the_page_prints(
    sample: Callable[[str], Any], in_process: Client, new_ticket: Any
) -> None:
    """Texts in, numbers out; the two tickets are in the trash, and the third is not."""
    emulator = Emulator(store=TicketStore(first_number=160))
    async with in_process(emulator) as client:
        for _ in range(3):
            await client.post("/tickets", json=new_ticket)
        response = await client.put("/tickets/trash", json=sample("trash-request"))
    assert (200, sample("trash-answer")) == (response.status_code, response.json())
    assert (list(emulator.tickets), list(emulator.trashed)) == (["162"], ["160", "161"])
    assert emulator.calls[-1].applied


async def test_what_cannot_be_trashed_is_in_the_same_200(client: httpx.AsyncClient, new_ticket: Any) -> None:
    """A ticket that never was, and one that is in the trash already, even since a moment ago."""
    await client.post("/tickets", json=new_ticket)
    response = await client.put("/tickets/trash", json={"TicketIds": ["7", "1", "1"]})
    assert (response.status_code, response.json()) == (200, {"SuccessfulIds": [1], "FailedIds": [7, 1]})


async def test_nothing_trashed_is_nothing_changed(client: httpx.AsyncClient, emulator: Emulator) -> None:
    """The record says so."""
    await client.put("/tickets/trash", json={"TicketIds": ["7"]})
    assert [call.applied for call in emulator.calls] == [False]


async def test_a_trashed_ticket_is_not_found(client: httpx.AsyncClient, new_ticket: Any) -> None:
    """Neither by number nor by GUID; the next ticket gets a number of its own."""
    guid = (await client.post("/tickets", json=new_ticket)).json()["TicketId"]
    await client.put("/tickets/trash", json={"TicketIds": ["1"]})
    assert [(await client.get(f"/tickets/{name}")).status_code for name in ("1", guid)] == [404, 404]
    assert (await client.post("/tickets", json=new_ticket)).json()["Id"] == "2"


@pytest.mark.parametrize(
    "ids",
    [None, [], "1", [1], ["1", None], ["#001"], [""], ["9" * 5000], ["٣"]],
    ids=["none", "empty", "text", "number", "null among them", "key", "no digits", "endless", "other digits"],
)
async def test_ids_that_are_not_numbers_as_texts_are_a_400(client: httpx.AsyncClient, ids: Any) -> None:
    """Nothing is trashed, nothing crashes."""
    response = await client.put("/tickets/trash", json={"TicketIds": ids})
    assert (response.status_code, "TicketIds must be" in response.text) == (400, True)
