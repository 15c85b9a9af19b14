"""Every setting with its default, frozen and checked when it is made."""

from __future__ import annotations

import enum
import ipaddress
import math
import os
import re
from collections.abc import Callable, Mapping
from datetime import UTC, tzinfo
from typing import Any, NoReturn, Self
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import attrs

from .errors import ConfigurationError

DEFAULT_BASE_URL = "https://apigw.service-in.leadsquared.com"
DEFAULT_LEADS_URL = "https://api.leadsquared.com"
WITHOUT_AN_ACCOUNT = "Without an account, try the local emulator: python -m lsq_service_async demo"


class Lane(enum.Enum):
    """Which queue a call waits in when the allowance is used up."""

    INTERACTIVE = "interactive"
    """Somebody waits for the answer: goes first, and may use the burst. The default."""
    BULK = "bulk"
    """A script: evenly paced, behind the interactive calls, and never less than one grant in five."""


def _number(value: Any, name: str) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or value <= 0:
        raise ConfigurationError(f"{name} must be a number above 0, not {value!r}")


def _count(value: Any, name: str, *, most: int = 1_000_000) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= most:
        raise ConfigurationError(f"{name} must be a whole number from 1 to {most:,}, not {value!r}")


def _zone(zone: str | tzinfo) -> tzinfo:
    try:
        return zone if isinstance(zone, tzinfo) else ZoneInfo(zone)
    except (ValueError, TypeError, OSError, ZoneInfoNotFoundError):
        raise ConfigurationError(f"time_zone is a tzinfo or a name such as 'Asia/Kolkata', not {zone!r:.80}") from None


def _check_times(timeout: Any, deadline: Any) -> None:
    _number(timeout, "timeout")
    if deadline is not None:
        _number(deadline, "deadline")


def _is_a(kind: type) -> Callable[[Any, attrs.Attribute[Any], Any], None]:
    def check(_: Any, attribute: attrs.Attribute[Any], value: Any) -> None:
        if not isinstance(value, kind):
            raise ConfigurationError(f"{attribute.name} takes a {kind.__name__}, not {value!r:.80}")

    return check


def _without_slash(url: str) -> str:
    return url.removesuffix("/") if isinstance(url, str) else url


@attrs.frozen
class RateLimit:
    """What the service allows: ``calls`` in any ``per`` seconds. The service documents 25 in 5."""

    calls: int = 25
    per: float = attrs.field(default=5.0, kw_only=True)

    def __attrs_post_init__(self) -> None:
        _count(self.calls, "RateLimit.calls")
        _number(self.per, "RateLimit.per")

    @classmethod
    def parse(cls, text: str) -> Self:
        """``"25/5"`` is 25 calls in 5 seconds."""
        match = re.fullmatch(r"\s*([0-9]{1,7})\s*/\s*([0-9]{1,7}(?:\.[0-9]{1,6})?)\s*", text)
        if not match:
            raise ConfigurationError(f"a rate limit reads like 25/5 (calls / seconds), not {text!r}")
        return cls(int(match[1]), per=float(match[2]))


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
        _count(self.attempts, "RetryPolicy.attempts")
        _number(self.backoff, "RetryPolicy.backoff")
        _number(self.backoff_cap, "RetryPolicy.backoff_cap")


