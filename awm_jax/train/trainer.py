"""The loop that all training shares: optimiser, average of the weights, checkpoints, metrics.

What is learned is a `Job`. A run is a folder: `config.json`, `checkpoint.npz` (everything that the
next step depends on), `metrics.jsonl`, `curves.png`, and what the job exports. It can be killed at
any moment; run again, it goes on from the checkpoint to the same end.
"""

from __future__ import annotations

import concurrent.futures
import dataclasses
import functools
import io
import json
import os
import time
import zipfile
from collections.abc import Callable, Hashable
from pathlib import Path
from typing import Any, Protocol

import jax
import jax.numpy as jnp
import numpy as np

from awm_jax.compiler import PLAIN_PRODUCTS
from awm_jax.errors import AwmError
from awm_jax.files import write_atomically
from awm_jax.pytree import pytree

CONFIG, CHECKPOINT, METRICS, CURVES = (
    "config.json",
    "checkpoint.npz",
    "metrics.jsonl",
    "curves.png",
)
Params = tuple[jax.Array, ...]
Metrics = dict[str, Any]


@dataclasses.dataclass(frozen=True)
class TrainConfig:
    """Attributes:
    steps: in all; the learning rate falls over them, from `rate` by a cosine to `rate * floor`.
    warmup: steps in which it rises.
    average: share of the old average of the weights that stays, a step.
    log_every, save_every, judge_every: steps; the latter two are multiples of the first.
    precision: of products on a GPU: "float32", "tensorfloat32" or "bfloat16". CPUs take float32.
    """

    steps: int = 40_000
    rate: float = 2e-3
    floor: float = 0.02
    warmup: int = 100
    clip: float = 1.0
    weight_decay: float = 1e-4
    average: float = 0.998
    log_every: int = 50
    save_every: int = 500
    judge_every: int = 4000
    precision: str = "float32"


class Job(Protocol):
    """What is learned."""

    @property
    def settings(self) -> dict[str, Any]:
        """Plain data that define the run: a folder with others is not continued."""
        ...

    def init(self) -> Params: ...

    def carry(self) -> Any:
        """What a step hands to the next, at the start: a pytree of arrays."""
        ...

    def place(self) -> dict[str, np.ndarray]:
        """Where in the data the run is, at the start."""
        ...

    def phase(self, step: int) -> Hashable:
        """What about the loss changes during a run; each value is compiled once."""
        ...

    def batch(self, step: int, place: dict[str, np.ndarray]) -> tuple[Any, dict[str, np.ndarray]]:
        """The data of a step, and the place after it. Depends on its arguments alone."""
        ...

    def loss(
        self, params: Params, carry: Any, batch: Any, phase: Any
    ) -> tuple[jax.Array, tuple[Any, dict[str, jax.Array]]]:
        """Loss, (carry, metrics)."""
        ...

    def judge(self, params: Params) -> Metrics:
        """What the averaged weights are worth."""
        ...

    def export(self, params: Params, folder: Path, note: Metrics) -> None:
        """Write the averaged weights for use elsewhere."""
        ...


