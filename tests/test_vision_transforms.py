"""Image preprocessing beside torchvision's: Pillow images, arrays and tensors, real photographs."""

import numpy as np
import pytest

import dlcore
from dlcore.vision import functional as F
from dlcore.vision import transforms as T
from tests import model_oracle

PHOTOS = ["astronaut.png", "camera.png", "rocket.jpg"]


@pytest.fixture(scope="module")
def tv():
    module = model_oracle.torchvision()
    import torchvision.transforms.functional

    assert module.transforms.functional is torchvision.transforms.functional
    return module.transforms


@pytest.fixture(scope="module")
def torch():
    return pytest.importorskip("torch", reason="torch is the oracle here")


@pytest.fixture(scope="module")
def Image():
    return pytest.importorskip("PIL.Image", reason="Pillow opens the photographs")


@pytest.fixture(params=[*PHOTOS, "noise", "grey noise"])
def photo(request, data_dir, Image):
    """A Pillow image."""
    rng = np.random.default_rng(1)
    if request.param == "noise":
        return Image.fromarray(rng.integers(0, 256, (37, 53, 3), np.uint8))
    if request.param == "grey noise":
        return Image.fromarray(rng.integers(0, 256, (53, 37), np.uint8))
    path = f"{data_dir}/photos/{request.param}"
    return Image.open(path).resize((100, 70))


def kinds(photo, torch):
    """(ours, theirs, read ours, read theirs): Pillow, uint8 tensor, ndarray, float tensor."""
    a = np.array(photo)
    chw = np.ascontiguousarray(a[None] if a.ndim == 2 else np.moveaxis(a, 2, 0))

    def last(t):
        t = t.numpy()
        return np.moveaxis(t, 0, 2) if a.ndim == 3 else t[0]

    yield photo, photo, np.asarray, np.asarray
    yield dlcore.tensor(chw), torch.tensor(chw), lambda t: t.numpy(), lambda t: t.numpy()
    yield a, torch.tensor(chw), lambda t: t, last
    real = chw.astype(np.float32) / 255
    yield dlcore.tensor(real), torch.tensor(real), lambda t: t.numpy(), lambda t: t.numpy()


def compare(photo, torch, ours, theirs, levels=0, real=2e-6, first=0):
    for a, b, read_a, read_b in list(kinds(photo, torch))[first:]:
        x, y = read_a(ours(a)), read_b(theirs(b))
        assert x.shape == y.shape and x.dtype == y.dtype
        allowed = real if x.dtype.kind == "f" else levels
        assert np.abs(x.astype(np.float64) - y.astype(np.float64)).max(initial=0) <= allowed


@pytest.mark.parametrize("size, max_size", [(64, None), ((70, 33), None), (200, None), ([96], 100)])
@pytest.mark.parametrize("mode", ["bilinear", "bicubic"])
def test_resize(tv, torch, photo, size, max_size, mode):
    m = tv.InterpolationMode(mode)
    compare(
        photo,
        torch,
        T.Resize(size, mode, max_size),
        tv.Resize(size, m, max_size),
        levels=1,
        real=2e-5,  # positions in float32
    )


@pytest.mark.parametrize("mode", ["nearest", "nearest-exact", "bilinear"])
def test_resize_without_antialias(tv, torch, photo, mode):
    m = tv.InterpolationMode(mode)
    ours, theirs = T.Resize(64, mode, None, False), tv.Resize(64, m, None, False)
    compare(photo, torch, ours, theirs, levels=1, real=2e-5, first=1)  # Pillow always antialiases


def test_resize_of_batches_and_errors(tv, torch):
    x = np.random.default_rng(0).random((2, 4, 3, 20, 30)).astype(np.float32)
    ours = F.resize(dlcore.tensor(x), [8, 9])
    want = np.stack([tv.functional.resize(torch.tensor(b), [8, 9], antialias=True).numpy() for b in x])
    np.testing.assert_allclose(ours.numpy(), want, atol=2e-6)
    image = np.zeros((4, 4), np.uint8)
    for bad in ([1, 2, 3], []):
        with pytest.raises(ValueError, match="one or two"):
            F.resize(image, bad)
    with pytest.raises(ValueError, match="max_size"):
        F.resize(image, [3, 4], max_size=9)
    with pytest.raises(ValueError, match="max_size must exceed"):
        F.resize(image, 9, max_size=9)
    with pytest.raises(ValueError, match="Pillow"):
        F.resize(image, 3, "lanczos")
    with pytest.raises(TypeError, match="must be a Pillow image"):
        F.hflip("cat.png")


@pytest.mark.parametrize("size", [32, (40, 9), (200, 30), (301, 401), [17]])
def test_center_crop(tv, torch, photo, size):
    compare(photo, torch, T.CenterCrop(size), tv.CenterCrop(size))


@pytest.mark.parametrize("box", [(3, 5, 10, 12), (-4, 2, 20, 9), (30, 30, 100, 200)])
def test_crop_and_resized_crop(tv, torch, photo, box):
    compare(photo, torch, lambda x: F.crop(x, *box), lambda x: tv.functional.crop(x, *box))
    compare(
        photo,
        torch,
        lambda x: F.resized_crop(x, *box, [24, 24]),
        lambda x: tv.functional.resized_crop(x, *box, [24, 24], antialias=True),
        levels=1,
        real=2e-5,
    )


