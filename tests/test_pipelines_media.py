"""Pipelines of images and speech: beside torchvision's preprocessing, and on worked cases and failures."""

import wave

import numpy as np
import pytest

import dlcore
from dlcore import models, pipeline
from dlcore.pipelines.audio import log_mel, read_wave

LABELS = ["", *"abcd"]


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    folder = tmp_path_factory.mktemp("digits")
    dlcore.manual_seed(0)
    model = models.LeNet5()
    model.config.id2label = dict(
        enumerate(["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"])
    )
    model.save_pretrained(folder)
    return folder


def picture(*shape, seed=0):
    return np.random.default_rng(seed).integers(0, 256, shape).astype(np.uint8)


# ---- images ------------------------------------------------------------------------------------------------


def test_image_answers(digits, tmp_path):
    p = pipeline("image-classification", digits)
    image = picture(28, 28)
    answer = p(image)
    logits = p.model(dlcore.tensor(image[None, None].astype(np.float32) / 255)).detach().numpy()[0]
    e = np.exp(logits - logits.max())
    best = np.argsort(-logits)[:5]
    assert [a["label"] for a in answer] == [p.model.config.id2label[i] for i in best]
    np.testing.assert_allclose([a["score"] for a in answer], (e / e.sum())[best], rtol=1e-5)
    assert len(p(image, top_k=None)) == 10 and len(p(image, top_k=99)) == 10
    assert pipeline("image-classification", digits, top_k=2)(image) == answer[:2]
    raw = p(image, function_to_apply="none", top_k=None)
    np.testing.assert_allclose([a["score"] for a in raw], np.sort(logits)[::-1], rtol=1e-5)
    sigmoid = p(image, function_to_apply="sigmoid", top_k=1)[0]["score"]
    assert sigmoid == pytest.approx(1 / (1 + np.exp(-logits.max())), rel=1e-5)

    np.save(tmp_path / "one.npy", image)
    many = [image, picture(40, 30, 1, seed=1), dlcore.tensor(image[None]), str(tmp_path / "one.npy")]
    for size in (1, 3):
        answers = p(many, batch_size=size)
        for one, x in zip(answers, many):
            assert [a["label"] for a in one] == [a["label"] for a in p(x)]
    assert answers[0] == answers[2] == answers[3]
    assert p([]) == []


def test_images_as_torchvision_prepares_them(tmp_path):
    torch = pytest.importorskip("torch", reason="torch is the oracle here")
    image_module = pytest.importorskip("PIL.Image", reason="Pillow reads the pictures")
    from tests import model_oracle

    tv = model_oracle.torchvision()
    theirs = tv.models.resnet18(num_classes=4).eval()
    ours = models.resnet18(num_classes=4)
    ours.load_state_dict({k: v.numpy() for k, v in theirs.state_dict().items()})
    ours.config.id2label = dict(enumerate("abcd"))
    ours.save_pretrained(tmp_path)
    image = image_module.fromarray(picture(300, 270, 3))
    image.save(tmp_path / "p.png")
    preset = tv.transforms._presets.ImageClassification(crop_size=224)
    with torch.no_grad():
        want = torch.softmax(theirs(preset(image)[None]), 1)[0].numpy()
    p = pipeline("image-classification", tmp_path)
    for x in (image, tmp_path / "p.png", str(tmp_path / "p.png"), image.convert("RGBA")):
        got = {a["label"]: a["score"] for a in p(x)}
        np.testing.assert_allclose([got[k] for k in "abcd"], want, atol=2e-6)
    grey = image.convert("L")
    np.testing.assert_allclose(
        [a["score"] for a in p(np.asarray(grey))], [a["score"] for a in p(grey)], atol=1e-2
    )  # resized before or after rounding to three channels


def test_image_failures(digits, tmp_path):
    p = pipeline("image-classification", digits)
    with pytest.raises(FileNotFoundError, match="no such image"):
        p(tmp_path / "none.png")
    for bad in (
        np.zeros((3, 4, 5, 1), np.uint8),
        picture(28, 28, 3),
        np.zeros((0, 28), np.uint8),
        np.zeros(9),
    ):
        with pytest.raises(ValueError, match="an image must be"):
            p(bad)
    with pytest.raises(ValueError, match="a Tensor"):
        p(dlcore.tensor(picture(3, 28, 28)))
    with pytest.raises(TypeError, match="an image must be a path"):
        p([3])
    with pytest.raises(ValueError, match="top_k"):
        p(picture(28, 28), top_k=0)
    with pytest.raises(ValueError, match="function_to_apply"):
        p(picture(28, 28), function_to_apply="exp")
    with pytest.raises(TypeError, match="unknown options: colour"):
        p(picture(28, 28), colour=True)
    with pytest.raises(ValueError, match="batch_size"):
        p([picture(28, 28)], batch_size=0)
    with pytest.raises(ValueError, match="must have a config"):
        pipeline("image-classification", dlcore.nn.Linear(2, 2))
    with pytest.raises(ValueError, match="model is needed"):
        pipeline("image-classification")
    with pytest.raises(FileNotFoundError):
        pipeline("image-classification", tmp_path)
    with pytest.raises(ValueError, match=r"task must be one of .*image-classification"):
        pipeline("image-sorting", digits)


# ---- speech ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def speech(tmp_path_factory):
    folder = tmp_path_factory.mktemp("speech")
    dlcore.manual_seed(1)
    config = models.CTCConfig(
        feature_size=6, vocab_size=5, hidden_size=8, num_layers=1, id2label=dict(enumerate(LABELS)),
        sampling_rate=8000,
    )  # fmt: skip
    models.BiLSTMForCTC(config).save_pretrained(folder)
    return folder


