"""extra.bin: what is packed comes back, and nothing else is believed."""

from __future__ import annotations

import copy

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from awm_jax.errors import AwmError
from converters.quantize.extra import DTYPES, pack_extra, unpack_extra

NAMES = st.from_regex(r"\A[A-Za-z0-9_][A-Za-z0-9_.-]{0,8}\Z")
ARRAYS = st.sampled_from(sorted(DTYPES.values())).flatmap(
    lambda dtype: arrays(dtype, array_shapes(min_dims=0, max_dims=4, max_side=4))
)


@given(st.dictionaries(NAMES, ARRAYS, max_size=5))
def test_round_trip(given_arrays):
    data, index = pack_extra(given_arrays)
    found = unpack_extra(index, data)
    assert list(found) == sorted(given_arrays)
    for name, array in found.items():
        assert array.dtype == given_arrays[name].dtype and not array.flags.writeable
        assert np.array_equal(array, given_arrays[name])
        assert index[name]["offset"] % 16 == 0
    assert pack_extra(dict(reversed(given_arrays.items()))) == (data, index)


def test_bytes():
    data, index = pack_extra(
        {"b": np.array([[1, -2]], ">i2"), "a": np.uint8([7]), "c": np.int32(5)}
    )
    assert data == b"\x07" + bytes(15) + b"\x01\x00\xfe\xff" + bytes(12) + b"\x05\x00\x00\x00"
    assert index["b"] == {"dtype": "i16", "shape": [1, 2], "offset": 16, "size": 4}
    assert index["c"] == {"dtype": "i32", "shape": [], "offset": 32, "size": 4}


@pytest.mark.parametrize(
    ("name", "array", "said"),
    [
        ("../x", np.int8([1]), "a name is"),
        ("a/b", np.int8([1]), "a name is"),
        (".hidden", np.int8([1]), "a name is"),
        ("a\n", np.int8([1]), "a name is"),
        ("", np.int8([1]), "a name is"),
        ("a", np.int64([1]), "int64"),
        ("a", np.float32([1]), "float32"),
        ("a", np.bool_([True]), "bool"),
        ("a", np.zeros((2, 0), np.int8), "shape"),
        ("a", np.zeros((1,) * 9, np.int8), "shape"),
    ],
)
def test_not_packed(name, array, said):
    with pytest.raises(AwmError, match=said):
        pack_extra({name: array})


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"dtype": "f32"}, "dtype 'f32' is none"),
        ({"dtype": ["i8"]}, "is none of"),
        ({"dtype": "i16"}, "follows from"),
        ({"shape": [1 << 40]}, "not in 1"),
        ({"shape": [1 << 31] * 8}, "follows from"),
        ({"shape": [1 << 31] * 8, "size": 1 << 248}, "ends at"),
        ({"shape": [-1]}, "not in 1"),
        ({"shape": [0]}, "not in 1"),
        ({"shape": [True]}, "not in 1"),
        ({"shape": [3.0]}, "not in 1"),
        ({"shape": 3}, "not a list"),
        ({"offset": 17}, "follows from"),
        ({"offset": -16}, "follows from"),
        ({"offset": 0}, "follows from"),
        ({"offset": 16.0}, "follows from"),
        ({"size": 1 << 62}, "follows from"),
        ({"surplus": 1}, "follows from"),
    ],
)
def test_claims_are_not_believed(change, said):
    data, index = pack_extra({"a": np.uint8([1]), "b": np.int8([1, 2, 3])})
    index = copy.deepcopy(index)
    index["b"] |= change
    with pytest.raises(AwmError, match=said):
        unpack_extra(index, data)


def test_padding_and_length():
    data, index = pack_extra({"a": np.uint8([1]), "b": np.int8([1, 2, 3])})
    for wrong, said in [
        (data[:5] + b"\x01" + data[6:], "padding"),
        (data + b"\0", "the file at"),
        (data[:-1], "ends at"),
        (b"", "ends at"),
    ]:
        with pytest.raises(AwmError, match=said):
            unpack_extra(index, wrong)
    for wrong in (None, [], {"a": None}, {"a": []}, {"../a": index["a"]}):
        with pytest.raises(AwmError):
            unpack_extra(wrong, data)
