"""What the service does with a call, pure: (method, path, query, headers, body) in, an answer out; no network."""
