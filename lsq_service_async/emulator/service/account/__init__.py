"""What the emulator remembers and has invented: one account with its tickets, leads and fields."""
