"""Field metadata, sub-types and validation, tested with the emulator's invented account."""

import asyncio
import json
import logging

import attrs
import httpx
import pytest
from scripted import Script
from virtual_clock import run_virtual

from lsq_service_async import (
    Config,
    FieldMetadata,
    InvalidRequestError,
    LSQServiceError,
    MalformedResponseError,
    NewTicket,
    NotSentError,
    PermissionDeniedError,
    RateLimit,
    ServiceClient,
    TicketUpdate,
)
from lsq_service_async.emulator import Emulator
from lsq_service_async.emulator.faults import Latency

GOOD = NewTicket(lead_email="wim@example.com", title="Router down", status="Open", priority="Low", channel="Chat")


async def all_fields(client, **search):
    return [field async for field in client.metadata.fields(**search)]


@pytest.fixture
async def emulator():
    async with Emulator(rate_limit=(1000, 1.0)) as emulator:
        yield emulator


@pytest.fixture
async def client(emulator):
    async with ServiceClient(Config(**emulator.settings)) as client:
        yield client


async def test_a_field_is_read_like_the_sample(client):
    """A field has the names of the sample, and those rules that have a meaning."""
    [status] = [field for field in await all_fields(client, search="Status") if field.schema_name == "Status"]
    assert attrs.evolve(status, extra={}, validation={}) == FieldMetadata(
        schema_name="Status",
        id=status.id,
        display_name="Status",
        description=status.description,
        data_type="Select",
        field_type="standard",
        mandatory=True,
        min_length=1,
        max_length=200,
        regex="",
        active=True,
        deleted=False,
    )
    assert status.validation["NumScale"] == 2
    assert status.extra["RenderType"] == "Dropdown"


@pytest.mark.parametrize("reading", ["from_zero", "from_one", "page"])
async def test_all_fields_are_found_whatever_offset_means(reading):
    """All fields are found once, whether Offset is a number of records from 0, from 1, or a page number."""
    async with Emulator(rate_limit=(1000, 1.0), metadata_offset=reading) as emulator:
        async with ServiceClient(Config(**emulator.settings)) as client:
            names = [field.schema_name for field in await all_fields(client)]
    assert len(names) == len(set(names))
    assert len(names) > 25
    assert {"Title", "Status", "SubType"} <= set(names)


async def test_metadata_are_cached(client, emulator):
    """Metadata are read once for a client, its views, and concurrent calls."""
    view = client.with_options(timeout=5.0)
    await asyncio.gather(*(all_fields(one) for one in (client, view, client)))
    calls = len(emulator.calls)
    assert await all_fields(client) == await all_fields(view)
    assert len(emulator.calls) == calls <= 3
    await client.metadata.sub_types()
    await client.metadata.sub_types()
    assert len(emulator.calls) == calls + 1


def test_metadata_are_cached_for_the_configured_time(config):
    """Metadata are read again after metadata_ttl, and a returned list is a copy."""
    script = Script(httpx.Response(200, json=[{"Text": "a", "Value": "a"}]))

    async def main():
        kept = attrs.evolve(config, metadata_ttl=60.0)
        async with httpx.AsyncClient(transport=script) as http, ServiceClient(kept, http_client=http) as client:
            (await client.metadata.sub_types()).clear()
            assert len(await client.metadata.sub_types()) == 1
            await asyncio.sleep(61)
            await client.metadata.sub_types()

    run_virtual(main())
    assert len(script.seen) == 2


def test_the_cache_is_bounded(config):
    """The least recently used of many searches is dropped from the cache."""
    script = Script(httpx.Response(200, json={"Total": 0, "TicketsFields": []}))

    async def main():
        kept = attrs.evolve(config, metadata_ttl=1e9, rate_limit=RateLimit(1000))
        async with httpx.AsyncClient(transport=script) as http, ServiceClient(kept, http_client=http) as client:
            for number in range(200):
                await all_fields(client)
                await all_fields(client, search=str(number))
            before = len(script.seen)
            await all_fields(client, search="199")
            kept = len(script.seen)
            await all_fields(client, search="0")
            return before, kept, len(script.seen)

    assert run_virtual(main()) == (201, 201, 202)


