"""Config checks its settings when it is made and never shows a key."""

import copy
import inspect
import logging
import pickle
import traceback
from datetime import UTC
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import attrs
import httpx
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from lsq_service_async import Config, ConfigurationError, RateLimit, RetryPolicy, ServiceClient
from lsq_service_async.config import Secret
from lsq_service_async.integrations.fastapi import lifespan

KEYS = {"access_key": "u$r-CANARY-access", "secret_key": "CANARY-secret", "org_id": "22824"}
ENVIRONMENT = {"LSQ_ACCESS_KEY": "CANARY-a", "LSQ_SECRET_KEY": "CANARY-s", "LSQ_ORG_ID": "22824"}


def test_the_defaults_are_the_documented_ones():
    """Config needs three settings; its other defaults are 25 calls in 5 seconds, 5 attempts, 30 s and no deadline."""
    config = Config(**KEYS)
    assert config.tenant_url == "https://apigw.service-in.leadsquared.com/api/tenants/22824"
    assert config.rate_limit == RateLimit(25, per=5.0)
    assert config.retry == RetryPolicy(attempts=5, repeat_creates=True, backoff=0.5, backoff_cap=20.0)
    assert (config.timeout, config.deadline) == (30.0, None)
    assert config.limit_name == "apigw.service-in.leadsquared.com/22824"


def test_the_environment_gives_every_setting():
    """Config.from_env reads the three required variables and the optional ones."""
    optional = {
        "LSQ_BASE_URL": "https://apigw.example.com/",
        "LSQ_LEADS_URL": "https://api-in21.leadsquared.com",
        "LSQ_RATE_LIMIT": "10 / 2.5",
    }
    config = Config.from_env(ENVIRONMENT | optional)
    assert config.access_key.reveal() == "CANARY-a"
    assert config.secret_key.reveal() == "CANARY-s"
    assert config.tenant_url == "https://apigw.example.com/api/tenants/22824"
    assert config.rate_limit == RateLimit(10, per=2.5)
    assert (config.metadata_url, config.leads_url) == ("https://api.example.com", "https://api-in21.leadsquared.com")
    assert Config.from_env(ENVIRONMENT).rate_limit == RateLimit()
    for text, window in (("25/5", "any"), ("25/5 any", "any"), (" 25 / 5.0  sliding ", "sliding")):
        limit = Config.from_env(ENVIRONMENT, rate_limit=RateLimit.parse(text)).rate_limit
        assert limit == Config.from_env(ENVIRONMENT | {"LSQ_RATE_LIMIT": text}).rate_limit
        assert limit == RateLimit(25, per=5.0, window=window)


def test_the_process_environment_is_the_default(monkeypatch):
    """Config.from_env reads os.environ if it gets no mapping."""
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    assert Config.from_env().org_id == "22824"


def test_arguments_of_from_env_override_the_environment():
    """An argument of from_env replaces a variable, also a wrong or missing one."""
    config = Config.from_env(
        {"LSQ_ACCESS_KEY": "CANARY-a", "LSQ_ORG_ID": "..", "LSQ_RATE_LIMIT": "fast", "LSQ_TIME_ZONE": "Asia/Kolkata"},
        secret_key="CANARY-s",
        org_id="7",
        rate_limit=RateLimit(5),
        timeout=10.0,
    )
    assert (config.org_id, config.rate_limit, config.timeout) == ("7", RateLimit(5), 10.0)
    assert config.secret_key.reveal() == "CANARY-s"
    assert config.time_zone == ZoneInfo("Asia/Kolkata")
    with pytest.raises(ConfigurationError, match=r"^timeout must be a finite number"):
        Config.from_env(ENVIRONMENT, timeout=0)


