from dataclasses import replace

import numpy as np
import pytest

from fastlr import InputError
from fastlr.data import Dataset, from_arrays
from fastlr.data.checks import class_names
from fastlr.data.given import with_channels

pytestmark = pytest.mark.quick


@pytest.fixture
def pets() -> Dataset:
    images = np.arange(7, dtype=np.uint8).reshape(7, 1, 1, 1)
    return from_arrays("pets", images, [0, 1, 2, 2, 0, 1, 0], ["ant", "bee", "cat"])


def order(data: Dataset) -> list[int]:
    return data.images.reshape(-1).tolist()


def test_positive_makes_two_classes(pets):
    one = pets.with_positive(["cat"])
    assert one.classes == ("not cat", "cat")
    assert one.labels.tolist() == [0, 0, 1, 1, 0, 0, 0]
    two = pets.with_positive(["bee", "cat"])
    assert two.classes == ("ant", "bee,cat")
    assert two.labels.tolist() == [0, 1, 1, 1, 0, 1, 0]
    assert dict(two.class_of) == {"ant": 0, "bee": 1, "cat": 1}


def test_balance_keeps_ones_then_the_first_zeros(pets):
    data = pets.with_positive(["cat"]).balanced()
    assert order(data) == [2, 3, 0, 1]
    assert data.labels.tolist() == [1, 1, 0, 0]


def test_balance_with_fewer_zeros_keeps_all(pets):
    data = pets.with_positive(["ant", "bee"]).balanced()
    assert order(data) == [0, 1, 4, 5, 6, 2, 3]


def test_holdout_is_the_permutation_of_random_state(pets):
    train, test = pets.holdout(2, seed=3)
    expected = np.random.RandomState(3).permutation(7).tolist()
    assert order(train) == expected[:5]
    assert order(test) == expected[5:]
    assert order(pets.holdout(2)[1]) == np.random.RandomState(0).permutation(7).tolist()[5:]


def test_aligned_matches_names_not_positions(pets):
    other = from_arrays("other", np.zeros((3, 2), np.uint8), [0, 1, 1], ["cat", "ant"])
    assert other.aligned(pets.classes, pets.class_of).labels.tolist() == [2, 0, 0]
    two = pets.with_positive(["bee", "cat"])
    assert other.aligned(two.classes, two.class_of).labels.tolist() == [1, 0, 0]
    unused = from_arrays("unused", np.zeros((2, 2), np.uint8), [1, 1], ["dog", "ant"])
    assert unused.aligned(pets.classes, pets.class_of).labels.tolist() == [0, 0], "a name without samples is no fault"


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda d: d.with_positive(["dog"]), "positive: pets has no class 'dog'; it has ant, bee, cat"),
        (lambda d: d.balanced(), "balance: pets has 3 classes; name the ones with positive"),
        (lambda d: d.holdout(7, 0), "holdout: 7 of 7 samples; a whole number from 1 to 6 is needed"),
        (lambda d: d.holdout(0, 0), "holdout: 0 of 7"),
        (lambda d: d.aligned(("ant", "dog"), {}), "pets: holds class 'bee', unknown to the training data"),
        (
            lambda d: from_arrays("x", np.eye(2), [0, 5], ["a", "b"]),
            "x: labels run from 0 to 5, but there are names for 0",
        ),
        (lambda d: from_arrays("x", np.eye(2), [-1, 0], ["a", "b"]), "x: labels run from -1 to 0"),
        (lambda d: from_arrays("x", np.eye(2), [0.5, 1], ["a", "b"]), "x: labels are float64, but the class names"),
        (lambda d: d.with_positive("dog"), "positive: pets has no class 'dog'"),
        (lambda d: d.with_positive(None), "positive: pets has no class 'None'"),
        (lambda d: d.with_positive([]), "positive: no class is named; pets has ant, bee, cat"),
        (lambda d: d.holdout(True), "holdout: True of 7 samples; a whole number from 1 to 6 is needed"),
        (lambda d: d.holdout("2"), "holdout: '2' of 7"),
    ],
)
def test_what_cannot_be_done_is_said(pets, call, words):
    with pytest.raises(InputError) as error:
        call(pets)
    assert words in str(error.value)


