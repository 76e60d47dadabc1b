"""The dashboard that Grafana reads is the one that the code makes, and each panel says what it shows."""

import json

from deploy.grafana.write import DASHBOARD, rendered
from tests.monitoring.expressions import panels


def test_the_file_is_what_the_code_makes() -> None:
    assert DASHBOARD.read_text() == rendered(), "run: python -m deploy.grafana.write"


def test_each_panel_says_what_it_shows_and_in_which_unit() -> None:
    for panel in panels():
        assert panel["title"]
        assert len(panel["description"]) > len("What it is."), panel["title"]
        assert panel["fieldConfig"]["defaults"]["unit"], panel["title"]
        assert panel["datasource"]["uid"] == "${datasource}"


def test_each_series_has_a_name() -> None:
    for panel in panels():
        if panel["type"] == "timeseries":
            assert all(target["legendFormat"] for target in panel["targets"]), panel["title"]


def test_panels_are_told_apart_and_do_not_overlap() -> None:
    found = json.loads(DASHBOARD.read_text())["panels"]
    places = [
        (place["x"] + x, place["y"] + y)
        for place in (p["gridPos"] for p in found)
        for x in range(place["w"])
        for y in range(place["h"])
    ]

    assert len({panel["title"] for panel in panels()}) == len(panels())
    assert len(places) == len(set(places))
    assert max(x for x, _ in places) < 24