def test_all_missing_settings_are_named_at_once():
    """The error of from_env names every missing variable, and the command of the emulator, which needs no account."""
    with pytest.raises(ConfigurationError) as caught:
        Config.from_env({"LSQ_SECRET_KEY": "CANARY"})
    assert "LSQ_ACCESS_KEY, LSQ_ORG_ID" in str(caught.value)
    assert "LSQ_SECRET_KEY" not in str(caught.value)
    assert "python -m lsq_service_async emulator" in str(caught.value)


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("HTTPS://API.Example.com:443/", "api.example.com/7"),
        ("https://api.example.com:8443", "api.example.com:8443/7"),
        ("https://api.example.com:", "api.example.com/7"),
        ("https://api.example.com:0443", "api.example.com/7"),
        ("https://api.example.com:08443", "api.example.com:8443/7"),
        ("http://localhost:80", "localhost/7"),
        ("http://localhost:443", "localhost:443/7"),
        ("http://[::1]", "[::1]/7"),
        ("http://[::1]:080", "[::1]/7"),
        ("http://[::1]:8080", "[::1]:8080/7"),
    ],
)
def test_one_limit_has_one_name(url, name):
    """Clients share the limit of an account, however the base URL of each is written."""
    assert Config(access_key="a", secret_key="b", org_id="7", base_url=url).limit_name == name


@pytest.mark.parametrize(
    ("variable", "value", "words"),
    [
        ("LSQ_BASE_URL", "http://example.com", "LSQ_BASE_URL must be an https origin"),
        ("LSQ_LEADS_URL", "example.com", "LSQ_LEADS_URL must be an https origin"),
        ("LSQ_ORG_ID", "..", "LSQ_ORG_ID must be the account number"),
        ("LSQ_ACCESS_KEY", "CAN ARY", "LSQ_ACCESS_KEY must be at most 512 printable ASCII characters"),
        ("LSQ_RATE_LIMIT", "fast", "LSQ_RATE_LIMIT: a rate limit is written as calls/seconds"),
        ("LSQ_TIME_ZONE", "Mars", "LSQ_TIME_ZONE must be a tzinfo or a name"),
        ("LSQ_LOG", "loud", "LSQ_LOG must be info or debug, not 'loud'"),
        ("LSQ_RATE_LIMIT", 25, "LSQ_RATE_LIMIT: a rate limit is written as calls/seconds"),
        ("LSQ_RATE_LIMIT", "0/5", "LSQ_RATE_LIMIT: RateLimit.calls must be"),
        (
            "LSQ_RATE_LIMIT",
            "25/5 fixed",
            'LSQ_RATE_LIMIT: a rate limit is written as calls/seconds, such as 25/5 or "25/5',
        ),
        ("LSQ_RATE_LIMIT", "25/5sliding", "LSQ_RATE_LIMIT: a rate limit is written as calls/seconds"),
    ],
)
def test_an_error_of_from_env_names_the_variable(variable, value, words):
    """A wrong value in the environment raises an error that begins with the name of the variable."""
    with pytest.raises(ConfigurationError) as caught:
        Config.from_env(ENVIRONMENT | {variable: value})
    assert str(caught.value).startswith(words)


@pytest.mark.parametrize("name", ["access_key", "secret_key"])
@pytest.mark.parametrize("key", ["", "CANARY\n", " CANARY", "CAN ARY", "CANÄRY", "CANARY\x00", "C" * 513, None, 5])
def test_a_key_that_cannot_be_a_header_is_refused_without_being_shown(name, key):
    """A key with spaces, line ends or other bytes that no header has raises an error with its name, not its value."""
    with pytest.raises(ConfigurationError) as caught:
        Config(**KEYS | {name: key})
    assert name in str(caught.value)
    assert "CAN" not in str(caught.value)


@pytest.mark.parametrize("org_id", ["", "22824/..", "..", "2 2", "a" * 65, 22824, "22824\n"])
def test_an_org_id_that_could_leave_the_tenant_is_refused(org_id):
    """Config refuses an org id that is not one plain path segment."""
    with pytest.raises(ConfigurationError, match="org_id"):
        Config(**KEYS | {"org_id": org_id})


@pytest.mark.parametrize(
    "url",
    [
        "http://apigw.example.com",
        "ftp://apigw.example.com",
        "apigw.example.com",
        "https://",
        "https://user:CANARY@example.com",
        "https://example.com/path",
        "https://example.com?key=CANARY",
        "https://example.com#x",
        "https://example.com?",
        "https://example.com:99999",
        "https://exa mple.com",
        "https://example.com\n",
        "https://[::1",
        "https://[::1]CANARY",
        "https://[::1]x:443",
        "https://[1.2.3.4]",
        "https://[1:2:3]",
        "https://::1",
        "https://999.1.1.1",
        "https://01.02.03.04",
        "http://x.localhost",
        "https://xn--a",
        "https://exa%6dple.com",
        "https://a,b",
        "https://${HOST}",
        "HTTPS//example.com",
        None,
        5,
    ],
)
def test_a_base_url_that_is_not_an_https_origin_is_refused(url):
    """Config accepts only scheme, host and port, and its error does not repeat the URL, which may hold a secret."""
    with pytest.raises(ConfigurationError, match="base_url") as caught:
        Config(**KEYS, base_url=url)
    assert "CANARY" not in str(caught.value)


