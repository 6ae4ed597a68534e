"""Changes to the reference's world model that pay on real games: flags of one architecture.

A founders' checkpoint has none of them. Where a count of frames since the action began pays, the
data puts it into `state_age`, which the match already keeps by that rule: no flag is needed here.
"""

from __future__ import annotations

import dataclasses
import functools

import numpy as np

from awm_jax.encoding import EncodingConfig
from awm_jax.errors import AwmError
from awm_jax.game import rules
from awm_jax.game.stages import stage

HEIGHT_REACH, EDGE_REACH, RIVAL_REACH = 4.0, 8.0, 32.0
LEVELS = 3
GEOMETRY_PER_PLAYER = 2 * LEVELS + 3


@dataclasses.dataclass(frozen=True)
class Variant:
    """Attributes:
    control_first: the controller columns of a frame hold the controllers of the NEXT frame, so that
      the trunk sees them together with the state (they enter after it as well).
    geometry: each frame vector ends with both players' `geometry` features.
    head_hidden: width of a linear layer with ReLU before the heads; 0 for none.
    game_rules: the score, the counters, what only a hit begins and how long actions last follow
      `awm_jax.game.rules`: `dynamics_pred` says how the counters change, and in place of stocks
      the log-odds of new damage, without which percent stays. Needs state_age as embedding.
    """

    control_first: bool = False
    geometry: bool = False
    head_hidden: int = 0
    game_rules: bool = False

    def check(self, cfg: EncodingConfig) -> None:
        """Raises:
        AwmError: the encoding lacks what the variant needs.
        """
        longest = max(rules.DEATHS.values())
        if self.game_rules and not (cfg.state_age_as_embed and cfg.state_age_embed_vocab > longest):
            raise AwmError(
                "game_rules needs state_age_as_embed with a state_age_embed_vocab above "
                f"{longest}: stocks are counted by it"
            )

    @property
    def extra_columns(self) -> int:
        """Columns that follow the frame vector of the encoding."""
        return 2 * GEOMETRY_PER_PLAYER * self.geometry


@functools.cache
def stage_levels(cfg: EncodingConfig) -> np.ndarray:
    """(stage_vocab, 4) game units: ground, side and top platform heights, and the ground's edge.

    A stage without a platform repeats its ground.
    """
    rows = []
    for number in range(cfg.stage_vocab):
        s = stage(number)
        heights = sorted({s.ground_y, *(y for _, y in s.platforms)})
        heights = (heights + [s.ground_y] * LEVELS)[:LEVELS]
        rows.append([*heights, s.ground_x_range[1]])
    levels = np.array(rows, np.float64)
    levels.flags.writeable = False
    return levels
