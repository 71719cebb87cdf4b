"""The parts of a report: pictures that hold what they are given, likeness of questions, and plain amounts."""

import math
import re
from xml.etree import ElementTree

import pytest

from tracemill.statistics import Interval, share
from trainer.report.charts import Mark, histogram, intervals, lines
from trainer.report.facts import Bins
from trainer.report.nearest import nearest
from trainer.report.page import MAX_CHARACTERS, cut, duration

HOSTILE = '"><script>alert(1)</script>'


def test_intervals_are_drawn_in_order_on_one_scale() -> None:
    svg = ElementTree.fromstring(
        intervals({"sums": [Mark("before", share(10, 100)), Mark("after", share(30, 100))]}, "t")
    )
    groups = {str(group.get("class")): group for group in svg.iter("g")}

    def at(series: str, kind: str, end: str) -> float:
        (mark,) = groups[series].iter(kind)
        return float(str(mark.get(end)))

    assert at("before", "circle", "cx") < at("after", "circle", "cx")
    for series in groups:
        assert at(series, "line", "x1") < at(series, "circle", "cx") < at(series, "line", "x2")


def test_a_share_is_drawn_to_scale_and_written_beside_its_interval() -> None:
    # From 16 to 340 lie 0 to 40 %: 8.1 pixels a percent.
    marks = [Mark("before", Interval(0.1, 0.04, 0.2)), Mark("after", Interval(0.3, 0.2, 0.36))]
    svg = ElementTree.fromstring(intervals({"sums": marks, "words": marks[:1]}, "t"))
    groups = list(svg.iter("g"))
    drawn = [[group[1].get("x1"), group[2].get("cx"), group[1].get("x2"), group[2].get("cy")] for group in groups]
    assert drawn[0] == ["48.4", "97.0", "178.0", "30.0"]
    assert drawn[1] == ["178.0", "259.0", "307.6", "52.0"]
    assert drawn[2] == ["48.4", "97.0", "178.0", "100.0"]
    assert [group[0].text for group in groups] == [
        "before: 10.0 % [4.0, 20.0]",
        "after: 30.0 % [20.0, 36.0]",
        "before: 10.0 % [4.0, 20.0]",
    ]
    labels = [(str(label.get("class")), label.text) for label in svg.iter("text")]
    assert [text for kind, text in labels if kind == "value"] == ["10.0 %", "30.0 %", "10.0 %"]
    assert [text for kind, text in labels if kind == "label"] == ["sums", "words"]
    assert [text for kind, text in labels if kind == "tick"] == ["0 %", "10 %", "20 %", "30 %", "40 %"]


def test_a_long_label_of_a_chart_has_several_lines_and_stays_inside() -> None:
    name = "gsm8k-train-teacher-rationalize-" * 4
    svg = ElementTree.fromstring(intervals({name: [Mark("after", Interval(0.3, 0.2, 0.36))]}, "t"))
    labels = [label for label in svg.iter("text") if label.get("class") == "label"]
    assert "".join(str(label.text) for label in labels) == name
    assert len({label.get("y") for label in labels}) == len(labels) == 3
    assert {(label.get("x"), label.get("text-anchor")) for label in labels} == {("0.0", "start")}
    # A character of the font has at most 7 pixels.
    assert max(7 * len(str(label.text)) for label in labels) <= float(str(svg.get("viewBox")).split()[2])


def test_a_curve_is_drawn_to_scale() -> None:
    # From 50 to 380 lie steps 0 to 2, from 210 up to 10 losses 0 to 2.5.
    svg = ElementTree.fromstring(lines({"after": [(1, 2.5), (2, 1.25)], "control": [(2, 0.0)]}, "t", "step"))
    assert {line.get("class"): line.get("points") for line in svg.iter("polyline")} == {
        "curve after": "215.0,10.0 380.0,110.0",
        "curve control": "380.0,210.0",
    }
    assert [text.text for text in svg.iter("text")][-1] == "step"


def test_the_bars_of_a_histogram_stand_side_by_side_over_its_range() -> None:
    svg = ElementTree.fromstring(histogram(Bins(0.5, 2.5, trained=[3, 1], others=[0, 4]), "t"))
    width = float(str(svg.get("viewBox")).split()[2])
    bars = [(bar.get("class"), float(str(bar.get("x")))) for bar in svg.iter("rect")]
    middle = 10 + (width - 20) / 2
    assert bars == [("others", 11.0), ("others", middle + 1), ("trained", 11.0), ("trained", middle + 1)]
    tops = [float(str(bar.get("y"))) + float(str(bar.get("height"))) for bar in svg.iter("rect")]
    assert len(set(tops)) == 1  # all stand on the axis
    assert [text.text for text in svg.iter("text")] == ["0.5", "2.5"]


