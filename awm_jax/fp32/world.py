"""A float network as the physics of a match. Source: match.md section 1.2."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from awm_jax.encoding import EncodingConfig
from awm_jax.errors import AwmError
from awm_jax.fp32.mamba2 import FrameStackMamba2, Mamba2State, Projected
from awm_jax.fp32.mlp import FrameStackMLP
from awm_jax.fp32.network import Network
from awm_jax.fp32.policy import swap_players
from awm_jax.game.frames import Frames, control_features, controllers
from awm_jax.game.transition import knocked_out, match_transition
from awm_jax.pytree import pytree, static


@pytree
class Fp32State:
    """Attributes:
    frames: the last K frames, (K, F) and (K, I).
    seen: of all frames but the newest, what a recurrent network has absorbed, or what a windowed
      one has computed of each (K - 1, ...); None of an MLP.
    """

    frames: Frames
    seen: Mamba2State | Projected | None


@pytree
class Fp32World:
    """Fills `awm_jax.contracts.World` with a float network.

    Attributes:
      network: the world model.
      recurrent: carry the Mamba2 state instead of looking at the last K frames from zero.
    """

    network: Network
    recurrent: bool = static()

    @property
    def cfg(self) -> EncodingConfig:
        return self.network.cfg

    @property
    def context_len(self) -> int:
        """K, the frames of a seed and of an agent's view."""
        return self.network.context_len

    @classmethod
    def of(cls, model: FrameStackMamba2 | FrameStackMLP, *, recurrent: bool = False) -> Fp32World:
        """Wrap a network.

        Raises:
          AwmError: the network can't be played, with the reason.
        """
        cfg = model.cfg
        if cfg.lookahead:
            raise AwmError(
                f"this world was trained with lookahead {cfg.lookahead}: it needs controllers of "
                "frames that no agent has played yet, so it can be evaluated but not played"
            )
        if isinstance(model, FrameStackMLP) and cfg.state_flags:
            raise AwmError(
                "an MLP world with state_flags predicts 6 of its "
                f"{cfg.predicted_binary_dim} binary columns and can't be played"
            )
        if recurrent and not isinstance(model, FrameStackMamba2):
            raise AwmError("an MLP world has no state to carry: play it with --context windowed")
        return cls(Network.of(model), recurrent)

    def reset(self, seed: Frames) -> Fp32State:
        """seed: exactly K frames, (K, F) and (K, I)."""
        if seed.floats.shape[0] != self.context_len:
            raise AwmError(
                f"{seed.floats.shape[0]} seed frames, this world needs {self.context_len}"
            )
        seed = jax.tree.map(jnp.asarray, seed)
        model = self.network.module()
        if isinstance(model, FrameStackMLP) or (not self.recurrent and self.context_len == 1):
            return Fp32State(seed, None)
        before = jax.tree.map(lambda v: v[:-1], seed)
        ctrl = self._next_ctrl(seed.floats[1:], seed.floats[:-1])
        if not self.recurrent:
            return Fp32State(seed, model.project(before.floats, before.ints, ctrl))
        state = model.init_state(())
        if self.context_len > 1:
            _, state = model.sequence(before.floats, before.ints, ctrl, state)
        return Fp32State(seed, state)

    def step(self, state: Fp32State, pads: jax.Array) -> tuple[Fp32State, Frames]:
        """pads (2, 13) float32 in [0, 1] -> the new state and one frame (F,), (I,)."""
        model = self.network.module()
        last = jax.tree.map(lambda v: v[-1], state.frames)
        ctrl = control_features(self.cfg, pads, controllers(self.cfg, last.floats))
        seen = state.seen
        if seen is None:
            outputs = model(state.frames.floats, state.frames.ints, ctrl)
        elif isinstance(seen, Mamba2State):
            seen, outputs = model.step(seen, last.floats, last.ints, ctrl)
        else:
            newest = model.project(last.floats[None], last.ints[None], ctrl[None])
            window = jax.tree.map(lambda *rows: jnp.concatenate(rows), seen, newest)
            outputs = model.window(window, ctrl)
            seen = jax.tree.map(lambda rows: rows[1:], window)
        frame = match_transition(self.cfg, last, outputs, pads, model.variant.game_rules)
        return Fp32State(state.frames.push(frame), seen), frame

    def observe(self, state: Fp32State, player: int) -> Frames:
        """The last K frames, the player's own block first (a swap, not a mirror)."""
        if player == 0:
            return state.frames
        return Frames(*swap_players(self.cfg, state.frames.floats, state.frames.ints))

    def knocked_out(self, frame: Frames) -> jax.Array:
        return knocked_out(self.cfg, frame)

    def corrupt(self, frame: Frames) -> jax.Array:
        return ~jnp.all(jnp.isfinite(frame.floats))

    def words(self, frame: Frames, number: jax.Array) -> jax.Array:
        """What the frame adds to the digest: its number, ints and the bits of its floats."""
        number = jnp.asarray(number, jnp.int32)[None]
        bits = jax.lax.bitcast_convert_type(frame.floats, jnp.uint32)
        ints = jnp.concatenate([number, frame.ints.astype(jnp.int32)])
        return jnp.concatenate([jax.lax.bitcast_convert_type(ints, jnp.uint32), bits])

    def _next_ctrl(self, floats: jax.Array, before: jax.Array) -> jax.Array:
        return control_features(
            self.cfg, controllers(self.cfg, floats), controllers(self.cfg, before)
        )
