"""The inner loops as assembly: the machine has ten registers, and they need all of them.

r6 to r9 need not be kept, the machine saves them; each function has a frame of its own below r10.
"""

from __future__ import annotations

WORD = 8

SUMS = 6
BLOCK, LEAST = 64, 8
_SUM_REGISTERS = ("r0", "r5", "r6", "r7", "r8", "r9")

SCAN_STEP, SCAN_MOST = 16, 128
"""d_state is a multiple of the first, up to the second."""
_GROUP = 4
_U_END, _START, _STATES, _ROW, _TABLE = 8, 16, 24, 32, 40


def _function(name: str, lines: list[str]) -> list[str]:
    return [".text", f".globl {name}", f".type {name},@function", f"{name}:", *lines]


def six_sums(name: str, skip: bool) -> list[str]:
    """u64 *name(w, x, x_blocks, x_end, out).

    w holds six start words, then for every column six words of weights; x one 64-bit code a
    column. Each of six sums is its start plus the words times the codes, modulo 2^64; what lies in
    a word is the caller's business (crank/solana/chain_image.py). `out` gets the sums; returned is
    the place behind the words read. x_blocks and x_end are where x ends, in whole blocks of
    `BLOCK` columns and in all; what remains comes in blocks of `LEAST`.

    A column costs 19 units; with `skip` 20, but 2 where its code is zero.
    """
    lines = [f"*(u64 *)(r10 - {at}) = r{register}" for at, register in ((8, 3), (16, 4), (24, 5))]
    for i, register in enumerate(_SUM_REGISTERS):
        lines.append(f"{register} = *(u64 *)(r1 + {WORD * i})")
    lines.append(f"r1 += {WORD * SUMS}")
    for label, end, columns, after in (
        (f"{name}_block", 8, BLOCK, f"{name}_rest"),
        (f"{name}_rest", 16, LEAST, f"{name}_end"),
    ):
        lines += [f"{label}:", f"r4 = *(u64 *)(r10 - {end})", f"if r2 == r4 goto {after}"]
        for column in range(columns):
            lines.append(f"r3 = *(u64 *)(r2 + {WORD * column})")
            lines += [f"if r3 == 0 goto +{3 * SUMS}"] * skip
            for i, register in enumerate(_SUM_REGISTERS):
                at = WORD * (SUMS * column + i)
                lines += [f"r4 = *(u64 *)(r1 + {at})", "r4 *= r3", f"{register} += r4"]
        lines += [f"r1 += {WORD * SUMS * columns}", f"r2 += {WORD * columns}", f"goto {label}"]
    lines += [f"{name}_end:", "r3 = *(u64 *)(r10 - 24)"]
    for i, register in enumerate(_SUM_REGISTERS):
        lines.append(f"*(u64 *)(r3 + {WORD * i}) = {register}")
    return _function(name, [*lines, "r0 = r1", "exit"])


def scan_lanes() -> list[str]:
    """void scan_lanes(const struct scan_lanes *), see scan.h.

    Four states of a channel are one word of the account; the first and the third, and the second
    and the fourth, are the two lanes of a word here; with the 2^15 that each has in the account
    they stay positive. A channel's drive u lies where its sum comes to lie.

    The sum of h C takes both lanes in one product: (h0 + h2 2^32)(C2 + C0 2^32) has h0 C0 + h2 C2
    in the upper half and h0 C2 in the lower one, whose sum fits 31 bits and is only dropped.
    """
    h, decay, u, k, total, mask, channel = "r1", "r5", "r6", "r7", "r0", "r8", "r9"
    word, lane, t = "r2", "r3", "r4"

    def slot(at: int) -> str:
        return f"*(u64 *)(r10 - {at})"

    fields = {_U_END: 16, _START: 24, _STATES: 32, _ROW: 40}
    lines = []
    for at, offset in fields.items():
        lines += [f"r2 = *(u64 *)(r1 + {offset})", f"{slot(at)} = r2"]
    # The table of B and C, its end at a fixed place in the frame.
    lines += [
        f"{channel} = *(u64 *)(r1 + 8)",
        f"{decay} = *(u64 *)(r1 + 48)",
        f"{k} = *(u64 *)(r1 + 56)",
        "r2 = *(u64 *)(r1 + 64)",
        "r3 = *(u64 *)(r1 + 72)",
        "r0 = r10",
        f"r0 += -{_TABLE}",
        f"{h} = *(u64 *)(r1 + 0)",
        "scan_copy:",
        "r3 += -8",
        "r0 += -8",
        "r4 = *(u64 *)(r3 + 0)",
        "*(u64 *)(r0 + 0) = r4",
        "if r3 != r2 goto scan_copy",
        f"{mask} = 0x0000ffff0000ffff ll",
        "scan_channel:",
        f"{t} = {slot(_U_END)}",
        f"if {channel} == {t} goto scan_end",
        f"{u} = *(u64 *)({channel} + 0)",
        f"{total} = {slot(_START)}",
        f"{t} = {slot(_STATES)}",
    ]
    usual = [32, 64]
    sizes = usual + [n for n in range(SCAN_STEP, SCAN_MOST, SCAN_STEP) if n not in usual]
    lines += [f"if {t} == {n} goto scan_{n}" for n in sizes]

    for first in range(0, SCAN_MOST, _GROUP):
        left = SCAN_MOST - first
        if left % SCAN_STEP == 0:
            lines.append(f"scan_{left}:")
        # h was moved so that its row ends where the longest would.
        lines += [
            f"{word} = *(u64 *)({h} + {2 * first})",
            f"{lane} = {word}",
            f"{lane} &= {mask}",
            f"{word} ^= {lane}",
            f"{word} >>= 16",
        ]
        table = _TABLE + WORD * left
        for register, at in ((lane, table), (word, table - 2 * WORD)):
            lines += [
                f"{register} *= {decay}",
                f"{t} = {slot(at)}",
                f"{t} *= {u}",
                f"{register} += {t}",
                f"{register} += {k}",
                f"{register} >>= 15",
                f"{register} &= {mask}",
                f"{t} = {slot(at - WORD)}",
                f"{t} *= {register}",
                f"{total} += {t}",
            ]
        lines += [
            f"{word} <<= 16",
            f"{word} |= {lane}",
            f"*(u64 *)({h} + {2 * first}) = {word}",
        ]
    lines += [
        f"{total} s>>= 32",
        f"*(u64 *)({channel} + 0) = {total}",
        f"{channel} += 8",
        f"{t} = {slot(_ROW)}",
        f"{h} += {t}",
        "goto scan_channel",
        "scan_end:",
        "exit",
    ]
    return _function("scan_lanes", lines)


def source() -> str:
    """The functions as C statements, and what calls them must know."""
    text = f"#define SCAN_STEP {SCAN_STEP}\n#define SCAN_MOST {SCAN_MOST}\n"
    for lines in (six_sums("six_sums", False), six_sums("six_sums_sparse", True), scan_lanes()):
        body = "\n".join(f'  "{line}\\n"' for line in lines)
        text += f"__asm__(\n{body});\n"
    return text
