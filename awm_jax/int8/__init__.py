"""The integer machine: every value a match depends on is computed here in 32-bit integers."""
