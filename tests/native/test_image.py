"""The image's layout and the two headers that repeat what is defined elsewhere."""

from __future__ import annotations

import subprocess
from pathlib import Path

import jax
import numpy as np
import pytest
from support.int_worlds import FULL, SMALL, arch_of, random_world

from awm_jax.errors import AwmError
from awm_jax.int8.native import image
from awm_jax.int8.native.programs import HERE, compiler

# Our struct, XLA's, their fields in order.
STRUCTS = {
    "ffi_version": ("Api_Version", "major_version minor_version"),
    "ffi_metadata": ("Metadata", "api_version traits state_type_id"),
    "ffi_metadata_extension": ("Metadata_Extension", "metadata"),
    "ffi_buffer": ("Buffer", "dtype data rank dims"),
    "ffi_scalar": ("Scalar", "dtype value"),
    "ffi_error_args": ("Error_Create_Args", "message errc=code"),
    "ffi_error_destroy_args": ("Error_Destroy_Args", "error"),
    "ffi_schedule_args": ("ThreadPool_Schedule_Args", "ctx task data"),
    "ffi_threads_args": ("ThreadPool_NumThreads_Args", "ctx num_threads"),
    "ffi_values": ("Args", "size types args=values"),
    "ffi_attrs": ("Attrs", "size types names attrs=values"),
    "ffi_call": ("CallFrame", "api ctx stage args rets attrs"),
}
API = {
    "XLA_FFI_Error_Create": "error_create",
    "XLA_FFI_Error_Destroy": "error_destroy",
    "XLA_FFI_ThreadPool_Schedule": "schedule",
    "XLA_FFI_ThreadPool_NumThreads": "num_threads",
}
VALUES = {
    "FFI_MAJOR": "XLA_FFI_API_MAJOR",
    "FFI_MINOR": "XLA_FFI_API_MINOR",
    "FFI_S16": "XLA_FFI_DataType_S16",
    "FFI_S32": "XLA_FFI_DataType_S32",
    "FFI_U8": "XLA_FFI_DataType_U8",
    "FFI_EXECUTE": "XLA_FFI_ExecutionStage_EXECUTE",
    "FFI_INVALID_ARGUMENT": "XLA_FFI_Error_Code_INVALID_ARGUMENT",
    "FFI_RESOURCE_EXHAUSTED": "XLA_FFI_Error_Code_RESOURCE_EXHAUSTED",
    "FFI_EXTENSION_METADATA": "XLA_FFI_Extension_Metadata",
}


def test_the_c_header_is_made_from_python() -> None:
    assert (HERE / "awm_layout.h").read_text() == image.header()


def test_tensors_are_aligned_and_inside() -> None:
    for cfg in (SMALL, FULL):
        arch = arch_of(cfg, n_layers=2)
        blob = image.pack(random_world(1, arch), arch)
        dims = np.frombuffer(blob, "<i4", len(image.DIMS), len(image.MAGIC))
        count = len(image.TENSORS) + 2 * len(image.LAYER_TENSORS)
        table = np.frombuffer(blob, "<i4", count, len(image.MAGIC) + 4 * len(image.DIMS))
        assert dims[image.DIMS.index("bytes")] == len(blob) and len(blob) % image.ALIGN == 0
        assert (table % image.ALIGN == 0).all() and (np.diff(table) >= 0).all()
        assert table[0] >= len(image.MAGIC) + 4 * (len(dims) + count) and table[-1] < len(blob)


def test_what_the_kernel_has_no_room_for() -> None:
    arch = arch_of(n_layers=image.MAX_LAYERS + 1)
    with pytest.raises(AwmError, match="16 layers"):
        image.pack(random_world(1, arch), arch)


@pytest.mark.skipif(compiler() is None, reason="no C compiler")
def test_our_part_of_xla_s_interface_is_xla_s(tmp_path: Path) -> None:
    lines = [
        "#include <stddef.h>",
        "#include <stdint.h>",
        '#include "xla/ffi/api/c_api.h"',
        '#include "xla_ffi.h"',
    ]

    def equal(ours: str, theirs: str) -> None:
        lines.append(f'_Static_assert(({ours}) == ({theirs}), "{theirs}");')

    for ours, (name, fields) in STRUCTS.items():
        for field in fields.split():
            theirs, _, own = field.partition("=")
            equal(f"offsetof({ours}, {own or theirs})", f"offsetof(XLA_FFI_{name}, {theirs})")
    for theirs, own in API.items():
        equal(f"offsetof(ffi_api, {own})", f"offsetof(XLA_FFI_Api, {theirs})")
    for own, theirs in VALUES.items():
        equal(own, theirs)
    for own, theirs in (("ffi_metadata", "Metadata"), ("ffi_extension", "Extension_Base")):
        equal(f"sizeof({own})", f"sizeof(XLA_FFI_{theirs})")
    source = tmp_path / "same.c"
    source.write_text("\n".join(lines))
    cc = compiler() or []
    command = [*cc, "-std=c11", f"-I{jax.ffi.include_dir()}", f"-I{HERE}", "-fsyntax-only", source]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
