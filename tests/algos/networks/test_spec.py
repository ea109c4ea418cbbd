"""The layer language: what it reads, and what it says about mistakes."""

import subprocess
import sys

import pytest

from algos.common.errors import UserError
from algos.networks.spec import Conv2dSpec, EmbedSpec, GRUSpec, IdentitySpec, LinearSpec, PoolingSpec, parse_layers

PATH = "algo_cfg.value_layers"


def test_reads_aliases_defaults_and_any_case():
    layers = [
        {"layer_type": "Linear", "layer_dim": [256, 128]},
        {"layer_type": "linear", "layer_size": 8, "activation": None},
        {"layer_type": "conv2d", "out_channel": 4, "kernel_size": [3, 5]},
        {"layer_type": "pooling", "pooling_type": "MAX", "kernel_size": 2, "stride": None},
        {"layer_type": "embed", "layer_size": 6},
        {"layer_type": "gru", "hidden_dim": 7},
        {"layer_type": None},
    ]
    where = [f"{PATH}[{index}]" for index in range(7)]
    assert parse_layers(layers, PATH) == [
        LinearSpec(where[0], layer_size=(256, 128), activation="relu"),
        LinearSpec(where[1], layer_size=(8,), activation="none"),
        Conv2dSpec(where[2], out_channel=4, kernel_size=(3, 5), stride=(1, 1), padding=(0, 0), activation="relu"),
        PoolingSpec(where[3], pooling_type="max2d", kernel_size=(2, 2), stride=None),
        EmbedSpec(where[4], embedding_dim=6, n_embeddings=None, activation="none"),
        GRUSpec(where[5], layer_size=7, n_layers=1),
        IdentitySpec(where[6]),
    ]


@pytest.mark.parametrize("empty", [None, "", []])
def test_nothing_is_the_empty_list(empty):
    assert parse_layers(empty, PATH) == []


ERRORS = [
    ("linear", f"{PATH}='linear': expected a list of layers"),
    ([64], f"{PATH}[0]=64: expected a mapping such as {{layer_type: linear"),
    ([{"layer_size": 64}], f"{PATH}[0].layer_type: missing; choose from linear, noisy_linear"),
    ([{"layer_type": "linaer"}], f"{PATH}[0].layer_type='linaer': choose from linear"),
    ([{"layer_type": "linaer"}], "(did you mean 'linear'?)"),
    ([{"layer_type": "linear"}], f"{PATH}[0].layer_size: missing; a linear layer needs it"),
    (
        [{"layer_type": "flatten"}, {"layer_type": "linear", "layer_size": 8, "activaton": "relu"}],
        f"{PATH}[1].activaton: unknown key (did you mean 'activation'?)",
    ),
    (
        [{"layer_type": "linear", "layer_size": 8, "activation": "rleu"}],
        f"{PATH}[0].activation='rleu': choose from relu, leaky_relu, tanh, sigmoid, elu, gelu, silu, softplus, "
        "softmax, none (did you mean 'relu'?)",
    ),
    (
        [{"layer_type": "linear", "layer_size": 8, "layer_dim": 8}],
        f"{PATH}[0].layer_dim: layer_size and layer_dim mean the same; give only one",
    ),
    ([{"layer_type": "linear", "layer_size": 0}], f"{PATH}[0].layer_size=0: expected a whole number of at least 1"),
    ([{"layer_type": "linear", "layer_size": []}], f"{PATH}[0].layer_size=[]: expected a whole number"),
    ([{"layer_type": "linear", "layer_size": [8, 1.5]}], f"{PATH}[0].layer_size=[8, 1.5]: expected a whole number"),
    ([{"layer_type": "linear", "layer_dim": "8"}], f"{PATH}[0].layer_dim='8': expected a whole number"),
    ([{"layer_type": "linear", "layer_size": True}], f"{PATH}[0].layer_size=True: expected a whole number"),
    ([{"layer_type": "noisy_linear", "layer_size": 8, "sigma_init": -1}], f"{PATH}[0].sigma_init=-1: expected"),
    (
        [{"layer_type": "conv2d", "out_channel": 4, "kernel_size": [3, 3, 3]}],
        f"{PATH}[0].kernel_size=[3, 3, 3]: expected a whole number of at least 1, or two of them [height, width]",
    ),
    ([{"layer_type": "conv2d", "out_channel": 4, "kernel_size": 3, "padding": -1}], f"{PATH}[0].padding=-1: expected"),
    ([{"layer_type": "pooling", "kernel_size": 2}], f"{PATH}[0].pooling_type: missing; a pooling layer needs it"),
    (
        [{"layer_type": "pooling", "pooling_type": "min", "kernel_size": 2}],
        f"{PATH}[0].pooling_type='min': choose from max2d, avg2d",
    ),
    (
        [{"layer_type": "pooling", "pooling_type": "max", "kernel_size": 2, "padding": 2}],
        f"{PATH}[0].padding: (2, 2) is more than half of kernel_size (2, 2)",
    ),
    ([{"layer_type": "dropout", "p": 1}], f"{PATH}[0].p=1: expected a number of at least 0 and below 1"),
    ([{"layer_type": "norm", "norm_type": "batch"}], f"{PATH}[0].norm_type='batch': choose from layer, rms, group"),
    ([{"layer_type": "norm", "norm_type": "group"}], f"{PATH}[0].n_groups: is required by norm_type group, and only"),
    (
        [{"layer_type": "norm", "norm_type": "rms", "n_groups": 2}],
        f"{PATH}[0].n_groups: is required by norm_type group",
    ),
    ([{"layer_type": "gru", "layer_size": [8]}], f"{PATH}[0].layer_size=[8]: expected a whole number of at least 1"),
    ([{"layer_type": "gru", "layer_size": 8, "n_layers": 0}], f"{PATH}[0].n_layers=0: expected a whole number"),
    (
        [{"layer_type": "gru", "layer_size": 8, "n_layers": 10**8}],
        f"{PATH}[0].n_layers=100000000: expected a whole number of at most 1000",
    ),
    (
        [{"layer_type": "fsmn", "num_blocks": 1001}],
        f"{PATH}[0].num_blocks=1001: expected a whole number of at most 1000",
    ),
]


@pytest.mark.parametrize(("layers", "text"), ERRORS)
def test_error_names_the_place_in_one_line(layers, text):
    with pytest.raises(UserError) as error:
        parse_layers(layers, PATH)
    assert text in str(error.value)
    assert "\n" not in str(error.value)


def test_needs_no_torch():
    code = "import sys, algos.networks.spec; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
