"""The report: a page that needs nothing beside it, and says what is so."""

from __future__ import annotations

import base64
import contextlib
import html
import io
import json
import re
import subprocess
import sys
import time
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import chromium
import numpy as np
import pytest
from conftest import draw_images, write_folder
from PIL import Image

import fastlr
from fastlr import InputError
from fastlr.data import from_arrays, open_dataset
from fastlr.objectives.network import Layer
from fastlr.reporting import figures, report_on_model, style
from fastlr.reporting.findings import Bin, Findings, calibration_error, spread_over_classes
from fastlr.reporting.pictures import AGAINST, FOR, LONGEST, WHITE, weight_images
from fastlr.reporting.style import LIGHT, drawable
from fastlr.reporting.subject import run_labels
from fastlr.reporting.words import plain_cost
from fastlr.training.run import best_of, chosen_by

STRANGE = (
    "<script>alert('x')</script>",
    "\"double\" & 'single' quotes",
    "😀 a smile",
    "שלום עולם",
    "\u202eturned round",
    "caf\udcff",
    "$x_1$ {y} \\n",
)


class Page(HTMLParser):
    """What is in a page: its elements with their attributes, and its text."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[tuple[str, str]] = []  # the element, and what it says
        self._open: list[str] = []
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in ("img", "meta", "source", "br"):
            self._open.append(tag)

    def handle_endtag(self, tag):
        assert self._open.pop() == tag, f"{tag} is closed out of order"

    def handle_data(self, data):
        if self._open:
            self.texts.append((self._open[-1], data))

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]

    def said(self, tag: str) -> list[str]:
        return [text for name, text in self.texts if name == tag]

    @property
    def text(self) -> str:
        return " ".join(text for name, text in self.texts if name != "style")


def assert_self_contained(page: Page) -> None:
    """Assert that the page asks for nothing outside itself, runs nothing, and says what each picture shows."""
    assert not {"script", "link", "iframe", "object", "embed"} & {tag for tag, _ in page.elements}
    for tag, attributes in page.elements:
        for name, value in attributes.items():
            assert not name.startswith("on"), (tag, name)
            if name in ("src", "srcset", "href"):
                assert value.startswith("data:image/png;base64,"), (tag, value[:60])
    assert page.all("img")
    assert all(len(image["alt"]) > 5 for image in page.all("img"))
    assert "url(" not in " ".join(page.said("style"))


def pictures(count: int, classes: int, side: int = 8, names=None, seed: int = 0):
    """Return noisy pictures whose brightness says a little of their class."""
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % classes
    images = rng.normal(90, 50, (count, side, side, 3)) + (90 / classes) * labels[:, None, None, None]
    return from_arrays("drawn", np.clip(images, 0, 255).astype(np.uint8), labels, names or [*range(classes)])


def small_run(classes: int = 2, **settings):
    names = settings.pop("names", None)
    train, test = pictures(60, classes, names=names), pictures(40, classes, names=names, seed=1)
    common = {"iterations": 30, "record_every": 10, "learning_rate": 0.01, "backend": "numpy", "test_costs": True}
    return fastlr.train(train, test=test, **common | settings)


@pytest.fixture(autouse=True)
def _coarse_figures(monkeypatch):
    """Draw figures of few pixels; those of the demo, which a browser shows, have all."""
    monkeypatch.setattr(style, "DPI", 40)


@pytest.fixture
def blank_figures(monkeypatch):
    """Draw nothing where a test reads the words alone."""
    file = io.BytesIO()
    Image.new("RGB", (1, 1)).save(file, "PNG")
    monkeypatch.setattr(style.Chart, "png", lambda chart, theme=LIGHT: file.getvalue())


@pytest.fixture(scope="module")
def demo(tmp_path_factory) -> Path:
    home = tmp_path_factory.mktemp("demo")
    with contextlib.chdir(home):
        assert fastlr.cli.app.main(["demo"]) == 0
    return home / "fastlr-demo"


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    if chromium.PROGRAM is None:
        pytest.skip("Chromium is not installed")
    with chromium.Browser(tmp_path_factory.mktemp("profile")) as opened:
        yield opened


def test_demo_writes_a_report_and_its_figures(demo):
    page = Page(demo / "report.html")
    assert_self_contained(page)
    for title in (
        "Learning curve", "Right and wrong", "Calibration", "What the model looks for", "Most confident mistakes",
        "Samples", "Settings",
    ):  # fmt: skip
        assert title in page.said("h2")
    for figure in ("learning-curve", "confusion", "calibration", "samples", "mistakes", "weights-01"):
        with Image.open(demo / f"{figure}.png") as image:
            image.verify()
    for words in ("airplane", "bike", "numba", "cpu", "0.002", fastlr.__version__, np.__version__, "98.0"):
        assert words in page.text
    assert len(page.all("details")) == 6, "a table of everything that is shown"


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [390, 1280])
def test_demo_in_a_browser(demo, browser, tmp_path, width, dark):
    seen = browser.look(demo / "report.html", width, dark)
    assert [url for url in seen.requests if not url.startswith("data:")] == [(demo / "report.html").as_uri()]
    assert seen.complaints == []
    assert seen.scroll_width == width
    assert seen.overflowing == []
    (tmp_path / "screenshot.png").write_bytes(seen.screenshot)
    with Image.open(io.BytesIO(seen.screenshot)) as shot:
        assert shot.width == width
        assert shot.height > 1500
        ground = np.asarray(shot.convert("L"))[:, 2]
    assert (ground < 60).all() if dark else (ground > 200).all(), "the ground is dark where that is asked for"


def test_demo_is_reproducible_and_not_trivial(demo):
    run = json.loads((demo / "results.json").read_text())
    assert (run["n_train"], run["n_test"], run["n_features"]) == (1500, 100, 12288)
    assert 90 <= run["test_accuracy"] <= 99.9
    assert len(list((demo / "annotated").iterdir())) == 6
    for name in ("airplane", "bike"):
        assert len(list((demo / "train" / name).iterdir())) == 750
    before = (demo / "model.safetensors").read_bytes()
    assert fastlr.cli.app.main(["demo", "--out", str(demo)]) == 0, "an earlier demo's folder is used again"
    assert (demo / "model.safetensors").read_bytes() == before


def test_a_browser_sees_what_is_wrong(browser, tmp_path):
    """The checks above can fail: a page with each fault shows it."""
    bad = tmp_path / "bad.html"
    bad.write_text(
        "<!DOCTYPE html><main><img src='http://example.invalid/x.png' alt=''><p style='width: 900px'>wide</p></main>"
        "<script>console.error('no')</script>"
    )
    seen = browser.look(bad, 390)
    assert seen.scroll_width > 390
    assert seen.overflowing
    assert "http://example.invalid/x.png" in seen.requests
    assert any("no" in text for text in seen.complaints)


@pytest.mark.parametrize("width", [390, 1280])
def test_strange_names_in_a_browser(browser, tmp_path, width):
    run = small_run(len(STRANGE), names=[*STRANGE[:-1], "unbroken" * 20])
    page = fastlr.report([run, small_run(len(STRANGE), names=STRANGE, learning_rate=0.02)], tmp_path)
    seen = browser.look(page, width)
    assert seen.complaints == []
    assert (seen.scroll_width, seen.overflowing) == (width, [])
    assert STRANGE[0] in browser.evaluate("document.body.innerText")
    assert browser.evaluate("document.scripts.length") == 0


MATH = "$\\frac{$"  # no formula that Matplotlib reads


def test_dollars_begin_no_formula(tmp_path):
    """In the names of two classes, in what tells runs apart, and in the names of scores."""
    weights = [{"plain": 1.0, MATH: weight} for weight in (1.0, 2.0)]
    runs = [small_run(names=["plain", MATH], class_weight=weight) for weight in weights]
    page = Page(fastlr.report(runs, tmp_path / "runs"))
    assert any(MATH in text for text in page.said("bdi"))

    def score(labels, probabilities):
        return 0.5

    score.__name__ = f"{MATH}\ud800"
    path = fastlr.path(pictures(40, 2), l2=[0.1, 1.0], folds=2, scoring=["accuracy", score], backend="numpy")
    assert fastlr.report(path, tmp_path / "path").is_file()


def test_two_strange_classes_are_text_in_the_title_and_in_sentences(tmp_path):
    names = ["<i>one</i>", "</title><script>1</script>"]
    runs = [small_run(names=names, class_weight={names[0]: 1.0, names[1]: weight}) for weight in (1.0, 2.0)]
    page = Page(fastlr.report(runs, tmp_path))
    assert_self_contained(page)
    assert [attributes for attributes in page.all("i") if attributes != {"aria-hidden": "true"}] == []
    assert all(name in page.said("title")[0] for name in names)
    assert any(names[1] in text and "The rest of the page is about the best run" in text for text in page.said("p"))


@pytest.mark.usefixtures("blank_figures")
def test_what_chose_the_best_is_said(tmp_path):
    train, test = pictures(60, 3), pictures(40, 3, seed=1)
    settings = {"learning_rates": [0.01, 0.001], "iterations": 20, "backend": "numpy"}

    def said(name, *runs):
        return " ".join(Page(fastlr.report(runs, tmp_path / name)).text.split())

    by_test = said("test", *fastlr.sweep(train, test=test, **settings))
    assert "of 40 samples, on which the best run was chosen" in by_test
    assert "that of the highest test accuracy: learning rate" in by_test
    assert "95 % interval" not in by_test.partition("All runs")[0]
    assert "accuracy on the folds" not in by_test
    by_folds = said("folds", *fastlr.sweep(train, folds=2, **settings))
    assert "that of the highest accuracy on the folds: learning rate" in by_folds
    assert "test accuracy" not in by_folds
    table = (np.arange(60)[:, None] % [2, 3] == 0).astype(int)
    of_table = fastlr.sweep(train.images, table, test=(train.images, table), **settings)
    of_labels = said("table", *of_table)
    assert of_labels.count("mean of 2 labels, on which the best run was chosen") == 1, "by the accuracy alone"
    good = fastlr.train(train, iterations=50, learning_rate=0.01, record_every=10, backend="numpy")
    poor = fastlr.train(train, test=test, iterations=1, learning_rate=1e-9, backend="numba")
    assert best_of([poor, good]) is good, "one test accuracy alone says nothing"
    mixed = said("mixed", replace(poor, seconds=1.0), replace(good, seconds=2.0))
    assert "that of the lowest last cost: " in mixed
    assert "3.00 s numba on cpu and numpy on cpu, both runs" in mixed
    some = fastlr.sweep(
        train, test=test, **settings | {"learning_rates": [0.01, 1e300], "record_every": 5, "l2": [1.0]}
    )
    assert "that of the highest test accuracy of those that did not diverge: " in said("some", *some)
    assert chosen_by([run for run in some if run.warning]) is None
    assert "the first, as all diverged: " in said("none", *[run for run in some if run.warning] * 2)


def test_a_legend_of_long_names_stays_within_the_figure():
    for count, name in ((2, "short"), (3, "a run that is told apart by thirty letters and"), (2, "x" * 200)):
        curves = [figures.Curve(f"{name} {i}", [0, 1], [1.0, 0.5]) for i in range(count)]
        figure = figures.learning_curve(curves).draw(LIGHT)
        figure.canvas.draw()
        box = figure.legends[0].get_window_extent()
        assert box.x0 >= 0
        assert box.x1 <= figure.bbox.width
        assert figure.axes[0].get_window_extent().height > 100


@pytest.mark.usefixtures("blank_figures")
def test_settings_without_effect_are_left_out(tmp_path):
    pages = {}
    for name, more in (("gd", {}), ("lbfgs", {"solver": "lbfgs", "l2": 0.1, "test_costs": False})):
        pages[name] = Page(fastlr.report(small_run(**more), tmp_path / name)).said("dt")
    for setting in ("learning rate", "optimizer", "record every"):
        assert setting in pages["gd"]
        assert setting not in pages["lbfgs"]
    assert "tol" in pages["lbfgs"]
    assert "tol" not in pages["gd"]
    several = [{"solver": "gd", "learning_rate": 0.1}, {"solver": "lbfgs", "learning_rate": 0.1, "tol": None}]
    assert run_labels(several) == ["solver gd", "solver lbfgs"]
    without = [{"solver": "newton", "learning_rate": rate, "seed": seed} for rate, seed in ((0.1, 0), (0.2, 1))]
    assert run_labels(without) == ["run 1", "run 2"]
    weighted = [{"class_weight": {"a": 1.0, "b": weight}} for weight in (1.0, 2.5)]
    assert run_labels(weighted) == ["class weight a 1, b 1", "class weight a 1, b 2.5"]


@pytest.mark.usefixtures("blank_figures")
def test_a_cost_out_of_hand_is_short(tmp_path):
    run = small_run()
    run = replace(run, costs=[0.7, 1.5e200], model=replace(run.model, costs=(0.7, 1.5e200), recorded_at=(0, 1)))
    text = Page(fastlr.report(replace(run, recorded_at=[0, 1], test_costs=None), tmp_path)).text
    assert "1.5e+200" in text
    assert "0" * 50 not in text
    assert plain_cost([2.0]) == "2.0000"


def test_strange_text_is_shown_as_text(tmp_path):
    run = small_run(len(STRANGE), names=STRANGE)
    source = "/data/<img src=x onerror=alert(1)>/\"שלום\" '😀'.npz"
    settings = dict(run.model.settings) | {"<b>key</b>": "</style><script>1</script>", "tab": "a\0b"}
    run = replace(
        run,
        model=replace(run.model, settings=settings),
        train_set=replace(run.train_set, source=source),
        warning="<i>warning</i>",
        device="<u>device</u>",
    )
    page = Page(fastlr.report(run, tmp_path))
    assert_self_contained(page)
    assert not {"b", "u"} & {tag for tag, _ in page.elements}
    shown = [name.replace("\udcff", "\N{REPLACEMENT CHARACTER}") for name in STRANGE]
    for text in (*shown, source, "</style><script>1</script>", "a\N{REPLACEMENT CHARACTER}b"):
        assert text in page.said("bdi"), "as text, and apart from the text around it"
    for text in ("<b>key</b>", "<i>warning</i>", "<u>device</u>"):
        assert text in page.text
    alts = [image["alt"] for image in page.all("img")]
    for name in shown:
        assert any(f"\N{FIRST STRONG ISOLATE}{name}\N{POP DIRECTIONAL ISOLATE}" in alt for alt in alts)


@pytest.mark.usefixtures("blank_figures")
def test_the_most_confident_mistake_comes_first(tmp_path):
    run = small_run(3)
    proba = run.model.predict_proba(run.test_set)
    wrong = proba.argmax(axis=1) != run.test_set.labels
    assert wrong.sum() > 3
    worst = int(np.where(wrong, proba.max(axis=1), 0).argmax())
    page = Page(fastlr.report(run, tmp_path))
    first = next(image for image in page.all("img") if "taken for" in image["alt"])
    assert first["alt"].startswith(f"Sample {worst} is ")
    assert f"{100 * proba[worst].max():.1f}\N{NO-BREAK SPACE}%" in first["alt"]
    with Image.open(io.BytesIO(base64.b64decode(first["src"].partition(",")[2]))) as shown:
        assert (np.asarray(shown) == run.test_set.images[worst]).all()


def test_mistakes_are_sorted_and_of_equals_the_first_is_first():
    data = from_arrays("drawn", np.zeros((5, 2, 2, 1), np.uint8), [0, 0, 1, 1, 0], ["a", "b"])
    proba = np.array([[0.4, 0.6], [0.1, 0.9], [0.9, 0.1], [0.2, 0.8], [0.5, 0.5]])
    found = Findings(data, "test", proba)
    assert [m.sample for m in found.mistakes(9)] == [1, 2, 0]
    assert [m.probability for m in found.mistakes(2)] == [0.9, 0.9]
    assert found.results.matrix.tolist() == [[1, 2], [1, 1]]


@pytest.mark.parametrize(("classes", "layers", "count"), [(2, (), 1), (3, (), 3), (3, (5, 4), 5)])
def test_a_weight_image_is_the_weights(tmp_path, classes, layers, count):
    run = small_run(classes, layers=layers, iterations=200)
    W = run.model.layers[0].W
    images = weight_images(run.model)
    assert images.shape == (count, 8, 8)
    np.testing.assert_allclose(images, W.reshape(count, 8, 8, 3).mean(axis=3), rtol=1e-12)
    fastlr.report(run, tmp_path)
    assert len(list(tmp_path.glob("weights-*.png"))) == count
    full = np.abs(images).max()
    for i, weights in enumerate(images, start=1):
        with Image.open(tmp_path / f"weights-{i:02d}.png") as image:
            pixels = np.asarray(image).astype(float)
        for end, side in ((FOR, weights >= 0), (AGAINST, weights <= 0)):
            channel = int(np.argmax(np.abs(np.subtract(end, WHITE))))
            reach = end[channel] - WHITE[channel]
            read = (pixels[..., channel] - WHITE[channel]) / reach * full
            np.testing.assert_allclose(read[side], np.abs(weights[side]), atol=0.5001 * full / abs(reach))


def test_all_weights_zero_are_white(tmp_path):
    model = small_run().model
    first = model.layers[0]
    blank = replace(model, layers=(Layer(np.zeros_like(first.W), first.b),))
    report_on_model(blank, pictures(10, 2), tmp_path)
    with Image.open(tmp_path / "weights-01.png") as image:
        assert (np.asarray(image) == 255).all()


def test_ten_thousand_pictures_stay_small_and_quick(tmp_path, monkeypatch):
    monkeypatch.undo()  # figures of all their pixels
    rng = np.random.default_rng(0)
    images, labels = rng.integers(0, 256, (10_200, 32, 32, 3), dtype=np.uint8), rng.integers(0, 10, 10_200)
    run = fastlr.train(images[:200], labels[:200], test=(images[200:], labels[200:]), iterations=5, backend="numpy")
    assert run.n_test == 10_000
    started = time.process_time()  # of this process alone: others may keep the processor busy
    page = fastlr.report(run, tmp_path)
    seconds = time.process_time() - started
    print(f"{page.stat().st_size / 1e6:.2f} MB, {seconds:.2f} s")
    assert page.stat().st_size < 5e6
    assert sum(file.stat().st_size for file in tmp_path.iterdir()) < 5e6
    assert seconds < 5


def test_large_pictures_are_reduced(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (30, 300, 200, 3), dtype=np.uint8)
    run = fastlr.train(images, np.arange(30) % 2, iterations=1, backend="numpy")
    page = Page(fastlr.report(run, tmp_path))
    sample = next(image for image in page.all("img") if image["alt"].startswith("Sample 0"))
    with Image.open(io.BytesIO(base64.b64decode(sample["src"].partition(",")[2]))) as shown:
        assert shown.size == (LONGEST * 2 // 3, LONGEST)


def test_all_runs_of_a_sweep_share_a_plot(tmp_path):
    train, test = pictures(60, 2), pictures(40, 2, seed=1)
    runs = fastlr.sweep(
        train, test=test, learning_rates=[0.01, 0.001], l2=[0.0, 0.5], iterations=30, record_every=10, backend="numpy"
    )
    page = Page(fastlr.report(runs, tmp_path))
    assert_self_contained(page)
    labels = run_labels([run.model.settings for run in runs])
    assert labels == [f"learning rate {rate}, l2 {l2}" for rate in ("0.01", "0.001") for l2 in ("0", "0.5")]
    assert all(label in page.said("bdi") for label in labels)
    curves = [figures.Curve(label, run.recorded_at, run.costs) for label, run in zip(labels, runs, strict=True)]
    chart = figures.learning_curve(curves)
    drawn = chart.draw(LIGHT)
    assert [text.get_text() for text in drawn.legends[0].get_texts()] == labels
    assert [line.get_ydata().tolist() for line in drawn.axes[0].lines] == [run.costs for run in runs]
    tested = figures.learning_curve([curve._replace(test_costs=[0.9, 0.8, 0.7]) for curve in curves])
    lines = tested.draw(LIGHT).axes[0].lines
    assert [list(line.get_ydata()) for line in lines[1::2]] == [[0.9, 0.8, 0.7]] * 4
    assert list(chart.rows[1]) == ["10", *(f"{run.costs[1]:.6g}" for run in runs)]
    best = best_of(runs)
    assert f": {labels[runs.index(best)]}." in page.text


def test_runs_that_differ_in_nothing_are_numbered():
    assert run_labels([{"seed": 0}, {"seed": 0}]) == ["run 1", "run 2"]
    assert run_labels([{"seed": 0}, {"seed": 1}, {"seed": 1}]) == ["run 1: seed 0", "run 2: seed 1", "run 3: seed 1"]


def test_the_learning_curve_shows_both_costs():
    run = small_run()
    assert len(run.test_costs) == 3
    axes = run.plot().axes[0]
    assert [line.get_ydata().tolist() for line in axes.lines] == [run.costs, run.test_costs]
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["training", "test"]


def test_a_long_curve_has_a_table_of_some_of_it():
    curve = figures.Curve("training", range(0, 100_000, 10), np.linspace(1, 0.1, 10_000).tolist())
    rows = figures.learning_curve([curve]).rows
    assert len(rows) == figures.MOST_ROWS
    assert (rows[0][0], rows[-1][0]) == ("0", "99,990")


def test_costs_far_apart_get_a_logarithmic_axis():
    for costs, scale in (([1.0, 0.5], "linear"), ([1e4, 0.5], "log"), ([1.0, 0.0], "linear")):
        chart = figures.learning_curve([figures.Curve("training", [0, 1], costs)])
        assert chart.draw(LIGHT).axes[0].get_yscale() == scale


def test_calibration_counts_what_came_true():
    data = from_arrays("drawn", np.zeros((5, 3)), [0, 1, 1, 0, 1], ["a", "b"])
    second = np.array([0.05, 0.95, 0.91, 0.93, 1.0])
    bins = Findings(data, "test", np.stack([1 - second, second], axis=1)).calibration()
    assert [(b.low, b.size, b.share) for b in bins] == [(0.0, 1, 0.0), (0.9, 4, 0.75)]
    np.testing.assert_allclose([b.mean for b in bins], [0.05, 0.9475])
    np.testing.assert_allclose(calibration_error(bins), (0.05 + 4 * 0.1975) / 5)


def test_calibration_of_many_classes_is_that_of_the_label():
    data = from_arrays("drawn", np.zeros((2, 3)), [0, 1], ["a", "b", "c"])
    bins = Findings(data, "test", np.array([[0.5, 0.3, 0.2], [0.55, 0.25, 0.2]])).calibration()
    assert [(b.low, b.size, b.share) for b in bins] == [(0.5, 2, 0.5)]


def test_interval_is_wilsons():
    # 8 of 10: R. G. Newcombe, Two-sided confidence intervals for the single proportion, 1998, method 3.
    np.testing.assert_allclose(Bin(0.8, 0.9, 10, 0.85, 0.8).interval, (0.4902, 0.9433), atol=1e-4)


def test_samples_come_from_every_class():
    data = from_arrays("drawn", np.zeros((6, 3)), [0, 0, 0, 0, 1, 2], ["a", "b", "c"])
    assert spread_over_classes(data, 5) == [0, 4, 5, 1, 2]


def test_names_that_a_figure_cannot_draw_are_numbered():
    drawn = [drawable(name, i) for i, name in enumerate((*STRANGE, "", " ", "bike", "x" * 99), start=1)]
    assert drawn[3:6] == ["class 4", "class 5", "class 6"]
    assert drawn[7:] == ["class 8", "class 9", "bike", "x" * 15 + "…"]


def test_features_have_a_report_without_pictures(tmp_path):
    rng = np.random.default_rng(0)
    run = fastlr.train(rng.normal(size=(50, 4)), rng.integers(0, 2, 50), iterations=20, backend="numpy")
    page = Page(fastlr.report(run, tmp_path / "new" / "folder"))
    assert_self_contained(page)
    assert "Most confident mistakes" in page.said("h2")
    assert not {"Samples", "What the model looks for"} & set(page.said("h2"))
    with pytest.raises(InputError, match="trained on features"):
        run.model.show_weights()


@pytest.mark.parametrize("channels", [1, 2, 3, 4, 7])
def test_pictures_of_any_number_of_channels(tmp_path, channels):
    images = np.random.default_rng(0).integers(0, 256, (20, 6, 5, channels), dtype=np.uint8)
    run = fastlr.train(images, np.arange(20) % 2, iterations=2, backend="numpy")
    page = Page(fastlr.report(run, tmp_path))
    assert "Samples" in page.said("h2")
    assert weight_images(run.model).shape == (1, 6, 5)


def test_arrays_of_every_library(backend, tmp_path):
    images, labels = draw_images(20)
    with backend.scope():
        run = fastlr.train(backend.asarray(images), labels, iterations=5, backend=backend.name)
    page = Page(fastlr.report(run, tmp_path))
    assert_self_contained(page)
    assert "Samples" in page.said("h2")


def test_many_classes(tmp_path):
    run = small_run(30, names=[f"class no. {i}" for i in range(30)])
    page = Page(fastlr.report(run, tmp_path))
    assert "30 classes" in page.said("h1")
    assert len(list(tmp_path.glob("weights-*.png"))) == 24
    assert "(the first 24 of 30)" in page.text
    assert "was taken for" in page.said("bdi")


def test_a_run_that_recorded_nothing_and_one_without_its_data(tmp_path):
    run = replace(small_run(), costs=[], recorded_at=[], test_costs=None, warning="diverged: it was so")
    run = replace(run, model=replace(run.model, costs=(), recorded_at=()))
    page = Page(fastlr.report(run, tmp_path))
    assert "Learning curve" not in page.said("h2")
    assert "diverged: it was so" in page.text
    page = Page(fastlr.report(replace(small_run(), train_set=None, test_set=None), tmp_path))
    assert page.said("h2") == ["Learning curve", "What the model looks for", "Settings"]


@pytest.mark.usefixtures("blank_figures")
@pytest.mark.parametrize(
    ("steps", "data", "words"),
    [
        (1234567.0, 9.87e9, ["steps a second", "1,234,567", "training data a second", "9,870 MB"]),
        (12.34, 4.5e3, ["steps a second", "12.3", "training data a second", "0.0045 MB"]),
        (12.34, None, ["steps a second", "12.3"]),
        (None, None, []),
    ],
)
def test_how_fast_the_steps_were(tmp_path, steps, data, words):
    page = Page(fastlr.report(replace(small_run(), steps_per_second=steps, bytes_per_second=data), tmp_path))
    for of_all in ("steps a second", "training data a second", *words):
        assert (of_all in page.text) == (of_all in words)


def test_an_earlier_report_leaves_nothing_behind(tmp_path):
    (tmp_path / "weights-07.png").write_bytes(b"somebody's")
    fastlr.report(small_run(5), tmp_path)
    assert (tmp_path / "weights-07.png").read_bytes() == b"somebody's", "no report was here before"
    (tmp_path / "weights.png").write_bytes(b"somebody's")
    fastlr.report(small_run(3), tmp_path)
    assert sorted(file.name for file in tmp_path.glob("weights*")) == [
        "weights-01.png", "weights-02.png", "weights-03.png", "weights.png",
    ]  # fmt: skip


def test_notebooks(tmp_path):
    run = small_run(3)
    shown = run._repr_html_()
    (tmp_path / "run.html").write_text(shown, encoding="utf-8")
    page = Page(tmp_path / "run.html")
    assert_self_contained(page)
    assert f"training accuracy {run.train_accuracy:.1f}" in page.text
    figure = run.model.show_weights()
    assert len(figure.axes) == 3
    assert figure.texts[0].get_text().startswith("0, ±")


def test_no_global_state_of_matplotlib_is_touched(tmp_path):
    code = (
        "import sys, numpy, fastlr\n"
        "run = fastlr.train(numpy.zeros((4, 2, 2, 3), 'uint8'), [0, 1, 0, 1], iterations=3, backend='numpy')\n"
        "assert 'matplotlib' not in sys.modules\n"
        f"fastlr.report(run, {str(tmp_path)!r}); run.plot()\n"
        "assert 'matplotlib' in sys.modules and 'matplotlib.pyplot' not in sys.modules"
    )
    assert subprocess.run([sys.executable, "-W", "error", "-c", code]).returncode == 0


def test_where_no_report_can_be(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="is a file; report takes the name of a folder"):
        fastlr.report(small_run(), tmp_path / "file")
    with pytest.raises(InputError, match="there are no runs"):
        fastlr.report([], tmp_path / "none")
    assert not (tmp_path / "none").exists()


@pytest.fixture
def folder(tmp_path) -> Path:
    images, labels = draw_images(30)
    write_folder(tmp_path / "data" / "train", images[:20], labels[:20])
    write_folder(tmp_path / "data" / "test", images[20:], labels[20:])
    return tmp_path / "data"


def test_train_and_evaluate_write_reports(fastlr_command, folder, tmp_path):
    model, out = tmp_path / "m.safetensors", tmp_path / "a" / "b"
    outcome = fastlr_command(
        "train", folder, "--size", 8, "--iterations", 20, "--record-every", 5, "--model", model, "--report", out,
        "--json",
    )  # fmt: skip
    assert outcome.status == 0
    assert outcome.json["report"] == str(out / "report.html")
    assert len(outcome.json["test_costs"]) == 4
    trained = Page(out / "report.html")
    assert "test cost" in trained.said("bdi")
    outcome = fastlr_command("evaluate", model, folder, "--report", tmp_path / "c")
    assert outcome.status == 0
    assert f"report: {tmp_path / 'c' / 'report.html'}" in outcome.out
    evaluated = Page(tmp_path / "c" / "report.html")
    assert_self_contained(evaluated)
    assert "Learning curve" in evaluated.said("h2"), "the model holds its costs"
    assert "test cost" not in evaluated.said("bdi")
    assert "of 10 samples" in evaluated.text


def test_without_a_report_no_test_costs_are_computed(fastlr_command, folder):
    outcome = fastlr_command("train", folder, "--size", 8, "--iterations", 2, "--json")
    assert outcome.json["test_costs"] is None
    assert outcome.json["report"] is None


def test_a_report_that_cannot_be_is_refused_before_training(refused, folder, tmp_path, monkeypatch):
    monkeypatch.setattr("fastlr.cli.train.run_training", lambda *_, **__: pytest.fail("it trains"))
    (tmp_path / "file").touch()
    refused("train", folder, "--report", tmp_path / "file", says=("is a file; --report takes the name of a folder",))
    refused("train", folder, "--report", tmp_path / "file" / "x", says=("cannot be made", "--report"))
    refused("evaluate", tmp_path / "none.safetensors", folder, "--report", tmp_path / "file", says=("--report",))


@pytest.mark.usefixtures("blank_figures")
def test_files_are_named_under_pictures(tmp_path):
    """Of the samples and of the mistakes, after a holdout too, and whatever the files are called."""
    images, labels = draw_images(40, 8)
    write_folder(tmp_path / "photos", images, 1 - labels, names=("dark", "light"))  # half of them are mistakes later
    odd = tmp_path / "photos" / "dark" / "<b>\u202eodd.png"
    next((tmp_path / "photos" / "dark").iterdir()).rename(odd)
    train, test = open_dataset(tmp_path / "photos").holdout(20, seed=0)
    assert set(train.files).isdisjoint(test.files)
    for data in (train, test):
        for i, file in enumerate(data.files):
            kept = open_dataset(tmp_path / "photos").files.index(file)
            np.testing.assert_array_equal(data.images[i], open_dataset(tmp_path / "photos").images[kept])
    run = fastlr.train(train, iterations=1, test=test)
    page = fastlr.report(run, tmp_path / "report").read_text()
    shown = re.findall(r"<small><bdi>([^<]*)</bdi></small>", page)
    assert len(shown) >= 12
    assert set(shown) <= {html.escape(file) for file in (*train.files, *test.files)}
    assert "<b>" not in page
    assert "95 % interval" in page