class Secret:
    """A text that no repr, str, copy or pickle shows; only `reveal` does."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """The text itself, for the one place that sends it."""
        return self._text

    def __repr__(self) -> str:
        return "Secret(***)"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and self._text == other._text

    def __hash__(self) -> int:
        return hash((Secret, self._text))

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: object) -> Self:
        return self

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Secret is not pickled; call Config.from_env() in the worker instead")


def _secret(value: str | Secret) -> Secret:
    return value if isinstance(value, Secret) else Secret(value)


def _is_key(_: Config, attribute: attrs.Attribute[Secret], secret: Secret) -> None:
    # The message never shows the value: h11 prints a key with a line end in clear, so it must not come that far.
    text: Any = secret.reveal()
    if not isinstance(text, str) or not re.fullmatch(r"[\x21-\x7e]{1,512}", text):
        what = "is empty" if text == "" else "must be printable ASCII without blanks or line ends"
        raise ConfigurationError(f"{attribute.name} {what}. {WITHOUT_AN_ACCOUNT}")


def _is_org(_: Config, attribute: attrs.Attribute[str], value: str) -> None:
    if not isinstance(value, str) or not re.fullmatch(r"[A-Za-z0-9-]{1,64}", value):
        raise ConfigurationError(f"{attribute.name} must be the account number, such as 22824, not {value!r}")


def is_loopback(host: str) -> bool:
    """True for localhost and for addresses that never leave this machine."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def _origin(url: Any, name: str, *, allow_http: bool) -> None:
    """Refuse what is not an https origin; a query or a user could carry a key away, so neither is repeated."""
    wrong = f"{name} must be an https origin such as {DEFAULT_BASE_URL}"
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except (ValueError, AttributeError, TypeError):
        raise ConfigurationError(f"{wrong}: it is not a URL") from None
    if not host or not re.fullmatch(r"[\x21-\x7e]+", url):
        raise ConfigurationError(f"{wrong}: it has no host, or characters that no URL has")
    if parts.path or parts.query or parts.fragment or "@" in parts.netloc or "?" in url or "#" in url:
        raise ConfigurationError(f"{wrong}: leave out path, query, fragment and user")
    if parts.scheme != "https" and not (parts.scheme == "http" and (allow_http or is_loopback(host))):
        raise ConfigurationError(f"{wrong}: http is for this machine only (allow_http=True overrules that)")


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

    access_key: Secret = attrs.field(converter=_secret, validator=_is_key)
    secret_key: Secret = attrs.field(converter=_secret, validator=_is_key)
    org_id: str = attrs.field(validator=_is_org)
    base_url: str = attrs.field(default=DEFAULT_BASE_URL, converter=_without_slash)
    rate_limit: RateLimit = attrs.field(factory=RateLimit, validator=_is_a(RateLimit))
    retry: RetryPolicy = attrs.field(factory=RetryPolicy, validator=_is_a(RetryPolicy))
    timeout: float = 30.0
    deadline: float | None = None
    allow_http: bool = False
    max_file_bytes: int | None = None
    max_upload_bytes: int | None = None
    attachment_digests: bool = True
    metadata_url: str = attrs.field(converter=_without_slash)
    metadata_ttl: float = 300.0
    leads_url: str = attrs.field(default=DEFAULT_LEADS_URL, converter=_without_slash)
    leads_rate_limit: RateLimit = attrs.field(factory=RateLimit, validator=_is_a(RateLimit))
    time_zone: tzinfo = attrs.field(default=UTC, converter=_zone)

    @metadata_url.default
    def _metadata_host(self) -> str:
        # The page of the field metadata prints the host api.service-in... where all others print apigw.service-in...
        return str(self.base_url).replace("//apigw.", "//api.", 1)

    def __attrs_post_init__(self) -> None:
        for name in ("base_url", "metadata_url", "leads_url"):
            _origin(getattr(self, name), name, allow_http=self.allow_http)
        _number(self.metadata_ttl, "metadata_ttl")
        _check_times(self.timeout, self.deadline)
        for name in ("max_file_bytes", "max_upload_bytes"):
            if getattr(self, name) is not None:
                _count(getattr(self, name), name, most=1 << 50)

    @classmethod
    def from_env(cls, environ: Mapping[str, str] | None = None) -> Self:
        """Read LSQ_ACCESS_KEY, LSQ_SECRET_KEY and LSQ_ORG_ID, and LSQ_BASE_URL and LSQ_RATE_LIMIT ("25/5") if set."""
        environ = os.environ if environ is None else environ
        needed = ["LSQ_ACCESS_KEY", "LSQ_SECRET_KEY", "LSQ_ORG_ID"]
        missing = [name for name in needed if not environ.get(name)]
        if missing:
            raise ConfigurationError(f"missing settings: {', '.join(missing)}. {WITHOUT_AN_ACCOUNT}")
        access_key, secret_key, org_id = (environ[name] for name in needed)
        rate = environ.get("LSQ_RATE_LIMIT")
        return cls(
            access_key=access_key,
            secret_key=secret_key,
            org_id=org_id,
            base_url=environ.get("LSQ_BASE_URL") or DEFAULT_BASE_URL,
            rate_limit=RateLimit.parse(rate) if rate else RateLimit(),
        )

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
    """What `ServiceClient.with_options` may change for the calls of one view."""

    lane: Lane = attrs.field(default=Lane.INTERACTIVE, validator=_is_a(Lane))
    deadline: float | None = None
    timeout: float = 30.0
    retry: RetryPolicy = attrs.field(factory=RetryPolicy, validator=_is_a(RetryPolicy))

    def __attrs_post_init__(self) -> None:
        _check_times(self.timeout, self.deadline)
