"""Proxies and certificates of the machine: those that are used, and those that cannot be."""

import base64
from functools import partial

import attrs
import httpx
import pytest
from raw_server import RawServer, answering, ok, request_of
from test_secrecy import everything_shown

from lsq_service_async import Config, ConfigurationError, NewTicket, NotSentError, RetryPolicy, ServiceClient
from lsq_service_async._transport.network import proxies_of

TICKET = NewTicket(lead_id="45b5")
ACCOUNT = {"access_key": "CANARY-access", "secret_key": "CANARY-secret", "org_id": "22824"}
LOCAL = "http://127.0.0.1:9"
PROXY = "http://127.0.0.1:8"


@pytest.fixture(autouse=True)
def no_variables(monkeypatch):
    names = ["http_proxy", "https_proxy", "all_proxy", "no_proxy", "ssl_cert_file", "ssl_cert_dir", "sslkeylogfile"]
    for name in [*names, *map(str.upper, names)]:
        monkeypatch.delenv(name, raising=False)


def uses_proxy(origin, **more):
    """Return whether calls to an origin would go through the proxy of the environment."""
    config = Config(**ACCOUNT | {"base_url": origin, "leads_url": LOCAL, "metadata_url": LOCAL} | more)
    ServiceClient(config)
    return bool(proxies_of(config))


@pytest.mark.parametrize(
    ("no_proxy", "host", "expected"),
    [
        ("", "apigw.example.com", True),
        ("*", "apigw.example.com", False),
        ("example.com", "apigw.example.com", False),
        (" .example.com ,x", "apigw.example.com", False),
        ("other.com,gw.example.com", "apigw.example.com", True),
        ("*.Example.com", "apigw.example.com", False),
        ("*.example.com:8443", "apigw.example.com", True),
        ("other.com example.com", "apigw.example.com", False),
        (".", "apigw.example.com", True),
        ("apigw.example.com:443", "apigw.example.com", False),
        ("apigw.example.com:8443", "apigw.example.com", True),
        ("localhost,127.0.0.1,fd07:b51a:cc66:f0::/64", "apigw.example.com", True),
        ("localhost,fd07:b51a:cc66:f0::/64", "[fd07:b51a:cc66:f0::7]", False),
        ("fe80::/10", "[fd07:b51a:cc66:f0::7]", True),
        ("[fd07::1]", "[fd07::1]", False),
        ("fd07::1", "[fd07::1]:8443", False),
        ("[fd07::1]:8443", "[fd07::1]:8443", False),
        ("[fd07::1]:443", "[fd07::1]:8443", True),
        ("[fd07::]/16", "[fd07::1]", False),
        ("10.0.0.0/8", "10.1.2.3", False),
        ("10.0.0.0/8:443", "10.1.2.3", False),
        ("10.1.2.3/8,", "11.1.2.3:8443", True),
        ("fe80::/999,::1::", "10.1.2.3", True),
    ],
)
def test_no_proxy_excludes_hosts_and_networks(monkeypatch, no_proxy, host, expected):
    """NO_PROXY may have names, domains, addresses and networks of both kinds; others have no effect."""
    monkeypatch.setenv("ALL_PROXY", PROXY)
    monkeypatch.setenv("NO_PROXY", no_proxy)
    assert uses_proxy(f"https://{host}") == expected


@pytest.mark.parametrize("setting", ["base_url", "metadata_url", "leads_url"])
def test_an_http_origin_has_no_proxy(monkeypatch, setting):
    """A proxy would receive the keys of an http origin in clear text, so both together are refused."""
    monkeypatch.setenv("http_proxy", "http://u:PASSWORD@127.0.0.1:8")
    settings = {"base_url": LOCAL, "allow_http": True, setting: "http://gateway.example.com"}
    message = f"{setting} is an http:// origin.* http_proxy .*gateway.example.com"
    with pytest.raises(ConfigurationError, match=message) as caught:
        uses_proxy(**{"origin": LOCAL, **settings})
    assert "PASSWORD" not in everything_shown(caught.value.with_traceback(caught.tb.tb_next))
    monkeypatch.setenv("no_proxy", "gateway.example.com")
    assert not uses_proxy(**{"origin": LOCAL, **settings})