@given(st.from_regex(r"https?://[a-z0-9.:\[\]_-]{1,20}", fullmatch=True))
@example("https://1.2.3.4:65535")
def test_httpx_can_use_every_origin(url):
    """No setting that Config accepts makes ServiceClient fail."""
    try:
        Config(**KEYS, base_url=url, allow_http=True)
    except ConfigurationError:
        return
    httpx.URL(url)


@pytest.mark.parametrize("host", ["lsq_emulator:8080", "_a.example.com", "apigw_eu.example.com", "example.com."])
def test_a_host_name_may_have_underscores(host):
    """Config accepts the host names of containers, which may have underscores."""
    assert Config(**KEYS, base_url=f"https://{host}").tenant_url == f"https://{host}/api/tenants/22824"


def test_an_origin_is_not_case_sensitive():
    """Config writes the scheme and the host of an origin in lower case, so the metadata origin is derived from it."""
    config = Config(**KEYS, base_url="HTTPS://APIGW.Example.com/")
    assert config.tenant_url == "https://apigw.example.com/api/tenants/22824"
    assert config.metadata_url == "https://api.example.com"


@pytest.mark.parametrize("url", ["http://localhost:1", "http://127.0.0.1", "http://[::1]:80"])
def test_http_is_for_this_machine(url):
    """Config accepts http for a loopback host, and for other hosts only with allow_http=True."""
    assert Config(**KEYS, base_url=url).base_url == url
    assert Config(**KEYS, base_url="http://10.0.0.7", allow_http=True).base_url == "http://10.0.0.7"


@pytest.mark.parametrize("timeout", [0, -1, float("nan"), float("inf"), 10**400, "30", True, None])
def test_times_are_positive_finite_numbers(timeout):
    """Config refuses a timeout that is not a finite number above 0."""
    with pytest.raises(ConfigurationError, match="timeout"):
        Config(**KEYS, timeout=timeout)


@pytest.mark.parametrize(
    "make",
    [
        lambda: RateLimit(0),
        lambda: RateLimit(25.0),
        lambda: RateLimit(True),
        lambda: RateLimit(25, per=0),
        lambda: RateLimit(25, per=float("nan")),
        lambda: RateLimit.parse("25 per 5"),
        lambda: RateLimit.parse("25/0"),
        lambda: RateLimit.parse(25),
        lambda: RateLimit.parse(None),
        lambda: RateLimit.parse(b"25/5"),
        lambda: RateLimit(25, window="fixed"),
        lambda: RateLimit(25, window=None),
        lambda: RetryPolicy(attempts=0),
        lambda: RetryPolicy(repeat_creates=1),
        lambda: RetryPolicy(backoff=-1),
        lambda: RetryPolicy(backoff_cap=float("inf")),
        lambda: Config(**KEYS, deadline=0),
    ],
)
def test_impossible_limits_and_policies_are_refused(make):
    """A rate limit or policy that would send nothing raises ConfigurationError when it is made."""
    with pytest.raises(ConfigurationError):
        make()


def test_a_time_zone_is_a_name_or_a_tzinfo():
    """Config takes a time zone by name or as a tzinfo, and refuses anything else."""
    assert Config(**KEYS, time_zone="Asia/Kolkata").time_zone == ZoneInfo("Asia/Kolkata")
    assert Config(**KEYS, time_zone=UTC).time_zone is UTC
    for nonsense in ("Mars/Olympus", "", 5, None, "../etc"):
        with pytest.raises(ConfigurationError, match="time_zone"):
            Config(**KEYS, time_zone=nonsense)


def test_missing_time_zones_are_named(monkeypatch):
    """On a machine without time zones, the error has the command that installs them."""

    def missing(name):
        raise ZoneInfoNotFoundError(name)

    monkeypatch.setattr("zoneinfo.ZoneInfo", missing)
    with pytest.raises(ConfigurationError, match=r"^LSQ_TIME_ZONE must be .*'Asia/Kolkata'\. .* pip install tzdata$"):
        Config.from_env(ENVIRONMENT | {"LSQ_TIME_ZONE": "Asia/Kolkata"})


