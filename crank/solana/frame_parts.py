"""A frame that the program computes in several transactions (onchain/parts.c): which parts it has,
how many go into a transaction, and how large the account is in which it is made.
"""

from __future__ import annotations

from awm_jax.fp32.mamba2 import EXPAND
from awm_jax.int8.native import image as native
from crank.solana import accounts
from crank.solana.accounts import FrameWork
from crank.solana.chain_image import NARROW_ROWS, SLICE_ROWS, WIDE_ROWS, is_wide, shapes

TRANSACTION_UNITS = 1_400_000
COLUMN, BLOCK = 20, 800
"""Units of a block's column, and of a block."""
STATE, STATE_ALONE = 8.6, 45
"""Of an element of the scan, in lanes and one by one."""
LANE_STATES = 16
ROW, CHANNEL, INNER, NORM = 20, 65, 75, 30
"""Of a requantised row, a channel of the convolution, one of the scan and its gate, a code."""
FIXED, OPENING, LAYER_OPENING = 12_000, 12_000, 4_000
"""Of any part; of a transaction's checks; and for each of the world's layers."""


def parts(dims: dict[str, int]) -> list[int]:
    """The most units that each part of a frame takes, in order; no code of theirs is zero.

    dims: as `chain_image.dims_of` gives them.
    """
    sizes = shapes(dims)
    d, e, n = dims["d_model"], EXPAND * dims["d_model"], dims["d_state"]

    def product(name: str, rows: int | None = None) -> int:
        height, width = sizes[name]
        block = WIDE_ROWS if is_wide(name, dims) else NARROW_ROWS
        chunks = 1 if is_wide(name, dims) else max(1, width // 64)
        blocks = -(-(height if rows is None else rows) // block)
        return blocks * (COLUMN * (-(-width // 8) * 8) + BLOCK * chunks)

    def slices(name: str) -> list[int]:
        rows = sizes[name][0]
        return [product(name, min(SLICE_ROWS, rows - at)) for at in range(0, rows, SLICE_ROWS)]

    in_rows, logits = sizes["in_w"][0], sizes["logits_w"][0]
    state = STATE if n % LANE_STATES == 0 and n <= 128 else STATE_ALONE
    mix = ROW * in_rows + CHANNEL * (e + 2 * n) + (INNER + NORM) * e + int(state * e * n)
    layer = [*slices("in_w"), mix, *slices("out_w")]
    layer[0] += NORM * d
    layer[-1] += ROW * d
    heads = sum(map(product, ("ctrl_wide", "ctrl_narrow", "hidden_w", "numeric_w", "binary_w")))
    heads += (NORM + 3 * ROW) * d
    first = product("frame_wide") + product("frame_narrow") + 2 * ROW * d
    last = ROW * logits + 2 * FIXED
    whole = [first, *(layer * dims["n_layers"]), heads, *slices("logits_w"), last]
    return [units + FIXED for units in whole]


def plan(dims: dict[str, int], most: int = TRANSACTION_UNITS) -> list[int]:
    """How many parts each transaction of a frame runs, so that none takes more than `most` units.

    A part that alone may take more gets a transaction of its own.
    """
    free = most - OPENING - LAYER_OPENING * dims["n_layers"]
    counts, left = [], 0
    for units in parts(dims):
        if units > left:
            counts.append(0)
            left = free
        counts[-1] += 1
        left -= units
    return counts


def work_bytes(dims: dict[str, int], slot: int) -> int:
    """Bytes of a FrameWork account; `slot` bytes of a state. `arrange` of awm_trunk.h counts so."""
    d, e, n = dims["d_model"], EXPAND * dims["d_model"], dims["d_state"]
    sizes, hidden = shapes(dims), dims["head_hidden"]

    def words(count: int, multiple: int) -> int:
        return 8 * (-(-count // multiple) * multiple)

    align = native.ALIGN
    codes = max(
        e, hidden, *(sizes[f"{k}_{w}"][1] for k in ("frame", "ctrl") for w in ("wide", "narrow"))
    )
    rows = max(sizes["in_w"][0], dims["logits"], 2 * dims["binary"], hidden)
    few = max(d, dims["numeric"] + 2 * dims["binary"])
    scratch = words(max(d, hidden), align) + 2 * words(codes, align) + words(rows, align)
    scratch += words(few, align) + words(e + 2 * n, 8) + 2 * words(e, 8) + 2 * words(n, 8)
    return accounts.account_size(FrameWork) + slot + scratch
