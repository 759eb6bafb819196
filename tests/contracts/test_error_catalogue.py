"""docs/errors.md is the catalogue of codes: each that the source raises stands in it once, with its severity."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
ROW = re.compile(r"^\| (THR-\d{3}) \| (\w+) \| (.+) \| (.+) \|$", re.MULTILINE)
CODE = re.compile(r"THR-\d{3}")
TABLE = ROW.findall((ROOT / "docs" / "errors.md").read_text(encoding="utf-8"))
FILES = sorted((ROOT / "src" / "theradose").rglob("*.py"))
HELPERS = {"error": "ERROR", "warn": "WARN", "note": "NOTE"}


def codes_of(text):
    """Return the codes that stand alone as a text, or begin one, in a source."""
    texts = [node.value for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Constant)]
    return {value[:7] for value in texts if isinstance(value, str) and CODE.match(value)}


def worded_as(text):
    """Return {code: severities} of the faults that a check yields with `case.error`, `case.warn` and `case.note`."""
    found = {}
    for node in ast.walk(ast.parse(text)):
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and node.func.attr in HELPERS
            and node.args
        ):
            first = node.args[0]
            if isinstance(first, ast.Constant) and CODE.fullmatch(str(first.value)):
                found.setdefault(first.value, set()).add(HELPERS[node.func.attr])
    return found


def test_every_code_of_the_source_stands_in_the_catalogue_once():
    listed = [code for code, *_ in TABLE]
    raised = set().union(*(codes_of(path.read_text(encoding="utf-8")) for path in FILES))
    assert sorted(raised - set(listed)) == [], "add these to docs/errors.md"
    assert sorted(set(listed) - raised) == [], "nothing raises these"
    assert listed == sorted(set(listed))


def test_severities_are_those_of_the_checks():
    stated = {code: severity for code, severity, *_ in TABLE}
    assert set(stated.values()) == {"ERROR", "WARN", "NOTE", "STOP"}
    for path in FILES:
        for code, severities in worded_as(path.read_text(encoding="utf-8")).items():
            assert severities == {stated[code]}, f"{path.name}: {code}"


@pytest.mark.parametrize("row", TABLE, ids=lambda row: row[0])
def test_a_row_says_what_it_means_and_what_to_do(row):
    assert min(len(row[2]), len(row[3])) >= 6


def test_the_tests_of_this_file_can_fail():
    source = 'case.warn("THR-999", "x")\nDataError("x", code="THR-998")\nf"THR-997 {x}"\n'
    assert codes_of(source) == {"THR-997", "THR-998", "THR-999"}
    assert worded_as(source) == {"THR-999": {"WARN"}}