@pytest.mark.parametrize("mode", ["constant", "edge", "reflect", "symmetric"])
@pytest.mark.parametrize("padding", [3, (2, 5), (1, 2, 3, 4)])
def test_pad(tv, torch, photo, padding, mode):
    ours, theirs = T.Pad(padding, 1, mode), tv.Pad(padding, 1, mode)
    compare(photo, torch, ours, theirs)


def test_pad_with_a_colour_and_errors(tv, torch, Image):
    photo = Image.fromarray(np.random.default_rng(2).integers(0, 256, (5, 6, 3), np.uint8))
    a = F.pad(photo, 2, (1, 2, 3))
    assert np.array_equal(np.asarray(a), np.asarray(tv.functional.pad(photo, 2, (1, 2, 3))))
    assert np.array_equal(F.pad(np.asarray(photo), 2, (1, 2, 3)), np.asarray(a))
    with pytest.raises(ValueError, match="1, 2 or 4"):
        F.pad(photo, (1, 2, 3))
    with pytest.raises(ValueError, match="padding_mode"):
        F.pad(photo, 1, 0, "mirror")


def test_flips_and_grey(tv, torch, photo):
    compare(photo, torch, F.hflip, tv.functional.hflip)
    compare(photo, torch, F.vflip, tv.functional.vflip)
    if photo.mode != "RGB":
        return
    for n in (1, 3):
        a, b = T.Grayscale(n), tv.Grayscale(n)
        assert np.array_equal(np.asarray(a(photo)), np.asarray(b(photo)))
        x = np.moveaxis(np.array(photo), 2, 0).copy()
        assert np.abs(a(dlcore.tensor(x)).numpy().astype(int) - b(torch.tensor(x)).numpy()).max() <= 1


def test_tensors_of_images(tv, torch, photo):
    want = tv.ToTensor()(photo).numpy()
    assert np.array_equal(T.ToTensor()(photo).numpy(), want)
    assert np.array_equal(T.ToTensor()(np.array(photo)).numpy(), want)
    assert np.array_equal(T.PILToTensor()(photo).numpy(), tv.PILToTensor()(photo).numpy())
    mean, std = [0.4, 0.5, 0.6][: len(want)], [0.2, 0.3, 0.1][: len(want)]
    normal = tv.Normalize(mean, std)(torch.tensor(want)).numpy()
    np.testing.assert_allclose(T.Normalize(mean, std)(dlcore.tensor(want)).numpy(), normal, atol=1e-6)
    t = dlcore.tensor(want)
    assert T.Normalize(mean, std, inplace=True)(t) is not None
    np.testing.assert_allclose(t.numpy(), normal, atol=1e-6)
    assert np.array_equal(np.asarray(T.ToPILImage()(T.PILToTensor()(photo))), np.asarray(photo))
    back = tv.ToPILImage()(torch.tensor(want))
    assert np.array_equal(np.asarray(T.ToPILImage()(dlcore.tensor(want))), np.asarray(back))


def test_normalize_errors():
    with pytest.raises(TypeError, match="floating"):
        F.normalize(dlcore.tensor(np.zeros((3, 2, 2), np.uint8)), [0.5], [0.5])
    with pytest.raises(ValueError, match="std must not be 0"):
        F.normalize(dlcore.zeros(3, 2, 2), [0.5], [0.0])
    with pytest.raises(TypeError, match="to_tensor"):
        F.to_tensor([1])
    with pytest.raises(TypeError, match="pil_to_tensor"):
        F.pil_to_tensor(np.zeros((2, 2)))


@pytest.mark.parametrize("source", ["uint8", "int32", "int64", "float32", "float64"])
@pytest.mark.parametrize("target", ["uint8", "int32", "int64", "float32", "float64"])
def test_convert_image_dtype(tv, torch, source, target):
    rng = np.random.default_rng(3)
    real = source.startswith("float")
    x = (
        rng.random((3, 4, 5)).astype(source)
        if real
        else rng.integers(0, np.iinfo(source).max, (3, 4, 5), source)
    )
    theirs = tv.ConvertImageDtype(getattr(torch, target))
    try:
        want = theirs(torch.tensor(x)).numpy()
    except RuntimeError:
        with pytest.raises(RuntimeError, match="cannot hold"):
            T.ConvertImageDtype(target)(dlcore.tensor(x))
        return
    got = T.ConvertImageDtype(target)(dlcore.tensor(x)).numpy()
    assert got.dtype == want.dtype
    np.testing.assert_allclose(got, want, rtol=1e-6)


@pytest.mark.parametrize("name", ["brightness", "contrast", "saturation", "hue"])
@pytest.mark.parametrize("factor", [-0.5, -0.2, 0.0, 0.3, 1.0, 1.7])
def test_colours(tv, torch, photo, name, factor):
    ours, theirs = (getattr(m, f"adjust_{name}") for m in (F, tv.functional))
    if factor > 0.5 if name == "hue" else factor < 0:
        with pytest.raises(ValueError, match=f"adjust_{name}"):
            ours(photo, factor)
        return
    compare(photo, torch, lambda x: ours(x, factor), lambda x: theirs(x, factor), levels=1)


