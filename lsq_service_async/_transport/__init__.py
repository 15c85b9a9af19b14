"""How a call gets there: the only part that waits for the network."""
