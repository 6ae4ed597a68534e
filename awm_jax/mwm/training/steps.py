"""What a trainer learns from, whatever it came from: steps in a row, and what they should feel.

Affect's targets, where the source gives none, are defined here (W2):

- value: v[t] = r[t-1] + 0.9 v[t+1], what has just been got and will be, so that the value of an
  imagined next moment holds what the action itself brings;
- threat: the greatest coming threat level, each step counting 0.9 of the one before;
- curiosity: how much the scaled features change in the next step, 5 times their mean, at most 1;
- surprise: the network's own error, put in by the loss.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from awm_jax.errors import AwmError
from awm_jax.mwm.features import GWM, scale_gwm
from awm_jax.mwm.training.logs import TrainingDataset, arrays

DISCOUNT = 0.9
LEAST = 10


@dataclasses.dataclass(frozen=True)
class Steps:
    """N steps, one after the other; `link[t]` says whether t + 1 follows t.

    Attributes:
      gwm: (N, 16) unscaled. own: (N, 8). action: (N, 16), taken in step t. affect: (N, 4).
      iwm: (N, V), or None for zeros.
      link: (N,) bool.
    """

    gwm: np.ndarray
    own: np.ndarray
    action: np.ndarray
    affect: np.ndarray
    link: np.ndarray
    iwm: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.gwm)


def returns(reward: np.ndarray, link: np.ndarray, discount: float = DISCOUNT) -> np.ndarray:
    """v[t] = r[t-1] + discount v[t+1] within each run: (N,) float32."""
    value, ahead = np.zeros(len(reward), np.float64), 0.0
    for t in reversed(range(len(reward))):
        before = reward[t - 1] if t and link[t - 1] else 0.0
        ahead = before + (discount * ahead if link[t] else 0.0)
        value[t] = ahead
    return value.astype(np.float32)


def coming(level: np.ndarray, link: np.ndarray, discount: float = DISCOUNT) -> np.ndarray:
    """The greatest of level[t], discount level[t+1], ... within each run: (N,) float32."""
    found = np.array(level, np.float32)
    for t in reversed(range(len(found) - 1)):
        if link[t]:
            found[t] = max(found[t], discount * found[t + 1])
    return found


def affect_targets(
    gwm: np.ndarray, reward: np.ndarray, link: np.ndarray, discount: float = DISCOUNT
) -> np.ndarray:
    """(N, 4) float32: threat, curiosity, value, and 0 where surprise will be put in.

    Args:
      discount: of the value.
    """
    scaled = scale_gwm(gwm)
    change = np.zeros(len(gwm), np.float32)
    change[:-1] = np.abs(np.diff(scaled, axis=0)).mean(axis=1) * link[:-1] * 5
    threat = coming(scaled[:, GWM["threat_level"]].clip(0, 1), link)
    columns = [threat, change.clip(0, 1), returns(reward, link, discount), np.zeros(len(gwm))]
    return np.stack(columns, axis=1).astype(np.float32)


def steps_of_log(dataset: TrainingDataset, iwm_dim: int) -> Steps:
    """The steps of a log: entries whose cycles follow one another are linked, and one with a
    `next_` observation is followed by that.

    Raises:
      AwmError: there are fewer than 10 entries (W27).
    """
    if len(dataset) < LEAST:
        raise AwmError(f"{len(dataset)} usable entries are too few; {LEAST} are needed")
    rows, rewards, link = [], [], []
    entries = dataset.entries
    for i, entry in enumerate(entries):
        rows.append(arrays(entry, iwm_dim))
        rewards.append(entry.reward_proxy)
        follows = i + 1 < len(entries) and entries[i + 1].cycle_number == entry.cycle_number + 1
        link.append(follows or entry.next_gwm_features is not None)
        if entry.next_gwm_features is not None and not follows:
            rows.append(arrays(entry, iwm_dim, after=True))
            rewards.append(0.0)
            link.append(False)
    linked = np.array(link)
    gwm = np.stack([row.gwm for row in rows])
    iwm = None
    if any(row.iwm is not None for row in rows):
        nothing = np.zeros(iwm_dim, np.float32)
        iwm = np.stack([nothing if row.iwm is None else row.iwm for row in rows])
    return Steps(
        gwm=gwm,
        own=np.stack([row.own for row in rows]),
        action=np.stack([row.action for row in rows]),
        affect=affect_targets(gwm, np.array(rewards), linked),
        link=linked,
        iwm=iwm,
    )


def part(steps: Steps, where: slice) -> Steps:
    """Some of them in a row, the last of which is followed by none."""
    iwm = None if steps.iwm is None else steps.iwm[where]
    link = steps.link[where].copy()
    link[-1] = False
    rest = (steps.gwm[where], steps.own[where], steps.action[where], steps.affect[where])
    return Steps(*rest, link, iwm)


def split(steps: Steps, share: float = 0.2) -> tuple[Steps, Steps]:
    """The first part for learning, the last for judging: no window is in both."""
    cut = int(len(steps) * (1 - share))
    return part(steps, slice(0, cut)), part(steps, slice(cut, None))
