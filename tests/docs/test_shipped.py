"""The examples do what they say, started as a user would start them."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from pytest_httpserver import HTTPServer

from docs.pages import ROOT, run

EXAMPLES = sorted((ROOT / "examples").glob("*.flow.md"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The examples, somewhere else and without what they made here."""
    return shutil.copytree(ROOT / "examples", tmp_path / "examples", ignore=shutil.ignore_patterns("out", ".weft"))


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda p: p.name)
def test_an_example_is_valid_and_says_what_it_is(example: Path, folder: Path) -> None:
    assert run(f"weft check --strict {example.name}", folder) == (0, f"{example.name}: valid\n")
    assert "\ndescription: " in example.read_text()


def test_orders_come_from_the_api_where_there_is_one(folder: Path, httpserver: HTTPServer) -> None:
    rows = [{"id": 1, "customer": "Ada", "state": "paid", "total": 3.5}]
    httpserver.expect_request("/orders.json").respond_with_json(rows)
    code, said = run(f"weft run orders.flow.md --no-progress --set api={httpserver.url_for('')}", folder)
    assert code == 0, said
    assert (folder / "out/orders.csv").read_text() == "customer,orders,total\nAda,1,3.5\n"
    page = (folder / "out/orders.md").read_text()
    assert page.strip() == "# PAID: 1 of 1 orders\n\n- Ada: 3.5 in 1\n\nFrom the API."


def test_without_an_api_the_last_known_orders_are_used_and_the_report_says_so(folder: Path) -> None:
    code, said = run("weft run orders.flow.md --no-progress --set api=http://127.0.0.1:9", folder)
    assert code == 0, said
    assert (folder / "out/orders.csv").read_text() == "customer,orders,total\nAda,2,47.25\nAlan,1,12.5\n"
    assert "From the last known orders, as the API did not answer." in (folder / "out/orders.md").read_text()
    assert "attempt 3" in run("weft why last orders", folder)[1]


def test_the_matrix_has_a_cell_for_each_combination(folder: Path) -> None:
    code, said = run("weft run matrix.flow.md --no-progress", folder)
    assert code == 0, said
    assert (folder / "out/matrix.md").read_text().count("passed") == 6


def test_a_failing_cell_is_an_issue_and_not_the_end_of_the_others(folder: Path) -> None:
    code, said = run("""weft run matrix.flow.md --no-progress --set 'seeds=["bad", "0"]'""", folder)
    assert code == 2, said
    table = (folder / "out/matrix.md").read_text()
    assert (table.count("FAILED"), table.count("passed")) == (2, 2)


def test_a_broken_release_is_taken_back_to_the_one_before(folder: Path) -> None:
    assert run("weft run release.flow.md --no-progress", folder)[0] == 0
    code, said = run("weft run release.flow.md --no-progress --set number=1.0.1 --set broken=true", folder)
    assert code == 1, said
    assert "undone: publish, stage" in said
    site = folder / "out/site"
    assert sorted(p.name for p in site.iterdir()) == ["1.0.0", "current", "news.txt"]
    assert (site / "current").readlink() == Path("1.0.0")
    assert (site / "news.txt").read_text() == "version 1.0.0 is out\n"


def test_a_release_that_was_taken_back_can_be_resumed_from_its_beginning(folder: Path) -> None:
    assert run("weft run release.flow.md --no-progress --set number=2.0.0 --set broken=true", folder)[0] == 1
    code, said = run("weft resume last --no-progress", folder)
    assert code == 1, said
    assert "attempt 2" in run("weft why last stage", folder)[1]
    assert not (folder / "out/site/2.0.0").exists()


def test_the_demo_reports_on_the_standard_library(folder: Path) -> None:
    code, said = run("weft run census.flow.md --no-progress --set top=1", folder)
    assert code == 0, said
    page = (folder / "out/census.md").read_text()
    assert page.startswith("# Census of the standard library\n")
    assert "| the most imported packages | by |" in page
