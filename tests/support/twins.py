"""PyTorch twins of the founders' three networks, for parity tests on any machine.

Written from networks.md sections 1 and 2 alone: plain loops, one time step after another, no
chunks, no caches. A twin has the reference's state-dict keys in the reference's order, and every
step runs in the dtype of its weights, so `twin.double()` is true float64 (the reference's own is
not: T13). B batch, K frames, T frames of a sequence; E, H, P, N, as in networks.md 2.2.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from awm_jax.encoding import (
    POLICY_OUTPUTS,
    PREDICTED_CATEGORICAL,
    EncodingConfig,
    world_outputs,
)

torch.set_num_threads(1)  # small products: more threads cost more than they give

Trace = dict[str, Tensor]
TABLES = (
    "action",
    "jumps",
    "character",
    "stage",
    "l_cancel",
    "hurtbox",
    "ground",
    "last_attack",
)
PLAYER_TABLES = ("action", "jumps", "character", "l_cancel", "hurtbox", "ground", "last_attack")


def _put(trace: Trace | None, name: str, value: Tensor) -> Tensor:
    if trace is not None:
        trace[name] = value
    return value


def _rms_norm(x: Tensor, weight: Tensor) -> Tensor:
    return x / torch.sqrt((x * x).mean(-1, keepdim=True) + 1e-5) * weight


def scan(
    x: Tensor, dt: Tensor, A: Tensor, B: Tensor, C: Tensor, state: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """The selective scan, one frame after another (networks.md 2.2, step 4).

    x (B,L,H,P), dt (B,L,H), A (H,), B and C (B,L,N), state (B,H,P,N) or None for zeros.
    Returns y (B,L,H,P) without the D term, and the state after the last frame.
    """
    batch, length, heads, width = x.shape
    if state is None:
        state = x.new_zeros(batch, heads, width, B.shape[-1])
    rows = []
    for t in range(length):
        decay = torch.exp(A * dt[:, t])[:, :, None, None]
        inflow = (dt[:, t, :, None] * x[:, t])[..., None] * B[:, t, None, None, :]
        state = decay * state + inflow
        rows.append((state * C[:, t, None, None, :]).sum(-1))
    return (torch.stack(rows, 1) if rows else torch.zeros_like(x)), state


def causal_conv(inputs: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Depthwise causal convolution of width 4 before its SiLU (networks.md 2.2, step 3).

    inputs (B,L,ch), weight (ch,1,4), bias (ch,); zeros before the first frame.
    """
    length = inputs.shape[1]
    padded = torch.cat([inputs.new_zeros(inputs.shape[0], 3, inputs.shape[2]), inputs], 1)
    out = bias.expand_as(inputs)
    for j in range(4):
        out = out + weight[:, 0, j] * padded[:, j : j + length]
    return out


def last_inputs(inputs: Tensor) -> Tensor:
    """The convolution's state after `inputs` (B,L,ch): its last three, oldest first, (B,ch,3)."""
    padded = torch.cat([inputs.new_zeros(inputs.shape[0], 3, inputs.shape[2]), inputs], 1)
    return padded[:, padded.shape[1] - 3 :].transpose(1, 2)


class TwinRMSNorm(nn.Module):
    def __init__(self, width: int):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        return _rms_norm(x, self.weight)


