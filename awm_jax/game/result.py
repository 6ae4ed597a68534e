"""Who won. The reference has no such rule (M11); this one is ours, in whole stocks and percent."""

from __future__ import annotations

import numpy as np


def whole(values: np.ndarray) -> tuple[int, int]:
    """Continuous stocks or percent of both players (2,) as whole numbers, halves up.

    A world's numbers are continuous (M6). So rounded, no stock is left exactly where a match ends
    by KO (`transition.KO_BELOW`).
    """
    first, second = (int(v) for v in np.floor(np.asarray(values, np.float64) + 0.5))
    return first, second


def winner(stocks: tuple[int, int], percent: tuple[int, int]) -> int | None:
    """0 or 1: more stocks left, else less percent. None where both are equal or both are out."""
    if stocks[0] != stocks[1]:
        return int(stocks[1] > stocks[0])
    if stocks[0] == 0 or percent[0] == percent[1]:
        return None
    return int(percent[1] < percent[0])
