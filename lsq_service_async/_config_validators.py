"""`Secret`, and the checks of the settings. A ConfigurationError names the setting and never shows a key."""

from __future__ import annotations

import functools
import inspect
import ipaddress
import re
import sys
from collections.abc import Callable, Iterator
from datetime import tzinfo
from typing import Any, NoReturn, Self, TypeVar
from urllib.parse import urlsplit

import attrs

from .errors import ConfigurationError, shown

C = TypeVar("C")

DEFAULT_BASE_URL = "https://apigw.service-in.leadsquared.com"
WITHOUT_AN_ACCOUNT = (
    "Without an account, run `python -m lsq_service_async emulator` and use the settings that it prints"
)


class Secret:
    """A text that does not appear in repr or str, and that cannot be pickled."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """Return the text, to send it to the service or to Redis."""
        return self._text

    def fits(self, pattern: str) -> bool:
        """Return whether the whole text matches ``pattern``."""
        return isinstance(self._text, str) and re.fullmatch(pattern, self._text) is not None

    def spans_in(self, text: str) -> Iterator[tuple[int, int]]:
        """Yield the start and the end of each occurrence in ``text``."""
        start = text.find(self._text)
        while start >= 0:
            end = start + len(self._text)
            yield start, end
            start = text.find(self._text, end)

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
        raise TypeError("a Secret does not expose its state")

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Secret cannot be pickled; call Config.from_env() in each process instead")


def to_secret(value: str | Secret) -> Secret:
    return value if isinstance(value, Secret) else Secret(value)


def hide_keys(settings: dict[str, Any], cls: type[Any]) -> None:
    """Wrap the API keys among the arguments ``settings`` of ``cls`` in a `Secret`.

    An unknown argument may be a misspelled key, and crash reporters send local variables. So ``settings`` is cleared
    before the error.
    """
    for name in {"access_key", "secret_key"} & settings.keys():
        settings[name] = to_secret(settings[name])
    unknown = sorted(settings.keys() - {attribute.alias for attribute in attrs.fields(cls)})
    if unknown:
        settings.clear()
        raise TypeError(f"{cls.__name__}() got an unexpected keyword argument {unknown[0]!r}")


class HidesKeys(type):
    """A metaclass that wraps API keys before ``__init__``, because crash reporters send its arguments."""

    def __call__(cls: type[C], /, **settings: Any) -> C:
        hide_keys(settings, cls)
        instance: C = type.__call__(cls, **settings)
        return instance

    @property
    def __signature__(cls) -> inspect.Signature:
        return inspect.signature(functools.partial(vars(cls)["__init__"], None))


def check_number(value: Any, name: str) -> None:
    """Require a finite number above 0."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= sys.float_info.max:
        raise ConfigurationError(f"{name} must be a finite number above 0, not {shown(value)}")


def check_count(value: Any, name: str, *, most: int = 1_000_000) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= most:
        raise ConfigurationError(f"{name} must be a whole number from 1 to {most:,}, not {shown(value)}")


def check_times(timeout: Any, deadline: Any) -> None:
    check_number(timeout, "timeout")
    if deadline is not None:
        check_number(deadline, "deadline")


def is_a(kind: type) -> Callable[[Any, attrs.Attribute[Any], Any], None]:
    """Return an attrs validator that requires a ``kind``."""

    def check(_: Any, attribute: attrs.Attribute[Any], value: Any) -> None:
        if not isinstance(value, kind):
            raise ConfigurationError(f"{attribute.name} must be a {kind.__name__}, not {shown(value)}")

    return check


def is_key(_: Any, attribute: attrs.Attribute[Secret], secret: Secret) -> None:
    # An error of h11 shows a header value that contains a line end, so such a key is rejected here.
    if not secret.fits(r"[\x21-\x7e]{1,512}"):
        what = "is empty" if secret.fits("") else "must be at most 512 printable ASCII characters without spaces"
        raise ConfigurationError(f"{attribute.name} {what}. {WITHOUT_AN_ACCOUNT}")


def is_org_id(_: Any, attribute: attrs.Attribute[str], value: str) -> None:
    if not isinstance(value, str) or not re.fullmatch(r"[A-Za-z0-9-]{1,64}", value):
        what = 'the account number as text, such as "22824"'
        raise ConfigurationError(f"{attribute.name} must be {what}, not {shown(value)}")


def to_time_zone(value: str | tzinfo) -> Any:
    """Return the time zone with the name ``value``. Any other value is returned unchanged."""
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError  # rarely needed: the default is UTC

    try:
        return ZoneInfo(value) if isinstance(value, str) else value
    except (ValueError, OSError, ZoneInfoNotFoundError):
        return value


def is_time_zone(_: Any, attribute: attrs.Attribute[Any], value: Any) -> None:
    if not isinstance(value, tzinfo):
        example = "a tzinfo or a name such as 'Asia/Kolkata'"
        has_zones = isinstance(to_time_zone("Asia/Kolkata"), tzinfo)
        hint = "" if has_zones else ". This machine has no time zone data. Install it with: pip install tzdata"
        raise ConfigurationError(f"{attribute.name} must be {example}, not {shown(value)}{hint}")


def is_field_name(_: Any, attribute: attrs.Attribute[Any], value: Any) -> None:
    if value is not None and not (isinstance(value, str) and re.fullmatch(r"[A-Za-z0-9_.]{1,128}", value)):
        example = 'the schema name of a field, such as "CustomData.ClientRef"'
        raise ConfigurationError(f"{attribute.name} must be {example}, not {shown(value)}")


def to_origin(url: Any) -> Any:
    return url.removesuffix("/").lower() if isinstance(url, str) else url


def is_loopback(host: str) -> bool:
    """Return whether the host is localhost or a loopback address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def check_origin(url: Any, name: str, *, allow_http: bool) -> None:
    """Require an https origin. The error does not show the URL, which may contain a secret."""
    wrong, text = f"{name} must be an https origin such as {DEFAULT_BASE_URL}", url if isinstance(url, str) else ""
    try:
        parts = urlsplit(text)
        scheme, host, _ = parts.scheme, parts.hostname or "", parts.port
        if ":" in host or re.fullmatch(r"([0-9]+\.){3}[0-9]+", host):
            ipaddress.ip_address(host)  # rejects what httpx would reject
    except ValueError:
        raise ConfigurationError(f"{wrong}; this is not a URL, or its address or port is not valid") from None
    is_http_allowed = scheme == "http" and (allow_http or is_loopback(host))
    rules = {
        "this does not begin with https://, or is not plain ASCII": re.fullmatch(r"https?://[\x21-\x7e]*", text),
        "remove the path, query, fragment and user": re.fullmatch(r"[a-z]+://[^/?#@]*", text),
        "the host name is missing or not valid": re.fullmatch(
            r"((?!xn--)[a-z0-9_][a-z0-9._-]{0,252}|\[[0-9a-f.]*:[0-9a-f:.]*\])(:[0-9]*)?", parts.netloc
        ),
        "http is only for this machine, unless you set Config(allow_http=True)": scheme == "https" or is_http_allowed,
    }
    for problem, is_kept in rules.items():
        if not is_kept:
            raise ConfigurationError(f"{wrong}; {problem}")