def test_positive_classes_may_be_text_a_list_or_a_number(pets):
    assert pets.with_positive("ant,cat") == pets.with_positive(["ant", "cat"])
    numbers = Dataset(np.eye(3), np.array([0, 1, 2]), (0, 1, 5))
    assert numbers.with_positive([5]) == numbers.with_positive(5) == numbers.with_positive("5")
    assert numbers.with_positive(5).labels.tolist() == [0, 0, 1]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"images": [[1.0], [2.0]]}, "data: its samples are a list; an array is needed"),
        ({"images": None}, "data: its samples are a NoneType; an array"),
        ({"images": np.ones((2, 1)) * 1j}, "data: samples are complex128; uint8 pixels or real numbers are needed"),
        ({"images": np.ones((3, 1))}, "data: 3 samples and 2 labels; each sample needs one"),
        ({"labels": ["a", "b"]}, "data: its labels are a list"),
        ({"labels": np.array([0.0, 1.5])}, "data: labels are float64 of shape (2,); indices (m,) into the classes"),
        ({"labels": np.eye(2, 3, dtype=int)}, "data: labels are int64 of shape (2, 3); indices (m,)"),
        ({"labels": np.array([0, 2])}, "data: labels run from 0 to 2, but there are names for 0 to 1"),
        ({"classes": 3}, "data: the names of its classes are '3'; a list of them is needed"),
        ({"classes": "ab"}, "data: the names of its classes are 'ab'"),
        ({"classes": ("a", None)}, "data: None is no name of a class; text or a number is needed"),
        ({"classes": (0, np.nan)}, "data: nan is no name of a class"),
        ({"classes": (0, [1])}, "data: [1] is no name of a class"),
        ({"classes": ("a", "a")}, "data: two classes have the same name"),
        ({"known": np.ones((2, 3), bool)}, "data: known goes with a table of labels; leave it out"),
        ({"files": ("a.png",)}, "data: 1 name of files for 2 samples; each needs one"),
        ({"files": 5}, "data: files: 5; a tuple of the names of files is needed"),
        ({"files": "ab"}, "data: files: 'ab'; a tuple of the names of files is needed"),
        ({"images": np.array([[1.0], [np.nan]])}, "data: sample 1 holds nan at feature 0; finite numbers are needed"),
        ({"images": np.ma.masked_array(np.ones((2, 1)), [[0], [1]])}, "data: samples: 1 values are masked"),
        ({"images": np.ones((2, 0))}, "data: samples have shape (2, 0)"),
        ({"images": np.array(1.0)}, "data: samples have shape ()"),
        ({"labels": np.array(1)}, "data: labels are int64 of shape ()"),
        ({"labels": np.array([[0, 1], [2, 0]])}, "data: labels: row 1 holds 2 in column 0"),
        ({"labels": np.eye(2, dtype=int), "known": np.full((2, 2), 2)}, "data: known: int64 of shape (2, 2); True or"),
        ({"labels": np.eye(2, dtype=int), "known": [[1, 1], [0, 1]]}, "data: known: [[1, 1], [0, 1]]; True or False"),
        ({"classes": {"a", "b"}}, "a list of them is needed"),
        ({"classes": ("1", 1)}, "data: two classes have the same name; it has 1, 1"),
        ({"classes": ()}, "data: has no names of classes; give one for each"),
        ({"class_of": [1]}, "data: class_of: [1]; a dict of names and indices is needed"),
        ({"resample": "foo"}, "data: resample: 'foo'; None or one of Pillow's filters is needed"),
        ({"weights": np.ones(2) * 1j}, "data: sample_weight: a complex number is no weight"),
        ({"weights": np.ma.masked_array(np.ones(2), [0, 1])}, "data: sample_weight: 1 values are masked"),
        ({"weights": np.ones(3)}, "data: sample_weight: it has shape (3,)"),
    ],
)
def test_a_dataset_of_ones_own_is_checked(change, words):
    parts = {"images": np.array([[1.0], [2.0]]), "labels": np.array([0, 1]), "classes": (0, 1)}
    assert Dataset(**parts).classes == Dataset(**parts | {"classes": np.array([0, 1])}).classes == (0, 1)
    with pytest.raises(InputError) as error:
        Dataset(**parts | change)
    assert words in str(error.value)