def write(path, samples, rate=8000, width=2, channels=1):
    with wave.open(str(path), "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(width)
        file.setframerate(rate)
        file.writeframes(samples)


def test_speech_answers(speech, tmp_path):
    p = pipeline("automatic-speech-recognition", speech)
    rng = np.random.default_rng(0)
    long, short = (rng.standard_normal((n, 6)).astype(np.float32) * 3 for n in (31, 17))
    answer = p(long)
    (row,) = p.model.decode(dlcore.tensor(long[None]))
    assert answer == {"text": "".join(LABELS[i] for i in row)} and answer["text"]
    assert p([long, short]) == p([long, short], batch_size=2) == [p(long), p(short)]
    assert p(dlcore.tensor(long)) == answer and p([]) == []
    (beam,) = p.model.decode(dlcore.tensor(long[None]), beam_width=4)
    assert p(long, beam_width=4)["text"] == "".join(LABELS[i] for i in beam)
    named = pipeline("automatic-speech-recognition", speech, labels="_ABCD")
    assert named(long)["text"] == answer["text"].upper()

    samples = rng.integers(-20000, 20000, 4000).astype("<i2")
    write(tmp_path / "w.wav", samples.tobytes())
    samples = samples.astype(np.float32) / 32768
    features = log_mel(samples, 8000, 6)
    want = p(features)
    assert p(tmp_path / "w.wav") == p(samples) == p({"raw": samples, "sampling_rate": 8000}) == want
    seen = []

    def extract(x, rate):
        seen.append((len(x), rate))
        return features

    assert pipeline("automatic-speech-recognition", speech, feature_extractor=extract)(samples) == want
    assert seen == [(4000, 8000)]

    class Tokenizer:
        def decode(self, ids):
            return " ".join(map(str, ids))

    words = pipeline("automatic-speech-recognition", p.model, Tokenizer())(long)["text"]
    assert [LABELS[int(i)] for i in words.split()] == list(answer["text"])


@pytest.mark.parametrize("width", [1, 2, 3, 4])
@pytest.mark.parametrize("channels", [1, 2])
def test_waves_of_every_width(width, channels, tmp_path):
    x = np.random.default_rng(width).uniform(-0.9, 0.9, (50, channels))
    whole = np.round(x * 2.0 ** (8 * width - 1)).astype(np.int64)
    stored = whole + 128 if width == 1 else whole
    data = b"".join(int(v).to_bytes(width, "little", signed=width > 1) for v in stored.ravel())
    write(tmp_path / "w.wav", data, 11025, width, channels)
    got, rate = read_wave(tmp_path / "w.wav")
    assert rate == 11025 and got.dtype == np.float32
    np.testing.assert_allclose(got, (whole / 2.0 ** (8 * width - 1)).mean(1), atol=1e-6)


def test_log_mel_finds_a_tone():
    rate, bins = 16000, 20
    edges = 700 * (10 ** (np.linspace(0, 2595 * np.log10(1 + rate / 2 / 700), bins + 2) / 2595) - 1)
    t = np.arange(rate) / rate
    quiet = 1e-3 * np.random.default_rng(0).standard_normal(rate)
    for band in (3, 11, 17):
        tone = np.where(t < 0.5, np.sin(2 * np.pi * edges[band + 1] * t), 0) + quiet
        x = log_mel(tone, rate, bins)
        assert x.shape == (98, bins) and x.dtype == np.float32
        np.testing.assert_allclose(x.mean(0), 0, atol=1e-5)
        assert x[:45, band].min() > 0.5 and x[55:, band].max() < -0.5


def test_speech_failures(speech, tmp_path):
    p = pipeline("automatic-speech-recognition", speech)
    with pytest.raises(FileNotFoundError):
        p(tmp_path / "none.wav")
    (tmp_path / "bad.wav").write_bytes(b"RIFF of another kind")
    (tmp_path / "empty.wav").write_bytes(b"")
    for name in ("bad.wav", "empty.wav"):
        with pytest.raises(ValueError, match=r"not a \.wav file"):
            p(tmp_path / name)
    write(tmp_path / "fast.wav", b"\0" * 32000, 16000)
    with pytest.raises(ValueError, match="sampling rate must be 8000, got 16000"):
        p(tmp_path / "fast.wav")
    with pytest.raises(ValueError, match="must last"):
        p(np.zeros(20, np.float32))
    with pytest.raises(ValueError, match="'raw'"):
        p({"path": "x.wav"})
    for bad in (np.zeros((3, 5), np.float32), np.zeros((0, 6), np.float32), np.zeros((1, 3, 6), np.float32)):
        with pytest.raises(ValueError, match=r"a waveform \(n,\) or \(T, 6\)"):
            p(bad)
    with pytest.raises(TypeError, match="a recording must be"):
        p([3])
    with pytest.raises(ValueError, match="beam_width"):
        p(np.zeros((3, 6), np.float32), beam_width=0)
    with pytest.raises(TypeError, match="unknown options: chunk"):
        p(np.zeros((3, 6), np.float32), chunk=3)
    with pytest.raises(ValueError, match="labels must name the model's 5 symbols"):
        pipeline("automatic-speech-recognition", speech, labels="abc")
    with pytest.raises(ValueError, match="model is needed"):
        pipeline("automatic-speech-recognition")
