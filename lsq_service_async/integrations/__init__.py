"""Integrations with optional libraries. The rest of the package does not import them.

fastapi.py         one client per app, opened in the lifespan and available as a dependency; extra ``fastapi``
opentelemetry.py   spans and metrics of calls and attempts; extra ``otel``
pytest_plugin.py   fixtures with an emulator and a client whose waits take no time; extra ``emulator``
"""