class TwinMambaBlock(nn.Module):
    """One Mamba2 block (networks.md 2.2, steps 1 to 7)."""

    def __init__(self, d_model: int, d_state: int, headdim: int):
        super().__init__()
        self.inner, self.d_state, self.headdim = 2 * d_model, d_state, headdim
        self.heads = self.inner // headdim
        if self.heads * headdim != self.inner:
            raise ValueError(f"headdim {headdim} does not divide {self.inner}")
        channels = self.inner + 2 * d_state
        self.dt_bias = nn.Parameter(2 * torch.rand(self.heads) - 1)
        self.A_log = nn.Parameter(torch.log(torch.arange(1.0, self.heads + 1)))
        self.D = nn.Parameter(torch.ones(self.heads))
        self.in_proj = nn.Linear(d_model, self.inner + channels + self.heads, bias=False)
        self.conv1d = nn.Conv1d(channels, channels, 4, groups=channels)
        self.norm = TwinRMSNorm(self.inner)
        self.out_proj = nn.Linear(self.inner, d_model, bias=False)

    def forward(self, u: Tensor, trace: Trace | None = None, prefix: str = "") -> Tensor:
        """u (B,L,d_model) to the same; fills `trace` with this block's intermediates."""
        E, N = self.inner, self.d_state
        batch, length = u.shape[:2]
        projected = _put(trace, prefix + "in_proj", self.in_proj(u))
        z, raw, dt = projected.split([E, E + 2 * N, self.heads], -1)
        _put(trace, prefix + "z", z)
        dt = _put(trace, prefix + "dt", F.softplus(dt + self.dt_bias))
        conv = causal_conv(raw, self.conv1d.weight, self.conv1d.bias)  # type: ignore[arg-type]
        _put(trace, prefix + "conv", conv)
        _put(trace, prefix + "conv_state", last_inputs(raw))
        x, B, C = F.silu(conv).split([E, N, N], -1)
        x = x.reshape(batch, length, self.heads, self.headdim)
        A = -torch.exp(self.A_log)
        for name, value in {"A": A, "B": B, "C": C, "x": x}.items():
            _put(trace, prefix + name, value)
        y, state = scan(x, dt, A, B, C)
        _put(trace, prefix + "scan", y)
        _put(trace, prefix + "ssm_state", state)
        y = (y + self.D[:, None] * x).reshape(batch, length, E)
        _put(trace, prefix + "y_plus_D", y)
        gated = _put(trace, prefix + "gated_norm", self.norm(y * F.silu(z)))
        return _put(trace, prefix + "out_proj", self.out_proj(gated))


class TwinLayer(nn.Module):
    """Norm, block, residual."""

    def __init__(self, d_model: int, d_state: int, headdim: int):
        super().__init__()
        self.mamba = TwinMambaBlock(d_model, d_state, headdim)
        self.norm = TwinRMSNorm(d_model)

    def forward(self, x: Tensor, trace: Trace | None = None, prefix: str = "") -> Tensor:
        normed = _put(trace, prefix + "norm", self.norm(x))
        return x + self.mamba(normed, trace, prefix)


class _Twin(nn.Module):
    """What the three share: the embedding tables, the frame vector, the world's heads."""

    def __init__(self, cfg: EncodingConfig, context_len: int):
        super().__init__()
        self.cfg, self.context_len = cfg, context_len
        for name in TABLES + (("state_age",) if cfg.state_age_as_embed else ()):
            vocab, width = getattr(cfg, self._field(name)), getattr(cfg, self._field(name, True))
            self.add_module(f"{name}_embed", nn.Embedding(vocab, width))

    @staticmethod
    def _field(name: str, width: bool = False) -> str:
        stem = f"{name}_embed" if name == "state_age" else name
        return f"{name}_embed_dim" if width else f"{stem}_vocab"

    def _lookup(self, name: str, index: Tensor) -> Tensor:
        return self.get_submodule(f"{name}_embed")(index)

    def frame_vectors(self, floats: Tensor, ints: Tensor) -> Tensor:
        """floats (B,K,F) and ints (B,K,I) to frame vectors (B,K,frame_dim) (networks.md 2.1)."""
        ipp = 7 + self.cfg.state_age_as_embed
        ints = ints.long()
        parts = [floats]
        for player in (0, 1):
            start = player * ipp
            parts += [self._lookup(n, ints[..., start + i]) for i, n in enumerate(PLAYER_TABLES)]
            if self.cfg.state_age_as_embed:
                parts.append(self._lookup("state_age", ints[..., start + 7]))
        parts.append(self._lookup("stage", ints[..., 2 * ipp]))
        return torch.cat(parts, -1)

    def _add_world_heads(self, width: int, arch: str) -> None:
        sizes = world_outputs(self.cfg, arch)
        for head, output in world_heads().items():
            self.add_module(head, nn.Linear(width, sizes[output]))

    def _world_outputs(self, h: Tensor) -> dict[str, Tensor]:
        return {output: self.get_submodule(head)(h) for head, output in world_heads().items()}