def test_a_limit_of_file_sizes_is_a_number_of_bytes():
    """Config refuses a file size limit that is not a positive whole number."""
    with pytest.raises(ConfigurationError, match="max_file_bytes"):
        Config(**KEYS, max_file_bytes=0)
    with pytest.raises(ConfigurationError, match="max_upload_bytes"):
        Config(**KEYS, max_upload_bytes="10 MB")


def test_a_wrong_type_of_limit_is_refused():
    """Config refuses a rate limit that is not a RateLimit."""
    with pytest.raises(ConfigurationError, match="rate_limit must be a RateLimit"):
        Config(**KEYS, rate_limit=(25, 5))


def test_keys_are_in_no_text_of_a_config():
    """The repr, str, format and asdict of a Config show no key."""
    config = Config(**KEYS)
    shown = [repr(config), str(config), f"{config}", repr(attrs.asdict(config)), repr(Secret("CANARY"))]
    assert [text for text in shown if "CANARY" in text] == []


def test_a_config_is_copied_but_never_pickled():
    """Config and Secret return themselves when copied, and raise a TypeError with a hint when pickled."""
    config = Config(**KEYS)
    assert copy.copy(config) is config
    assert copy.deepcopy({"config": config})["config"] is config
    assert copy.copy(config.access_key) is config.access_key
    assert copy.deepcopy(config.access_key) is config.access_key
    for value in (config, config.access_key):
        with pytest.raises(TypeError, match="from_env"):
            pickle.dumps(value)


def test_secrets_compare_by_their_text():
    """Two secrets with the same text are equal; a secret does not equal its text."""
    assert Secret("a") == Secret("a")
    assert len({Secret("a"), Secret("a"), Secret("b")}) == 2
    assert Secret("a") != "a"
    with pytest.raises(TypeError, match="state"):
        Secret("CANARY").__getstate__()


def test_a_config_cannot_be_changed():
    """Config is frozen; attrs.evolve makes a checked copy."""
    config = Config(**KEYS)
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        config.timeout = 1
    assert attrs.evolve(config, timeout=1.0).timeout == 1.0
    with pytest.raises(ConfigurationError):
        attrs.evolve(config, timeout=-1.0)


FRAMES_WITHOUT_SECRETS = {
    "from_env, nothing set": lambda: Config.from_env({"AWS_SECRET_ACCESS_KEY": "CANARY-aws"}),
    "from_env, no org": lambda: Config.from_env(ENVIRONMENT | {"LSQ_ORG_ID": ""}),
    "from_env, no secret key": lambda: Config.from_env(ENVIRONMENT | {"LSQ_SECRET_KEY": ""}),
    "from_env, wrong rate": lambda: Config.from_env(ENVIRONMENT | {"LSQ_RATE_LIMIT": "25"}),
    "from_env, wrong URL": lambda: Config.from_env(ENVIRONMENT | {"LSQ_BASE_URL": "x"}),
    "from_env, key with a line end": lambda: Config.from_env(ENVIRONMENT | {"LSQ_ACCESS_KEY": "CANARY\n"}),
    "from_env, key beyond ASCII": lambda: Config.from_env(ENVIRONMENT | {"LSQ_SECRET_KEY": "CANARY-\xe4"}),
    "from_env, wrong override": lambda: Config.from_env(ENVIRONMENT, secret_key="CANARY", timeout=-1),
    "from_env, wrong key as override": lambda: Config.from_env(ENVIRONMENT, secret_key="CAN CANARY"),
    "from_env, misspelt override": lambda: Config.from_env(ENVIRONMENT, acess_key="CANARY"),
    "from_env, misspelt before a wrong one": lambda: Config.from_env({}, acess_key="CANARY", timeout=-1),
    "from_env, a list": lambda: Config.from_env(["LSQ_ACCESS_KEY=CANARY"]),
    "from_env, a text": lambda: Config.from_env("LSQ_ACCESS_KEY=CANARY"),
    "client from_env, nothing set": lambda: ServiceClient.from_env(),
    "wrong number": lambda: Config(**KEYS, timeout=-1),
    "wrong URL": lambda: Config(**KEYS, base_url="x"),
    "wrong class": lambda: Config(**KEYS, retry=5),
    "wrong zone": lambda: Config(**KEYS, time_zone="Mars"),
    "wrong size": lambda: Config(**KEYS, max_file_bytes=0),
    "wrong org": lambda: Config(**KEYS | {"org_id": ".."}),
    "no org": lambda: Config(access_key="CANARY", secret_key="CANARY"),
    "no secret key": lambda: Config(access_key="CANARY", org_id="22824"),
    "key with a line end": lambda: Config(**KEYS | {"access_key": "CANARY\n"}),
    "key beyond ASCII": lambda: Config(**KEYS | {"secret_key": "CANARY-\xe4"}),
    "key of bytes": lambda: Config(**KEYS | {"access_key": b"CANARY"}),
    "key in a list": lambda: Config(**KEYS | {"secret_key": ["CANARY"]}),
    "misspelt key": lambda: Config(**KEYS, acess_key="CANARY"),
    "misspelt setting": lambda: Config(**KEYS, time_out=5),
    "by position": lambda: Config("CANARY", "CANARY", "22824"),
    "evolve, wrong number": lambda: attrs.evolve(Config(**KEYS), timeout=-1),
    "evolve, misspelt": lambda: attrs.evolve(Config(**KEYS), time_out=1),
    "pickle": lambda: pickle.dumps(Config(**KEYS)),
    "client of a dict": lambda: ServiceClient(KEYS),
    "lifespan of a dict": lambda: lifespan(KEYS),
}


