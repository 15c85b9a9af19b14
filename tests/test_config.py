"""Settings: checked when they are made, and silent about keys."""

import copy
import pickle
from datetime import UTC
from zoneinfo import ZoneInfo

import attrs
import pytest

from lsq_service_async import Config, ConfigurationError, RateLimit, RetryPolicy
from lsq_service_async.config import Secret

KEYS = {"access_key": "u$r-CANARY-access", "secret_key": "CANARY-secret", "org_id": "22824"}
ENVIRONMENT = {"LSQ_ACCESS_KEY": "CANARY-a", "LSQ_SECRET_KEY": "CANARY-s", "LSQ_ORG_ID": "22824"}


def test_the_defaults_are_the_documented_ones():
    """Three settings are enough; the limit is 25 calls in 5 seconds."""
    config = Config(**KEYS)
    assert config.tenant_url == "https://apigw.service-in.leadsquared.com/api/tenants/22824"
    assert config.rate_limit == RateLimit(25, per=5.0)
    assert config.retry == RetryPolicy(attempts=5, repeat_creates=True, backoff=0.5, backoff_cap=20.0)
    assert (config.timeout, config.deadline) == (30.0, None)
    assert config.limit_name == "apigw.service-in.leadsquared.com/22824"


def test_the_environment_gives_every_setting():
    """from_env reads the three mandatory names and the optional ones."""
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


def test_the_process_environment_is_the_default(monkeypatch):
    """Without an argument, from_env reads os.environ."""
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    assert Config.from_env().org_id == "22824"


def test_all_missing_settings_are_named_at_once():
    """Nobody mends one setting to be told of the next; and the way without an account is shown."""
    with pytest.raises(ConfigurationError) as caught:
        Config.from_env({"LSQ_SECRET_KEY": "CANARY"})
    assert "LSQ_ACCESS_KEY, LSQ_ORG_ID" in str(caught.value)
    assert "LSQ_SECRET_KEY" not in str(caught.value)
    assert "python -m lsq_service_async emulator" in str(caught.value)


@pytest.mark.parametrize(
    ("variable", "value", "words"),
    [
        ("LSQ_BASE_URL", "http://example.com", "LSQ_BASE_URL must be an https origin"),
        ("LSQ_LEADS_URL", "example.com", "LSQ_LEADS_URL must be an https origin"),
        ("LSQ_ORG_ID", "..", "LSQ_ORG_ID must be the account number"),
        ("LSQ_ACCESS_KEY", "CAN ARY", "LSQ_ACCESS_KEY must be printable ASCII"),
        ("LSQ_RATE_LIMIT", "fast", "LSQ_RATE_LIMIT: a rate limit reads like 25/5"),
        ("LSQ_RATE_LIMIT", "0/5", "LSQ_RATE_LIMIT: RateLimit.calls must be"),
    ],
)
def test_what_is_wrong_is_said_of_the_variable(variable, value, words):
    """It is what the reader can change."""
    with pytest.raises(ConfigurationError) as caught:
        Config.from_env(ENVIRONMENT | {variable: value})
    assert str(caught.value).startswith(words)


@pytest.mark.parametrize("name", ["access_key", "secret_key"])
@pytest.mark.parametrize("key", ["", "CANARY\n", " CANARY", "CAN ARY", "CANÄRY", "CANARY\x00", "C" * 513, None, 5])
def test_a_key_that_cannot_be_a_header_is_refused_without_being_shown(name, key):
    """Blanks, line ends and the like end in an error that names the setting and never the key."""
    with pytest.raises(ConfigurationError) as caught:
        Config(**KEYS | {name: key})
    assert name in str(caught.value)
    assert "CAN" not in str(caught.value)


