from theradose.evaluation.card import by_part, card_file, chosen_columns, facts, limits_of, model_card
from theradose.evaluation.report_tables import DASH
from theradose.provenance import sha256_file


def test_card_names_purpose_limits_hashes_and_split(study):
    experiment = study.experiments[0]
    card = model_card(study, experiment, "hybrid")
    weights = experiment.folder / "hybrid" / "model" / "weights.safetensors"
    assert card["hashes"]["weights.safetensors"] == sha256_file(weights)
    assert card["role"] == "model"
    assert model_card(study, experiment, "pet_scaled")["role"] == "baseline"
    assert "kidneys" in card["purpose"]
    assert "{" not in card["purpose"]
    assert sum(card["split"].values()) == 7
    assert any(line.startswith("Not for clinical use") for line in card["not_for"])
    assert card["scores"][0][0] == "test patients, against the truth"


def test_card_of_virtual_patients_says_so_and_one_of_real_patients_does_not(study, real_patient):
    assert "virtual" in limits_of(study, 8)[0]
    assert not any("virtual" in line for line in limits_of(real_patient, 1))


def test_card_page_stands_alone(study, page):
    assert page
    card = model_card(study, study.experiments[0], "mlp")
    assert card_file(card) == "organ_dose-mlp.html"
    text = (study.root / "report" / "cards" / card_file(card)).read_text(encoding="utf-8")
    for wanted in ("Research use only", "VIRTUAL", "Not for clinical use", "Intended use", "Limits", "alpha", "0.370"):
        assert wanted in text
    assert "http" not in text.replace('http-equiv="Content-Security-Policy"', "")


def test_facts_flatten_a_record():
    sheet = facts({"kidneys": {"ranges": {"suv": [1.234, 30.5]}, "patients": 8}, "columns": ["a", "b"]})
    assert [[cell.text for cell in row] for row in sheet.rows] == [
        ["kidneys.ranges.suv", "1.23 to 30.5"],
        ["kidneys.patients", "8"],
        ["columns", "a, b"],
    ]
    assert facts({}) is None


def test_facts_on_several_organs_stand_side_by_side():
    sheet = by_part(
        {"liver": {"patients": 8}, "kidneys": {"patients": 7, "ranges": {"suv": [1.0, 2.0]}}}, "Training data"
    )
    assert [head.name for head in sheet.heads] == ["Part", "patients", "suv"]
    assert [cell.text for cell in sheet.rows[0]] == ["kidneys", "7", "1.00 to 2.00"]
    assert sheet.rows[1][2].text == "\N{EN DASH}"
    assert by_part({"a": {}, "b": {}}, "x") is None


def test_chosen_covariates_are_listed_by_part():
    parts = {name: {"state": {"columns": columns}} for name, columns in {"liver": [], "kidneys": ["a", "b"]}.items()}
    sheet = chosen_columns(parts)
    assert [[cell.text for cell in row] for row in sheet.rows] == [["kidneys", "a, b"], ["liver", DASH]]
    assert chosen_columns({"kidneys": {"state": {"parameters": {}}}}) is None
