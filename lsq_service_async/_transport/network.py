"""The proxies and certificates of the environment."""

from __future__ import annotations

import importlib.util
import ipaddress
import os
import re
import ssl
from contextlib import suppress
from urllib.request import getproxies, proxy_bypass

import httpx

from ..config import Config, Secret, is_loopback
from ..errors import ConfigurationError

_PORTS = {"http": 80, "https": 443}
_CERTIFICATE_VARIABLES = ("SSL_CERT_FILE", "SSL_CERT_DIR", "SSLKEYLOGFILE", "OPENSSL_CONF")


def proxies_of(config: Config) -> dict[str, httpx.Proxy]:
    """Return the proxies that the environment sets, by origin. An origin on this machine never has a proxy.

    Raises ConfigurationError if a proxy cannot be used, or would receive the keys in clear text.
    """
    proxies: dict[str, httpx.Proxy] = {}
    for setting in ("base_url", "metadata_url", "leads_url"):
        origin = httpx.URL(getattr(config, setting))
        if is_loopback(origin.host) or _is_excluded(origin):
            continue
        kind = origin.scheme if getproxies().get(origin.scheme) else "all"
        address = Secret(getproxies().get(kind, ""))  # it may hold a password
        if not address.fits(""):
            names = (f"{kind}_proxy", f"{kind.upper()}_PROXY")
            variable = next((name for name in names if os.environ.get(name)), "the system's proxy setting")
            if origin.scheme == "http":
                raise ConfigurationError(
                    f"{setting} is an http:// origin, so the proxy of {variable} would receive the API keys in clear "
                    f"text. Use an https:// origin, or add {origin.host} to NO_PROXY"
                )
            proxies[getattr(config, setting)] = _proxy(address, variable)
    return proxies


def _is_excluded(origin: httpx.URL) -> bool:
    """Whether NO_PROXY (hosts, domains, addresses or networks) or the system excludes an origin."""
    port = origin.port or _PORTS[origin.scheme]
    for entry in re.split(r"[,\s]+", getproxies().get("no", "").lower()):
        name = re.sub(r"[][]", "", entry.removesuffix(f":{port}")).removeprefix("*")
        if name.strip(".") and f".{origin.host}".endswith(f".{name.lstrip('.')}"):
            return True
        with suppress(ValueError):
            if ipaddress.ip_address(origin.host) in ipaddress.ip_network(name, strict=False):
                return True
    return bool(proxy_bypass(f"{origin.host}:{port}"))


def _proxy(address: Secret, variable: str) -> httpx.Proxy:
    try:
        proxy = httpx.Proxy(("" if address.fits(".*://.*") else "http://") + address.reveal().strip())
        is_valid = re.fullmatch("[A-Za-z0-9._:-]+", proxy.url.host) and (proxy.url.port or 0) < 1 << 16
    except (ValueError, httpx.InvalidURL):
        is_valid = False
    if not is_valid:  # the message omits the address, because it may hold a password
        example = "such as http://host:port or socks5://host:port"
        raise ConfigurationError(f"{variable} must be the URL of a proxy, {example}")
    if proxy.url.scheme.startswith("socks") and importlib.util.find_spec("socksio") is None:
        raise ConfigurationError(f'{variable} is a SOCKS proxy, which needs a library: pip install "httpx[socks]"')
    return proxy


def authorities() -> ssl.SSLContext:
    """Return an SSL context with the certificates of the environment or of certifi, or raise ConfigurationError."""
    folders = os.environ.get("SSL_CERT_DIR", "").split(os.pathsep)
    try:
        if not os.environ.get("SSL_CERT_FILE") and any(folders) and not any(map(os.path.isdir, folders)):
            raise NotADirectoryError("no such folder")
        return httpx.create_ssl_context()
    except (OSError, ValueError) as error:
        names = [f"{name}={os.environ[name]}" for name in _CERTIFICATE_VARIABLES if os.environ.get(name)]
        check = " and ".join(names) or "the installation of certifi: pip install --force-reinstall certifi"
        raise ConfigurationError(f"certificates for TLS cannot be loaded ({error}). Check {check}") from None
