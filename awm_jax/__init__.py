"""The autonomous world model in JAX: networks, the integer machine and the rules of a frame.

No module here reads a file, opens a socket or looks at a clock, `train` and `replays` aside.
"""

__version__ = "0.1.0"
