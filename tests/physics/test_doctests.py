"""The numbers in the docstrings of the physics are right."""

import doctest
import importlib
import pkgutil

import pytest

import theradose.physics

MODULES = [f"theradose.physics.{module.name}" for module in pkgutil.iter_modules(theradose.physics.__path__)]


@pytest.mark.parametrize("name", MODULES)
def test_docstring_examples(name: str) -> None:
    result = doctest.testmod(importlib.import_module(name))
    assert result.failed == 0
    assert result.attempted > 0 or name.endswith("kinetic_fit")