def test_a_failed_read_is_not_cached(config):
    """A failed read is not cached."""
    script = Script(403, httpx.Response(200, json=[]))

    async def main():
        async with httpx.AsyncClient(transport=script) as http, ServiceClient(config, http_client=http) as client:
            with pytest.raises(PermissionDeniedError):
                await client.metadata.sub_types()
            return await client.metadata.sub_types()

    assert run_virtual(main()) == []


def test_a_service_that_counts_wrong_is_named(config, caplog):
    """Reading stops with a warning if the service returns fewer fields than its total."""
    page = {"Total": 9, "TicketsFields": [{"SchemaName": "Title", "Id": 1}]}
    script = Script(httpx.Response(200, json=page))

    async def main():
        async with httpx.AsyncClient(transport=script) as http, ServiceClient(config, http_client=http) as client:
            return await all_fields(client)

    assert [field.schema_name for field in run_virtual(main())] == ["Title"]
    assert [json.loads(seen.body)["Offset"] for seen in script.seen] == [0, 1, 1, 1, 2]
    [warning] = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert "9 fields but returned 1" in warning


class Endless(httpx.AsyncBaseTransport):
    """A service that never runs out of fields: each page takes ``seconds`` and has ``size`` new ones."""

    def __init__(self, size, seconds=0.0):
        self.size, self.seconds, self.pages = size, seconds, 0

    async def handle_async_request(self, request):
        await asyncio.sleep(self.seconds)
        self.pages += 1
        fields = [{"SchemaName": f"F{self.pages}-{number}"} for number in range(self.size)]
        return httpx.Response(200, json={"Total": 10**9, "TicketsFields": fields})


@pytest.mark.parametrize(("size", "pages"), [(1, 401), (25, 401), (3000, 4)])
def test_the_pages_of_fields_are_bounded(config, size, pages):
    """Metadata of a service that never runs out of fields raise an error after 400 pages or 10,000 fields."""
    service = Endless(size)

    async def main():
        quick = attrs.evolve(config, rate_limit=RateLimit(1000))
        async with httpx.AsyncClient(transport=service) as http, ServiceClient(quick, http_client=http) as client:
            with pytest.raises(
                MalformedResponseError, match="reports 1,000,000,000 fields; at most 10,000 on 400 pages"
            ):
                await all_fields(client)

    run_virtual(main())
    assert service.pages == pages


@pytest.mark.parametrize("seconds", [0.7, 10.0])
def test_a_deadline_bounds_all_pages_together(config, seconds):
    """The deadline of validate bounds all of its calls together: pages of fields and sub-types."""

    async def main():
        async with httpx.AsyncClient(transport=Endless(1, seconds)) as http:
            async with ServiceClient(config, http_client=http) as client:
                started = asyncio.get_running_loop().time()
                with pytest.raises(LSQServiceError):
                    await client.with_options(deadline=3.0).metadata.validate(GOOD)
                return asyncio.get_running_loop().time() - started

    assert run_virtual(main()) == pytest.approx(3.0, abs=0.05)


@pytest.mark.parametrize("answer", [{"Total": 1}, {"TicketsFields": [{"Id": 1}]}, {"TicketsFields": [5]}, [], 5])
def test_an_answer_of_another_shape_is_malformed(config, answer):
    """Metadata of another shape, or without an identifier, are malformed. A list that is null is empty."""

    async def main(script):
        async with httpx.AsyncClient(transport=script) as http, ServiceClient(config, http_client=http) as client:
            return await all_fields(client)

    with pytest.raises(MalformedResponseError):
        run_virtual(main(Script(httpx.Response(200, json=answer))))
    assert run_virtual(main(Script(httpx.Response(200, json={"Total": None, "TicketsFields": None})))) == []


