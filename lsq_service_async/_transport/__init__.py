"""Sends calls over the network: `session` opens and closes everything, `pipeline` sends a call, `attempt` a request."""