@pytest.mark.parametrize("counts", [(0, 1), (0, 400), (400, 400)])
def test_a_picture_holds_shares_of_nothing_and_of_everything(counts: tuple[int, int]) -> None:
    svg = ElementTree.fromstring(intervals({"b": [Mark("before", share(*counts))]}, "t"))
    width = float(str(svg.get("viewBox")).split()[2])
    assert all(0 <= float(str(line.get(end))) <= width for line in svg.iter("line") for end in ("x1", "x2"))


@pytest.mark.parametrize("curve", [[(1, 0.0)], [(1, 2.5), (40, 0.3)], [(5, 1e-6), (10, 1e-7)], [(1, 900.0), (2, 1.0)]])
def test_a_curve_stays_inside_its_picture(curve: list[tuple[float, float]]) -> None:
    svg = ElementTree.fromstring(lines({"after": curve}, "t", "step"))
    (drawn,) = svg.iter("polyline")
    _, _, width, height = map(float, str(svg.get("viewBox")).split())
    points = [tuple(map(float, pair.split(","))) for pair in str(drawn.get("points")).split()]
    assert len(points) == len(curve)
    assert all(0 <= x <= width and 0 <= y <= height for x, y in points)


def test_a_histogram_shows_each_group_as_shares_of_its_own() -> None:
    svg = ElementTree.fromstring(histogram(Bins(0, 1, trained=[1, 1], others=[100, 300]), "t"))
    heights: dict[str, list[float]] = {}
    for bar in svg.iter("rect"):
        heights.setdefault(str(bar.get("class")), []).append(float(str(bar.get("height"))))
    assert heights["trained"][0] == heights["trained"][1] == pytest.approx(heights["others"][1] * 2 / 3, abs=0.1)
    assert heights["others"][0] == pytest.approx(heights["others"][1] / 3, abs=0.1)


def test_a_group_without_traces_has_no_bars() -> None:
    assert "others" not in histogram(Bins(0, 1, trained=[1, 1], others=[0, 0]), "t")


def test_labels_are_text_whatever_they_hold() -> None:
    drawn = intervals({HOSTILE: [Mark("before", share(1, 2))]}, HOSTILE)
    assert not re.search("<script", drawn)
    assert HOSTILE in "".join(ElementTree.fromstring(drawn).itertext())


def test_the_nearest_question_is_the_most_alike_one() -> None:
    known = {
        1: "Tom has 3 apples and eats one of them. How many are left?",
        2: "What is the capital of France?",
        3: "What is 12 + 7?",
    }
    neighbours = nearest(["Anna has 5 apples and eats two of them. How many are left?", "what is 12  + 9?"], known, 2)
    assert [near[0].question_id for near in neighbours] == [1, 3]
    assert 0.3 < neighbours[0][0].similarity <= 1
    assert nearest([known[2]], known, 1)[0][0].similarity == pytest.approx(1)


def test_likeness_is_the_cosine_of_grams_weighted_by_how_rare_they_are() -> None:
    # Each text has three grams: " ab " is in both, the other two in one each.
    (neighbours,) = nearest(["AB  x"], {1: "ab y", 2: "ab x"}, 2)
    common, rare = math.log(1 + 2 / 2) ** 2, math.log(1 + 2 / 1) ** 2
    assert [near.question_id for near in neighbours] == [2, 1]
    assert [near.similarity for near in neighbours] == pytest.approx([1.0, common / (common + 2 * rare)])


def test_what_is_like_nothing_has_no_neighbour() -> None:
    assert nearest(["日本語"], {1: "What is 1 + 1?"}, 3) == [[]]
    assert nearest(["a", ""], {}, 3) == [[], []]


def test_endless_text_is_cut_and_says_so() -> None:
    assert cut("x" * (MAX_CHARACTERS + 5)).endswith("x … and 5 more characters")
    assert (cut("short"), cut(None)) == ("short", "(no answer)")


def test_times_are_said_in_the_unit_that_fits() -> None:
    assert [duration(seconds) for seconds in (4.4, 99, 600, 5000, 36000)] == [
        "4 s",
        "99 s",
        "10 min",
        "83 min",
        "10.0 h",
    ]