def optimiser(config: TrainConfig) -> Any:
    try:
        import optax
    except ImportError:
        raise AwmError('training needs optax: pip install "awm-jax[train]"') from None
    rate = optax.warmup_cosine_decay_schedule(
        0.0,
        config.rate,
        min(config.warmup, max(1, config.steps // 2)),
        max(2, config.steps),
        config.rate * config.floor,
    )
    adam = optax.adamw(rate, b1=0.9, b2=0.98, weight_decay=config.weight_decay, mask=_matrices)
    return optax.chain(optax.clip_by_global_norm(config.clip), adam)


def _matrices(params: Params) -> tuple[bool, ...]:
    return tuple(p.ndim > 1 for p in params)


@pytree
class Run:
    """All that a step changes, save the place in the data."""

    params: Params
    average: Params
    opt: Any
    carry: Any
    step: jax.Array


def start(job: Job, config: TrainConfig) -> Run:
    params = job.init()
    copy = tuple(jnp.array(p, copy=True) for p in params)
    with jax.numpy_dtype_promotion("standard"):
        opt = optimiser(config).init(params)
    return Run(params, copy, opt, job.carry(), jnp.zeros((), jnp.int32))


@functools.lru_cache(maxsize=2)
def make_step(job: Job, config: TrainConfig) -> Callable[..., tuple[Run, dict[str, jax.Array]]]:
    """The jitted step: (run, batch, phase) -> (run, metrics). Kept, so that it compiles once."""
    tx = optimiser(config)

    @functools.partial(jax.jit, static_argnums=2, donate_argnums=0, compiler_options=PLAIN_PRODUCTS)
    def step(run: Run, batch: Any, phase: Any) -> tuple[Run, dict[str, jax.Array]]:
        with jax.default_matmul_precision(config.precision):
            grad = jax.value_and_grad(job.loss, has_aux=True)
            (loss, (carry, metrics)), grads = grad(run.params, run.carry, batch, phase)
        with jax.numpy_dtype_promotion("standard"):  # optax mixes dtypes
            updates, opt = tx.update(grads, run.opt, run.params)
        norm = jnp.sqrt(sum(jnp.sum(jnp.square(g)) for g in grads))
        params = tuple(p + u for p, u in zip(run.params, updates, strict=True))
        age = run.step.astype(jnp.float32)
        keep = jnp.minimum(config.average, (1 + age) / (10 + age))
        average = tuple(keep * a + (1 - keep) * p for a, p in zip(run.average, params, strict=True))
        metrics = metrics | {"loss": loss, "gradient": norm}
        return Run(params, average, opt, carry, run.step + 1), metrics

    return step


def train(
    job: Job,
    config: TrainConfig,
    folder: str | os.PathLike[str],
    *,
    stop_at: int | None = None,
    on_log: Callable[[Metrics], None] | None = None,
) -> Metrics:
    """Train, or go on with what is in `folder`.

    Args:
      stop_at: leave off after this step, as if killed: what followed the last checkpoint is lost.
      on_log: called with each line of the metrics.

    Returns:
      The last line of the metrics.

    Raises:
      AwmError: the folder holds another run, cannot be written, or the loss is no number any more.
    """
    if config.save_every % config.log_every or config.judge_every % config.log_every:
        raise AwmError("save_every and judge_every must be multiples of log_every")
    folder = Path(folder)
    claim(folder, {"train": dataclasses.asdict(config)} | job.settings)
    run, place, lines = start(job, config), job.place(), _lines(folder / METRICS)
    if (folder / CHECKPOINT).exists():
        run, place = _load(folder / CHECKPOINT, run)
    first = int(run.step)
    lines = [line for line in lines if line["step"] <= first]
    write_atomically(folder / METRICS, "".join(json.dumps(line) + "\n" for line in lines))
    step = make_step(job, config)
    last = min(config.steps, stop_at or config.steps)
    heap: list[dict[str, jax.Array]] = []
    began, since = time.monotonic(), first
    with (
        concurrent.futures.ThreadPoolExecutor(1) as reader,
        (folder / METRICS).open("a") as log,
    ):
        ahead = reader.submit(job.batch, first, place)
        for number in range(first, last):
            batch, place = ahead.result()
            if number + 1 < last:
                ahead = reader.submit(job.batch, number + 1, place)
            run, metrics = step(run, batch, job.phase(number))
            heap.append(metrics)
            done = number + 1
            if done % config.log_every and done != config.steps:
                continue
            line = _mean(heap) | {"step": done}
            heap = []
            if not np.isfinite(line["loss"]):
                raise AwmError(f"{folder}: the loss is no number at step {done}; lower the rate")
            line["steps_per_second"] = round((done - since) / (time.monotonic() - began), 3)
            if done % config.judge_every == 0 or done == config.steps:
                line |= job.judge(run.average)
                job.export(run.average, folder, {"step": done})
                draw_curves([*lines, line], folder / CURVES)
            began, since = time.monotonic(), done
            lines.append(line)
            log.write(json.dumps(line) + "\n")
            log.flush()
            if done % config.save_every == 0 or done == config.steps:
                _save(folder / CHECKPOINT, run, place)
            if on_log:
                on_log(line)
    return lines[-1] if lines else {}


def averaged(folder: str | os.PathLike[str], job: Job, config: TrainConfig) -> Params:
    """The averaged weights of a run's checkpoint."""
    return _load(Path(folder) / CHECKPOINT, start(job, config))[0].average


def _mean(heap: list[dict[str, jax.Array]]) -> Metrics:
    heap = jax.device_get(heap)
    names = dict.fromkeys(name for metrics in heap for name in metrics)
    values = {name: [metrics[name] for metrics in heap if name in metrics] for name in names}
    return {name: float(np.mean(v, dtype=np.float64)) for name, v in values.items()}


def claim(folder: Path, settings: dict[str, Any]) -> None:
    """Make `folder` that of a run with these settings, or see that it is.

    Raises:
      AwmError: it holds another run, or cannot be written.
    """
    path, text = folder / CONFIG, json.dumps(settings, indent=2, sort_keys=True) + "\n"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise AwmError(f"cannot write {folder}: {error.strerror}") from error
    if path.exists():
        if path.read_text() != text:
            raise AwmError(
                f"{folder}: holds a run with other settings ({CONFIG}); choose another folder"
            )
        return
    if any(folder.glob("checkpoint*")):
        raise AwmError(f"{folder}: has a checkpoint but no {CONFIG}; choose another folder")
    write_atomically(path, text)


def _lines(path: Path) -> list[Metrics]:
    """Metrics as far as they were written whole."""
    lines = []
    if path.exists():
        for text in path.read_text().splitlines():
            try:
                lines.append(json.loads(text))
            except ValueError:
                break
    return lines


def _save(path: Path, run: Run, place: dict[str, np.ndarray]) -> None:
    arrays = {f"leaf{i:04d}": np.asarray(v) for i, v in enumerate(jax.tree.leaves(run))}
    arrays |= {f"place_{name}": value for name, value in place.items()}
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **arrays)
    write_atomically(path, buffer.getvalue())


def _load(path: Path, like: Run) -> tuple[Run, dict[str, np.ndarray]]:
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
            arrays = dict(stored)
    except (OSError, ValueError, zipfile.BadZipFile):
        raise AwmError(f"{path}: is absent or damaged; delete it to begin anew") from None
    leaves, treedef = jax.tree.flatten(like)
    found = [arrays.get(f"leaf{i:04d}") for i in range(len(leaves))]
    for old, new in zip(leaves, found, strict=True):
        if new is None or old.shape != new.shape or old.dtype != new.dtype:
            raise AwmError(f"{path}: is of another network or version; choose another folder")
    run = jax.tree.unflatten(treedef, [jnp.asarray(leaf) for leaf in found])
    prefix = "place_"
    place = {n.removeprefix(prefix): v for n, v in arrays.items() if n.startswith(prefix)}
    return run, place


def draw_curves(lines: list[Metrics], path: Path) -> None:
    """Every metric over the steps, in small panels."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise AwmError('drawing needs matplotlib: pip install "awm-jax[train]"') from None
    names = [n for n in dict.fromkeys(n for line in lines for n in line) if n != "step"]
    names = [n for n in names if any(isinstance(line.get(n), (int, float)) for line in lines)]
    if not names:
        return
    rows = -(-len(names) // 4)
    figure = Figure(figsize=(14, 2.4 * rows), layout="constrained")
    for i, name in enumerate(names):
        axes = figure.add_subplot(rows, 4, i + 1)
        points = [(line["step"], line[name]) for line in lines if name in line]
        axes.plot(*zip(*points, strict=True), linewidth=1)
        axes.set_title(name, fontsize=9)
        axes.tick_params(labelsize=7)
        if min(v for _, v in points) > 0 and "accuracy" not in name:
            axes.set_yscale("log")
    write_atomically(path, lambda file: figure.savefig(file, format="png", dpi=90))
