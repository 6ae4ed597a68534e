"""Which of the machine's executions runs a world: XLA, or the native kernel through `jax.ffi`.

Both give the same bits. The kernel is CPU only; where its compiled part is missing, XLA runs.
"""

from __future__ import annotations

import ctypes
import functools
import math
import os
from pathlib import Path
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np

from awm_jax.encoding import EncodingConfig
from awm_jax.errors import AwmError
from awm_jax.int8 import frame as frames
from awm_jax.int8.frame import GameFrame
from awm_jax.int8.mamba2 import TrunkState, initial_state
from awm_jax.int8.native.image import pack
from awm_jax.int8.params import Arch, WorldParams
from awm_jax.int8.world import Int8State, Int8World
from awm_jax.pytree import pytree, static

Engine = Literal["auto", "xla", "native"]
LIBRARY = Path(__file__).parent / "native" / "kernel.so"
# Of the FFI call: the image, the five arrays of the window, the pads, then the trunk's two.
STEP, RESET = "awm_world_step", "awm_world_reset"


@functools.cache
def _library(path: Path) -> ctypes.CDLL:
    """Loads the kernel and registers its handlers with XLA, once a process.

    Raises:
      OSError: it is missing or not loadable.
    """
    if not path.exists():
        raise OSError(f"{path.name} is not built")
    library = ctypes.CDLL(str(path))
    library.awm_path_name.restype = ctypes.c_char_p
    library.awm_path_name.argtypes = [ctypes.c_int]
    for name in (STEP, RESET):
        jax.ffi.register_ffi_target(name, jax.ffi.pycapsule(library[name]), platform="cpu")
    return library


def native_available() -> tuple[bool, str]:
    """Whether the native kernel can run here, and on which instructions, or why not."""
    if jax.default_backend() != "cpu":
        return False, f"JAX runs on {jax.default_backend()}, the kernel only on CPU"
    try:
        _library(LIBRARY)
    except (OSError, AttributeError) as failure:
        return False, f"no compiled kernel: {failure}"
    return True, f"paths {', '.join(native_paths())}"


def native_paths() -> tuple[str, ...]:
    """The kernel's instruction sets that this CPU has, the best first. Empty without a kernel."""
    try:
        library = _library(LIBRARY)
    except (OSError, AttributeError):
        return ()
    names: list[str] = []
    while (name := library.awm_path_name(len(names))) is not None:
        names.append(name.decode())
    return tuple(names)


def make_world(
    params: WorldParams,
    arch: Arch,
    engine: Engine = "auto",
    threads: int | None = None,
    path: str | None = None,
) -> Int8World | NativeWorld:
    """A world under the engine asked for; "auto" is native where it can run, else XLA.

    Args:
      threads: native only; 0 for one a core. Default $AWM_THREADS, else 0.
      path: native only; one of `native_paths()`. Default $AWM_PATH, else the best.

    Raises:
      AwmError: "native" is asked for and cannot run; the message says why.
    """
    if engine not in ("auto", "xla", "native"):
        raise AwmError(f"engine {engine!r} is none of auto, xla, native")
    available, reason = native_available() if engine != "xla" else (False, "")
    if engine == "native" and not available:
        raise AwmError(f"the native engine cannot run here: {reason}; use engine xla")
    if not available:
        return Int8World(params, arch)
    image = jnp.asarray(np.frombuffer(pack(params, arch), np.uint8))
    return NativeWorld(image, arch, _threads(threads), _path(path))


def _threads(threads: int | None) -> int:
    text = os.environ.get("AWM_THREADS", "0") if threads is None else str(threads)
    if not text.isdigit():
        raise AwmError(f"AWM_THREADS is {text!r}, must be a count, 0 for one a core")
    return int(text)


def _path(path: str | None) -> int:
    """The number the kernel knows a path by: 0 for the best, i + 1 for `native_paths()[i]`."""
    path = path or os.environ.get("AWM_PATH")
    if not path:
        return 0
    if path not in native_paths():
        raise AwmError(f"path {path!r} is none that this CPU runs: {', '.join(native_paths())}")
    return native_paths().index(path) + 1