@pytest.mark.parametrize("setting", ["base_url", "metadata_url", "leads_url"])
@pytest.mark.parametrize("local", [LOCAL, "http://[::1]:9", "http://localhost:9"])
async def test_an_origin_on_this_machine_has_no_proxy(monkeypatch, setting, local):
    """A call to a loopback origin does not go through a proxy, whatever the other origins are."""
    heads = []

    async def talk(reader, writer):
        heads.append(await request_of(reader))

    async with RawServer(talk).running() as proxy:
        for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy.origin)
        settings = {"retry": RetryPolicy(attempts=1), setting: local}
        async with ServiceClient(Config(**ACCOUNT | {"base_url": "https://apigw.example.com"} | settings)) as client:
            calls = {
                "base_url": partial(client.tickets.get, "1"),
                "metadata_url": partial(client.metadata.validate, TICKET),
                "leads_url": partial(client.leads.find_by_email, "wim@example.com"),
            }
            with pytest.raises(NotSentError, match="No connection to the service: ConnectError"):
                await calls[setting]()
    assert heads == []


@pytest.mark.parametrize("variable", ["HTTPS_PROXY", "all_proxy"])
@pytest.mark.parametrize(
    "address",
    [
        "socks://127.0.0.1:7890/",
        "ftp://u:CANARY-p@127.0.0.1",
        "http://",
        "http://127.0.0.1:port",
        "socks4://x:1",
        "http://xn--a:1",
        "http://a b:1",
        "http://x:99999",
        "http://u:CANARY/p@x:1",
        "http://u:CANARY#p@x:1",
        " ",
    ],
)
def test_a_proxy_that_cannot_be_used_is_named(monkeypatch, variable, address):
    """The error names the variable. Neither it nor a local variable has the value, which may hold a password."""
    monkeypatch.setenv(variable, address)
    with pytest.raises(ConfigurationError, match=rf"^{variable} must be the URL of a proxy") as caught:
        uses_proxy("https://apigw.example.com")
    assert "CANARY" not in everything_shown(caught.value.with_traceback(caught.tb.tb_next))


def test_a_socks_proxy_needs_a_library(monkeypatch):
    """Without socksio, the error has the command that installs it."""
    monkeypatch.setenv("ALL_PROXY", "socks5h://127.0.0.1:1080")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ConfigurationError, match=r'ALL_PROXY is a SOCKS proxy.* pip install "httpx\[socks\]"'):
        uses_proxy("https://apigw.example.com")


@pytest.mark.parametrize("address", ["127.0.0.1:7890", "http://user:p@ss@127.0.0.1:9", "http://127.0.0.1:9/ "])
def test_a_proxy_may_be_written_in_several_ways(monkeypatch, address):
    """A proxy needs no scheme, may have a password, and may end with a slash and a space."""
    monkeypatch.setenv("HTTPS_PROXY", address)
    assert uses_proxy("https://apigw.example.com")


def test_a_proxy_of_the_system_is_named_as_such(monkeypatch):
    """macOS and Windows have their own settings."""
    monkeypatch.setattr("lsq_service_async._transport.network.getproxies", lambda: {"https": "socks://x"})
    with pytest.raises(ConfigurationError, match=r"^the system's proxy setting must be the URL"):
        uses_proxy("https://apigw.example.com")


@pytest.mark.parametrize("name", ["SSL_CERT_FILE", "SSL_CERT_DIR", "SSLKEYLOGFILE"])
def test_missing_certificates_are_named(monkeypatch, tmp_path, name):
    """A variable that names a file or folder that does not exist is in the error. An http origin does not need it."""
    monkeypatch.setenv(name, str(tmp_path / "gone" / "file"))
    with pytest.raises(ConfigurationError, match=f"certificates for TLS cannot be loaded .*Check {name}=.*gone"):
        uses_proxy("https://apigw.example.com")
    assert not uses_proxy(LOCAL)


