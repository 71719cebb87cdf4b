"""Votes over the answers of several samples."""

from tracemill.verification.answers.voting import Vote, count, groups


def test_answers_are_grouped_by_meaning() -> None:
    assert groups(["0.5", "1/2", r"\frac{1}{2}", "2", "2 apples"], "number") == [0, 0, 0, 1, 1]


def test_a_sample_without_an_answer_counts_as_a_sample() -> None:
    assert count([0, 0, 0, 1, None]) == [Vote(3, 5, 1)] * 3 + [Vote(1, 5, 3), None]


def test_the_proof_names_majority_minority_or_tie() -> None:
    assert [Vote(6, 8, 2).proof, Vote(2, 8, 6).proof, Vote(4, 8, 4).proof] == [
        "majority 6/8",
        "minority 2/8",
        "tie 4/8",
    ]


def test_the_margin_is_the_distance_to_the_strongest_rival() -> None:
    assert (Vote(6, 8, 2).share, Vote(6, 8, 2).margin, Vote(2, 8, 6).margin) == (0.75, 0.5, -0.5)


def test_a_single_sample_is_a_majority_of_one() -> None:
    assert count([0]) == [Vote(1, 1, 0)]