@pytest.mark.parametrize(("level", "lines"), [("info", ["retry"]), (" DEBUG", ["detail", "retry"]), ("", [])])
def test_lsq_log_prints_the_log_of_the_package(package_log, capsys, level, lines):
    """from_env prints the log on stderr once, however often it is called. The logger above keeps its level."""
    for _ in range(2):
        Config.from_env(ENVIRONMENT | {"LSQ_LOG": level})
    package_log.debug("detail")
    package_log.info("retry")
    logging.getLogger().info("of the application")
    assert [line.rpartition(" ")[2] for line in capsys.readouterr().err.splitlines()] == lines


def test_only_from_env_reads_lsq_log(package_log, monkeypatch):
    """A Config that is made with keyword arguments leaves the logging of the application alone."""
    monkeypatch.setenv("LSQ_LOG", "debug")
    Config(**KEYS)
    Config.from_env(ENVIRONMENT)
    assert (package_log.handlers, package_log.level) == ([], logging.NOTSET)


def shown(frame):
    """Return the locals of a frame as a crash reporter sends them."""
    return " ".join(map(repr, frame.f_locals.values()))


@pytest.mark.parametrize("make", FRAMES_WITHOUT_SECRETS.values(), ids=FRAMES_WITHOUT_SECRETS)
def test_no_frame_of_an_error_holds_a_key(monkeypatch, make):
    """The locals of every frame of a configuration error, of its cause and of its context hold no key."""
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("LSQ_ORG_ID")
    with pytest.raises((ConfigurationError, TypeError)) as caught:
        make()
    links = [caught.value]
    links += [link for link in (caught.value.__cause__, caught.value.__context__) if link is not None]
    frames = [frame for link in links for frame, _ in traceback.walk_tb(link.__traceback__)]
    assert all("CANARY" not in f"{link!r} {vars(link)!r}" for link in links)
    for frame in frames:
        if frame.f_code.co_filename != __file__:
            assert "CANARY" not in shown(frame), frame


def test_an_error_of_evolve_holds_a_key_in_the_frame_of_attrs_only():
    """If attrs.evolve gets a new key and a wrong setting, only the frames of its caller and of attrs hold the key."""
    config = Config(**KEYS)
    with pytest.raises(ConfigurationError) as caught:
        attrs.evolve(config, access_key="CANARY", timeout=-1)
    _, *frames = (frame for frame, _ in traceback.walk_tb(caught.value.__traceback__))
    assert [frame.f_code.co_name for frame in frames if "CANARY" in shown(frame)] == ["evolve"]


def test_the_signature_of_config_lists_its_settings():
    """help() and editors show the settings of Config and their defaults."""
    settings = inspect.signature(Config).parameters
    assert (list(settings)[:3], settings["timeout"].default) == (["access_key", "secret_key", "org_id"], 30.0)