def test_labels_of_truth_values_are_indices_and_unknown_ones_do_not_matter():
    two = Dataset(np.eye(3), np.array([True, True, False]), ("no", "yes"))
    assert two.labels.tolist() == [1, 1, 0]
    assert two.with_positive("yes").labels.tolist() == [1, 1, 0]
    table, known = np.array([[0, -1], [1, 1]]), np.array([[1, 0], [1, 1]])
    some = Dataset(np.eye(2), table, ("a", "b"), known=known)
    assert some.labels.tolist() == [[0, 0], [1, 1]]
    assert some.known.dtype == bool


def test_what_a_dataset_says_of_itself_and_where_its_classes_come_from(pets):
    assert repr(pets) == "Dataset(7 samples of 1 feature, 3 classes, 'pets')"
    assert repr(Dataset(np.eye(2), np.eye(2, dtype=int), ("a", "b"))) == (
        "Dataset(2 samples of 2 features, 2 labels, 'data')"
    )
    assert pets.class_of == {"ant": 0, "bee": 1, "cat": 2}
    two = pets.with_positive("bee")
    assert replace(two, source="again").class_of == two.class_of == {"ant": 0, "bee": 1, "cat": 0}
    assert pets.name_of(3) == "3"
    assert replace(pets, files=tuple("abcdefg")).take([3, 5]).name_of(1) == "f"


def test_positive_classes_of_a_set_keep_the_order_of_the_classes(pets):
    assert pets.with_positive({"cat", "ant"}) == pets.with_positive("ant, cat") == pets.with_positive("ant,cat,ant")


def test_parts_of_a_dataset_are_not_checked_again(monkeypatch):
    """With 100,000 classes that took ten times as long as to take the samples."""
    data = Dataset(np.eye(4), np.array([0, 1, 2, 0]), ("a", "b", "c"))
    monkeypatch.setattr(Dataset, "__post_init__", lambda self: pytest.fail("it is checked"))
    assert data.take([0, 3]).labels.tolist() == [0, 0]
    assert len(data.holdout(1)[0]) == 3
    assert data.with_positive("a").labels.tolist() == [1, 0, 0, 1]
    assert data.aligned(("c", "b", "a"), {}).labels.tolist() == [2, 1, 0, 2]


def test_grey_pictures_get_a_channel_and_other_pictures_are_features():
    assert from_arrays("x", np.zeros((2, 4, 5), np.uint8), [0, 1]).images.shape == (2, 4, 5, 1)
    assert from_arrays("x", np.zeros((2, 4, 5, 3)), [0, 1]).images.shape == (2, 60)
    assert from_arrays("x", np.zeros((2, 6), np.uint8), [0, 1]).n_features == 6


def test_data_sets_are_equal_by_what_they_hold(pets):
    assert pets == pets.take(np.arange(7))
    assert pets != pets.take(np.arange(7)[::-1])
    assert pets != "pets"


def test_a_few_numbers_with_fractions_are_classes_more_are_measurements():
    assert len(from_arrays("x", np.eye(4), np.arange(4) + 0.5).classes) == 4
    with pytest.raises(InputError, match="5 different numbers with fractions for 5 samples, as measurements do"):
        from_arrays("x", np.eye(5), np.arange(5) + 0.5)


def test_the_largest_label_and_the_most_names():
    assert from_arrays("x", np.eye(2), np.array([1, 2**63 - 1], np.uint64)).classes == (1, 2**63 - 1)
    names = [f"n{i}" for i in range(100_000)]
    assert class_names("x", np.array(names)) == class_names("x", names) == names


@pytest.mark.parametrize(
    ("given", "wanted", "expected"),
    [
        ([1, 2, 3, 9], 3, [1, 2, 3]),
        ([5, 9], 1, [5]),
        ([5], 3, [5, 5, 5]),
        ([5, 9], 3, [5, 5, 5]),
        ([1, 2, 3], 1, [1, 2, 3]),
    ],
)
def test_alpha_is_dropped_and_grey_becomes_rgb(given, wanted, expected):
    assert with_channels(np.array([[[given]]], np.uint8), wanted).tolist() == [[[expected]]]
