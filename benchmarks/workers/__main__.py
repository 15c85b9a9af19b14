"""Calls a function of a worker with arguments in JSON, and prints its result as one line of JSON."""

import asyncio
import importlib
import inspect
import json
import sys

module, _, function = sys.argv[1].rpartition(".")
returned = getattr(importlib.import_module(f"benchmarks.workers.{module}"), function)(*map(json.loads, sys.argv[2:]))
if inspect.iscoroutine(returned):
    returned = asyncio.run(returned)
if returned is not None:
    print(json.dumps(returned))
