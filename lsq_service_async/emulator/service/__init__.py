"""What the service does with a call, pure: (method, path, headers, body) in, an answer out; no clock and no network."""
