"""State t-1 and controllers t make state t: the proof, on real frames (README of the replays)."""

import numpy as np

from awm_jax import encoding

JUMP_SQUAT = 24
FREE = (14, 15, 18, 20, 21)  # wait, slow walk, turn, dash, run
LAST_RESPAWN_STATE = 13


def moving_games(sample, read):
    games = [read(row) for row in sample]
    return [game for game in games if "hitlag" not in game.missing]


def test_the_speeds_of_a_frame_are_those_that_moved_the_player(sample, read):
    same, before, alive_frames = 0, 0, 0
    for game in moving_games(sample, read):
        c = game.columns
        playing = (game.frame_ids[1:] >= 0)[:, None] & (c["action"][1:] > LAST_RESPAWN_STATE)
        playing &= c["action"][:-1] > LAST_RESPAWN_STATE

        def moved(c=c, rows=slice(None)):
            step = np.float32(c["x"][:-1] + c["speed_air_x"][rows])
            return np.float32(step + c["speed_attack_x"][rows])

        same += (moved(c, slice(1, None)) == c["x"][1:])[playing].sum()
        before += (moved(c, slice(None, -1)) == c["x"][1:])[playing].sum()
        alive_frames += playing.sum()
    assert alive_frames > 10_000
    assert same / alive_frames >= 0.85
    assert before / alive_frames <= 0.40


def test_a_jump_begins_in_the_frame_of_its_press(sample, read):
    squat = {-1: 0, 0: 0, 1: 0}
    presses = 0
    first = encoding.CONTROLLER.index("button_x")
    assert encoding.CONTROLLER[first + 1] == "button_y"
    for game in moving_games(sample, read):
        c = game.columns
        held = c["controller"][:, :, first : first + 2] > 0.5
        fresh = np.zeros(held.shape[:2], bool)
        fresh[1:] = (held[1:] & ~held[:-1]).any(axis=2)
        free = np.zeros_like(fresh)
        free[1:] = np.isin(c["action"][:-1], FREE) & c["on_ground"][:-1] & (c["hitlag"][:-1] == 0)
        frame, player = np.nonzero(fresh & free & (game.frame_ids >= 0)[:, None])
        keep = frame + 1 < len(game.frame_ids)
        frame, player = frame[keep], player[keep]
        presses += len(frame)
        for shift in squat:
            squat[shift] += int((c["action"][frame + shift, player] == JUMP_SQUAT).sum())
    assert presses > 100
    assert squat[-1] == 0
    assert squat[0] / presses >= 0.95
    assert squat[1] / presses >= 0.90
