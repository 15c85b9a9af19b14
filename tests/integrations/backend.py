"""A complete FastAPI backend as users write one. uvicorn serves the app that `from_env` returns."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Annotated, Any

import httpx
from fastapi import APIRouter, BackgroundTasks, Body, FastAPI, Form, Response, UploadFile
from pydantic import Json

from lsq_service_async import Config, NewTicket, RateLimit, RetryPolicy, Ticket, TicketReceipt, TicketUpdate
from lsq_service_async.emulator import Emulator
from lsq_service_async.integrations.fastapi import Client, install_error_handlers, lifespan
from lsq_service_async.limits import HostLimiter

TICKET = {"lead_id": "45b5", "title": "Router down", "status": "New"}
WIDE = RateLimit(10_000, per=0.1)

router = APIRouter()


def backend(config: Config | Callable[[], Config], own: Any = None, **options: Any) -> FastAPI:
    """Return an app with a handler for each use of the client."""
    app = FastAPI(lifespan=lifespan(config, own, **options))
    install_error_handlers(app)
    app.include_router(router)
    return app


def from_env() -> FastAPI:
    """Return the app of one of several workers. They share a rate limit in the file that BACKEND_LIMIT names."""
    return backend(Config.from_env, limiter=HostLimiter(os.environ["BACKEND_LIMIT"]))


def backend_of(
    emulator: Emulator, own: Any = None, *, rate: RateLimit = WIDE, attempts: int = 1, **options: Any
) -> FastAPI:
    """Return the app with a client that calls an emulator in this process."""
    retry = RetryPolicy(attempts=attempts, backoff=0.001)
    config = Config(**emulator.settings, rate_limit=rate, retry=retry)
    return backend(config, own, http_client=lambda: http_client_of(emulator), **options)


def http_client_of(emulator: Emulator) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(app=emulator.app))


@router.post("/tickets", status_code=201)
async def create(ticket: Annotated[NewTicket, Body()], client: Client, response: Response) -> TicketReceipt:
    response.headers["x-worker"] = str(os.getpid())
    return await client.tickets.create(ticket)


@router.post("/tickets/list", status_code=201)
async def create_all(tickets: list[NewTicket], client: Client) -> list[TicketReceipt]:
    return [await client.tickets.create(ticket) for ticket in tickets]


@router.post("/tickets/form", status_code=201)
async def create_with_files(
    ticket: Annotated[Json[NewTicket], Form()], files: list[UploadFile], client: Client
) -> TicketReceipt:
    return await client.tickets.create(ticket, attachments=files)


@router.get("/tickets/{number}")
async def show(number: str, client: Client) -> Ticket:
    return await client.tickets.get(number)


@router.get("/tickets")
async def show_all(numbers: str, client: Client) -> list[Ticket]:
    return [await client.tickets.get(number) for number in numbers.split(",")]


@router.patch("/tickets/{number}")
async def change(number: str, update: Annotated[TicketUpdate, Body()], client: Client) -> TicketReceipt:
    return await client.tickets.update(number, update)


@router.post("/tickets/{number}/files")
async def attach(number: str, file: UploadFile, client: Client) -> TicketReceipt:
    return await client.tickets.update(number, TicketUpdate(), attachments=[file])


@router.get("/impatient/{number}")
async def impatient(number: str, client: Client) -> Ticket:
    return await client.with_options(deadline=0.2).tickets.get(number)


@router.post("/later", status_code=202)
async def later(title: str, client: Client, background: BackgroundTasks) -> str:
    background.add_task(client.tickets.create, NewTicket(lead_id="45b5", title=title))
    return "soon"
