r"""Two spellings of mathematical answers: the same, different, or undecided.

Each line of the tables below is ``gold ~ answer``.
"""

import pytest

from tracemill.verification.answers.expressions import same

SAME = r"""
    2x ~ x*2
    3\sqrt{13} ~ \sqrt{117}
    3\sqrt{13} ~ 3√13
    \frac12 ~ 0.5
    \frac12 ~ ½
    \tfrac{14}{3} ~ 14/3
    \frac{14}{3} ~ \dfrac{28}{6}
    \frac\pi2 ~ \pi/2
    \frac 59 ~ 5 \div 9
    3\frac{1}{2} ~ 7/2
    3 1/2 ~ 3.5
    -1\frac{4}{5} ~ -1.8
    0.\overline{3} ~ 1/3
    .35625 ~ 0.35625
    58,500 ~ 58500
    10,\!080 ~ 10{,}080
    11,\! 111,\! 111,\! 100 ~ 11111111100
    10\,000 ~ 10,000
    1,234,567 ~ 1234567
    -4 ~ −4
    １２ ~ 12
    2^{-3} ~ 1/8
    2^{10} ~ 1024
    8^{1/3} ~ 2
    \sqrt{16} ~ 4
    \sqrt[3]{-8} ~ -2
    \sqrt[3]{2} ~ 2^{1/3}
    \frac{1}{\sqrt{2}} ~ \frac{\sqrt2}{2}
    \frac{1}{1+\sqrt2} ~ \sqrt2-1
    \sqrt{3+2\sqrt2} ~ 1+\sqrt2
    \sqrt2\sqrt3-\sqrt6 ~ 0
    sqrt(2)/2 ~ \frac{\sqrt{2}}{2}
    5! ~ 120
    \binom{5}{2} ~ 10
    |{-3}| ~ 3
    \left|2-\sqrt5\right| ~ \sqrt5-2
    18+2\pi ~ 2(9+π)
    e^{i\pi} ~ -1
    6 - 5i ~ -5i+6
    (1+2i)(1-2i) ~ 5
    \frac{1}{1+i} ~ \frac{1-i}{2}
    \log_2 8 ~ 3
    \log_{10} 1000 ~ 3
    \ln e^2 ~ 2
    \log 6 ~ \log 2 + \log 3
    \sin 30^\circ ~ 1/2
    \cos\frac{\pi}{6} ~ \frac{\sqrt3}{2}
    \tan^{-1} 1 ~ \pi/4
    \arctan 1 ~ \frac{\pi}{4}
    \sin^2 x + \cos^2 x ~ 1
    \cot x ~ \frac{\cos x}{\sin x}
    \sin 2x ~ 2\sin x\cos x
    lnx ~ \ln(x)
    120^\circ ~ 120
    120^\circ ~ 120 \text{ degrees}
    120^\circ ~ \frac{2\pi}{3}
    \frac{\pi}{6} ~ 30°
    15\mbox{ cm}^2 ~ 15
    15\mbox{ cm}^2 ~ 15 cm²
    15\mbox{ cm}^2 ~ 15 square centimeters
    5 \text{ m} ~ 5 meters
    60 \text{ mi} / \text{h} ~ 60\text{ mi}/\text{h}
    \$32,\!348 ~ 32348
    $18.90 ~ 18.9 dollars
    50\% ~ 50 percent
    (a+5)(b+2) ~ ab+2a+5b+10
    x^5 - x^4 + x^3 - x^2 + x - 1 ~ (x-1)(x^4+x^2+1)
    x² + 1 ~ x^2+1
    x**2+1 ~ x^2+1
    x^2+4 ~ (x+2i)(x-2i)
    \frac{x^2-1}{x-1} ~ x+1
    \frac{11+9a}{20} ~ \frac{9a}{20}+0.55
    2^{n+1} ~ 2 \cdot 2^n
    x^{1/2} ~ \sqrt{x}
    x^{2/3} ~ \sqrt[3]{x^2}
    \frac{e^x+e^{-x}}{2} ~ \cosh x
    x_1+x_2 ~ x_2 + x_{1}
    x=5 ~ 5
    5 ~ x = 5
    x=5 ~ 2x=10
    y = 2x+3 ~ 2x+3
    2x+3 = y ~ y = 2x+3
    y = -2x ~ 2x+y=0
    5x-7y+11z+4=0 ~ -10x+14y-22z=8
    x^2+y^2=4 ~ 4-x^2-y^2=0
    \frac{x^2}{4}+\frac{y^2}{9}=1 ~ 9x^2+4y^2=36
    f(x) = x^2 ~ x^2
    x = 1, 2 ~ 1, 2
    x=1 or x=2 ~ 2, 1
    x=1, y=2 ~ y=2 and x=1
    x = \pm 2 ~ x=2 \text{ or } x=-2
    1 \pm \sqrt{19} ~ 1-\sqrt{19}, 1+\sqrt{19}
    \{1\pm\sqrt{5},-2\} ~ \{-2, 1+\sqrt5, 1-\sqrt5\}
    x>3 ~ (3,\infty)
    x>3 ~ 3<x
    \{x \mid x>3\} ~ x>3
    x \in [-2,7] ~ [-2,7]
    x \in [-2,7] ~ -2 \le x \le 7
    x \in [-2,7] ~ 7 ≥ x ≥ -2
    x \ne 3 ~ (-\infty,3)\cup(3,\infty)
    (-\infty,2)\cup(3,\infty) ~ (3,∞) ∪ (−∞,2)
    (-\infty,2)\cup(3,\infty) ~ x<2 or x>3
    x<1 or x=5 ~ (-\infty,1)\cup\{5\}
    \left[ \frac{\pi^2}{8}, \frac{5 \pi^2}{4} \right] ~ [π^2/8, 1.25π^2]
    2x+3y<6 ~ 6>2x+3y
    2x+3y<6 ~ -4x-6y>-12
    \left( 3, \frac{\pi}{2} \right) ~ (3, \pi/2)
    (3, \frac{\pi}{2}) ~ (3, 90^\circ)
    (1,234) ~ (1, 234)
    \langle 1,2\rangle ~ (1,2)
    \{1,2\} ~ \{2,1\}
    {1,2} ~ \{1,2\}
    \{1,2\} ~ 2,1
    1, 2 ~ 2 and 1
    100,200 ~ 200, 100
    (1,2),(3,4) ~ (3,4),(1,2)
    \begin{pmatrix} 1/5 \\ -18/5 \end{pmatrix} ~ \begin{bmatrix}0.2\\-3.6\end{bmatrix}
    \frac15\begin{pmatrix} 1 \\ -18 \end{pmatrix} ~ \begin{pmatrix} 1/5 \\ -18/5 \end{pmatrix}
    \begin{pmatrix} -1 & 0 \\ 0 & -1 \end{pmatrix} ~ \left[\begin{array}{cc}-1&0\\0&-1\end{array}\right]
    \emptyset ~ no solution
    \{\} ~ ∅
    1011_2 ~ 1011_{2}
    3:4 ~ 6:8
    1:2:3 ~ 2:4:6
"""

