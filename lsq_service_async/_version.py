"""The version of the package. The build, the User-Agent header and ``__version__`` take it from here."""

__version__ = "0.1.0"