def world_heads() -> dict[str, str]:
    """Head module -> output, in the order of the state dict (networks.md 2.3)."""
    heads = {
        "continuous_head": "continuous_delta",
        "binary_head": "binary_logits",
        "velocity_head": "velocity_delta",
        "dynamics_head": "dynamics_pred",
    }
    for name in PREDICTED_CATEGORICAL:
        heads |= {f"p{p}_{name}_head": f"p{p}_{name}_logits" for p in (0, 1)}
    return heads


class TwinMamba2(_Twin):
    """FrameStackMamba2 (networks.md 2.2); the scan is always the loop."""

    def __init__(
        self,
        cfg: EncodingConfig,
        *,
        context_len: int = 10,
        d_model: int = 256,
        d_state: int = 64,
        n_layers: int = 2,
        headdim: int = 64,
        chunk_size: int | None = None,
    ):
        super().__init__(cfg, context_len)
        del chunk_size
        self.frame_proj = nn.Linear(cfg.frame_dim, d_model)
        self.layers = nn.ModuleList(TwinLayer(d_model, d_state, headdim) for _ in range(n_layers))
        self.final_norm = TwinRMSNorm(d_model)
        self.ctrl_proj = nn.Linear(cfg.ctrl_conditioning_dim, d_model)
        self._add_world_heads(d_model, "mamba2")

    def _backbone(self, floats: Tensor, ints: Tensor, trace: Trace | None) -> Tensor:
        x = _put(trace, "frame_enc", self.frame_vectors(floats, ints))
        x = _put(trace, "frame_proj", self.frame_proj(x))
        for i, layer in enumerate(self.layers):
            x = layer(x, trace, f"L{i}_")
        return x

    def forward(
        self, floats: Tensor, ints: Tensor, next_ctrl: Tensor, trace: Trace | None = None
    ) -> dict[str, Tensor]:
        """floats (B,K,F), ints (B,K,I), next_ctrl (B,C) to the sixteen outputs (B,width)."""
        x = self._backbone(floats, ints, trace)
        last = _put(trace, "final_norm", self.final_norm(x[:, -1]))
        ctrl = _put(trace, "ctrl_proj", self.ctrl_proj(next_ctrl))
        return self._world_outputs(_put(trace, "h", last + ctrl))

    def sequence(
        self, floats: Tensor, ints: Tensor, next_ctrl: Tensor
    ) -> tuple[dict[str, Tensor], Tensor, Tensor]:
        """From zero state over (B,T,...): outputs (B,T,width) after every frame, and the states
        at the end, ssm (layers,B,H,P,N) and conv (layers,B,E+2N,3)."""
        trace: Trace = {}
        h = self.final_norm(self._backbone(floats, ints, trace)) + self.ctrl_proj(next_ctrl)
        numbers = range(len(self.layers))
        ssm = torch.stack([trace[f"L{i}_ssm_state"] for i in numbers])
        conv = torch.stack([trace[f"L{i}_conv_state"] for i in numbers])
        return self._world_outputs(h), ssm, conv


class _Trunk(_Twin):
    """trunk.0 Linear, ReLU, trunk.3 Linear, ReLU over the flattened frames."""

    def _add_trunk(self, inputs: int, hidden_dim: int, trunk_dim: int) -> None:
        self.trunk = nn.Sequential(
            nn.Linear(inputs, hidden_dim),
            nn.ReLU(),
            nn.Identity(),
            nn.Linear(hidden_dim, trunk_dim),
            nn.ReLU(),
            nn.Identity(),
        )

    def _flat(self, floats: Tensor, ints: Tensor, trace: Trace | None) -> Tensor:
        return _put(trace, "frame_enc", self.frame_vectors(floats, ints)).flatten(1)

    def _trunk(self, x: Tensor, trace: Trace | None) -> Tensor:
        for number, step in enumerate(self.trunk):
            x = _put(trace, f"trunk_{number}", step(x))
        return x


class TwinMLP(_Trunk):
    """FrameStackMLP (networks.md 2.4)."""

    def __init__(
        self,
        cfg: EncodingConfig,
        *,
        context_len: int = 10,
        hidden_dim: int = 512,
        trunk_dim: int = 256,
    ):
        super().__init__(cfg, context_len)
        inputs = context_len * cfg.frame_dim + cfg.ctrl_conditioning_dim
        self._add_trunk(inputs, hidden_dim, trunk_dim)
        self._add_world_heads(trunk_dim, "mlp")

    def forward(
        self, floats: Tensor, ints: Tensor, next_ctrl: Tensor, trace: Trace | None = None
    ) -> dict[str, Tensor]:
        flat = torch.cat([self._flat(floats, ints, trace), next_ctrl], -1)
        return self._world_outputs(self._trunk(flat, trace))


