"""A frame that the program computes in several transactions (onchain/parts.c): which parts it has,
how many go into a transaction, and how large the account is in which it is made.
"""

from __future__ import annotations

from awm_jax.fp32.mamba2 import EXPAND
from awm_jax.int8.native import image as native
from awm_jax.int8.ops import syscall_cost
from crank.solana import accounts, borsh
from crank.solana.accounts import FrameDispute, FrameWork, PlayerState
from crank.solana.chain_image import (
    DENSE,
    LEAST_COLUMNS,
    NARROW_ROWS,
    SLICE_ROWS,
    WIDE_ROWS,
    is_wide,
    shapes,
)

TRANSACTION_UNITS = 1_400_000
COLUMN, DENSE_COLUMN, CHUNK = 20, 19, 150
"""Units of a block's column, and of each of its chunks, which seldom are shorter than"""
CHUNK_COLUMNS = 192
STATE, STATE_ALONE, SCAN_CHANNEL, SCAN_HEAD = 7, 45, 20, 250
"""Of an element of the scan, in lanes and one by one; of its channels and heads beside those."""
CALL_ROWS, CALL, CALLED_ROW, CALLED_CODE = 96, 60, 8, 8
"""Rows of one call of `sol_matmul_i8`; units beside its own of a call, a row, a code's plane."""
LANE_STATES = 16
HEAP_FREE = 30_000
"""Bytes of scratch that RUN_INFERENCE has."""
ROW, CHANNEL, INNER, NORM = 14, 60, 62, 22
"""Of a requantised row, a channel of the convolution, one of the scan and its gate, a code."""
FIXED, INPUT, END = 500, 6_000, 16_000
"""Of any part, and more of the first and of the last one."""
OPENING, LAYER_OPENING = 5_000, 1_000
"""Of a transaction's checks, and of the image for each of the world's layers."""
SPARE = 0.95
"""So much of its limit a transaction of a plan may take."""


def parts(dims: dict[str, int]) -> list[int]:
    """The most units that each part of a frame takes, in order; no code of theirs is zero.

    dims: as `chain_image.dims_of` gives them.
    """
    sizes = shapes(dims)
    d, e, n = dims["d_model"], EXPAND * dims["d_model"], dims["d_state"]

    def product(name: str, rows: int | None = None) -> int:
        height, width = sizes[name]
        if dims["call"]:
            return called(height if rows is None else rows, width, is_wide(name, dims))
        block = WIDE_ROWS if is_wide(name, dims) else NARROW_ROWS
        chunks = 1 if is_wide(name, dims) else -(-width // CHUNK_COLUMNS)
        blocks = -(-(height if rows is None else rows) // block)
        column = DENSE_COLUMN if name in DENSE else COLUMN
        return blocks * (column * (-(-width // 8) * 8) + CHUNK * chunks)

    def slices(name: str) -> list[int]:
        rows = sizes[name][0]
        return [product(name, min(SLICE_ROWS, rows - at)) for at in range(0, rows, SLICE_ROWS)]

    in_rows, logits = sizes["in_w"][0], sizes["logits_w"][0]
    state = STATE if n % LANE_STATES == 0 and n <= 128 else STATE_ALONE
    scan = state * e * n + SCAN_CHANNEL * e + (SCAN_HEAD + STATE * n) * (e // dims["headdim"])
    mix = ROW * in_rows + CHANNEL * (e + 2 * n) + (INNER + NORM) * e + scan
    layer = [*slices("in_w"), mix, *slices("out_w")]
    layer[0] += NORM * d
    layer[-1] += ROW * d
    heads = sum(map(product, ("ctrl_wide", "ctrl_narrow", "hidden_w", "numeric_w", "binary_w")))
    heads += (NORM + 3 * ROW) * d
    first = product("frame_wide") + product("frame_narrow") + 2 * ROW * d + INPUT
    last = ROW * logits + END
    whole = [first, *(layer * dims["n_layers"]), heads, *slices("logits_w"), last]
    return [units + FIXED for units in whole]


def called(rows: int, cols: int, wide: bool) -> int:
    """The most units of a product by `sol_matmul_i8`, at the reference's price."""
    planes, cols = 1 + wide, -(-cols // LEAST_COLUMNS) * LEAST_COLUMNS
    calls = [syscall_cost(min(CALL_ROWS, rows - at), cols) for at in range(0, rows, CALL_ROWS)]
    return planes * (sum(calls) + CALL * len(calls) + CALLED_ROW * rows + CALLED_CODE * cols)


def opening(dims: dict[str, int]) -> int:
    """Units of a transaction beside its parts."""
    return OPENING + LAYER_OPENING * dims["n_layers"]


def fits_one(dims: dict[str, int]) -> bool:
    """Whether RUN_INFERENCE computes every frame within one transaction."""
    units = sum(parts(dims)) + opening(dims)
    return units <= TRANSACTION_UNITS and scratch_bytes(dims) <= HEAP_FREE


def plan(dims: dict[str, int], most: int = TRANSACTION_UNITS, first: int = 0) -> list[int]:
    """How many parts each transaction of a frame runs, from part `first` on.

    Args:
      most: a transaction's limit; a part that alone may take more gets one of its own.
    """
    free = int(SPARE * most) - opening(dims)
    counts, left = [], 0
    for units in parts(dims)[first:]:
        if units > left:
            counts.append(0)
            left = free
        counts[-1] += 1
        left -= units
    return counts


def steps(
    dims: dict[str, int], most: int = TRANSACTION_UNITS, first: int = 0
) -> list[tuple[int, int]]:
    """(first part, parts) of each transaction of `plan`."""
    counts = plan(dims, most, first)
    return [(first + sum(counts[:i]), count) for i, count in enumerate(counts)]


def work_bytes(dims: dict[str, int], slot: int) -> int:
    """Bytes of a FrameWork account; `slot` bytes of a state."""
    return accounts.account_size(FrameWork) + slot + scratch_bytes(dims)


def dispute_bytes(dims: dict[str, int], slot: int) -> int:
    """Bytes of a FrameDispute account."""
    players = 2 * borsh.record_size(PlayerState)
    return accounts.account_size(FrameDispute) + 3 * slot + players + scratch_bytes(dims)


def scratch_bytes(dims: dict[str, int]) -> int:
    """What a frame is computed in; `arrange` of awm_trunk.h counts so."""
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
    return scratch + words(few, align) + words(e + 2 * n, 8) + 2 * words(e, 8) + 2 * words(n, 8)
