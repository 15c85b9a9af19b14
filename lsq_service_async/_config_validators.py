"""What a setting may be. Each check raises ConfigurationError, names the setting and never shows a key."""

from __future__ import annotations

import ipaddress
import math
import re
from collections.abc import Callable
from datetime import tzinfo
from typing import Any, NoReturn, Self
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import attrs

from .errors import ConfigurationError

DEFAULT_BASE_URL = "https://apigw.service-in.leadsquared.com"
WITHOUT_AN_ACCOUNT = "Without an account, run python -m lsq_service_async emulator, and set what it prints"


class Secret:
    """A text that no repr, str, copy or pickle shows; only `reveal` does."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """The text itself, for the one place that sends it."""
        return self._text

    def fits(self, pattern: str) -> bool:
        """Whether the whole text matches; for checks that may not hold it."""
        return isinstance(self._text, str) and re.fullmatch(pattern, self._text) is not None

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

    def __getstate__(self) -> NoReturn:
        raise TypeError("a Secret has no state to show")

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Secret is not pickled; call Config.from_env() in the worker instead")


def secret(value: str | Secret) -> Secret:
    return value if isinstance(value, Secret) else Secret(value)


def number(value: Any, name: str) -> None:
    """A finite number above 0."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or value <= 0:
        raise ConfigurationError(f"{name} must be a number above 0, not {value!r}")


def count(value: Any, name: str, *, most: int = 1_000_000) -> None:
    """A whole number from 1 to ``most``."""
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= most:
        raise ConfigurationError(f"{name} must be a whole number from 1 to {most:,}, not {value!r}")


def zone(given: str | tzinfo) -> tzinfo:
    """A tzinfo, or the one that a name such as "Asia/Kolkata" stands for."""
    try:
        return given if isinstance(given, tzinfo) else ZoneInfo(given)
    except (ValueError, TypeError, OSError, ZoneInfoNotFoundError):
        raise ConfigurationError(f"time_zone is a tzinfo or a name such as 'Asia/Kolkata', not {given!r:.80}") from None


def times(timeout: Any, deadline: Any) -> None:
    """Both are numbers above 0, and there may be no deadline."""
    number(timeout, "timeout")
    if deadline is not None:
        number(deadline, "deadline")


def is_a(kind: type) -> Callable[[Any, attrs.Attribute[Any], Any], None]:
    """An instance of the class; for attrs to call."""

    def check(_: Any, attribute: attrs.Attribute[Any], value: Any) -> None:
        if not isinstance(value, kind):
            raise ConfigurationError(f"{attribute.name} takes a {kind.__name__}, not {value!r:.80}")

    return check


def without_slash(url: str) -> str:
    """Origins are often pasted with a slash at their end."""
    return url.removesuffix("/") if isinstance(url, str) else url


def key(_: Any, attribute: attrs.Attribute[Secret], secret: Secret) -> None:
    """Printable ASCII without blanks; for attrs to call."""
    # The message never shows the value: h11 prints a key with a line end in clear, so it must not come that far.
    if not secret.fits(r"[\x21-\x7e]{1,512}"):
        what = "is empty" if secret.fits("") else "must be printable ASCII without blanks or line ends"
        raise ConfigurationError(f"{attribute.name} {what}. {WITHOUT_AN_ACCOUNT}")


def org(_: Any, attribute: attrs.Attribute[str], value: str) -> None:
    """One plain path segment; for attrs to call."""
    if not isinstance(value, str) or not re.fullmatch(r"[A-Za-z0-9-]{1,64}", value):
        raise ConfigurationError(f'{attribute.name} must be the account number as text, such as "22824", not {value!r}')


def is_loopback(host: str) -> bool:
    """True for localhost and for addresses that never leave this machine."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def is_local(url: Any) -> bool:
    """Whether an origin, checked before, is on this machine."""
    return is_loopback(urlsplit(url).hostname or "")


def origin(url: Any, name: str, *, allow_http: bool) -> None:
    """Refuse what is not an https origin; a query or a user could carry a key away, so neither is repeated."""
    wrong = f"{name} must be an https origin such as {DEFAULT_BASE_URL}"
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except (ValueError, AttributeError, TypeError):
        raise ConfigurationError(f"{wrong}: it is not a URL") from None
    if not isinstance(url, str) or not re.fullmatch(r"[a-z]+://[\x21-\x7e]*", url):
        raise ConfigurationError(f"{wrong}: it begins with https://")
    if not host or not re.fullmatch(r"[a-z0-9]([a-z0-9.-]{0,252})|[0-9a-f:.]+", host) or host.startswith("xn--"):
        raise ConfigurationError(f"{wrong}: it has no host, or characters that no host has")
    if parts.path or parts.query or parts.fragment or "@" in parts.netloc or "?" in url or "#" in url:
        raise ConfigurationError(f"{wrong}: leave out path, query, fragment and user")
    if parts.scheme != "https" and not (parts.scheme == "http" and (allow_http or is_loopback(host))):
        raise ConfigurationError(f"{wrong}: http is for this machine only (Config(allow_http=True) overrules that)")