class TwinPolicy(_Trunk):
    """PolicyMLP (networks.md 2.5)."""

    def __init__(
        self,
        cfg: EncodingConfig,
        *,
        context_len: int = 10,
        hidden_dim: int = 512,
        trunk_dim: int = 256,
    ):
        super().__init__(cfg, context_len)
        self._add_trunk(context_len * cfg.frame_dim, hidden_dim, trunk_dim)
        self.analog_head = nn.Linear(trunk_dim, POLICY_OUTPUTS["analog_pred"])
        self.button_head = nn.Linear(trunk_dim, POLICY_OUTPUTS["button_logits"])

    def forward(
        self,
        floats: Tensor,
        ints: Tensor,
        predict_player: int = 0,
        trace: Trace | None = None,
    ) -> dict[str, Tensor]:
        if predict_player == 1:
            p0, p1 = floats.chunk(2, -1)
            floats = torch.cat([p1, p0], -1)
            i0, i1, stage = ints.split([ints.shape[-1] // 2, ints.shape[-1] // 2, 1], -1)
            ints = torch.cat([i1, i0, stage], -1)
        x = self._trunk(self._flat(floats, ints, trace), trace)
        return {
            "analog_pred": torch.sigmoid(self.analog_head(x)),
            "button_logits": self.button_head(x),
        }


TWINS: dict[str, type[TwinMamba2] | type[TwinMLP] | type[TwinPolicy]] = {
    "mamba2": TwinMamba2,
    "mlp": TwinMLP,
    "policy": TwinPolicy,
}


def make_twin(arch: str, cfg: EncodingConfig, context_len: int, dims: Mapping[str, Any]) -> _Twin:
    """A twin with torch's own initial values, in float32 and evaluation mode."""
    return TWINS[arch](cfg, context_len=context_len, **dims).eval()


def twin_shapes(twin: nn.Module) -> dict[str, tuple[int, ...]]:
    """State-dict key -> shape, in file order."""
    return {key: tuple(value.shape) for key, value in twin.state_dict().items()}


def load_twin(twin: _Twin, weights: Mapping[str, np.ndarray], dtype: type = np.float32) -> _Twin:
    """Puts `weights` (all keys, float32) into the twin, widened to `dtype`."""
    twin = twin.to(torch.float64 if dtype == np.float64 else torch.float32)
    twin.load_state_dict({k: torch.from_numpy(np.array(v, dtype)) for k, v in weights.items()})
    return twin


def run_twin(twin: _Twin, *inputs: Any) -> dict[str, np.ndarray]:
    """The twin's outputs for NumPy inputs; floats are widened to its dtype, ints stay."""
    with torch.no_grad():
        return {k: v.numpy() for k, v in twin(*_tensors(twin, inputs)).items()}


def trace_twin(twin: _Twin, *inputs: Any) -> dict[str, np.ndarray]:
    """Every intermediate of a forward pass, by the names of golden/torch (blk64_*)."""
    trace: Trace = {}
    with torch.no_grad():
        twin(*_tensors(twin, inputs), trace=trace)
    return {k: v.numpy() for k, v in trace.items()}


def sequence_twin(
    twin: TwinMamba2, *inputs: Any
) -> tuple[dict[str, np.ndarray], np.ndarray, np.ndarray]:
    """`TwinMamba2.sequence` for NumPy inputs."""
    with torch.no_grad():
        outputs, ssm, conv = twin.sequence(*_tensors(twin, inputs))
    return {k: v.numpy() for k, v in outputs.items()}, ssm.numpy(), conv.numpy()


def _tensors(twin: nn.Module, inputs: tuple[Any, ...]) -> list[Any]:
    dtype = next(twin.parameters()).dtype
    tensors = []
    for value in inputs:
        if isinstance(value, np.ndarray):
            value = torch.from_numpy(np.ascontiguousarray(value))
            value = value.to(dtype) if value.is_floating_point() else value
        tensors.append(value)
    return tensors
