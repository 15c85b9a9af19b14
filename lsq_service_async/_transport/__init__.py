"""Sends calls over the network: `pipeline` is the entry, `attempt` is one request, `session` opens and closes all."""
