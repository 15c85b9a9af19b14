"""A whole backend, as users of the package write one; uvicorn serves what `from_env` makes."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Annotated, Any

from fastapi import BackgroundTasks, Body, FastAPI, Response, UploadFile

from lsq_service_async import Config, NewTicket, Ticket, TicketReceipt, TicketUpdate
from lsq_service_async.integrations.fastapi import Client, install_error_handlers, lifespan
from lsq_service_async.limits import HostLimiter


def backend(config: Config | Callable[[], Config], own: Any = None, **options: Any) -> FastAPI:
    """An app with a handler for each way of use."""
    app = FastAPI(lifespan=lifespan(config, own, **options))
    install_error_handlers(app)
    handlers(app)
    return app


def from_env() -> FastAPI:
    """For several workers: each calls this, and the file that BACKEND_LIMIT names is their one allowance."""
    return backend(Config.from_env, limiter=HostLimiter(os.environ["BACKEND_LIMIT"]))


def handlers(app: FastAPI) -> None:
    @app.post("/tickets", status_code=201)
    async def create(ticket: Annotated[NewTicket, Body()], client: Client, response: Response) -> TicketReceipt:
        response.headers["x-worker"] = str(os.getpid())
        return await client.tickets.create(ticket)

    @app.get("/tickets/{number}")
    async def show(number: str, client: Client) -> Ticket:
        return await client.tickets.get(number)

    @app.get("/tickets")
    async def several(numbers: str, client: Client) -> list[Ticket]:
        return [await client.tickets.get(number) for number in numbers.split(",")]

    @app.patch("/tickets/{number}")
    async def change(number: str, update: Annotated[TicketUpdate, Body()], client: Client) -> TicketReceipt:
        return await client.tickets.update(number, update)

    @app.post("/tickets/{number}/files")
    async def attach(number: str, file: UploadFile, client: Client) -> TicketReceipt:
        return await client.tickets.update(number, TicketUpdate(), attachments=[file])

    @app.get("/impatient/{number}")
    async def impatient(number: str, client: Client) -> Ticket:
        return await client.with_options(deadline=0.2).tickets.get(number)

    @app.post("/later", status_code=202)
    async def later(title: str, client: Client, background: BackgroundTasks) -> str:
        background.add_task(client.tickets.create, NewTicket(lead_id="45b5", title=title))
        return "soon"
