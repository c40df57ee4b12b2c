"""Routing rules: what is wrong is told with its line, and the first match wins."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from node.case import Case, FrameReference
from node.errors import ConfigurationError
from node.jobs.edge import Routing, RoutingFacts
from node.jobs.priority import PRIORITIES, rank
from node.jobs.routing import header_facts, routed, with_results
from node.jobs.stages import Wish
from node.route.decide import decide, explain
from node.route.load import Rulebook, load_rules
from tests.factories import a_seg, a_segment, an_image

RULES = """
[[rule]]
name = "phantoms"
when.sender = ["PHANTOM*", "QA"]
then.skip = "a phantom"

[[rule]]
name = "leg clinic"
when.body_part = "leg"
when.age_years = { min = 18 }
then.bundle = "simulated"
then.priority = "stat"
then.destinations = ["pacs"]

[[rule]]
name = "large"
when.lesion_size_mm = { min = 50 }
then.companions = ["pdf"]
then.destinations = ["pacs", "mdt"]

[[rule]]
name = "the rest"
then.priority = "low"
then.destinations = []
"""


def a_rulebook(folder: Path, text: str = RULES) -> Rulebook:
    path = folder / "rules.toml"
    path.write_text(text)
    return load_rules(path, ["pacs", "mdt"])


def facts(sender: str = "US1", **image: str) -> RoutingFacts:
    header = an_image("1.2.3.1", **image)
    seg = a_seg(a_segment(1, "1.2.3.1"))
    case = Case("1.2.3.9#1", "1.2.3.9", 1, "Lesion 1", "", "", (FrameReference("1.2.3.1"),))
    return header_facts(seg, [case], {"1.2.3.1": header}, [f"{sender}@10.0.0.1"])


def results(probability: float | None = 0.7, diameter: float | None = 40.0) -> dict[str, object]:
    return {
        "status": "refused" if probability is None else "assessed",
        "probability": probability,
        "class": None if probability is None else "malignant",
        "refusal": {"code": "video", "text": ""} if probability is None else None,
        "semantic": {} if diameter is None else {"maximum_diameter": {"value": diameter}},
    }


@pytest.mark.parametrize(
    ("sender", "image", "rule"),
    [
        ("PHANTOM7", {}, "phantoms"),
        ("qa", {}, "phantoms"),
        ("US1", {"body_part_examined": "LEG", "patient_age": "040Y"}, "leg clinic"),
        ("US1", {"body_part_examined": "LEG", "patient_age": "009Y"}, "the rest"),
        ("US1", {"body_part_examined": "LEG"}, "the rest"),
        ("US1", {"body_part_examined": "ARM", "patient_age": "040Y"}, "the rest"),
    ],
)
def test_the_first_rule_that_matches_decides(
    tmp_path: Path, sender: str, image: dict[str, str], rule: str
) -> None:
    assert decide(a_rulebook(tmp_path).rules, facts(sender, **image), "before").rule == rule


def test_a_decision_says_what_and_why(tmp_path: Path) -> None:
    told = decide(
        a_rulebook(tmp_path).rules, facts(body_part_examined="LEG", patient_age="018Y"), "before"
    )
    assert (told.bundle, told.priority, told.skip) == ("simulated", "stat", "")
    assert told.because == ("body_part is 'leg'", "age_years is at least 18")


@pytest.mark.parametrize(
    ("diameter", "rule", "destinations"),
    [(50.0, "large", ("pacs", "mdt")), (49.9, "the rest", ()), (None, "the rest", ())],
)
def test_results_decide_after_the_assessment(
    tmp_path: Path, diameter: float | None, rule: str, destinations: tuple[str, ...]
) -> None:
    told = decide(
        a_rulebook(tmp_path).rules,
        with_results(facts(), [results(diameter=12.0), results(diameter=diameter)]),
        "after",
    )
    assert (told.rule, told.destinations) == (rule, destinations)


def test_a_rule_that_says_nothing_then_is_passed_over(tmp_path: Path) -> None:
    text = '[[rule]]\nname = "a"\nthen.priority = "low"\n'
    rules = a_rulebook(tmp_path, text + '[[rule]]\nname = "b"\nthen.destinations = ["mdt"]\n').rules
    assert decide(rules, with_results(facts(), [results()]), "after").rule == "b"


@pytest.mark.parametrize(
    ("when", "meets"),
    [
        ('status = "refused"', True),
        ('refusal = "vid*"', True),
        ('class = ""', True),
        ("probability = { max = 1 }", False),
        ("colour_flow = false", True),
        ("colour_flow = true", False),
        ("lesions = { min = 1, max = 1 }", True),
        ('segment_label = "lesion ?"', True),
        ('sender_address = "10.0.*"', True),
        ('manufacturer = ""', True),
    ],
)
def test_a_condition_is_met_or_not(tmp_path: Path, when: str, meets: bool) -> None:
    rules = a_rulebook(
        tmp_path, f'[[rule]]\nname = "a"\nwhen.{when}\nthen.destinations = []\n'
    ).rules
    told = decide(rules, with_results(facts(), [results(None, None)]), "after")
    assert bool(told.rule) == meets


@pytest.mark.parametrize(
    ("wrong", "line", "what"),
    [
        ('when.colour = "red"\nthen.skip = "x"', 3, "'colour' is nothing to ask for"),
        ('then.skip = "x"\nwhen.age_years = { mim = 1 }', 4, "age_years is a range"),
        ('then.skip = "x"\nwhen.age_years = { min = 9, max = 1 }', 4, "9 is above 1"),
        ('when.sender = "A"\n\nthen.destinations = ["nowhere"]', 5, "no destination 'nowhere'"),
        ('then.companions = ["video"]', 3, "no companion 'video'"),
        ('then.priority = "urgent"', 3, "'urgent' is none of stat, high"),
        ('then.skip = "x"\nthen.bundle = "b"', 3, "no other action"),
        ('when.probability = { min = 1 }\nthen.bundle = "b"', 4, "before probability is known"),
        ('when.sender = [1]\nthen.skip = "x"', 3, "in quotes"),
        ('when.colour_flow = "yes"\nthen.skip = "x"', 3, "true or false"),
        ('then.send = "x"', 3, "'send' is no action"),
        ('when.sender = "A"', 1, "decides nothing"),
        ('than.skip = "x"', 3, "name, when and then, not 'than'"),
    ],
)
def test_what_is_wrong_is_told_with_its_line(
    tmp_path: Path, wrong: str, line: int, what: str
) -> None:
    text = f'[[rule]]\nname = "a"\n{wrong}\n'
    with pytest.raises(ConfigurationError) as told:
        a_rulebook(tmp_path, text)
    assert f"rules.toml, line {line}: " in str(told.value)
    assert what in str(told.value)
    with pytest.raises(ConfigurationError) as later:
        a_rulebook(tmp_path, RULES + text)
    assert f"line {line + len(RULES.splitlines())}: " in str(later.value)


@pytest.mark.parametrize(
    "text", ["[[rule]\n", 'x = 1\n[[rule]]\nname = "a"\nthen.skip = "b"\n', RULES + RULES]
)
def test_a_file_that_is_no_rules_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigurationError, match=r"rules\.toml.*line"):
        a_rulebook(tmp_path, text)


def test_every_rule_is_explained(tmp_path: Path) -> None:
    told = explain(a_rulebook(tmp_path).rules, facts("QA", body_part_examined="LEG"), "before")
    assert [one.fires for one in told] == [True, False, False, False]
    assert told[0].why == "sender is 'phantom*' or 'qa'"
    assert told[1].why == "not met: age_years is at least 18 (it is absent)"
    assert "says nothing" in told[2].why
    assert told[3].why == "it matches too, but 'phantoms' comes first"
    after = explain(a_rulebook(tmp_path).rules, facts(), "after")
    assert "add --assess" in after[2].why


def test_the_wishes_follow_the_rule() -> None:
    wishes = [Wish("pacs"), Wish("mdt", frozenset({"sc", "seg"}))]
    assert routed(wishes, Routing()) == wishes
    assert routed(wishes, Routing("a", destinations=("mdt",))) == [wishes[1]]
    (one,) = routed(wishes, Routing("a", destinations=("pacs",), companions=("pdf",)))
    assert (one.takes("sr"), one.takes("pdf"), one.takes("sc-1")) == (True, True, False)


def test_stat_comes_first() -> None:
    ranks = [rank(one) for one in PRIORITIES]
    assert ranks == sorted(ranks)
    assert rank("unheard of") == rank("routine")


def test_no_room_of_the_edge_loads_what_only_the_worker_needs() -> None:
    """The receiver, the sender and the web hold them."""
    program = (
        "import sys, node.service.worklist, node.service.performing, node.service.fetching, "
        "node.service.routing, node.worklist.scp, node.worklist.client, node.worklist.hearing, "
        "node.web.workitems, node.receive.retrieved, node.deliver.retrieve_dimse\n"
        "print(*{'torch', 'numba', 'radiomics', 'highdicom', 'SimpleITK'} & set(sys.modules))"
    )
    run = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert run.stdout.strip() == ""
