"""Steps and findings are located in the text of a trace, whatever white space the checks have tidied."""

from web.marks import Passage, read
from web.records import Finding, Sample


def passages(text: str, *findings: Finding, steps: tuple[str, ...] = (), **fields: str) -> list[Passage]:
    sample = Sample(0, "1", text, len(text), steps=steps, findings=findings, **fields)  # type: ignore[arg-type]
    return list(read(sample, "A question?").answer)


def marked(shown: list[Passage]) -> list[tuple[int | None, str, tuple[str, ...]]]:
    return [(each.number, piece.text, piece.kinds) for each in shown for piece in each.pieces if piece.kinds]


def test_a_step_keeps_its_number_and_no_text_is_lost() -> None:
    text = "Intro.\n\nStep 1: a  b.\n\n\nStep 2:\tc d.\n#### 5"
    shown = passages(text, steps=("a b.", "c d."))
    assert [each.number for each in shown] == [None, 1, 2, None]
    assert " ".join("".join(piece.text for piece in each.pieces) for each in shown).split() == text.split()
    assert shown[1].pieces[0].text == "Step 1: a  b."


def test_equal_findings_are_marked_one_after_the_other() -> None:
    finding = Finding(0, "false equation", "1 + 1 = 3")
    shown = passages("So 1+1 = 3, then 1 + 1  =  3.", finding, finding)
    assert [text for _, text, _ in marked(shown)] == ["1+1 = 3", "1 + 1  =  3"]
    assert shown[0].is_first_error


def test_a_number_is_not_marked_inside_a_longer_one() -> None:
    shown = passages("140 and 1.40 and x4 then 4.", Finding(0, "ungrounded number", "4"))
    assert marked(shown) == [(1, "4", ("ungrounded number",))]
    assert shown[0].pieces[0].text == "140 and 1.40 and x4 then "


def test_overlapping_marks_share_their_characters() -> None:
    findings = (Finding(0, "false equation", "2 + 2 = 5"), Finding(0, "ungrounded number", "5"))
    shown = passages("So 2 + 2 = 5.", *findings, answer="5")
    assert marked(shown)[-1] == (1, "5", ("answer", "false equation", "ungrounded number"))


def test_a_finding_that_is_not_in_the_text_becomes_a_note() -> None:
    shown = passages(
        "First this.\nThen that.", Finding(1, "false equation", "1 = 2"), Finding(7, "false equation", "3 = 4")
    )
    assert shown[1].notes == ("false equation: 1 = 2",)
    assert shown[-1].notes == ["step 8: false equation: 3 = 4"]


def test_steps_of_thoughts_are_numbered_in_the_thoughts() -> None:
    reading = read(Sample(0, "1", "The answer is 4.", 16, thoughts="We see 1 + 3 = 4.\nThat is all.", answer="4"), "Q?")
    assert [each.number for each in reading.thoughts] == [1, 2]
    assert marked(list(reading.answer)) == [(None, "4", ("answer",))]


def test_a_repeated_sentence_is_marked_where_it_repeats() -> None:
    shown = passages("We add three and four.\nSo far so good it is.\nWe add three and four.")
    assert marked(shown) == [(3, "We add three and four.", ("repeated sentence",))]
