"""The image models beside torchvision's: names, outputs, training steps, weights from files, fusion."""

import copy
import inspect
from functools import partial

import numpy as np
import pytest

import dlcore
from dlcore import models, nn
from dlcore.models import inception as ours_inception
from dlcore.models import resnet as ours_resnet
from dlcore.models import vgg as ours_vgg
from dlcore.models import vit as ours_vit
from dlcore.nn import init
from tests import model_oracle

NAMES = [
    "alexnet",
    "googlenet",
    *[f"vgg{n}{bn}" for n in (11, 13, 16, 19) for bn in ("", "_bn")],
    *[f"resnet{n}" for n in (18, 34, 50, 101, 152)],
    "resnext50_32x4d",
    "resnext101_32x8d",
    "resnext101_64x4d",
    "wide_resnet50_2",
    "wide_resnet101_2",
    "vit_b_16",
    "vit_b_32",
    "vit_l_16",
    "vit_l_32",
    "vit_h_14",
]


@pytest.fixture(scope="module")
def tv():
    return model_oracle.torchvision().models


@pytest.fixture(scope="module")
def torch():
    return pytest.importorskip("torch", reason="torch is the oracle here")


def images(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


def theirs_into(ours, theirs):
    ours.load_state_dict({k: v.numpy() for k, v in theirs.state_dict().items()})
    return ours


def randomise(theirs, torch, seed=0):
    """Values that no zero or one hides: statistics, scales, shifts, the head of a transformer."""
    rng = np.random.default_rng(seed)
    for name, t in theirs.state_dict().items():
        if name.endswith("running_var"):
            t.copy_(torch.tensor(rng.uniform(0.5, 2.0, t.shape)))
        elif name.endswith("num_batches_tracked"):
            t.zero_()
        elif t.ndim > 1 and "norm" not in name:
            fan = np.prod(t.shape[1:]) if t.shape[0] > 1 else 1
            t.copy_(torch.tensor(rng.standard_normal(t.shape) * np.sqrt(1.5 / fan)))
        else:
            centre = 1.0 if t.ndim == 1 and name.endswith("weight") else 0.0
            t.copy_(torch.tensor(centre + 0.1 * rng.standard_normal(t.shape)))


def no_dropout(model):
    for m in model.modules():
        if type(m).__name__ == "Dropout":
            m.p = 0.0
    return model


def step(model, x, labels, library):
    """One training step at learning rate 0.01; the loss counts GoogLeNet's auxiliary heads."""
    F = library.nn.functional
    optimizer = library.optim.SGD(model.parameters(), lr=0.01)
    out = model(x)
    parts = [out] if not isinstance(out, tuple) else list(out)
    loss = F.cross_entropy(parts[0], labels)
    for auxiliary in parts[1:]:
        loss = loss + 0.3 * F.cross_entropy(auxiliary, labels)
    loss.backward()
    grads = {n: p.grad for n, p in model.named_parameters()}
    optimizer.step()
    return parts, loss, grads


def compare(ours, theirs, torch, side, batch=2, classes=5, tolerance=1e-9):
    """Both modes in float64, gradients, and the state after a step, both ways of state dicts."""
    randomise(theirs, torch)
    ours, theirs = no_dropout(ours.double()), no_dropout(theirs.double())
    assert list(ours.state_dict()) == list(theirs.state_dict())
    assert [n for n, _ in ours.named_parameters()] == [n for n, _ in theirs.named_parameters()]
    theirs_into(ours, theirs)
    x = images(batch, 3, side, side)
    a, b = dlcore.tensor(x), torch.tensor(x)
    with dlcore.no_grad(), torch.no_grad():
        model_oracle.close(ours.eval()(a), theirs.eval()(b), tolerance)
    labels = np.arange(batch) % classes
    got = step(ours.train(), a, dlcore.tensor(labels), dlcore)
    want = step(theirs.train(), b, torch.tensor(labels), torch)
    assert len(got[0]) == len(want[0])
    for g, w in zip([*got[0], got[1]], [*want[0], want[1]]):
        model_oracle.close(g, w, tolerance)
    for name, w in want[2].items():
        model_oracle.close(got[2][name], w, 10 * tolerance)
    state = ours.state_dict()
    for name, w in theirs.state_dict().items():
        model_oracle.close(state[name], w, 10 * tolerance)
    theirs.load_state_dict({k: torch.tensor(v.numpy()) for k, v in state.items()})


@pytest.mark.parametrize("name", NAMES)
def test_names_and_shapes_are_torchvisions(tv, torch, name):
    with torch.device("meta"):
        theirs = getattr(tv, name)(
            **({"init_weights": False} if "vgg" in name or name == "googlenet" else {})
        )
    with init.skipped():
        ours = getattr(models, name)()
    got = {k: v.shape for k, v in ours.state_dict().items()}
    assert got == {k: tuple(v.shape) for k, v in theirs.state_dict().items()}
    assert list(got) == list(theirs.state_dict())
    assert [n for n, _ in ours.named_parameters()] == [n for n, _ in theirs.named_parameters()]
    modules = {n: type(m).__name__ for n, m in ours.named_modules()}
    theirs_modules = {n: type(m).__name__ for n, m in theirs.named_modules()}
    assert modules == theirs_modules or name.startswith("vit")


@pytest.mark.parametrize("name", ["AlexNet", "GoogLeNet", "VGG", "ResNet", "VisionTransformer"])
def test_constructors_take_torchvisions_arguments(tv, name):
    ours, theirs = (inspect.signature(getattr(m, name)).parameters for m in (models, tv))
    assert list(ours) == list(theirs)
    defaults = [(p.name, p.default) for p in theirs.values() if p.name != "norm_layer"]
    assert [(p.name, p.default) for p in ours.values() if p.name != "norm_layer"] == defaults


def test_alexnet(tv, torch):
    with init.skipped(), torch.device("meta"):
        pair = models.alexnet(), tv.alexnet()
    for m, linear in zip(pair, (nn.Linear, torch.nn.Linear)):
        m.classifier[1], m.classifier[4] = linear(9216, 24), linear(24, 24)
        m.classifier[6] = linear(24, 5)
    compare(pair[0], pair[1].to_empty(device="cpu"), torch, 80)


def test_alexnet_2012_is_the_papers():
    with init.skipped():
        model = models.AlexNet2012()
    assert sum(p.numel() for p in model.parameters()) == 60_965_224
    norm = model.features.norm1
    assert (norm.size, norm.alpha, norm.beta, norm.k) == (5, 1e-4, 0.75, 2.0)
    small = models.alexnet_2012(num_classes=3)
    assert small.features.conv2.bias.tolist() == [1.0] * 256
    assert small.features.conv1.bias.tolist() == [0.0] * 96
    assert abs(float(small.classifier.fc7.weight.detach().numpy().std()) - 0.01) < 1e-4
    with pytest.raises(ValueError, match="must be \\(N, 3, 224, 224\\)"):
        small(dlcore.zeros(1, 3, 64, 64))


def test_alexnet_2012_beside_torch(torch):
    ours = no_dropout(models.alexnet_2012(num_classes=5))
    th = torch.nn
    features = th.Sequential(
        *(
            th.Conv2d(3, 96, 11, 4, 2),
            th.ReLU(),
            th.LocalResponseNorm(5, 1e-4, 0.75, 2.0),
            th.MaxPool2d(3, 2),
        ),
        *(th.Conv2d(96, 256, 5, 1, 2, groups=2), th.ReLU(), th.LocalResponseNorm(5, 1e-4, 0.75, 2.0)),
        *(th.MaxPool2d(3, 2), th.Conv2d(256, 384, 3, 1, 1), th.ReLU()),
        *(th.Conv2d(384, 384, 3, 1, 1, groups=2), th.ReLU()),
        *(th.Conv2d(384, 256, 3, 1, 1, groups=2), th.ReLU(), th.MaxPool2d(3, 2)),
    )
    head = th.Sequential(
        *(
            th.Flatten(),
            th.Linear(9216, 4096),
            th.ReLU(),
            th.Linear(4096, 4096),
            th.ReLU(),
            th.Linear(4096, 5),
        )
    )
    theirs = th.Sequential(features, head)
    values = list(ours.state_dict().values())
    with torch.no_grad():
        for p, v in zip(theirs.parameters(), values, strict=True):
            p.copy_(torch.tensor(v.numpy()))
    x = images(1, 3, 224, 224).astype(np.float32)
    model_oracle.close(ours(dlcore.tensor(x)), theirs(torch.tensor(x)))


@pytest.mark.parametrize("batch_norm", [False, True])
def test_vgg(tv, torch, batch_norm):
    channels = [8, "M", 16, 12, "M", 512, "M"]
    with init.skipped(), torch.device("meta"):
        ours = models.VGG(ours_vgg._features(channels, batch_norm))
        theirs = tv.VGG(tv.vgg.make_layers(channels, batch_norm))
    for m, linear in ((ours, nn.Linear), (theirs, torch.nn.Linear)):
        m.classifier[0], m.classifier[3] = linear(512 * 49, 24), linear(24, 24)
        m.classifier[6] = linear(24, 5)
    compare(ours, theirs.to_empty(device="cpu"), torch, 16)


RESNETS = [
    ("BasicBlock", {}),
    ("BasicBlock", {"zero_init_residual": True}),
    ("BasicBlock", {"norm_layer": "group"}),
    ("Bottleneck", {}),
    ("Bottleneck", {"groups": 4, "width_per_group": 8, "zero_init_residual": True}),
    ("Bottleneck", {"width_per_group": 20, "replace_stride_with_dilation": [False, True, True]}),
    ("Bottleneck", {"norm_layer": "group", "replace_stride_with_dilation": [True, False, True]}),
]


def resnet_pair(tv, torch, block, layers, kw):
    group = kw.get("norm_layer") == "group"
    a = {**kw, "norm_layer": partial(nn.GroupNorm, 4)} if group else kw
    b = {**kw, "norm_layer": partial(torch.nn.GroupNorm, 4)} if group else kw
    ours = models.ResNet(getattr(ours_resnet, block), layers, num_classes=5, **a)
    return ours, tv.ResNet(getattr(tv.resnet, block), layers, num_classes=5, **b)


@pytest.mark.parametrize("block, kw", RESNETS)
def test_resnet(tv, torch, block, kw):
    ours, theirs = resnet_pair(tv, torch, block, [1, 1, 2, 1] if "groups" in kw else [1, 1, 1, 1], kw)
    zeroed = {n for n, p in theirs.named_parameters() if not p.detach().numpy().any()}
    assert {n for n, p in ours.named_parameters() if not p.detach().numpy().any()} == zeroed
    compare(ours, theirs, torch, 40, batch=3)


@pytest.mark.parametrize(
    "block, kw, error",
    [
        ("BasicBlock", {"groups": 2}, ValueError),
        ("BasicBlock", {"width_per_group": 128}, ValueError),
        ("BasicBlock", {"replace_stride_with_dilation": [True, False, False]}, NotImplementedError),
        ("Bottleneck", {"replace_stride_with_dilation": [True, False]}, ValueError),
    ],
)
def test_resnet_raises_where_torchvision_does(tv, torch, block, kw, error):
    kw = {"layers": [2, 2, 2, 2], **kw}
    with pytest.raises(error):
        tv.ResNet(getattr(tv.resnet, block), **kw)
    with pytest.raises(error):
        models.ResNet(getattr(ours_resnet, block), **kw)


def test_resnet18_at_full_size(tv, torch):
    theirs = tv.resnet18().eval()
    randomise(theirs, torch)
    ours = theirs_into(models.resnet18(), theirs).eval()
    x = images(1, 3, 224, 224).astype(np.float32)
    with dlcore.no_grad(), torch.no_grad():
        want = theirs(torch.tensor(x))
        model_oracle.close(ours(dlcore.tensor(x)), want, 5e-5)
        model_oracle.close(ours.fuse()(dlcore.tensor(x)), want, 5e-5)


def test_googlenet(tv, torch):
    kw = {"num_classes": 5, "init_weights": False, "transform_input": True}
    ours, theirs = models.googlenet(**kw), tv.googlenet(**kw)
    compare(ours, theirs, torch, 64)
    x = dlcore.tensor(images(2, 3, 32, 32))
    out = ours.train()(x)
    assert type(out) is models.GoogLeNetOutputs and out._fields == ("logits", "aux_logits2", "aux_logits1")
    without = models.GoogLeNet(num_classes=5, aux_logits=False)
    assert without.aux1 is None and without(x.float()).shape == (2, 5)


def test_googlenet_takes_other_blocks(tv, torch):
    ours = models.GoogLeNet(blocks=[ours_inception.BasicConv2d, ours_inception.Inception, Auxiliary])
    assert type(ours.aux1) is Auxiliary
    with pytest.raises(ValueError, match="three"):
        models.GoogLeNet(blocks=[nn.Conv2d])
    weight = models.GoogLeNet(num_classes=5, aux_logits=False).inception4e.branch2[1].conv.weight.detach()
    assert abs(float(weight.numpy().std()) - 0.01) < 2e-4


class Auxiliary(nn.Module):
    def __init__(self, in_channels, num_classes, dropout):
        super().__init__()


VITS = [
    {"image_size": 12, "patch_size": 4, "num_layers": 2, "num_heads": 2, "hidden_dim": 16, "mlp_dim": 24},
    {"image_size": 9, "patch_size": 3, "num_layers": 1, "num_heads": 3, "hidden_dim": 15, "mlp_dim": 7,
     "representation_size": 11},
    {"image_size": 16, "patch_size": 8, "num_layers": 1, "num_heads": 1, "hidden_dim": 8, "mlp_dim": 8,
     "stem": [(6, 3, 2), (10, 3, 4)]},
]  # fmt: skip


@pytest.mark.parametrize("kw", VITS)
def test_vision_transformer(tv, torch, kw):
    stem = kw.get("stem")
    kw = {k: v for k, v in kw.items() if k != "stem"}
    configs = [
        {} if stem is None else {"conv_stem_configs": [m.ConvStemConfig(*s) for s in stem]}
        for m in (ours_vit, tv.vision_transformer)
    ]
    ours = models.VisionTransformer(num_classes=5, **kw, **configs[0])
    theirs = tv.VisionTransformer(num_classes=5, **kw, **configs[1])
    compare(ours, theirs, torch, kw["image_size"], batch=3)
    with pytest.raises(ValueError, match="must be"):
        ours(dlcore.zeros(1, 3, 7, 7, dtype="float64"))
    with pytest.raises(ValueError, match="must divide"):
        models.VisionTransformer(10, 4, 1, 1, 8, 8)


@pytest.mark.parametrize("side, reset", [(20, False), (12, False), (8, True)])
def test_interpolated_positions(tv, torch, side, reset):
    state = tv.VisionTransformer(12, 4, 1, 2, 16, 24, num_classes=5).state_dict()
    want = tv.vision_transformer.interpolate_embeddings(side, 4, copy.copy(state), reset_heads=reset)
    got = ours_vit.interpolate_embeddings(
        side, 4, {k: v.numpy() for k, v in state.items()}, reset_heads=reset
    )
    assert list(got) == list(want)
    model_oracle.close(dlcore.as_tensor(got["encoder.pos_embedding"]), want["encoder.pos_embedding"], 1e-6)
    with pytest.raises(ValueError, match="square grid"):
        ours_vit.interpolate_embeddings(20, 4, {"encoder.pos_embedding": np.zeros((1, 8, 4))})


def test_the_first_checkpoints_names_of_a_transformers_mlp():
    model = models.VisionTransformer(8, 4, 1, 2, 16, 32, num_classes=5)
    renamed = {}
    for name, value in model.state_dict().items():
        for new, old in (("mlp.0.", "mlp.linear_1."), ("mlp.3.", "mlp.linear_2.")):
            name = name.replace(new, old)
        renamed[name] = value
    models.VisionTransformer(8, 4, 1, 2, 16, 32, num_classes=5).load_state_dict(renamed)


# ---- fusion ------------------------------------------------------------------------------------------------


def norms(model):
    return [m for m in model.modules() if isinstance(m, nn.BatchNorm2d)]


@pytest.mark.parametrize(
    "make",
    [
        lambda: models.ResNet(ours_resnet.BasicBlock, [1, 1, 1, 1], num_classes=5),
        lambda: models.ResNet(
            ours_resnet.Bottleneck, [1, 2, 1, 1], num_classes=5, groups=4, width_per_group=8
        ),
        lambda: models.googlenet(num_classes=5),
        lambda: nn.Sequential(ours_vgg._features([8, "M", 12, 8], True), nn.AdaptiveAvgPool2d(1)),
    ],
)
def test_fused_models_give_the_same(make):
    dlcore.manual_seed(0)
    model = make().double()
    x = dlcore.tensor(images(2, 3, 64, 64))
    model.train()
    for _ in range(2):
        model(x)  # statistics of its own
    rng = np.random.default_rng(0)
    for m in norms(model):
        for p in (m.weight, m.bias):
            p.detach().copy_(dlcore.tensor(rng.uniform(0.5, 1.5, p.shape)))
    with pytest.raises(RuntimeError, match="eval mode"):
        models.fuse(model)
    with dlcore.no_grad():
        want = model.eval()(x)
        assert models.fuse(model) is model and not norms(model)
        model_oracle.close(model(x), want, 1e-10)
        model_oracle.close(models.fuse(model)(x), want, 1e-10)


def test_fuse_leaves_what_does_not_follow_a_convolution():
    net = nn.Sequential(nn.Conv2d(3, 4, 1), nn.ReLU(), nn.BatchNorm2d(4)).eval()
    assert len(models.fuse(net)) == 3
    net = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4, track_running_stats=False)).eval()
    assert len(models.fuse(net)) == 2