DIFFERENT = r"""
    2x ~ 3x
    3\sqrt{13} ~ 3\sqrt{14}
    \frac{14}{3} ~ \frac{15}{3}
    \frac14 ~ 0.2501
    1.25 ~ 1.26
    5 ~ -5
    58,500 ~ 58,501
    12\pi ~ 12
    \sqrt2 ~ -\sqrt2
    \sqrt{2} ~ 1.7
    2^{1/3} ~ 2^{1/2}
    6-5i ~ 6+5i
    e^2 ~ 2e
    \log_2 8 ~ \log_2 9
    \ln 2 ~ \ln 3
    \sin x ~ \cos x
    \sin(\pi x) ~ 0
    \arcsin(\sin x) ~ x
    120^\circ ~ 121°
    120^\circ ~ \frac{\pi}{3}
    15 cm ~ 16 cm
    \$36 ~ 37
    50\% ~ 51\%
    (a+5)(b+2) ~ ab+2a+5b+11
    x^3+3x-6 ~ x^3+3x+6
    5 ~ 5x
    x^2 ~ 4
    3\frac12 ~ 3/2
    x=5 ~ 6
    x=5 ~ x=6
    y=-2x ~ y=2x
    y=2x+3 ~ 2x+4
    x^2+y^2=4 ~ x^2+y^2=5
    x^2+y^2=4 ~ x^2-y^2=4
    5x-7y+11z+4=0 ~ 5x-7y+11z=4
    x=1, y=2 ~ x=2, y=1
    x>3 ~ x \ge 3
    x>3 ~ x<3
    x>3 ~ (3,5)
    (3,4] ~ (3,4)
    [3,4] ~ (3,4)
    (3,4) ~ (3,4]
    (-\infty,2)\cup(3,\infty) ~ (-\infty,2)\cup(4,\infty)
    (-\infty,2)\cup(3,\infty) ~ (-\infty,2]\cup(3,\infty)
    (2,12)\cup(12,102) ~ (2,102)
    2x+3y<6 ~ 2x+3y>6
    2x+3y<6 ~ 2x+3y\le 6
    (1,2) ~ (2,1)
    (1,2) ~ (1,2,3)
    (1,2) ~ 7
    (1,2) ~ 1, 3
    \{1,2\} ~ \{1,3\}
    \{1,2\} ~ \{1,2,3\}
    1, 2 ~ 1, 3
    5 ~ 5 or 6
    5 ~ 5, 6
    2 ~ \pm 2
    1\pm\sqrt{19} ~ 1\pm\sqrt{17}
    (1,2),(3,4) ~ (1,2)
    \begin{pmatrix} 1 \\ 2 \end{pmatrix} ~ \begin{pmatrix} 1 & 2 \end{pmatrix}
    \begin{pmatrix} 1 \\ 2 \end{pmatrix} ~ \begin{pmatrix} 2 \\ 1 \end{pmatrix}
    \begin{pmatrix} 1 \\ 2 \end{pmatrix} ~ (2,1)
    \emptyset ~ 5
    \infty ~ -\infty
    \infty ~ 5
    1011_2 ~ 1010_2
    1011_2 ~ 1011_3
    3:4 ~ 4:3
    (1,1234) ~ (1,234)
"""

