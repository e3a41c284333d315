"""Every backend × dtype × form follows the textbook, step by step, on every problem.

    pytest bench/test_trajectory.py

On a mismatch the error names the first bad step.
"""

from conftest import checked_job

from fastlr.benchmark.check import TOLERANCE


def test_trajectory(combination):
    job = checked_job(*combination)
    assert job.difference <= TOLERANCE[combination[2]]