# ---- weights -----------------------------------------------------------------------------------------------


@pytest.fixture
def hub(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    folder = tmp_path / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    return folder


def same_weights(a, b):
    ours, theirs = a.state_dict(), b.state_dict()
    return list(ours) == list(theirs) and all(
        np.array_equal(v.numpy(), theirs[k].numpy()) for k, v in ours.items()
    )


def test_weights_from_a_file_a_state_dict_and_the_cache(hub, tmp_path):
    model = models.resnet18(num_classes=7)
    state = {k: v for k, v in model.state_dict().items() if not k.endswith("num_batches_tracked")}
    path = tmp_path / "mine.safetensors"
    dlcore.save_file(state, path)
    dlcore.save_file(state, hub / "resnet18-f37072fd.pth")
    enumeration = type("Weights", (), {"url": "https://download.pytorch.org/models/resnet18-f37072fd.pth"})()
    for weights in (path, str(path), state, "DEFAULT", "ResNet18_Weights.IMAGENET1K_V1", enumeration):
        assert same_weights(models.resnet18(weights=weights, progress=False), model)
    with pytest.raises(ValueError, match="num_classes must be 7"):
        models.resnet18(weights=state, num_classes=3)
    with pytest.raises(RuntimeError, match="Missing key"):
        models.resnet34(weights=state)


def test_weights_that_are_not_there(hub):
    with pytest.raises(FileNotFoundError, match=r"resnet50-11ad3fa6\.pth.*put it there"):
        models.resnet50(weights="DEFAULT")
    with pytest.raises(FileNotFoundError, match=r"alexnet-owt-7be5be79\.pth"):
        models.alexnet("IMAGENET1K_V1")
    with pytest.raises(ValueError, match="IMAGENET1K_V1"):
        models.vgg16(weights="IMAGENET22K")
    with pytest.raises(FileNotFoundError):
        models.vgg16(weights="nowhere/vgg16.safetensors")
    with pytest.raises(TypeError, match="must be a path"):
        models.vit_b_16(weights=3)
    enumeration = type("Weights", (), {"url": "https://download.pytorch.org/models/x-1.pth"})()
    with pytest.raises(FileNotFoundError, match=r"x-1\.pth"):
        models.alexnet(weights=enumeration)


def test_weight_names_are_torchvisions(tv, hub):
    for name in NAMES:
        for version in tv.get_model_weights(name):
            with pytest.raises(FileNotFoundError, match=version.url.rpartition("/")[2]):
                getattr(models, name)(weights=version.name)
        default = tv.get_model_weights(name).DEFAULT
        with pytest.raises(FileNotFoundError, match=default.url.rpartition("/")[2]):
            getattr(models, name)(weights="DEFAULT")


def test_googlenets_auxiliary_heads_with_weights(hub):
    model = models.googlenet(num_classes=5)
    published = hub / "googlenet-1378be20.pth"
    dlcore.save_file(model.state_dict(), published)
    plain = models.googlenet(weights="DEFAULT")
    assert plain.transform_input and not plain.aux_logits and plain.aux1 is None
    assert plain(dlcore.zeros(2, 3, 32, 32)).shape == (2, 5)
    with pytest.warns(UserWarning, match="auxiliary heads"):
        full = models.googlenet(weights="DEFAULT", aux_logits=True, transform_input=False)
    assert same_weights(full, model) and not full.transform_input
    own = models.googlenet(weights=plain.state_dict())
    assert same_weights(own, plain) and not own.transform_input


def test_a_vision_transformers_image_size_is_its_weights():
    original = ours_vit.VisionTransformer

    def make(**kw):
        return original(kw.pop("image_size", 8), 4, 1, 2, 16, 32, **kw)

    state = make(image_size=12, num_classes=3).state_dict()
    ours_vit.VisionTransformer = lambda image_size, *_, **kw: make(image_size=image_size, **kw)
    try:
        shape = (4, 1, 2, 16, 32)
        assert ours_vit._vit("vit", shape, {}, state, {}).image_size == 12
        with pytest.raises(RuntimeError, match="size mismatch"):
            ours_vit._vit("vit", shape, {}, state, {"image_size": 8})
    finally:
        ours_vit.VisionTransformer = original
