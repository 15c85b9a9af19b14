"""The settings of a client. They cannot be changed. Only the keys and the org id have no default."""

from __future__ import annotations

import enum
import os
import re
from collections.abc import Mapping
from datetime import UTC, tzinfo
from typing import Any, Literal, NoReturn, Self
from urllib.parse import urlsplit

import attrs

from . import _config_validators as validators
from ._config_validators import Secret, is_loopback
from ._logging import LOG_LEVEL, log_to_stderr
from .errors import ConfigurationError, shown

__all__ = ["CallOptions", "Config", "Lane", "RateLimit", "RetryPolicy", "Secret", "is_loopback"]

DEFAULT_LEADS_URL = "https://api.leadsquared.com"
_REQUIRED = ("access_key", "secret_key", "org_id")
_IN_ENVIRONMENT = (*_REQUIRED, "base_url", "metadata_url", "leads_url", "rate_limit", "time_zone")


class Lane(enum.Enum):
    """The queue in which a call waits for the rate limit."""

    INTERACTIVE = "interactive"
    """The default, for calls that a user waits for. They precede bulk calls, and are sent at once if possible."""
    BULK = "bulk"
    """For scripts. Bulk calls are sent at an even pace, after interactive calls, but get at least one slot in five."""


@attrs.frozen
class RateLimit:
    """The rate limit of the service: at most ``calls`` calls in any ``per`` seconds.

    The documented limit is 25 calls in 5 seconds (apidocs.leadsquared.com/create-tickets). Wrong values raise
    ConfigurationError.

    ``window`` is the way in which the service counts calls. "any" is safe for every service: after a burst, the next
    calls are spread over the next window. "sliding" is for a service that counts the exact number of calls in a window;
    the command `doctor --burst` tests whether a service does this. With "sliding", a second burst can follow ``per``
    seconds after the first, so with a limit of 25 calls in 5 seconds, 50 calls take 5 seconds instead of 10.
    """

    calls: int = 25
    per: float = attrs.field(default=5.0, kw_only=True)
    window: Literal["any", "sliding"] = attrs.field(default="any", kw_only=True)

    def __attrs_post_init__(self) -> None:
        validators.check_count(self.calls, "RateLimit.calls")
        validators.check_number(self.per, "RateLimit.per")
        if self.window not in ("any", "sliding"):
            raise ConfigurationError(f'RateLimit.window must be "any" or "sliding", not {shown(self.window)}')

    def __str__(self) -> str:
        return f"{self.calls} calls in {self.per:g} s{' (sliding)' if self.window == 'sliding' else ''}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse a text such as ``"25/5"`` or ``"25/5 sliding"``. Raises ConfigurationError for any other value."""
        form = r"\s*([0-9]{1,7})\s*/\s*([0-9]{1,7}(?:\.[0-9]{1,6})?)(?:\s+(any|sliding))?\s*"
        match = re.fullmatch(form, text) if isinstance(text, str) else None
        if not match:
            raise ConfigurationError(
                f'a rate limit is written as calls/seconds, such as 25/5 or "25/5 sliding", not {shown(text)}'
            )
        window: Any = match[3] or "any"
        return cls(int(match[1]), per=float(match[2]), window=window)


@attrs.frozen(kw_only=True)
class RetryPolicy:
    """The maximum number of attempts of a call, and the waits between the attempts.

    ``attempts`` includes the first attempt. ``repeat_creates`` is for calls that have a second effect if they are sent
    twice: creates, notes, portal activities, trash, updates that have attachments, and calls of `ServiceClient.request`
    that are not repeatable. By default, such a call is sent again after a 500, 502, 503 or 504 whose body has no
    ``ExceptionType``, the field in which the service reports its own errors. With ``repeat_creates=False``, the call
    raises OutcomeUnknownError instead. With ``repeat_creates="look"``, only creates are sent again, and only if a
    look-up shows that the create was not applied. The look-up can decide only if this client has sent another create
    after the failed attempt and has received its answer. Otherwise, the outcome stays unknown.

    The wait before the n-th retry is a random number of seconds from 0 to the smaller of ``backoff * 2**(n-1)`` and
    ``backoff_cap`` (full jitter). If the response has a Retry-After, the wait is at least that long. A Retry-After of
    more than 60 seconds counts as 60 seconds, and a Retry-After of more than an hour is ignored. After a 429, or a 503
    with a Retry-After, the rate limiter pauses all calls instead.
    """

    attempts: int = 5
    repeat_creates: bool | Literal["look"] = True
    backoff: float = 0.5
    backoff_cap: float = 20.0

    def __attrs_post_init__(self) -> None:
        validators.check_count(self.attempts, "RetryPolicy.attempts")
        if not isinstance(self.repeat_creates, bool) and self.repeat_creates != "look":
            raise ConfigurationError(
                f'RetryPolicy.repeat_creates must be True, False or "look", not {shown(self.repeat_creates)}'
            )
        validators.check_number(self.backoff, "RetryPolicy.backoff")
        validators.check_number(self.backoff_cap, "RetryPolicy.backoff_cap")


