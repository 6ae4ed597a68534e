"""The comparison of `report` as a table and as a picture."""

from __future__ import annotations

import io
import os
from typing import Any

from awm_jax.errors import AwmError
from awm_jax.files import write_atomically


def table(found: dict[str, Any]) -> str:
    """Aligned text."""
    lines = [f"{found['frames']:,} teacher-forced frames, float against integer", ""]
    lines += [f"{'field':<16}{'mean error':>12}{'max error':>12}{'mean step':>12}  game units"]
    for name, value in found["fields"].items():
        figures = "".join(f"{value[key]:>12.5f}" for key in ("mean", "max", "step"))
        lines.append(f"{name:<16}{figures}")
    lines += ["", f"{'equal choices':<16}{'share':>12}"]
    shares = found["categorical"] | {"binaries": found["binaries"]}
    lines += [f"{name:<16}{100 * value:>11.3f}%" for name, value in shares.items()]
    lines += ["", f"{'tap':<20}{'SNR':>8}"]
    lines += [f"{name:<20}{value:>8.1f} dB" for name, value in found["snr_db"].items()]
    lines += ["", "free rollouts: mean distance in x / y, game units"]
    lines += [f"{'frames':<8}{'float-integer':>20}{'float-real':>20}{'integer-real':>20}"]
    for horizon, values in found["drift"].items():
        cells = (f"{v['x']:.3f} / {v['y']:.3f}" for v in values.values())
        lines.append(f"{horizon:<8}" + "".join(f"{cell:>20}" for cell in cells))
    return "\n".join(lines)


def save_picture(found: dict[str, Any], path: str | os.PathLike[str]) -> None:
    """The same as a PNG: error of each field against its step, SNR of each tap, drift.

    Raises:
      AwmError: matplotlib is not installed, or the place cannot be written.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ModuleNotFoundError as error:
        raise AwmError('a picture needs matplotlib: pip install "awm-jax[train]"') from error
    figure = Figure(figsize=(15, 5), layout="constrained")
    FigureCanvasAgg(figure)
    fields, taps, drift = figure.subplots(1, 3)
    names = list(found["fields"])
    places = range(len(names))
    for key, label in (("mean", "float - integer"), ("step", "the step itself")):
        sizes = [max(found["fields"][name][key], 1e-6) for name in names]
        fields.barh([p + 0.4 * (key == "step") for p in places], sizes, 0.4, label=label)
    fields.set_yticks(list(places), names)
    fields.set(xscale="log", xlabel="mean of one frame, game units")
    fields.legend()
    taps.barh(list(found["snr_db"]), list(found["snr_db"].values()))
    taps.invert_yaxis()
    taps.set(xlabel="signal to noise, dB")
    frames = [int(h) for h in found["drift"]]
    for name in ("float_integer", "float_real", "integer_real"):
        ways = [v[name]["x"] + v[name]["y"] for v in found["drift"].values()]
        drift.plot(frames, ways, marker="o", label=name.replace("_", " - "))
    drift.set(xlabel="frames rolled out", ylabel="mean |dx| + |dy|, game units")
    drift.legend()
    data = io.BytesIO()
    figure.savefig(data, format="png", dpi=100)
    write_atomically(path, data.getvalue())
