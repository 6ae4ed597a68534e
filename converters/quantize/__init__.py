"""From float32 weights to the integers that a cartridge holds."""