@pytree
class NativeWorld:
    """`Int8World` through the native kernel: the same states, the same bits.

    Attributes:
      image: (bytes,) uint8, `awm_jax.int8.native.image.pack`.
      threads: of XLA's own pool that share a batch; 0 for all.
      path: see `make_world`.
    """

    image: jax.Array
    arch: Arch = static()
    threads: int = static()
    path: int = static()

    @property
    def cfg(self) -> EncodingConfig:
        return self.arch.cfg

    @property
    def context_len(self) -> int:
        return self.arch.context_len

    @property
    def recurrent(self) -> bool:
        return self.arch.recurrent

    def reset(self, seed: GameFrame) -> Int8State:
        """seed: K frames with a leading axis, oldest first."""
        if seed.stage.shape[0] != self.context_len:
            raise AwmError(
                f"{seed.stage.shape[0]} seed frames, this world needs {self.context_len}"
            )
        seed = jax.tree.map(lambda v: jnp.asarray(v, jnp.int32), seed)
        if not self.arch.recurrent:
            return Int8State(seed, None)
        trunk = jax.eval_shape(lambda: initial_state(self.arch))
        inputs = _batched_alike(self.image, [*_arrays(seed), seed.pads[-1]])
        call = self._call(RESET, [trunk.ssm, trunk.conv], {})
        return Int8State(seed, TrunkState(*call(self.image, *inputs)))

    def step(self, state: Int8State, pads: jax.Array) -> tuple[Int8State, GameFrame]:
        """pads (2, 8) int32 `PAD_FIELDS` -> the new state and the frame they make."""
        trunk = () if state.trunk is None else (state.trunk.ssm, state.trunk.conv)
        inputs = [*_arrays(state.frames), jnp.asarray(pads, jnp.int32), *trunk]
        inputs = _batched_alike(self.image, inputs)
        results = inputs[:5] + inputs[6:]
        aliases = {i + 1 + (i > 4): i for i in range(len(results))}
        shapes = [jax.ShapeDtypeStruct(v.shape, v.dtype) for v in results]
        out = self._call(STEP, shapes, aliases)(self.image, *inputs)
        window = GameFrame(*out[:5])
        new = Int8State(window, TrunkState(*out[5:]) if trunk else None)
        return new, jax.tree.map(lambda v: v[-1], window)

    def observe(self, state: Int8State, player: int) -> GameFrame:
        """The last K frames, the player's own half first (a swap, not a mirror)."""
        return Int8World.observe(self._twin, state, player)

    def knocked_out(self, frame: GameFrame) -> jax.Array:
        return frames.knocked_out(self.cfg, frame)

    def corrupt(self, frame: GameFrame) -> jax.Array:
        """Integers are always numbers."""
        return jnp.bool_(False)

    def words(self, frame: GameFrame, number: jax.Array) -> jax.Array:
        """What the frame adds to the digest."""
        return frames.frame_words(frame, number)

    @property
    def _twin(self) -> Int8World:
        """For what does not look at parameters."""
        return Int8World(None, self.arch)  # pyright: ignore[reportArgumentType]

    def _call(self, name: str, shapes, aliases: dict[int, int]):
        _library(LIBRARY)
        # "expand_dims": one call for the whole batch, and the image is not copied for each match.
        call = jax.ffi.ffi_call(
            name, shapes, vmap_method="expand_dims", input_output_aliases=aliases
        )
        return functools.partial(call, threads=np.int32(self.threads), path=np.int32(self.path))


def _arrays(f: GameFrame) -> list[jax.Array]:
    return [f.cont, f.binary, f.ints, f.stage, f.pads]


def _batched_alike(image: jax.Array, values: list[jax.Array]) -> list[jax.Array]:
    """The values, each with the batch axes of all: the kernel reads the batch's size off any, and a
    result can only share memory with an argument of its own shape. Adds a zero that depends on
    everything; XLA removes it."""
    zero = math.prod(v[(0,) * v.ndim].astype(jnp.int32) * 0 for v in [image, *values])
    return [v + jnp.asarray(zero, v.dtype) for v in values]
