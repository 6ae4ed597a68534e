"""Parameter counts of all three networks for every combination of flags that changes a size."""

import functools

from support.golden import golden_dir, load_json
from support.twins_cases import abstract_network

from awm_jax.encoding import EncodingConfig
from awm_jax.fp32.weights import num_parameters

COUNTED = {
    "params_mamba2_384_64_4_64": (
        "mamba2",
        {"d_model": 384, "d_state": 64, "n_layers": 4, "headdim": 64},
    ),
    "params_mlp_512_256_k10": ("mlp", {"hidden_dim": 512, "trunk_dim": 256}),
    "params_policy_512_256_k10": ("policy", {"hidden_dim": 512, "trunk_dim": 256}),
}


@functools.cache
def _count(column: str, cfg: EncodingConfig) -> int:
    arch, dims = COUNTED[column]
    return num_parameters(abstract_network(arch, cfg, 10, dims))


def _relevant(column: str, cfg: EncodingConfig) -> EncodingConfig:
    """The policy takes no controllers: what only widens them cannot change it."""
    if "policy" not in column:
        return cfg
    return cfg.replace(press_events=False, lookahead=0, ctrl_threshold_features=False)


def test_counts_of_all_combinations():
    sizes = load_json(golden_dir("torch") / "encoding_dims.json")
    columns = sizes["columns"]
    flags = columns[: columns.index("core_continuous_dim")]
    assert set(COUNTED) == {name for name in columns if name.startswith("params_")}
    for row in sizes["rows"]:
        values = dict(zip(columns, row, strict=True))
        chosen = {n: values[n] if n == "lookahead" else bool(values[n]) for n in flags}
        cfg = EncodingConfig(**chosen)
        for column in COUNTED:
            got = _count(column, _relevant(column, cfg))
            assert got == values[column], (column, chosen)


def test_counts_of_other_vocabularies():
    other = load_json(golden_dir("torch") / "encoding_dims.json")["other_vocab"]
    cfg = EncodingConfig(**other["encoding"])
    assert [_count(column, cfg) for column in COUNTED] == other["params"]