async def test_ten_thousand_tickets_cost_a_few_calls(client, emulator):
    """Any number of tickets, in a list or an async iterable, is validated with at most four calls."""
    bad = attrs.evolve(GOOD, title=None)

    async def rows():
        for number in range(10_000):
            yield bad if number % 1000 == 0 else GOOD

    found = await client.metadata.validate_many(rows())
    assert len(found) == 10_000
    assert [number for number, problems in enumerate(found) if problems] == list(range(0, 10_000, 1000))
    assert {(problem.field, problem.rule) for problem in found[0]} == {("Title", "mandatory")}
    assert len(emulator.calls) <= 4


async def test_a_long_list_does_not_block_the_loop(client):
    """Other tasks run between the tickets of a long list."""
    await client.metadata.validate(GOOD)
    checking = asyncio.create_task(client.metadata.validate_many([GOOD] * 1000))
    turns = 0
    while not checking.done():
        await asyncio.sleep(0)
        turns += 1
    assert turns >= 1000


async def test_a_wrong_item_of_a_list_is_refused_before_anything_is_read(client, emulator):
    """No call is made to read the metadata."""
    for wrong in ([GOOD, 5], {"x": GOOD}, "ab", b"ab"):
        with pytest.raises(InvalidRequestError, match="takes a NewTicket or a TicketUpdate, not"):
            await client.metadata.validate_many(wrong)
    assert not emulator.calls


async def test_the_marker_field_is_never_missing(emulator):
    """A ticket without the mandatory marker field is valid, because the client sends that field."""
    async with ServiceClient(Config(**emulator.settings, marker_field="Title")) as client:
        assert await client.metadata.validate(attrs.evolve(GOOD, title=None)) == []
        [problem] = await client.metadata.validate(GOOD)
        assert "Title is Config.marker_field" in problem.message


async def test_one_ticket_is_checked(client):
    """validate returns the problems of a ticket, and for an update only those of changed fields."""
    assert await client.metadata.validate(GOOD) == []
    assert [problem.rule for problem in await client.metadata.validate(NewTicket())][:2] == ["lead", "mandatory"]
    assert await client.metadata.validate(TicketUpdate(status="On Hold")) == []
    [problem] = await client.metadata.validate(attrs.evolve(GOOD, sub_type="no such thing"))
    assert (problem.field, problem.rule) == ("SubType", "option")


async def test_metadata_is_for_admins():
    """Validating without the keys of an admin raises PermissionDeniedError."""
    async with Emulator(admin=False) as emulator, ServiceClient(Config(**emulator.settings)) as client:
        with pytest.raises(PermissionDeniedError):
            await client.metadata.validate(GOOD)


async def test_leads_are_found_for_tickets(client):
    """A lead that a ticket created is found by its e-mail address and can be used for another ticket."""
    await client.tickets.create(GOOD)
    lead = await client.leads.find_by_email("wim@example.com")
    assert lead.email == "wim@example.com"
    receipt = await client.tickets.create(NewTicket.for_lead(lead, title="Again", status="Open"))
    assert (await client.tickets.get(receipt)).lead_id == lead.id
    assert await client.leads.find_by_email("nobody@example.com") is None


async def test_activities_and_trash_change_a_ticket(client):
    """A portal activity is in the conversations, and a trashed ticket cannot be trashed again."""
    number = (await client.tickets.create(GOOD)).number
    await client.tickets.add_note(number, "Resolve this ticket ASAP.")
    await client.tickets.add_portal_activity(number, "Any news?")
    found = await client.tickets.conversations(number)
    assert [(one.activity_type, one.text) for one in found] == [("PortalInbound", "Any news?")]
    first = await client.tickets.trash([number])
    again = await client.tickets.trash([number])
    assert (first.successful, again.failed) == ((number,), (number,))


async def test_a_deadline_bounds_the_wait_for_another_reader(client, emulator):
    """A call does not wait beyond its deadline for metadata that another call reads."""
    emulator.faults.add(Latency(1.0))
    reader = asyncio.create_task(client.metadata.sub_types())
    await asyncio.sleep(0.05)
    with pytest.raises(NotSentError, match="another call read this metadata"):
        await client.with_options(deadline=0.1).metadata.sub_types()
    assert await reader
    assert await client.with_options(deadline=0.1).metadata.sub_types()
