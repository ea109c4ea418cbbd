"""Observations of every supported space, and the message for the others."""

import numpy as np
import pytest
import torch
from gymnasium import spaces

from algos.common.errors import UserError
from algos.networks.builder import build_encoder, build_network
from algos.networks.encoder import prepare
from algos.networks.spec import parse_layers


def prepared(space, layers=()):
    return prepare(space, parse_layers(list(layers), "algo_cfg.value_layers"), "the observation")


def image(*shape):
    return spaces.Box(0, 255, shape, np.uint8)


CONV = {"layer_type": "conv2d", "out_channel": 4, "kernel_size": 3}


def test_a_float_vector_passes_as_it_is():
    entry = prepared(spaces.Box(-1, 1, (3,), np.float32))
    assert entry.module is None and entry.shape == (3,)


def test_doubles_become_floats():
    net = build_network(spaces.Box(-1, 1, (3,), np.float64), [], out_features=2)
    assert net(torch.zeros(4, 3, dtype=torch.float64)).dtype == torch.float32


@pytest.mark.parametrize("shape", [(), (2, 3), (2, 3, 4), (2, 1, 2, 3)])
def test_other_boxes_are_flattened(shape):
    net = build_encoder(spaces.Box(-1, 1, shape, np.float32))
    x = torch.randn(5, *shape)
    assert torch.equal(net(x), x.reshape(5, -1))
    assert net.out_features == x[0].numel()


def test_one_hot_respects_start():
    net = build_encoder(spaces.Discrete(4, start=-1))
    assert net(torch.tensor([-1, 2])).tolist() == [[1, 0, 0, 0], [0, 0, 0, 1]]


def test_multi_discrete_joins_one_hots():
    net = build_encoder(spaces.MultiDiscrete([2, 3], start=[0, 10]))
    assert net(torch.tensor([[0, 12], [1, 10]])).tolist() == [[1, 0, 0, 0, 1], [0, 1, 1, 0, 0]]
    assert net.state_dict() == {}


@pytest.mark.parametrize("n", [3, [2, 2]])
def test_multi_binary_becomes_floats(n):
    space = spaces.MultiBinary(n)
    x = torch.as_tensor(np.stack([space.sample() for _ in range(4)]))
    y = build_encoder(space)(x)
    assert y.dtype == torch.float32 and torch.equal(y, x.reshape(4, -1).float())


def test_embedding_of_discrete():
    space = spaces.Discrete(4, start=5)
    net = build_network(space, [{"layer_type": "embed", "layer_size": 3}])
    assert net.body[0].num_embeddings == 4
    assert torch.equal(net(torch.tensor([5, 8], dtype=torch.int32)), net.body[0].weight[[0, 3]])


def test_embedding_of_multi_discrete():
    net = build_network(spaces.MultiDiscrete([2, 5]), [{"layer_type": "embed", "layer_size": 3}])
    assert net.out_features == 6
    assert torch.equal(net(torch.tensor([[1, 4]])), net.body[0].weight[[1, 4]].reshape(1, 6))


@pytest.mark.parametrize(
    ("space", "layers", "text"),
    [
        (
            spaces.Discrete(9),
            [{"layer_type": "embed", "layer_size": 3, "n_embeddings": 8}],
            r"algo_cfg.value_layers\[0\].n_embeddings: is 8, but the observation has 9 values",
        ),
        (
            spaces.Box(-1, 1, (3,)),
            [{"layer_type": "embed", "layer_size": 3}],
            r"algo_cfg.value_layers\[0\]: embed takes a Discrete or MultiDiscrete observation, not Box",
        ),
        (
            spaces.Discrete(9),
            [{"layer_type": "linear", "layer_size": 3}, {"layer_type": "embed", "layer_size": 3}],
            r"algo_cfg.value_layers\[1\]: embed must be the first layer over an observation",
        ),
        (spaces.Text(4), [], "the observation is a Text space, which no layer accepts; supported: Box, Discrete"),
        (spaces.Tuple([spaces.Discrete(2)]), [], r"the observation is a Tuple space.*wrappers=\[FlattenObservation\]"),
        (spaces.Sequence(spaces.Discrete(2)), [], r"the observation is a Sequence space.* a Dict of these$"),
        (spaces.Graph(spaces.Discrete(2), None), [], "the observation is a Graph space"),
        (spaces.Dict(a=spaces.Text(4)), [], "observation 'a' is a Text space"),
        (spaces.Dict(a=spaces.Dict(b=spaces.Discrete(2))), [], "observation 'a' is a Dict space"),
        (spaces.MultiDiscrete([[2, 2]]), [], r"must be one-dimensional, not of shape \(1, 2\)"),
    ],
)
def test_spaces_that_do_not_fit(space, layers, text):
    with pytest.raises(UserError, match=text) as error:
        build_network(space, layers)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((84, 84, 3), (3, 84, 84)),
        ((4, 84, 84), (4, 84, 84)),
        ((210, 160, 3), (3, 210, 160)),
        ((3, 210, 160), (3, 210, 160)),
        ((17, 8, 8), (17, 8, 8)),
        ((8, 8, 17), (17, 8, 8)),
        ((84, 60), (1, 84, 60)),
    ],
)
def test_channels_are_found(shape, expected):
    entry = prepared(image(*shape))
    assert entry.shape == expected
    x = torch.randint(0, 256, (2, *shape), dtype=torch.uint8)
    y = entry.module(x)
    assert y.shape == (2, *expected) and y.dtype == torch.float32
    if len(shape) == 2:
        channels_first = x.numpy()[:, None]
    else:
        channels_first = x.numpy() if expected == shape else np.moveaxis(x.numpy(), 3, 1)
    np.testing.assert_allclose(y.numpy(), channels_first / 255, rtol=1e-6)


