"""Every setting with its default, frozen and checked when it is made."""

from __future__ import annotations

import enum
import os
import re
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, tzinfo
from typing import Any, NoReturn, Self
from urllib.parse import urlsplit

import attrs

from . import _config_validators as checks
from ._config_validators import Secret, is_loopback, secret
from .errors import ConfigurationError

__all__ = ["CallOptions", "Config", "Lane", "RateLimit", "RetryPolicy", "Secret", "is_loopback"]

DEFAULT_LEADS_URL = "https://api.leadsquared.com"


class Lane(enum.Enum):
    """Which queue a call waits in when the allowance is used up."""

    INTERACTIVE = "interactive"
    """Somebody waits for the answer: goes first, and may use the burst. The default."""
    BULK = "bulk"
    """A script: evenly paced, behind the interactive calls, and never less than one grant in five."""


@attrs.frozen
class RateLimit:
    """What the service allows: ``calls`` in any ``per`` seconds. The service documents 25 in 5."""

    calls: int = 25
    per: float = attrs.field(default=5.0, kw_only=True)

    def __attrs_post_init__(self) -> None:
        checks.count(self.calls, "RateLimit.calls")
        checks.number(self.per, "RateLimit.per")

    @classmethod
    def parse(cls, text: str) -> Self:
        """``"25/5"`` is 25 calls in 5 seconds."""
        match = re.fullmatch(r"\s*([0-9]{1,7})\s*/\s*([0-9]{1,7}(?:\.[0-9]{1,6})?)\s*", text)
        if not match:
            raise ConfigurationError(f"a rate limit reads like 25/5 (calls / seconds), not {text!r}")
        return cls(int(match[1]), per=float(match[2]))


def _rate_of_env(text: str) -> RateLimit:
    try:
        return RateLimit.parse(text)
    except ConfigurationError as error:
        raise ConfigurationError(f"LSQ_RATE_LIMIT: {error}") from None


@attrs.frozen(kw_only=True)
class RetryPolicy:
    """How often a call may be sent, and how long it pauses in between.

    ``attempts`` counts all sends of a call, the first included. ``repeat_creates=False`` makes a create that met a
    500, 502, 503 or 504 end in OutcomeUnknownError where it would be sent again. Pauses are drawn between 0 and
    ``backoff * 2**n`` seconds (full jitter), at most ``backoff_cap``.
    """

    attempts: int = 5
    repeat_creates: bool = True
    backoff: float = 0.5
    backoff_cap: float = 20.0

    def __attrs_post_init__(self) -> None:
        checks.count(self.attempts, "RetryPolicy.attempts")
        checks.number(self.backoff, "RetryPolicy.backoff")
        checks.number(self.backoff_cap, "RetryPolicy.backoff_cap")


