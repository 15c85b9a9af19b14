"""Sends calls: `session` opens and closes everything, `pipeline` sends a call, and `attempt` sends one request."""
