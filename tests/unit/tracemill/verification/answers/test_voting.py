"""Self-consistency: a vote is recorded as a vote."""

from tracemill.verification.answers.voting import Vote, count, groups


def test_answers_are_grouped_by_what_they_mean() -> None:
    assert groups(["0.5", "1/2", r"\frac{1}{2}", "2", "2 apples"], "number") == [0, 0, 0, 1, 1]


def test_the_vote_counts_samples_without_an_answer_among_all() -> None:
    assert count([0, 0, 0, 1, None]) == [Vote(3, 5, 1)] * 3 + [Vote(1, 5, 3), None]


def test_the_proof_says_how_the_vote_went() -> None:
    assert [Vote(6, 8, 2).proof, Vote(2, 8, 6).proof, Vote(4, 8, 4).proof] == [
        "majority 6/8",
        "minority 2/8",
        "tie 4/8",
    ]


def test_the_margin_is_the_distance_to_the_next_answer() -> None:
    assert (Vote(6, 8, 2).share, Vote(6, 8, 2).margin, Vote(2, 8, 6).margin) == (0.75, 0.5, -0.5)


def test_a_single_sample_is_its_own_majority_by_all() -> None:
    assert count([0]) == [Vote(1, 1, 0)]
