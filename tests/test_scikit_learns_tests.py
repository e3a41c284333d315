"""scikit-learn's own tests of LogisticRegression and LogisticRegressionCV, of the version that is installed, on ours.

What is left out is named below with its reason, and is run all the same: where such a test passes, this fails.
"""

import importlib.util
import re
from pathlib import Path
from types import ModuleType
from unittest import mock

import pytest
import sklearn.linear_model
from sklearn.linear_model.tests import __path__ as FOLDER
from sklearn.utils import _array_api
from sklearn.utils.fixes import parse_version

import fastlr

LEFT_OUT = {
    r"\[.*(csr|coo)_(matrix|array)": "sparse input",
    r"elastic_net|test_elasticnet|elasticnet_attribute|layout_elasticnet": "elastic net",
    r"logreg_l1|l1_ratio_non|penalty_l1ratio|cv_refit\[1|no_refit\[.*l1_ratios1": "l1",
    r"test_check_solver_option": "its last part is about elastic net",
    r"test_liblinear_not_stuck|test_sample_and_class_weight_equivalence_liblinear": "l1",
    r"test_logisticregression_liblinear_sample_weight\[params0\]": "l1",
    r"test_penalty_deprecated|l1_ratio_None_deprecated|warns_with|scoring_warns": "announces a change of theirs",
    r"test_max_iter": "a message of each of their solvers, and how many iterations it takes",
    r"test_newton_cholesky_fallback_to_lbfgs": "how many iterations their solver takes",
    r"test_liblinear_with_large_values": "a limit of liblinear, which is not there",
    r"test_liblinear_dual_random_state": "liblinear draws at random; here nothing is drawn",
    r"test_logistic_cv_multinomial_score": "calls their private function with our parameters",
    r"test_logreg_predict_proba_multinomial": "calls a private method",
    r"test_logistic_regression_callback_support\[0\]": "counts a task for an iteration that is not made",
    r"test_logistic_regression_callback_support_warning": "they follow lbfgs alone, ours follow every solver",
}

VERSION = parse_version(sklearn.__version__)
if parse_version("1.8") > VERSION:
    pytest.skip("scikit-learn's tests before 1.8 use multi_class, which fastlr does not have", allow_module_level=True)
if parse_version("1.9") > VERSION:
    LEFT_OUT["scores_differ_when_sample_weight"] = "before 1.9 weights that a scorer did not ask for were ignored"


def _with_our_estimators() -> ModuleType:
    """Return scikit-learn's module of tests, made anew with our estimators in place of its own."""
    spec = importlib.util.spec_from_file_location("scikit_learns_tests", Path(FOLDER[0]) / "test_logistic.py")
    made = importlib.util.module_from_spec(spec)
    ours = {name: getattr(fastlr, name) for name in ("LogisticRegression", "LogisticRegressionCV")}
    # pytest 9 warns of parameters that are iterators.
    combinations = list(_array_api.yield_namespace_device_dtype_combinations())
    listed = mock.patch.object(_array_api, "yield_namespace_device_dtype_combinations", return_value=combinations)
    with mock.patch.multiple(sklearn.linear_model, **ours), listed:
        spec.loader.exec_module(made)
    return made


_THEIRS = _with_our_estimators()
pytestmark = [pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"), _THEIRS.pytestmark]
globals().update({name: value for name, value in vars(_THEIRS).items() if name.startswith("test_")})


@pytest.fixture
def global_random_seed() -> int:
    """Return scikit-learn's default."""
    return 42


@pytest.fixture(autouse=True)
def _left_out(request: pytest.FixtureRequest) -> None:
    reasons = [reason for pattern, reason in LEFT_OUT.items() if re.search(pattern, request.node.name)]
    if reasons:
        request.applymarker(pytest.mark.xfail(reason=reasons[0], strict=True))
