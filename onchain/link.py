"""Turns one BPF object of clang into a program that Solana's loader takes (SBPF v0).

Takes `.text` (entry point: the function `entrypoint`) and `.rodata*` (constants, strings, tables).
Calls to functions that the object does not define become system calls by name. Writable globals
(`.data`, `.bss`) do not exist on Solana and are refused. The output is a function of the input's
bytes alone.
"""

import struct
import sys

BASE = 0x100000000  # where the virtual machine maps the file
TEXT_AT = (
    0x1000 >> 4
)  # first byte of .text in the output (any multiple of 8 behind the header will do)


def sections(o):
    (shoff,) = struct.unpack_from("<Q", o, 40)
    size, count, names = struct.unpack_from("<HHH", o, 58)
    raw = [struct.unpack_from("<IIQQQQIIQQ", o, shoff + i * size) for i in range(count)]
    base = raw[names][4]
    return [(o[base + s[0] : o.index(b"\0", base + s[0])].decode(), s) for s in raw]


def link(o: bytes) -> bytes:
    if o[:5] != b"\x7fELF\x02" or struct.unpack_from("<H", o, 18)[0] != 247:
        raise SystemExit("not a 64-bit BPF object file")
    secs = sections(o)
    body = {i: o[s[4] : s[4] + s[5]] for i, (_, s) in enumerate(secs) if s[1] == 1}
    by_name = {n: i for i, (n, _) in enumerate(secs)}
    for n, s in secs:
        if s[2] & 3 == 3 and s[5] and not n.startswith(".data.rel.ro"):  # writable and allocated
            raise SystemExit(f"writable globals are not possible on Solana (section {n})")
    text_i = by_name[".text"]
    text = bytearray(body[text_i])
    place, image = {text_i: TEXT_AT}, bytearray(text)
    for i, (n, s) in enumerate(secs):  # constants follow the code
        if n.startswith((".rodata", ".data.rel.ro")) and s[1] == 1 and s[5]:
            image += bytes(-len(image) % 16)
            place[i] = TEXT_AT + len(image)
            image += body[i]
    rodata_len = len(image) - len(text)
    sym_i = next(i for i, (_, s) in enumerate(secs) if s[1] == 2)
    strs = secs[secs[sym_i][1][6]][1][4]
    symbols = []
    for off in range(secs[sym_i][1][4], secs[sym_i][1][4] + secs[sym_i][1][5], 24):
        name, info, _, shndx, value, _ = struct.unpack_from("<IBBHQQ", o, off)
        symbols.append((o[strs + name : o.index(b"\0", strs + name)].decode(), info, shndx, value))
    entry = next((v for n, _, x, v in symbols if n == "entrypoint" and x == text_i), None)
    if entry is None:
        raise SystemExit("no function called entrypoint")
    calls = []  # (file offset, symbol name)
    for n, s in secs:
        if s[1] == 9 and s[7] in place and s[7] != text_i:  # pointers inside constants
            for off in range(s[4], s[4] + s[5], 16):
                at, info = struct.unpack_from("<QQ", o, off)
                _, _, shndx, value = symbols[info >> 32]
                if info & 0xFFFFFFFF != 2 or shndx not in place:
                    raise SystemExit(
                        f"relocation {info & 0xFFFFFFFF} in {n} at {at:#x} is not understood"
                    )
                at += place[s[7]] - TEXT_AT
                struct.pack_into(
                    "<Q",
                    image,
                    at,
                    BASE + place[shndx] + value + struct.unpack_from("<Q", image, at)[0],
                )
        if s[1] != 9 or s[7] != text_i:
            continue
        for off in range(s[4], s[4] + s[5], 16):
            at, info = struct.unpack_from("<QQ", o, off)
            name, _, shndx, value = symbols[info >> 32]
            kind = info & 0xFFFFFFFF
            if kind == 1 and shndx in place:  # address of a constant
                (lo,) = struct.unpack_from("<I", image, at + 4)
                addr = BASE + place[shndx] + value + lo
                struct.pack_into("<I", image, at + 4, addr & 0xFFFFFFFF)
                struct.pack_into("<I", image, at + 12, addr >> 32)
            elif kind == 10 and shndx == 0:  # system call
                struct.pack_into("<I", image, at + 4, 0xFFFFFFFF)
                image[at + 1] &= 0x0F
                calls.append((TEXT_AT + at, name))
            elif (
                kind == 10 and shndx == text_i
            ):  # call within the file, relative to the next instruction
                if (
                    symbols[info >> 32][1] & 15 == 3
                ):  # a section symbol: the target stands in the instruction
                    value = (struct.unpack_from("<i", image, at + 4)[0] + 1) * 8
                struct.pack_into("<i", image, at + 4, (value - at) // 8 - 1)
            else:
                raise SystemExit(
                    f"relocation {kind} against {name or 'a section'} at {at:#x} is not understood"
                )
    names = ["entrypoint", *sorted({n for _, n in calls})]
    dynstr, dynsym = b"\0", bytes(24)
    for n in names:
        e = n == "entrypoint"
        dynsym += struct.pack(
            "<IBBHQQ",
            len(dynstr),
            0x12 if e else 0x10,
            0,
            1 if e else 0,
            TEXT_AT + entry if e else 0,
            0,
        )
        dynstr += n.encode() + b"\0"
    rel = b"".join(struct.pack("<QQ", at, (1 + names.index(n)) << 32 | 10) for at, n in calls)
    out = bytearray(TEXT_AT) + image
    table = [("", 0, 0, 0, 0, 0, 0, 0)]

    def put(name, kind, flags, data, link_=0, entsize=0, info=0):
        out.extend(bytes(-len(out) % 8))
        table.append((name, kind, flags, len(out), len(data), link_, entsize, info))
        out.extend(data)
        return table[-1][3]

    table.append((".text", 1, 6, TEXT_AT, len(text), 0, 0, 0))
    if rodata_len:
        table.append((".rodata", 1, 2, TEXT_AT + len(text), rodata_len, 0, 0, 0))
    k = len(table)  # sections from here: .dynsym, .dynstr, .rel.dyn, .dynamic, .shstrtab
    sym_at = put(".dynsym", 11, 2, dynsym, k + 1, 24, 1)
    str_at = put(".dynstr", 3, 2, dynstr)
    rel_at = put(".rel.dyn", 9, 2, rel, k, 16)
    tags = (
        [(5, str_at), (10, len(dynstr)), (6, sym_at), (11, 24)]
        + ([(17, rel_at), (18, len(rel)), (19, 16)] if rel else [])
        + [(0, 0)]
    )
    dyn = b"".join(struct.pack("<QQ", *t) for t in tags)
    dyn_at = put(".dynamic", 6, 3, dyn, k + 1, 16)
    names_blob = b"\0" + b"".join(t[0].encode() + b"\0" for t in table[1:]) + b".shstrtab\0"
    put(".shstrtab", 3, 0, names_blob)
    out.extend(bytes(-len(out) % 8))
    shoff = len(out)
    for name, kind, flags, at, size, link_, entsize, info in table:
        at_name = names_blob.index(b"\0" + name.encode() + b"\0") + 1 if name else 0
        out += struct.pack(
            "<IIQQQQIIQQ",
            at_name,
            kind,
            flags,
            at if flags & 2 else 0,
            at,
            size,
            link_,
            info,
            16 if kind == 1 else 8 if kind else 0,
            entsize,
        )
    header = (
        b"\x7fELF\x02\x01\x01"
        + bytes(9)
        + struct.pack(
            "<HHIQQQIHHHHHH",
            3,
            247,
            1,
            TEXT_AT + entry,
            64,
            shoff,
            0,
            64,
            56,
            2,
            64,
            len(table),
            len(table) - 1,
        )
    )
    header += struct.pack(
        "<IIQQQQQQ", 1, 5, TEXT_AT, TEXT_AT, TEXT_AT, len(image), len(image), 0x1000
    )
    header += struct.pack("<IIQQQQQQ", 2, 6, dyn_at, dyn_at, dyn_at, len(dyn), len(dyn), 8)
    out[: len(header)] = header
    return bytes(out)


if __name__ == "__main__":
    with open(sys.argv[1], "rb") as f:
        program = link(f.read())
    with open(sys.argv[2], "wb") as f:
        f.write(program)
    print(f"{sys.argv[2]}: {len(program)} bytes")
