"""One function per operation: the account and what was asked in, an answer out."""
