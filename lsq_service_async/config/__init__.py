"""Settings: every one with its default, frozen and checked when it is made."""

from .checks import is_loopback
from .secret import Secret
from .settings import CallOptions, Config, Lane, RateLimit, RetryPolicy

__all__ = ["CallOptions", "Config", "Lane", "RateLimit", "RetryPolicy", "Secret", "is_loopback"]
