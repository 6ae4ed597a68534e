"""Slippi replays in, arrays out.

`slippi` reads one file into a `Game`, `bulk` many in processes of their own, `encode` makes the
frames of a game, `samples` the windows, controllers and targets that a network learns from.
"""
