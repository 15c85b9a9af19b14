"""ServiceClient. ``_transport/session.py`` opens and closes it, and ``_transport/pipeline.py`` sends its calls."""

from __future__ import annotations

import asyncio
import platform
import re
from collections.abc import Mapping, Sequence
from enum import Enum
from functools import cached_property, partial
from numbers import Number
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self
from uuid import UUID

import attrs
import httpx

from ._transport.session import HttpClient, Session
from ._version import __version__
from ._wire.call import BeforeSend, Call, Idempotency, Send
from ._wire.serialize import encode
from .config import CallOptions, Config, Lane, RetryPolicy
from .errors import ConfigurationError, InvalidRequestError, NotFoundError, shown
from .events import Hook
from .limits import Limiter, limiter_from_env
from .records import TicketReceipt

if TYPE_CHECKING:  # imported when needed, because they are slow to import
    from .bulk import Bulk, BulkRow, Setup
    from .leads import Leads
    from .metadata import Metadata, MetadataCache
    from .tickets import LookUps, Tickets

_USER_AGENT = f"lsq-service-async/{__version__} httpx/{httpx.__version__} python/{platform.python_version()}"

_CHECK_TIMEOUT = 15.0  # s


class _Unchanged:
    def __repr__(self) -> str:
        return "unchanged"


_UNCHANGED: Any = _Unchanged()


