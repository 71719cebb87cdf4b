r"""Pairs of the kinds that Math-Verify's published tests cover, in values of our own.

Each line is ``gold == answer`` or ``gold != answer``, as a careful person judges the pair.
"""

KINDS = {
    "integers and decimals": r"""
        47 == 47
        47 == 47.0
        0.8 == .8
        -19 == -19
        6.25 == 6.250
        3700 == 3.7 \times 10^3
        0.0042 == 4.2 \cdot 10^{-3}
        47 != 74
        -19 != 19
        6.25 != 62.5
        0.0042 != 4.2 \times 10^{-4}
    """,
    "thousands": r"""
        48,250 == 48250
        48250 == 48{,}250
        48250 == 48\,250
        7,300,411 == 7300411
        48,250 != 48
        48250 != 48,205
    """,
    "fractions": r"""
        \frac{7}{12} == 7/12
        \frac{7}{12} == \frac7{12}
        \frac{7}{12} == \dfrac{14}{24}
        \frac{7}{12} == \cfrac{7}{12}
        -\frac{5}{8} == \frac{-5}{8}
        -\frac{5}{8} == \frac{5}{-8}
        \frac58 == 0.625
        2\frac{3}{5} == \frac{13}{5}
        2\frac{3}{5} == 2.6
        \frac{7}{12} != \frac{12}{7}
        -\frac{5}{8} != \frac{5}{8}
        2\frac{3}{5} != \frac{6}{5}
    """,
    "rounded decimals": r"""
        \frac{5}{7} == 0.714286
        \frac{2}{11} == 0.181818
        \frac{5}{7} != 0.7
        \sqrt{7} != 2.65
        \pi != 3.142
        2.2360679 == \sqrt{5}
    """,
    "percent": r"""
        35\% == 35%
        35\% == 35
        35\% == 0.35
        35\% == 35\text{ percent}
        35\% != 53\%
        35\% != 0.035
        35 != 3500\%
    """,
    "units and words": r"""
        18 == 18\text{ cm}
        18\mbox{ cm}^2 == 18
        \frac{3}{4} == \frac{3}{4} \text{ hours}
        64 == 64^\circ
        64^\circ == 64\text{ degrees}
        \$27.50 == 27.5
        2\pi \text{ square meters} == 2\pi
        18\text{ cm} != 18\text{ cm}^2
        18\text{ cm} != 18\text{ m}
        \$27.50 != \$27.05
    """,
    "roots": r"""
        \sqrt{45} == 3\sqrt{5}
        \sqrt5 == \sqrt{5}
        \frac{6}{\sqrt{3}} == 2\sqrt{3}
        \sqrt[3]{54} == 3\sqrt[3]{2}
        \sqrt{7+4\sqrt{3}} == 2+\sqrt{3}
        \sqrt{45} != 5\sqrt{3}
        2+\sqrt{7} != 2-\sqrt{7}
        \sqrt[3]{54} != \sqrt{54}
    """,
    "powers, logarithms and trigonometry": r"""
        2^{-4} == \frac{1}{16}
        e^{2x}e^{x} == e^{3x}
        \ln 12 == \ln 3 + 2\ln 2
        \log_3 81 == 4
        \sin 2t == 2\sin t\cos t
        \cos\frac{\pi}{3} == \frac12
        \tan^2 t + 1 == \sec^2 t
        e^{2x} != e^{x+2}
        \ln 12 != \ln 3 \cdot \ln 4
        \sin 2t != 2\sin t
        \frac{5\pi}{6} == 150^\circ
    """,
    "complex numbers": r"""
        4-7i == -7i+4
        (2+i)^2 == 3+4i
        \frac{1}{2-i} == \frac{2+i}{5}
        4-7i != 4+7i
        4-7i != 7-4i
    """,
    "polynomials and rational functions": r"""
        (t-4)(t+9) == t^2+5t-36
        3k^2-12 == 3(k-2)(k+2)
        \frac{y}{y+2} == 1-\frac{2}{y+2}
        5-3p == -3p+5
        \frac{ab}{a+b} == \frac{1}{\frac1a+\frac1b}
        (t-4)(t+9) != t^2-5t-36
        5-3p != 3p-5
        7m != 7n
        y^2z != yz^2
    """,
    "assignments": r"""
        x = 13 == 13
        13 == n = 13
        y = 4x-7 == 4x-7
        f(t) = t^3 == t^3
        (p,q) = (5,8) == (5,8)
        13 == 6+7 = 13
        a = 3, b = 8 == b = 8, a = 3
        x = 13 != 31
        a = 3, b = 8 != a = 8, b = 3
        f(t) = t^3 != t^2
    """,
    "equations": r"""
        y = 4x-7 == 4x-y-7=0
        2x+6y = 10 == x+3y=5
        x^2+y^2 = 49 == y^2 = 49-x^2
        \frac{x^2}{25}+\frac{y^2}{4}=1 == 4x^2+25y^2=100
        y = 4x-7 != y = 4x+7
        2x+6y = 10 != 2x-6y=10
        x^2 = -3 != x^2 = -5
        x^2+y^2 = 49 != x^2-y^2=49
    """,
    "lists and sets": r"""
        -6,11 == 11,-6
        \{4,9,25\} == 25, 9, 4
        \{4,9,25\} == \{9,4,25\}
        3, 8, \text{ and } 15 == 3,8,15
        3 \text{ or } 8 == x=8 \text{ or } x=3
        (2,7),(7,2) == (7,2),(2,7)
        3;8;15 == 3,8,15
        -6,11 != -6
        -6,11 != 6,11
        \{4,9,25\} != \{4,9\}
        (2,7),(7,2) != (2,7)
        42 != 42, 43
    """,
    "plus and minus": r"""
        2\pm\sqrt{11} == 2+\sqrt{11},2-\sqrt{11}
        \pm 17 == 17,-17
        \{3\pm\sqrt2,-6\} == \{-6,3-\sqrt2,3+\sqrt2\}
        \pm 17 != 17
        2\pm\sqrt{11} != 2\pm\sqrt{13}
    """,
    "intervals": r"""
        [2,9) == [2,9)
        (-\infty,4] == x \le 4
        x>6 == (6,\infty)
        -3<t<8 == (-3,8)
        [-2,0)\cup(0,5] == (0,5]\cup[-2,0)
        (1,\infty) == (1,+\infty)
        x\in[2,9) == [2,9)
        \frac13\le k\le 4 == [\frac{1}{3},4]
        [2,9) != (2,9)
        [2,9) != [2,9]
        x>6 != x<6
        [-2,0)\cup(0,5] != [-2,5]
        \mathbb{R}\setminus\{4\} == (-\infty,4)\cup(4,\infty)
    """,
    "inequalities": r"""
        3x+y<12 == 12>3x+y
        a\le b == b\ge a
        3x+y<12 != 3x+y>12
        a\le b != a<b
        f(3)<f(1)<f(8) == f(3)<f(1)<f(8)
        f(3)<f(1)<f(8) != f(1)<f(3)<f(8)
    """,
    "points and tuples": r"""
        (4,\frac{\pi}{6}) == \left(4, \frac{\pi}{6}\right)
        (8,15,-2) == (8, 15, -2)
        (\frac12, 3) == (0.5, 3)
        (8;15) == (8,15)
        (8,15,-2) != (15,8,-2)
        (8,15) != \{8,15\}
        (8,15) != (8,16)
        (8,15) != 120
    """,
    "matrices": r"""
        \begin{pmatrix}2&7\\1&8\end{pmatrix} == \begin{bmatrix}2&7\\1&8\end{bmatrix}
        \begin{pmatrix}4\\-9\end{pmatrix} == \left(\begin{array}{c}4\\-9\end{array}\right)
        \begin{pmatrix}1/4\\3/4\end{pmatrix} == \frac14\begin{pmatrix}1\\3\end{pmatrix}
        \begin{pmatrix}2&7\\1&8\end{pmatrix} != \begin{pmatrix}2&1\\7&8\end{pmatrix}
        \begin{pmatrix}2&7\\1&8\end{pmatrix} != 9
        \begin{pmatrix}4\\-9\end{pmatrix} != \begin{pmatrix}4&-9\end{pmatrix}
    """,
    "names and choices": r"""
        \text{Ingrid} == Ingrid
        \text{Tuesday} == \text{tuesday}
        \text{(D)} == D
        \textbf{(B)} == B
        \text{Ingrid} != \text{Astrid}
        \text{(D)} != C
        \text{odd} != \text{even}
    """,
    "sets by name": r"""
        \emptyset == \varnothing
        \mathbb{R} == (-\infty,\infty)
        \infty == +\infty
        \infty != -\infty
        \emptyset != 0
    """,
    "numbers in a base": r"""
        312_4 == 312_{4}
        312_4 != 312_5
        312_4 != 213_4
    """,
    "factorials and binomials": r"""
        7! == 5040
        \binom{9}{2} == 36
        7! != 7
        \binom{9}{2} != \frac{9}{2}
        (n+1)! == (n+1)n!
        \binom{n}{2} == \frac{n(n-1)}{2}
    """,
    "sums and integrals": r"""
        \sum_{k=1}^{5} k == 15
        \int_0^2 x^2\,dx == \frac83
        \sum_{k=1}^{5} k != 14
        S_n=\sum_{k=1}^{n} a_k b_k == S_n=\sum_{k=1}^{n} b_k a_k
        S_n=\sum_{k=1}^{n} a_k != S_n=\sum_{k=1}^{n+1} a_k
    """,
    "times and ratios": r"""
        4:45 == 4:45
        5:7 == 5:7
        4:45 != 5:45
        5:7 != 7:5
        9:30 != 18:60
    """,
    "derivatives and functions": r"""
        f(x) != f(z)
        g'(x) != g(x)
        h(x)=5 == h(x) = 5
        f(3) != f(4)
    """,
    "nested and styled LaTeX": r"""
        \displaystyle\frac{4}{9} == \frac49
        \left(\frac{4}{9}\right) == 4/9
        \mathbf{28} == 28
        \boxed{28} == 28
        {28} == 28
        \large 28 == 28
        28\quad == 28
        \mathrm{e}^2 == e^2
    """,
    "letters in the other case": r"""
        R-r != r-R
        \Delta != \delta
        M != m
    """,
}
