"""The numbers in docstrings of models and evaluation are right."""

import doctest

import pytest

from theradose.evaluation import metrics
from theradose.models import conformal


@pytest.mark.parametrize("module", [conformal, metrics])
def test_examples_in_docstrings(module):
    found = doctest.testmod(module, extraglobs={"np": __import__("numpy")})
    assert found.attempted > 0
    assert found.failed == 0
