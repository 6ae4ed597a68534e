"""What a browser needs to compute a match itself: cartridges as images, matches as exact records.

A browser runs `static/machine.wasm`, the native kernel, on an image of a cartridge's world. Only
the cartridges that the server was started with are offered, by their identity; no name in a file or
a request is opened as a path.
"""

from __future__ import annotations

import base64
import functools
import gzip
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from awm_jax.cartridges import EMBEDDED
from awm_jax.errors import AwmError
from crank.viz import PLAYER_KEYS
from crank.watch.recording import CONTEXTS, MAX_BYTES

if TYPE_CHECKING:
    from awm_jax.int8.params import Dense
    from converters.loading import LoadedCartridge

UNIT = 65536
NO_VALUE = -(1 << 31)
"""Stands for a recorded value that no integer machine makes."""
STANDING = 14
"""Both players' action when a match is begun in the page."""


class Cartridges:
    """The cartridges that a server offers, the one to play in first.

    Args:
      places: folders, or "embedded" for the one that ships with the package.
    """

    def __init__(self, places: Sequence[str] = (EMBEDDED,)) -> None:
        self._places = tuple(dict.fromkeys(places))

    def find(self, identity: str) -> str:
        """Where the cartridge of an identity lies; of "" the first.

        Raises:
          AwmError: this server has no such cartridge.
        """
        if not identity:
            return self._places[0]
        for place in self._places:
            if identity_of(place) == identity:
                return place
        raise AwmError(
            f"the cartridge {identity[:12]} is not here; start the server with --world CARTRIDGE"
        )

    def payload(self, identity: str, context: str = "") -> bytes:
        """A cartridge's world for the page, gzipped JSON.

        Args:
          context: "windowed" or "recurrent" instead of the cartridge's own mode; "" for that.

        Raises:
          AwmError: no such cartridge or context, or one that the kernel cannot run.
        """
        if context and context not in CONTEXTS:
            raise AwmError(f"no context {context[:20]!r}; give one of: {', '.join(CONTEXTS)}")
        place = self.find(identity)
        return _world(place, identity_of(place), context)

    def policy(self, identity: str, name: str) -> bytes:
        """The image of one of a cartridge's policies.

        Raises:
          AwmError: there is none of that name.
        """
        place = self.find(identity)
        return _policy(place, identity_of(place), name)


