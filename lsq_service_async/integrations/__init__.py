"""Integrations with optional libraries. The rest of the package does not import these modules.

fastapi.py         one client per app, opened in its lifespan and available as a dependency; extra ``fastapi``
opentelemetry.py   spans and metrics of calls and attempts; extra ``otel``
pytest_plugin.py   fixtures: an emulator, and a client whose waits take no time; extra ``emulator``
"""