@attrs.frozen(kw_only=True)
class Config(metaclass=validators.HidesKeys):
    """The settings of a client. A wrong setting raises ConfigurationError, which never shows a key.

    ``access_key`` and ``secret_key`` are the API keys of a user; every call acts as that user. ``org_id`` is the
    account number, such as "22824". ``base_url`` is the service's origin; the client appends ``/api/tenants/{org_id}``.
    ``rate_limit`` is the limit of your plan, and ``retry`` is the policy for failed attempts.

    ``timeout`` is the maximum number of seconds for each of these steps: connecting, each read of an attachment, each
    write to the network, and the time from the last byte of the request to the last byte of the response. ``deadline``
    is the maximum number of seconds for a whole call with all its attempts; None means no limit. ``allow_http`` permits
    http:// origins on machines other than this one. ``max_file_bytes`` limits the size of each attachment, and
    ``max_upload_bytes`` the total size of the attachments of a call; the service documents no limit. With
    ``attachment_digests=False``, the client computes no SHA-256 of attachments, and ``Attempt.digests`` is empty. This
    saves half a second of CPU time per GiB.

    ``metadata_url`` is the origin of the field metadata, which is cached for ``metadata_ttl`` seconds. ``leads_url`` is
    the origin of the marketing API. The host depends on the region of the account: api, api-us11, api-in21, api-in22,
    api-ir31 or api-ca12, followed by .leadsquared.com. ``leads_rate_limit`` is the separate limit of the marketing API.
    ``time_zone`` (a tzinfo or a name such as "Asia/Kolkata") is the time zone of the dates in records. ``marker_field``
    is the schema name of a custom field, such as "CustomData.ClientRef". Every create sends its reference in this
    field, so that a look-up recognizes the ticket.
    """

    access_key: Secret = attrs.field(converter=validators.to_secret, validator=validators.is_key)
    secret_key: Secret = attrs.field(converter=validators.to_secret, validator=validators.is_key)
    org_id: str = attrs.field(validator=validators.is_org_id)
    base_url: str = attrs.field(default=validators.DEFAULT_BASE_URL, converter=validators.to_origin)
    rate_limit: RateLimit = attrs.field(factory=RateLimit, validator=validators.is_a(RateLimit))
    retry: RetryPolicy = attrs.field(factory=RetryPolicy, validator=validators.is_a(RetryPolicy))
    timeout: float = 30.0
    deadline: float | None = None
    allow_http: bool = attrs.field(default=False, validator=validators.is_a(bool))
    max_file_bytes: int | None = None
    max_upload_bytes: int | None = None
    attachment_digests: bool = attrs.field(default=True, validator=validators.is_a(bool))
    _metadata_url: str | None = attrs.field(default=None, converter=validators.to_origin, alias="metadata_url")
    metadata_ttl: float = 300.0
    _leads_url: str | None = attrs.field(default=None, converter=validators.to_origin, alias="leads_url")
    leads_rate_limit: RateLimit = attrs.field(factory=RateLimit, validator=validators.is_a(RateLimit))
    time_zone: tzinfo = attrs.field(default=UTC, converter=validators.to_time_zone, validator=validators.is_time_zone)
    marker_field: str | None = attrs.field(default=None, validator=validators.is_field_name)

    def __attrs_post_init__(self) -> None:
        for name in ("base_url", "metadata_url", "leads_url"):
            validators.check_origin(getattr(self, name), name, allow_http=self.allow_http)
        validators.check_number(self.metadata_ttl, "metadata_ttl")
        validators.check_times(self.timeout, self.deadline)
        for name in ("max_file_bytes", "max_upload_bytes"):
            if getattr(self, name) is not None:
                validators.check_count(getattr(self, name), name, most=1 << 50)

    @classmethod
    def from_env(cls, environ: Mapping[str, str] | None = None, /, **overrides: Any) -> Self:
        """Make a Config from environment variables, or from a mapping with the same names.

        LSQ_ACCESS_KEY, LSQ_SECRET_KEY and LSQ_ORG_ID are required; LSQ_BASE_URL, LSQ_METADATA_URL, LSQ_LEADS_URL,
        LSQ_RATE_LIMIT (such as "25/5" or "25/5 sliding") and LSQ_TIME_ZONE are optional. ``overrides`` are arguments of
        this class, such as ``timeout=10.0``; they take precedence over variables. A ConfigurationError names all
        missing variables. With LSQ_LOG=info or LSQ_LOG=debug, the log of this package is also printed on stderr.
        """
        # Crash reporters send local variables, so no line may raise before the keys are wrapped.
        is_mapping = isinstance(environ, Mapping | None)
        source = os.environ if environ is None else environ if is_mapping else {}
        variables = [(name, f"LSQ_{name.upper()}") for name in _IN_ENVIRONMENT if name not in overrides]
        settings: dict[str, Any] = {name: source[variable] for name, variable in variables if source.get(variable)}
        log_level = source.get(LOG_LEVEL)
        del environ, source
        validators.hide_keys(settings, cls)
        validators.hide_keys(overrides, cls)
        if not is_mapping:
            raise ConfigurationError("from_env takes a mapping of variables, such as os.environ")
        log_to_stderr(log_level)
        missing = [f"LSQ_{name.upper()}" for name in _REQUIRED if name not in settings and name not in overrides]
        if missing:
            raise ConfigurationError(f"missing settings: {', '.join(missing)}. {validators.WITHOUT_AN_ACCOUNT}")
        try:
            if "rate_limit" in settings:
                settings["rate_limit"] = RateLimit.parse(settings["rate_limit"])
        except ConfigurationError as error:
            raise ConfigurationError(f"LSQ_RATE_LIMIT: {error}") from None
        try:
            return cls(**settings, **overrides)
        except ConfigurationError as error:
            setting, _, wrong = str(error).partition(" ")
            if setting not in settings:
                raise
            raise ConfigurationError(f"LSQ_{setting.upper()} {wrong}") from None

    @property
    def metadata_url(self) -> str:
        """The origin of the field metadata. The default is ``base_url`` with ``api.`` instead of ``apigw.``.

        Page: apidocs.leadsquared.com/?p=5117
        """
        return self.base_url.replace("//apigw.", "//api.", 1) if self._metadata_url is None else self._metadata_url

    @property
    def leads_url(self) -> str:
        """The origin of the marketing API.

        The default is https://api.leadsquared.com, or ``base_url`` if its host is this machine.

        Page: apidocs.leadsquared.com/get-a-lead-by-email-id
        """
        if self._leads_url is not None:
            return self._leads_url
        return self.base_url if is_loopback(urlsplit(self.base_url).hostname or "") else DEFAULT_LEADS_URL

    @property
    def tenant_path(self) -> str:
        """The path of the tenant, between the origin and the path of each operation."""
        return f"/api/tenants/{self.org_id}"

    @property
    def tenant_url(self) -> str:
        """The URL to which the path of each ticket operation is appended."""
        return f"{self.base_url}{self.tenant_path}"

    @property
    def limit_name(self) -> str:
        """The normalized host and the org id. The service applies one rate limit to all clients with the same name."""
        parts = urlsplit(self.base_url)
        host = f"[{parts.hostname}]" if "[" in parts.netloc else parts.hostname
        port = "" if parts.port in (None, 443 if parts.scheme == "https" else 80) else f":{parts.port}"
        return f"{host}{port}/{self.org_id}"

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: object) -> Self:
        return self

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Config holds keys and cannot be pickled; call Config.from_env() in each process instead")


@attrs.frozen(kw_only=True)
class CallOptions:
    """The options that `ServiceClient.with_options` changes for the calls of one view."""

    lane: Lane = attrs.field(default=Lane.INTERACTIVE, validator=validators.is_a(Lane))
    deadline: float | None = None
    timeout: float = 30.0
    retry: RetryPolicy = attrs.field(factory=RetryPolicy, validator=validators.is_a(RetryPolicy))

    def __attrs_post_init__(self) -> None:
        validators.check_times(self.timeout, self.deadline)