def identity_of(place: str) -> str:
    """The identity that a cartridge's manifest states, "" where there is none."""
    from converters.cartridge import MANIFEST, located

    try:
        return str(json.loads((located(place) / MANIFEST).read_text("ascii"))["hash"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return ""


def named_by(paths: Sequence[str]) -> list[str]:
    """The cartridges that match files say they were played in, where they are still there."""
    from converters.cartridge import is_cartridge

    found = []
    for path in paths:
        content = _read(Path(path)) if path.endswith(".json") else None
        meta = content.get("meta") if isinstance(content, dict) and "machine" in content else None
        place = meta.get("model_checkpoint") if isinstance(meta, dict) else None
        if isinstance(place, str) and "\0" not in place and is_cartridge(place):
            found.append(place)
    return found


def record(path: Path) -> bytes:
    """What decides a recorded match and what was recorded of it, gzipped JSON.

    `frames` is base64 of (T, 2 n + 1) little-endian int32: the n `PLAYER_KEYS` of both players in
    2^-16 and the stage; `NO_VALUE` where the file holds what is no such number.

    Raises:
      AwmError: the file cannot be read or was not played by the integer machine.
    """
    content = _read(path)
    if not isinstance(content, dict) or not isinstance(content.get("machine"), dict):
        raise AwmError(f"{path.name} was not played by the integer machine")
    machine, frames = content["machine"], content.get("frames")
    if not isinstance(frames, list):
        raise AwmError(f"{path.name} holds no frames")
    exact = np.array([_exact(frame) for frame in frames], "<i4")
    kept = {key: machine.get(key) for key in ("seed", "pads", "digest")}
    kept |= {"frames": base64.b64encode(exact.tobytes()).decode(), "count": len(frames)}
    return _packed(kept)


def _read(path: Path) -> Any:
    try:
        if os.path.getsize(path) > MAX_BYTES:
            return None
        return json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return None


def _exact(frame: Any) -> list[int]:
    players = frame.get("players") if isinstance(frame, Mapping) else None
    pair = players if isinstance(players, list) and len(players) == 2 else [None, None]
    values = [p.get(k) if isinstance(p, Mapping) else None for p in pair for k in PLAYER_KEYS]
    stage = frame.get("stage") if isinstance(frame, Mapping) else None
    return [*(_units(v) for v in values), _units(stage, 1)]


def _units(value: Any, unit: int = UNIT) -> int:
    if not isinstance(value, int | float) or not abs(value) < 32768:
        return NO_VALUE
    scaled = value * unit
    return int(scaled) if scaled == int(scaled) else NO_VALUE


def _packed(content: Any) -> bytes:
    text = json.dumps(content, allow_nan=False, separators=(",", ":"))
    return gzip.compress(text.encode(), 6, mtime=0)


@functools.lru_cache(maxsize=4)
def _world(place: str, identity: str, context: str) -> bytes:
    import dataclasses
    import hashlib

    import jax

    import converters
    from awm_jax.game.stages import STAGES
    from awm_jax.int8.frame import from_floats
    from awm_jax.int8.native.image import pack
    from converters.quantize.pack import load_policy
    from crank.playing import synthetic_seed, versions

    loaded = converters.load_cartridge(place)
    arch = loaded.world.arch
    if context:
        arch = dataclasses.replace(arch, recurrent=context == "recurrent")
    cfg = arch.cfg
    seed = synthetic_seed(cfg, arch.context_len, 2, (0, 0), 0, action=STANDING)
    start = from_floats(cfg, np.asarray(seed.floats), np.asarray(seed.ints))
    image = pack(loaded.world.params, arch)
    names = loaded.cartridge.policies.items()
    policies = {name: held.hash for name, held in names if _fits(load_policy(held)[1], arch)}
    return _packed(
        {
            "hash": loaded.cartridge.hash,
            "name": place if place == EMBEDDED else Path(place).name,
            "context": CONTEXTS[arch.recurrent],
            "context_len": arch.context_len,
            "columns": _columns(cfg),
            "vocabularies": {"character": cfg.character_vocab, "stage": cfg.stage_vocab},
            "seed": jax.tree.map(lambda v: np.asarray(v).tolist(), vars(start)),
            "stages": [{"id": n} | s.geometry() for n, s in sorted(STAGES.items())],
            "policies": policies,
            "confidence": confidence_units(loaded),
            "versions": versions(),
            "image_sha256": hashlib.sha256(image).hexdigest(),
            "image": base64.b64encode(image).decode(),
        }
    )


def confidence_units(loaded: LoadedCartridge) -> dict[str, float | None]:
    """What one unit of a world's outputs is as a logit, for viewers; no match reads it.

    `action` is that of the categorical heads. `hit` is that of the stocks output in 2^-16, which
    under the game's rules is the logit of a hit; None without them.
    """
    heads, stated = loaded.world.params.heads, loaded.cartridge.entries
    scales = loaded.cartridge.manifest["int8"]["scales"]

    def after(key: str, dense: Dense, scale: float) -> float:
        """The scale of a layer's outputs: that of its sums over what these are multiplied by."""
        rows = stated[key].scales
        a, m = (np.asarray(v, np.float64)[: len(rows)] for v in (dense.out.a, dense.out.m))
        return float(np.median(rows * scale * 2.0 ** (a + 15) / m))

    scale = scales["hidden"]
    if heads.hidden is not None:
        # Earlier cartridges did not state it.
        scale = scales.get("pre_head") or after("pre_head.weight", heads.hidden, scale)
    action = after("p0_action_head.weight", heads.logits, scale * 128)
    arch = loaded.world.arch
    hit = arch.cfg.stocks_scale / UNIT if arch.variant.game_rules else None
    return {"action": action, "hit": hit}


def _fits(policy: Any, world: Any) -> bool:
    """Whether a policy sees a world's frames just as they are, as the browser's machine wants."""
    from awm_jax.int8.policy import adapt

    cfg = world.cfg
    whole = (cfg.continuous_dim, cfg.binary_dim, cfg.int_per_player)
    try:
        seen = adapt(cfg, policy.cfg)
    except AwmError:
        return False
    return policy.context_len <= world.context_len and seen == tuple(tuple(range(n)) for n in whole)


def _columns(cfg: Any) -> dict[str, tuple[str, int]]:
    """Key of a viewer's player -> the array of a frame and the column there."""
    from awm_jax.encoding import columns

    where = columns(cfg)
    found = {}
    for key, column in PLAYER_KEYS.items():
        if column in where.int_index:
            found[key] = ("ints", where.int_index[column])
        elif where[column] < cfg.continuous_dim:
            found[key] = ("cont", where[column])
        else:
            found[key] = ("binary", where[column] - cfg.continuous_dim)
    return found


@functools.lru_cache(maxsize=8)
def _policy(place: str, identity: str, name: str) -> bytes:
    from awm_jax.int8.native.image import pack_policy
    from converters.cartridge import read_cartridge
    from converters.quantize.pack import load_policy

    policies = read_cartridge(place).policies
    if name not in policies:
        raise AwmError(f"the cartridge has no policy {name[:40]!r}")
    return pack_policy(*load_policy(policies[name]))