@attrs.frozen(kw_only=True)
class Config:
    """All settings of a client. Raises ConfigurationError, naming the setting and never a key's value.

    ``base_url`` is an origin; ``/api/tenants/{org_id}`` is appended. ``timeout`` is seconds without progress:
    connecting, each write, each read, and from the last byte sent to the last byte of the answer. ``deadline`` is
    seconds for a whole call, its queueing, sends and pauses together; None is unbounded. ``max_file_bytes`` and
    ``max_upload_bytes`` bound each attachment and all of a call, as the service documents no bound; None is none.
    ``attachment_digests`` puts the SHA-256 of every attachment sent on its attempt, for half a second of CPU per GiB.

    ``metadata_url`` is the origin for field metadata, ``metadata_ttl`` the seconds for which they are kept.
    ``leads_url`` is the marketing API's origin, which depends on the account's region (api, api-us11, api-in21,
    api-in22, api-ir31 or api-ca12, each .leadsquared.com), and ``leads_rate_limit`` its own limit. ``time_zone`` (a
    tzinfo or a name such as "Asia/Kolkata") is the zone in which dates are given back.
    """

    access_key: Secret = attrs.field(converter=secret, validator=checks.key)
    secret_key: Secret = attrs.field(converter=secret, validator=checks.key)
    org_id: str = attrs.field(validator=checks.org)
    base_url: str = attrs.field(default=checks.DEFAULT_BASE_URL, converter=checks.without_slash)
    rate_limit: RateLimit = attrs.field(factory=RateLimit, validator=checks.is_a(RateLimit))
    retry: RetryPolicy = attrs.field(factory=RetryPolicy, validator=checks.is_a(RetryPolicy))
    timeout: float = 30.0
    deadline: float | None = None
    allow_http: bool = False
    max_file_bytes: int | None = None
    max_upload_bytes: int | None = None
    attachment_digests: bool = True
    _metadata_url: str | None = attrs.field(default=None, converter=checks.without_slash, alias="metadata_url")
    metadata_ttl: float = 300.0
    _leads_url: str | None = attrs.field(default=None, converter=checks.without_slash, alias="leads_url")
    leads_rate_limit: RateLimit = attrs.field(factory=RateLimit, validator=checks.is_a(RateLimit))
    time_zone: tzinfo = attrs.field(default=UTC, converter=checks.zone)

    def __attrs_post_init__(self) -> None:
        for name in ("base_url", "metadata_url", "leads_url"):
            checks.origin(getattr(self, name), name, allow_http=self.allow_http)
        checks.number(self.metadata_ttl, "metadata_ttl")
        checks.times(self.timeout, self.deadline)
        for name in ("max_file_bytes", "max_upload_bytes"):
            if getattr(self, name) is not None:
                checks.count(getattr(self, name), name, most=1 << 50)

    @classmethod
    def from_env(cls, environ: Mapping[str, str] | None = None) -> Self:
        """Read LSQ_ACCESS_KEY, LSQ_SECRET_KEY and LSQ_ORG_ID, and if they are set LSQ_BASE_URL, LSQ_METADATA_URL,
        LSQ_LEADS_URL and LSQ_RATE_LIMIT ("25/5"). ConfigurationError names all that are missing.

        Other settings go beside them with ``attrs.evolve(Config.from_env(), timeout=10.0)``.
        """
        environ = os.environ if environ is None else environ
        needed = ["LSQ_ACCESS_KEY", "LSQ_SECRET_KEY", "LSQ_ORG_ID"]
        missing = [name for name in needed if not environ.get(name)]
        if missing:
            raise ConfigurationError(f"missing settings: {', '.join(missing)}. {checks.WITHOUT_AN_ACCOUNT}")
        # Wrapped at once, and the environment let go of: an error below may be shown with the locals of this frame.
        access_key, secret_key = Secret(environ["LSQ_ACCESS_KEY"]), Secret(environ["LSQ_SECRET_KEY"])
        names = ("base_url", "metadata_url", "leads_url")
        origins: dict[str, Any] = {name: url for name in names if (url := environ.get(f"LSQ_{name.upper()}"))}
        org_id, rate = environ["LSQ_ORG_ID"], environ.get("LSQ_RATE_LIMIT")
        del environ
        rate_limit = _rate_of_env(rate) if rate else RateLimit()
        try:
            return cls(access_key=access_key, secret_key=secret_key, org_id=org_id, rate_limit=rate_limit, **origins)
        except ConfigurationError as error:
            setting, _, wrong = str(error).partition(" ")
            raise ConfigurationError(f"LSQ_{setting.upper()} {wrong}") from None

    @property
    def metadata_url(self) -> str:
        """The origin of the field metadata: as set, or the base URL with api. for apigw., as their page prints it."""
        return str(self.base_url).replace("//apigw.", "//api.", 1) if self._metadata_url is None else self._metadata_url

    @property
    def leads_url(self) -> str:
        """The origin of the marketing API: as set, or the vendor's first host; never that one from an emulator."""
        if self._leads_url is not None:
            return self._leads_url
        return self.base_url if checks.is_local(self.base_url) else DEFAULT_LEADS_URL

    @property
    def tenant_path(self) -> str:
        """What stands between an origin and every documented path."""
        return f"/api/tenants/{self.org_id}"

    @property
    def tenant_url(self) -> str:
        """What the path of every ticket operation is appended to."""
        return f"{self.base_url}{self.tenant_path}"

    @property
    def limit_name(self) -> str:
        """Who shares one allowance: everybody on this host and org."""
        return f"{urlsplit(self.base_url).netloc}/{self.org_id}"

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: object) -> Self:
        return self

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Config holds keys and is not pickled; call Config.from_env() in the worker instead")


@attrs.frozen(kw_only=True)
class CallOptions:
    """What `ServiceClient.with_options` may change for the calls of one view.

    ``before_send`` is awaited before each send, once the limit has granted it; what it raises ends the call unsent.
    """

    lane: Lane = attrs.field(default=Lane.INTERACTIVE, validator=checks.is_a(Lane))
    before_send: Callable[[], Awaitable[None]] | None = None
    deadline: float | None = None
    timeout: float = 30.0
    retry: RetryPolicy = attrs.field(factory=RetryPolicy, validator=checks.is_a(RetryPolicy))

    def __attrs_post_init__(self) -> None:
        checks.times(self.timeout, self.deadline)
