"""The one place that states the version: read by the build, the User-Agent and the package itself."""

__version__ = "0.1.0"
