"""Learning from real games: compact arrays, trainers, evaluation (the extra `train`).

`records` is how a frame is stored, `data` builds the arrays of many games and opens them,
`streams` draws windows from them. `losses`, `world`, `policy` and `practice` say what is learned,
`trainer` how. `rollout` plays windows with real controllers, `evaluate` judges what came out.
"""