UNDECIDED = r"""
    \text{Evelyn} ~ \text{Evelyn}
    \text{(C)} ~ C
    listen ~ silent
    cat ~ act
    no ~ on
    50\% ~ 0.5
    50\% ~ 50
    15 cm ~ 15 mm
    36^\circ ~ \$36
    15\mbox{ cm}^2 ~ 15\mbox{ cm}^3
    12 ~ 12 m
    12 ~ 12 apples
    5 ~ A
    x^2 ~ t^2
    f(x)=x^2 ~ f(t)=t^2
    x>3 ~ t>3
    x=5 ~ y=5
    3R^2 ~ 3r^2
    3+4i ~ 3+4j
    x^2 ~ x^2+C
    O(n) ~ n
    |x| ~ x
    \sqrt{x^2} ~ x
    \sqrt{x^2y^2} ~ xy
    \ln x^2 ~ 2\ln x
    2 ~ \log 100
    \frac13 ~ 0.3333
    \sqrt{51} ~ 7.14
    (-8)^{1/3} ~ -2
    1/2x ~ x/2
    \sin x/2 ~ \frac{\sin x}{2}
    \sin(x)^2 ~ \sin^2 x
    \sqrt23 ~ 3\sqrt2
    f(2x) ~ 2f(x)
    2\frac43 ~ \frac83
    3.5 ~ 3,5
    1000.5 ~ 1.000,50
    1,00,000 ~ 100000
    5 ~ 6=5
    5 ~ 2x=10
    x=1, y=2 ~ 1, 2
    (3,4) ~ 3, 4
    (3,4) ~ [3,4]
    \{1,2\} ~ (1,2)
    5 ~ \{5\}
    1, 1, 2 ~ 1, 2
    \pm 1 \pm 2 ~ 3, -1, 1, -3
    \begin{pmatrix} 1 \\ 2 \end{pmatrix} ~ (1,2)
    1011_2 ~ 11
    1011_2 ~ 13_8
    1:20 ~ 2:40
    5 ~ 2^{10^9}
    2^{10^5} ~ 2^{10^5}+1
    5 ~ 9^{9^9}
    5 ~ 1000000!
    5 ~ 5!!
    0.333... ~ 1/3
    1 ~ 10^{300}\pi - 10^{300}\pi + 1
    5 ~ 1/0
    5 ~ \int_0^5 x^x dx
    5 ~ \sum_{k=1}^5
    5 ~ __import__("os").getpid()
    5 ~ 5)
    5 ~ 5 5
    5 ~
"""


def pairs(table: str) -> list[tuple[str, str]]:
    lines = (line for line in table.splitlines() if line.strip())
    return [(gold.strip(), answer.strip()) for gold, _, answer in (line.partition(" ~") for line in lines)]


@pytest.mark.parametrize(("gold", "answer"), pairs(SAME))
def test_two_spellings_of_one_object_are_the_same(gold: str, answer: str) -> None:
    assert same(gold, answer) is True
    assert same(answer, gold) is True


@pytest.mark.parametrize(("gold", "answer"), pairs(DIFFERENT))
def test_objects_proven_different_are_different(gold: str, answer: str) -> None:
    assert same(gold, answer) is False


@pytest.mark.parametrize(("gold", "answer"), pairs(UNDECIDED))
def test_unparsed_text_and_matters_of_convention_stay_undecided(gold: str, answer: str) -> None:
    assert same(gold, answer) is None


@pytest.mark.parametrize("text", sorted({side for pair in pairs(SAME) + pairs(DIFFERENT) for side in pair}))
def test_any_parsed_text_is_the_same_as_itself(text: str) -> None:
    assert same(text, text) is True
    assert same(text, f" {text} ") is True


def test_there_are_at_least_200_pairs() -> None:
    assert len(pairs(SAME)) + len(pairs(DIFFERENT)) + len(pairs(UNDECIDED)) >= 200
