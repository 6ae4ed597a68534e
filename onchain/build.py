"""Builds the Solana program: `python onchain/build.py` (what `make onchain` runs).

Needs Debian 12's clang 14; another may give other bytes. Generates layout.h from the Python
definitions, compiles, links, and writes the ELF into the package, its hash beside this file.
`--check` builds into a temporary folder and compares. `--syscall FILE` writes the program that
calls the rollup's own product, `sol_matmul_i8`; no rollup that is published has it.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
sys.path[:0] = [str(ROOT), str(HERE)]

import assembly  # noqa: E402
from link import link  # noqa: E402

from crank.solana.program import ELF, header  # noqa: E402

FLAGS = (
    "-target bpf -mcpu=v2 -O2 -std=gnu11 -ffreestanding -fno-builtin -fno-jump-tables "
    "-fno-strict-aliasing -Wall -Wextra -Werror -Wno-unused-function"
)
MOST_PARAMETERS = 5
OWN = {"clamp16", "requant_rows", "requant_sum", "norm"}
"""What elements.h has a version of its own for, beside products and scan."""
SHARED = ("awm.h", "awm_layout.h", "awm_fixed.h", "awm_codes.h", "awm_trunk.h", "awm_frame.h")
HASH = HERE / "awm_program.sha256"
NATIVE = ROOT / "awm_jax/int8/native"


# The machine divides unsigned numbers only; these are never negative.
UNSIGNED = (
    ("awm_d_inner(m) / m->dims[AWM_D_HEADDIM]", "u32", "/"),
    ("2147483647 / ((int64_t)n * 32767)", "u64", "/"),
    ("AWM_EXPAND * d[AWM_D_D_MODEL] % d[AWM_D_HEADDIM]", "u32", "%"),
    ("(n + AWM_ALIGN - 1) / AWM_ALIGN", "u32", "/"),
    ("awm_dim(m, AWM_D_NUMERIC) / 2", "u32", "/"),
    ("numeric / 2", "u32", "/"),
    ("numeric % 2", "u32", "%"),
    ("m->table[i] % AWM_ALIGN", "u32", "%"),
    ("(i - AWM_T_COUNT) % AWM_L_COUNT", "u32", "%"),
)


def unsigned(text: str) -> str:
    """A source of the kernel with its signed divisions replaced."""
    for expression, kind, operator in UNSIGNED:
        left, _, right = expression.partition(f" {operator} ")
        text = text.replace(expression, f"(int)(({kind})({left}) {operator} ({kind})({right}))")
    return text


HEAD = re.compile(
    r"^static (?P<inline>inline )?(?P<kind>(?:const )?\w+ \*?)(?P<name>\w+)\((?P<list>[^)]*)\) \{",
    re.MULTILINE,
)
PARAMETER = re.compile(r"(?P<kind>.*[ *])(?P<name>\w+)$")


def in_reach(match: re.Match[str]) -> str:
    """The head of a function as this machine calls it: 5 parameters at most, 512 bytes of stack.

    A procedure becomes one of its own frame; with more parameters they go through a struct. What
    returns a value is small and stays inline.
    """
    kind, name = match["kind"].strip(), match["name"]
    if name in OWN:
        name += "_elsewhere"
    items = [" ".join(item.split()) for item in match["list"].split(",")]
    if kind != "void":
        storage = "INLINE" if match["inline"] or len(items) > MOST_PARAMETERS else "static"
        return f"{storage} {kind} {name}({match['list']}) {{"
    if len(items) <= MOST_PARAMETERS:
        return f"NOINLINE void {name}({match['list']}) {{"
    fields = [PARAMETER.match(item) for item in items]
    names = [field["name"] for field in fields if field]
    unpacked = " ".join(f"{field[0]} = args_->{field['name']};" for field in fields if field)
    return (
        f"struct {name}_args {{ {'; '.join(items)}; }};\n"
        f"NOINLINE void {name}_framed(const struct {name}_args *args_);\n"
        f"INLINE void {name}({', '.join(items)}) {{\n"
        f"  struct {name}_args args_ = {{{', '.join(names)}}};\n  {name}_framed(&args_);\n}}\n"
        f"NOINLINE void {name}_framed(const struct {name}_args *args_) {{\n  {unpacked}"
    )


def shared_source(name: str) -> str:
    """A file of the kernel, for this machine's calls and divisions."""
    text = (NATIVE / name).read_text().partition("const awm_path AWM_JOIN")[0]
    return HEAD.sub(in_reach, unsigned(text))


def compile_program(clang: str = "clang", defines: tuple[str, ...] = ()) -> bytes:
    """The program's bytes. Raises OSError or subprocess.CalledProcessError.

    With -DAWM_COUNT_UNITS it logs what is left at the start of each part of a frame.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        built = folder / "session.o"
        (folder / "network.c").write_text("".join(map(shared_source, ("awm_open.c", "awm_step.c"))))
        (folder / "assembly.h").write_text(assembly.source())
        for shared in SHARED:
            (folder / shared).write_text(shared_source(shared))
        includes = [f"-I{HERE / 'include'}", f"-I{folder}"]
        command = [clang, *FLAGS.split(), *includes, *defines, "-c", "session.c", "-o", str(built)]
        subprocess.run(command, check=True, cwd=HERE)
        return link(built.read_bytes())


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="compare with what is committed")
    parser.add_argument("--syscall", metavar="FILE", help="the program that calls sol_matmul_i8")
    parser.add_argument("--clang", default="clang")
    args = parser.parse_args()
    if args.syscall:
        Path(args.syscall).write_bytes(compile_program(args.clang, ("-DAWM_SYSCALL",)))
        return 0
    layout, target = HERE / "layout.h", ROOT / "crank/solana" / ELF
    if args.check:
        if layout.read_text() != header():
            print("onchain/layout.h is not what the Python definitions give; run make onchain")
            return 1
        if compile_program(args.clang) != target.read_bytes():
            print(f"{target.name} is not what these sources give; run make onchain")
            return 1
        print(f"{target.name} is what these sources give")
        return 0
    layout.write_text(header())
    program = compile_program(args.clang)
    part = target.with_suffix(".part")
    part.write_bytes(program)
    os.replace(part, target)
    HASH.write_text(f"{hashlib.sha256(program).hexdigest()}  {ELF}\n")
    print(f"{target.name}: {len(program)} bytes, sha256 {hashlib.sha256(program).hexdigest()}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