def test_a_file_without_certificates_is_named(monkeypatch, tmp_path):
    """A file of certificates that has none is in the error. Without a variable, the error names certifi."""
    (tmp_path / "empty.pem").write_text("hello")
    monkeypatch.setattr("certifi.where", lambda: str(tmp_path / "empty.pem"))
    with pytest.raises(ConfigurationError, match=r"cannot be loaded .*certifi"):
        uses_proxy("https://apigw.example.com")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "empty.pem"))
    with pytest.raises(ConfigurationError, match=r"SSL_CERT_FILE=.*empty.pem"):
        uses_proxy("https://apigw.example.com")


@pytest.mark.parametrize("own_client", [False, True])
@pytest.mark.parametrize(
    ("status", "attempts"),
    [("407 Proxy Authentication Required", 1), ("403 Forbidden", 1), ("400 Bad Request", 1), ("501 No", 1),
     ("301 Moved", 1), ("503 Busy", 3), ("502 Bad Gateway", 3), ("429 Slow", 3), ("408 Late", 3)],
)  # fmt: skip
async def test_a_refusal_of_a_proxy(monkeypatch, status, attempts, own_client):
    """The error of a refusal has the proxy without its password, and the status; only some refusals are repeated."""
    heads = []

    async def talk(reader, writer):
        heads.append((await request_of(reader))[0])
        writer.write(b"HTTP/1.1 " + status.encode() + b"\r\nContent-Length: 0\r\n\r\n")

    async with RawServer(talk).running() as server:
        address = server.origin.replace("//", "//user:CANARY-p@")
        monkeypatch.setenv("HTTPS_PROXY", address)
        config = Config(**ACCOUNT, base_url="https://x.example.com", retry=RetryPolicy(attempts=3, backoff=0.01))
        http = httpx.AsyncClient(proxy=address) if own_client else None
        async with ServiceClient(config, http_client=http) as client:
            with pytest.raises(NotSentError) as caught:
                await client.tickets.create(TICKET)
        if http:
            await http.aclose()
    proxy = "proxy" if own_client else f"proxy {server.origin}"
    assert str(caught.value) == f"The {proxy} refused the connection: ProxyError: {status}. Nothing was applied."
    assert len(caught.value.attempts) == attempts
    assert heads[0].startswith(b"CONNECT x.example.com:443")
    assert base64.b64encode(b"user:CANARY-p") in heads[0]
    assert not any(b"CANARY" in head for head in heads)


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_a_call_without_a_body_that_a_proxy_did_not_pass_on_is_not_sent(monkeypatch, method):
    """A proxy that ends the connection after CONNECT has not received the request."""
    async with RawServer(answering(end="close")).running() as server:
        monkeypatch.setenv("HTTPS_PROXY", server.origin)
        config = Config(**ACCOUNT, base_url="https://x.example.com", retry=RetryPolicy(attempts=2, backoff=0.01))
        async with ServiceClient(config) as client:
            with pytest.raises(NotSentError) as caught:
                await client.request(method, "x")
    assert [attempt.outcome.value for attempt in caught.value.attempts] == ["not applied"] * 2


async def test_a_proxy_that_does_not_answer_is_named(monkeypatch):
    """The error of a call that did not reach the proxy names it."""
    monkeypatch.setenv("HTTPS_PROXY", "127.0.0.1:9")
    async with ServiceClient(Config(**ACCOUNT, retry=RetryPolicy(attempts=1))) as client:
        with pytest.raises(NotSentError, match=r"^No connection to the service through the proxy http://127.0.0.1:9: "):
            await client.tickets.get("1")


async def test_the_callers_own_client_is_not_checked(monkeypatch, config):
    """A client of the caller is used as it is, whatever the environment sets."""
    monkeypatch.setenv("ALL_PROXY", "socks://x")
    monkeypatch.setenv("SSL_CERT_FILE", "/gone")

    async def talk(reader, writer):
        await request_of(reader)
        writer.write(ok())

    async with RawServer(talk).running() as server, httpx.AsyncClient(trust_env=False) as http:
        settings = attrs.evolve(config, base_url=server.origin)
        async with ServiceClient(settings, http_client=http) as client:
            assert (await client.tickets.create(TICKET)).number == "34"