def test_in_channel_settles_which_side_holds_the_channels():
    assert prepared(image(6, 4, 5), [CONV | {"in_channel": 6, "kernel_size": 2}]).shape == (6, 4, 5)
    assert prepared(image(6, 4, 5), [CONV | {"kernel_size": 2}]).shape == (5, 6, 4)


def test_floats_under_a_convolution_are_an_image_that_is_not_scaled():
    entry = prepared(spaces.Box(-1, 1, (6, 6, 2), np.float32), [CONV])
    x = torch.randn(3, 6, 6, 2)
    assert entry.shape == (2, 6, 6) and torch.equal(entry.module(x), x.permute(0, 3, 1, 2))


def test_pixels_already_float_are_not_changed_in_place():
    x = torch.full((1, 40, 40), 255.0)
    assert prepared(image(40, 40)).module(x).max() == 1 and x.max() == 255


@pytest.mark.parametrize(("shape", "features"), [((84, 84, 3), 64 * 7 * 7), ((36, 36, 1), 64)])
def test_default_cnn(shape, features):
    net = build_encoder(image(*shape))
    convs = [m for m in net.modules() if isinstance(m, torch.nn.Conv2d)]
    assert [(c.out_channels, c.kernel_size[0], c.stride[0]) for c in convs] == [(32, 8, 4), (64, 4, 2), (64, 3, 1)]
    assert net.out_features == features
    assert net(torch.zeros(2, *shape, dtype=torch.uint8)).shape == (2, features)


@pytest.mark.parametrize("shape", [(35, 35, 3), (8, 8, 3), (2, 2, 1), (1, 1), (3, 10, 10)])
def test_default_cnn_fits_small_images(shape):
    net = build_network(image(*shape), [{"layer_type": "linear", "layer_size": 5}])
    assert net(torch.zeros(2, *shape, dtype=torch.uint8)).shape == (2, 5)


def test_own_convolutions_and_flatten_replace_the_default():
    own = build_network(image(10, 10, 3), [CONV, {"layer_type": "linear", "layer_size": 5}])
    assert sum(isinstance(m, torch.nn.Conv2d) for m in own.modules()) == 1
    flat = build_network(image(10, 10, 3), [{"layer_type": "flatten"}])
    assert flat.out_features == 300
    assert not any(isinstance(m, torch.nn.Conv2d) for m in flat.modules())


def test_a_byte_vector_is_no_image():
    assert build_encoder(image(128)).out_features == 128


@pytest.mark.parametrize(
    ("space", "channels", "scale"),
    [
        (image(4, 40, 48, 3), 12, 255),
        (image(4, 3, 40, 48), 12, 255),
        (image(4, 40, 48, 1), 4, 255),
        (spaces.Box(0, 1, (40, 48, 3), np.float32), 3, 1),
        (spaces.Box(0, 255, (40, 48, 3), np.float32), 3, 255),
        (spaces.Box(0, 1, (2, 40, 48, 3), np.float32), 6, 1),
        (spaces.Box(0, 65535, (40, 48), np.uint16), 1, 65535),
        (spaces.Box(0, 1, (10, 10, 4), bool), 4, 1),
    ],
)
def test_images_of_other_types_and_stacked_frames(space, channels, scale):
    entry = prepared(space, [{"layer_type": "linear", "layer_size": 5}])
    x = torch.from_numpy(np.stack([space.sample() for _ in range(2)]))
    y = entry.module(x)
    assert entry.shape[0] == channels and y.shape[1:] == entry.shape and y.dtype == torch.float32
    assert y.sum().item() == pytest.approx(x.double().sum().item() / scale, rel=1e-4)
    assert prepared(space, [{"layer_type": "flatten"}]).shape == (x[0].numel(),)


def test_stacked_frames_become_channels_one_frame_after_the_other():
    x = torch.randint(256, (1, 2, 40, 41, 3), dtype=torch.uint8)
    y = prepared(image(2, 40, 41, 3)).module(x)
    assert torch.equal(y[0, 4], x[0, 1, :, :, 1] / 255)


def test_planes_of_bits_go_into_a_convolution_that_is_asked_for():
    assert prepared(spaces.MultiBinary((10, 10, 4)), [CONV]).shape == (4, 10, 10)
    assert prepared(spaces.MultiBinary((10, 10, 4))).shape == (400,)


@pytest.mark.parametrize(
    ("space", "part"),
    [
        (image(128), "128 bytes"),
        (spaces.Box(-1, 1, (40, 40), np.float32), "1600 numbers; a conv2d layer first"),
        (spaces.Box(-1, 1, (3,), np.float32), None),
        (spaces.Box(0, 10, (7, 7, 3), np.int64), None),
    ],
)
def test_what_may_be_meant_otherwise_is_remarked(space, part):
    module = prepared(space, [{"layer_type": "linear", "layer_size": 5}]).module
    warning = getattr(module, "warning", "")
    assert part in warning if part else not warning
    assert not getattr(prepared(space, [{"layer_type": "flatten"}]).module, "warning", "")