@pytest.mark.parametrize("org_id", ["", "22824/..", "..", "2 2", "a" * 65, 22824, "22824\n"])
def test_an_org_id_that_could_leave_the_tenant_is_refused(org_id):
    """The org id is one plain path segment."""
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
    """Only scheme, host and port; and what was given is not repeated, as it may hold a secret."""
    with pytest.raises(ConfigurationError, match="base_url") as caught:
        Config(**KEYS, base_url=url)
    assert "CANARY" not in str(caught.value)


@pytest.mark.parametrize("url", ["http://localhost:1", "http://127.0.0.1", "http://[::1]:80"])
def test_http_is_for_this_machine(url):
    """A loopback host may be reached without TLS, and others only when the caller says so."""
    assert Config(**KEYS, base_url=url).base_url == url
    assert Config(**KEYS, base_url="http://10.0.0.7", allow_http=True).base_url == "http://10.0.0.7"


@pytest.mark.parametrize("timeout", [0, -1, float("nan"), float("inf"), "30", True, None])
def test_times_are_positive_finite_numbers(timeout):
    """A time-out that never comes, or comes at once, is refused."""
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
        lambda: RetryPolicy(attempts=0),
        lambda: RetryPolicy(backoff=-1),
        lambda: RetryPolicy(backoff_cap=float("inf")),
        lambda: Config(**KEYS, deadline=0),
    ],
)
def test_impossible_limits_and_policies_are_refused(make):
    """A limit of nothing, or no attempt at all, is an error when it is made."""
    with pytest.raises(ConfigurationError):
        make()


def test_a_time_zone_is_a_zone():
    """By name or as a tzinfo."""
    assert Config(**KEYS, time_zone="Asia/Kolkata").time_zone == ZoneInfo("Asia/Kolkata")
    assert Config(**KEYS, time_zone=UTC).time_zone is UTC
    for nonsense in ("Mars/Olympus", "", 5, None, "../etc"):
        with pytest.raises(ConfigurationError, match="time_zone"):
            Config(**KEYS, time_zone=nonsense)


def test_a_bound_of_files_is_a_number_of_bytes():
    """Or None for no bound."""
    with pytest.raises(ConfigurationError, match="max_file_bytes"):
        Config(**KEYS, max_file_bytes=0)
    with pytest.raises(ConfigurationError, match="max_upload_bytes"):
        Config(**KEYS, max_upload_bytes="10 MB")


def test_a_wrong_type_of_limit_is_refused():
    """rate_limit and retry take their own classes, and say so."""
    with pytest.raises(ConfigurationError, match="rate_limit takes a RateLimit"):
        Config(**KEYS, rate_limit=(25, 5))


def test_keys_are_in_no_text_of_a_config():
    """repr, str, format, asdict and vars show no key."""
    config = Config(**KEYS)
    shown = [repr(config), str(config), f"{config}", repr(attrs.asdict(config)), repr(Secret("CANARY"))]
    assert [text for text in shown if "CANARY" in text] == []


def test_a_config_is_copied_but_never_pickled():
    """A pickle would carry keys to files and queues; the hint says what to do instead."""
    config = Config(**KEYS)
    assert copy.copy(config) is config
    assert copy.deepcopy({"config": config})["config"] is config
    assert copy.copy(config.access_key) is config.access_key
    assert copy.deepcopy(config.access_key) is config.access_key
    for value in (config, config.access_key):
        with pytest.raises(TypeError, match="from_env"):
            pickle.dumps(value)


def test_secrets_compare_by_their_text():
    """Two secrets of one text are one; a secret never equals its text."""
    assert Secret("a") == Secret("a")
    assert len({Secret("a"), Secret("a"), Secret("b")}) == 2
    assert Secret("a") != "a"
    with pytest.raises(TypeError, match="no state"):
        Secret("CANARY").__getstate__()


def test_a_config_cannot_be_changed():
    """Settings are frozen; attrs.evolve makes another one, checked again."""
    config = Config(**KEYS)
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        config.timeout = 1
    assert attrs.evolve(config, timeout=1.0).timeout == 1.0
    with pytest.raises(ConfigurationError):
        attrs.evolve(config, timeout=-1.0)