class ServiceClient:
    """A client for one account and one event loop. All tasks of the loop can share it.

    Use ``async with ServiceClient(config) as client``, or call `aclose` at the end. ``limiter`` is a rate limiter to
    share with other clients; by default, each client has its own. Calls of ``client.leads`` use a second rate limiter,
    which is never shared. ``http_client`` is an httpx.AsyncClient or an httpx2.AsyncClient with your proxies, CA bundle
    and connection pool; you close it. Each of the ``hooks`` is called with every event of `lsq_service_async.events`.
    If a hook has a method ``attach``, the method is called with the new client. A wrong argument raises
    ConfigurationError.
    """

    tickets: Tickets
    metadata: Metadata
    leads: Leads

    def __init__(
        self,
        config: Config,
        *,
        limiter: Limiter | None = None,
        http_client: HttpClient | None = None,
        hooks: Sequence[Hook] = (),
    ) -> None:
        if not isinstance(config, Config):
            kind = type(config).__name__
            del config  # crash reporters send local variables, and a mapping may hold API keys
            raise ConfigurationError(f"ServiceClient takes a Config, not {kind}")
        if not isinstance(limiter, Limiter | None):
            kind = type(limiter).__name__
            raise ConfigurationError(f"limiter must be a LocalLimiter, HostLimiter or RedisLimiter, not {kind}")
        if not isinstance(hooks, Sequence) or not all(callable(hook) and not isinstance(hook, type) for hook in hooks):
            raise ConfigurationError("hooks must be a list of callables (not classes), each of which takes an event")
        from .metadata import MetadataCache

        session = Session(config, limiter, http_client, hooks, _USER_AGENT)
        options = CallOptions(deadline=config.deadline, timeout=config.timeout, retry=config.retry)
        self._wire_up(session, MetadataCache(config.metadata_ttl), options, is_owner=True)
        for hook in hooks:
            if callable(attach := getattr(hook, "attach", None)):
                attach(self)

    def _wire_up(self, session: Session, cache: MetadataCache, options: CallOptions, *, is_owner: bool) -> None:
        from .leads import Leads
        from .metadata import Metadata
        from .tickets import Tickets

        self._session = session
        self._metadata_cache = cache
        self._options = options
        self._is_owner = is_owner
        config = session.config
        send: Send = partial(session.send, options=options)
        own, marker = session.own_tickets, config.marker_field
        self.tickets = Tickets(send, org_id=config.org_id, zone=config.time_zone, own=own, marker=marker)
        self.metadata = Metadata(send, cache, options.deadline, marker)
        self.leads = Leads(send)

    @classmethod
    def from_env(
        cls,
        *,
        limiter: Limiter | None = None,
        http_client: HttpClient | None = None,
        hooks: Sequence[Hook] = (),
    ) -> Self:
        """Make a client with the settings that `Config.from_env` reads from the environment.

        Without ``limiter``, the environment can set a shared rate limiter: LSQ_LIMIT_FILE is the path of the file of a
        `HostLimiter`, and LSQ_LIMIT_REDIS is the address of the Redis server of a `RedisLimiter`. Raises
        ConfigurationError if a setting is missing or wrong.
        """
        config = Config.from_env()
        return cls(config, limiter=limiter or limiter_from_env(), http_client=http_client, hooks=hooks)

    def with_options(
        self,
        *,
        lane: Lane = _UNCHANGED,
        deadline: float | None = _UNCHANGED,
        timeout: float = _UNCHANGED,
        retry: RetryPolicy = _UNCHANGED,
    ) -> Self:
        """Return a view: a client with other options that uses the connections and the limiter of this client.

        ``deadline`` is the maximum number of seconds for a whole call, or None for no limit. ``timeout`` and ``retry``
        are as in `Config`. A wrong option raises ConfigurationError. A view does not need to be closed, and closing a
        view does nothing, unless ``async with view`` opened the client.
        """
        given: dict[str, Any] = {"lane": lane, "deadline": deadline, "timeout": timeout, "retry": retry}
        changes = {name: value for name, value in given.items() if value is not _UNCHANGED}
        view = object.__new__(type(self))
        view._wire_up(self._session, self._metadata_cache, attrs.evolve(self._options, **changes), is_owner=False)
        return view

    @property
    def limiter(self) -> Limiter:
        """The rate limiter of this client. Its ``stats()`` shows how many slots are used and how many calls wait."""
        return self._session.limiter

    @property
    def http_client(self) -> HttpClient:
        """The HTTP client that sends the requests: the argument ``http_client``, or one that this client made."""
        return self._session.http_client

    async def check(self) -> None:
        """Check the host, the org id, the keys and the API with one read of at most 30 seconds.

        The check reads ticket 1, which does not have to exist. Raises the error of the read, such as
        AuthenticationError for wrong keys.
        """
        timeout = min(self._options.timeout, _CHECK_TIMEOUT)
        once = self.with_options(timeout=timeout, deadline=2 * _CHECK_TIMEOUT, retry=RetryPolicy(attempts=1))
        try:
            await once.tickets.get("1")
        except NotFoundError as error:
            if not isinstance(error.body, dict):  # the 404 of a gateway without this API is not JSON
                raise

    async def request(
        self,
        method: str,
        path: str,
        *,
        json: Any = None,
        params: Mapping[str, str] | None = None,
        repeatable: bool | None = None,
    ) -> Any:
        """Send a request to any path of the tenant, such as ``"tickets/143/anything"``, and return the decoded JSON.

        ``json`` is any value that JSON can represent, and ``params`` is the query. Returns None for an empty response.
        The rate limit, retries and errors are the same as for other operations. Set ``repeatable=True`` if sending the
        request twice has the same effect as sending it once. A repeatable request is sent again if no response arrives.
        GET, HEAD and OPTIONS are repeatable by default. An invalid argument raises InvalidRequestError.
        """
        if not isinstance(method, str) or not re.fullmatch(r"[A-Z]{3,10}", method):
            raise InvalidRequestError(f"method must be a word in capitals, such as POST, not {shown(method, 40)}")
        # Dot segments and other characters are rejected, because the URL could leave the path of the tenant.
        parts = path.removeprefix("/").split("/") if isinstance(path, str) else [""]
        if not all(re.fullmatch(r"[A-Za-z0-9._~-]{1,128}", part) and part.strip(".") for part in parts):
            raise InvalidRequestError(f"path must be plain words, such as tickets/143/anything, not {shown(path)}")
        if not isinstance(repeatable, bool | None):
            raise InvalidRequestError(f"repeatable must be True, False or None, not {shown(repeatable)}")
        try:
            query = dict(_query_item(*item) for item in dict(() if params is None else params).items())
            httpx.URL("/".join((self._session.config.tenant_url, *parts)), params=query)
        except Exception as error:  # httpx and objects of the caller may raise anything
            raise InvalidRequestError(f"params must map text to text and fit into a URL: {error}") from None
        repeated = Idempotency.IDEMPOTENT if repeatable else Idempotency.NON_IDEMPOTENT
        is_read = method in ("GET", "HEAD", "OPTIONS") and repeatable is not False
        call = Call(
            operation=f"{method} {path}",
            method=method,
            path="/" + "/".join(parts),
            idempotency=Idempotency.SAFE if is_read else repeated,
            parse=lambda answer: answer,
            documented=False,
            params=query,
            body=None if json is None else encode(json),
        )
        return await self._session.send(call, self._options)

    @cached_property
    def bulk(self) -> Bulk:
        """Creates or updates many tickets, in runs that can be stopped and continued."""
        from .bulk import Bulk

        return Bulk(partial(self._bulk_setup, attrs.evolve(self._options, lane=Lane.BULK)))

    def _bulk_setup(self, options: CallOptions, verb: Literal["created", "updated"]) -> Setup:
        from .bulk import Setup
        from .tickets import LookUps, create_call, update_call

        config = self._session.config
        url = httpx.URL(config.base_url)

        tickets = self.with_options(lane=Lane.BULK).tickets

        async def send(row: BulkRow, before_send: BeforeSend, reference: str | None) -> TicketReceipt:
            files = row.attachments
            ticket: Any = row.ticket
            if verb == "created":
                call = create_call(
                    ticket,
                    files,
                    reference=reference,
                    marker=config.marker_field,
                    look_up=lambda create, quiet: look_ups(quiet, 200).decide(create),
                )
            else:
                call = update_call(row.target or "", ticket, files)
            return await self._session.send(attrs.evolve(call, before_send=before_send), options)

        def look_ups(quiet: float, max_reads: float) -> LookUps:
            session, how = self._session, {"quiet": quiet, "max_reads": max_reads}
            return LookUps(tickets.get, session.own_tickets, **how, loop_epoch=lambda: session.loop_epoch)

        async def probe() -> object:
            return await self.with_options(lane=Lane.BULK, retry=RetryPolicy(attempts=1)).tickets.get("1")

        return Setup(
            verb=verb,
            account=f"{url.scheme}://{url.netloc.decode('ascii')}, org {config.org_id}",
            send=send,
            marker=config.marker_field,
            look_ups=look_ups,
            now=lambda: self._session.loop_epoch + asyncio.get_running_loop().time(),
            probe=probe,
            rate_limit=config.rate_limit,
            estimated_wait=lambda: self.limiter.stats().estimated_wait[Lane.BULK],
            before_closing=self._session.close_callbacks,
        )

    async def aclose(self) -> None:
        """Wait for requests in flight, then wait until bulk runs have stored their results, and close the client.

        Each of the two waits takes at most ``Config.timeout`` seconds. Does nothing on a view, unless ``async with
        view`` opened the client.
        """
        if self._is_owner:
            await self._session.aclose()

    async def __aenter__(self) -> Self:
        if await self._session.open():
            self._is_owner = True
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    def __repr__(self) -> str:
        if not hasattr(self, "_session"):  # a traceback shows this object after __init__ has failed
            return "<ServiceClient, never opened>"
        state = "closed" if self._session.closed else "open"
        return f"<ServiceClient {self._session.config.tenant_url} {state}>"


def _query_item(name: Any, value: Any) -> tuple[str, list[Any]]:
    """Return a query parameter and its values. Raises TypeError if httpx would send the repr of a name or value."""
    items = [name, *value] if isinstance(value, list | tuple) else [name, value]
    name, *values = (item.value if isinstance(item, Enum) else item for item in items)
    if not isinstance(name, str) or not all(isinstance(item, str | Number | UUID | None) for item in values):
        raise TypeError(f"not {shown({name: value})}")
    return name, values