def test_image_classification_preset(tv, torch, photo):
    from torchvision.transforms._presets import ImageClassification

    if photo.mode != "RGB":
        photo = photo.convert("RGB")
    for mode in ("bilinear", "bicubic"):
        kw = {"crop_size": 64, "resize_size": 72}
        ours = T.ImageClassification(**kw, interpolation=mode)
        theirs = ImageClassification(**kw, interpolation=tv.InterpolationMode(mode))
        np.testing.assert_allclose(ours(photo).numpy(), theirs(photo).numpy(), atol=1e-6)
        x = np.moveaxis(np.array(photo), 2, 0).copy()
        want = theirs(torch.tensor(x)).numpy()
        for image in (dlcore.tensor(x), np.array(photo)):
            assert np.abs(ours(image).numpy() - want).max() <= 1.001 / 255 / 0.224


# ---- random ------------------------------------------------------------------------------------------------


def test_random_crops_repeat_and_cover():
    image = np.arange(36, dtype=np.uint8).reshape(6, 6)
    a, b = T.RandomCrop(4, rng=5), T.RandomCrop(4, rng=5)
    corners = set()
    for _ in range(60):
        x = a(image)
        assert np.array_equal(x, b(image))
        corners.add(int(x[0, 0]))
    assert corners == {6 * i + j for i in range(3) for j in range(3)}
    assert T.RandomCrop(8, padding=1, rng=0)(image).shape == (8, 8)
    assert T.RandomCrop((9, 7), pad_if_needed=True, rng=0)(image).shape == (9, 7)
    with pytest.raises(ValueError, match="at least"):
        T.RandomCrop(7)(image)


def test_random_resized_crop_keeps_area_and_aspect():
    image = np.zeros((60, 80), np.uint8)
    g = np.random.default_rng(0)
    for _ in range(200):
        top, left, h, w = T.RandomResizedCrop.get_params(image, (0.2, 0.5), (0.75, 1.5), g)
        assert top >= 0 and left >= 0 and top + h <= 60 and left + w <= 80
        assert 0.18 < h * w / 4800 < 0.52 and 0.72 < w / h < 1.56
    assert T.RandomResizedCrop.get_params(image, (2, 2), (1, 1), g) == (0, 10, 60, 60)
    assert T.RandomResizedCrop.get_params(image.T, (2, 2), (1, 1), g) == (10, 0, 60, 60)
    assert T.RandomResizedCrop((16, 20), rng=1)(np.zeros((60, 80, 3), np.uint8)).shape == (16, 20, 3)


def test_random_flips_grey_and_apply():
    image = np.random.default_rng(0).integers(0, 256, (5, 6, 3), np.uint8)
    flip = T.RandomHorizontalFlip(0.3, rng=1)
    rate = np.mean([not np.array_equal(flip(image), image) for _ in range(500)])
    assert 0.22 < rate < 0.38
    assert np.array_equal(T.RandomVerticalFlip(1.0)(image), image[::-1])
    grey = T.RandomGrayscale(1.0)(image)
    assert grey.shape == image.shape and np.array_equal(grey[..., 0], grey[..., 2])
    assert T.RandomApply([T.Lambda(lambda x: x + 1)], p=0.0)(1) == 1
    assert T.RandomApply([T.Lambda(lambda x: x + 1)], p=1.0)(1) == 2
    with pytest.raises(ValueError, match="probability"):
        T.RandomHorizontalFlip(1.5)
    with pytest.raises(TypeError, match="callable"):
        T.Lambda(3)


def test_color_jitter(tv):
    image = np.random.default_rng(0).integers(0, 256, (5, 6, 3), np.uint8)
    jitter = T.ColorJitter(0.4, (0.5, 1.5), 2.0, 0.1, rng=3)
    theirs = tv.ColorJitter(0.4, (0.5, 1.5), 2.0, 0.1)
    for name in ("brightness", "contrast", "saturation", "hue"):
        assert getattr(jitter, name) == tuple(getattr(theirs, name))
    assert T.ColorJitter().hue is None and T.ColorJitter().brightness is None
    again = T.ColorJitter(0.4, (0.5, 1.5), 2.0, 0.1, rng=3)
    for _ in range(5):
        assert np.array_equal(jitter(image), again(image))
    assert np.array_equal(T.ColorJitter()(image), image)
    for bad in ({"brightness": -1}, {"hue": 0.6}, {"contrast": (-1, 1)}):
        with pytest.raises(ValueError, match="ColorJitter"):
            T.ColorJitter(**bad)
        with pytest.raises(ValueError):
            tv.ColorJitter(**bad)


def test_reprs():
    assert repr(T.Normalize([0.5], [0.2])) == "Normalize(mean=[0.5], std=[0.2], inplace=False)"
    assert repr(T.Compose([T.ToTensor()])) == "Compose(\n    ToTensor()\n)"
