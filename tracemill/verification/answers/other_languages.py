"""Answers that a trace states in another language than English: "Відповідь: 42", "الجواب هو ٤٢"."""

import re

from tracemill.verification.answers.normalize import MAX_VALUE_LENGTH, tidy

#: "The answer" by language. The copula follows in some of them.
_ANSWER = (
    "উত্তর|సమాధానం|الجواب|الإجابة|התשובה|پاسخ|जवाब|उत्तर|விடை|คำตอบ(?:คือ)?|Відповідь|Ответ|Antwort|[Rr]éponse|[Rr]espuesta|"
    "[Rr]isposta|[Rr]esposta|Odpowiedź|Svar(?:et)?|Cevap|Jawaban(?:nya)?|Đáp án|Απάντηση|答え|正解|정답|답|答"
)
_COPULA = (
    r"(?:[ \t](?:finale?|final|হল|হলো|هي|هو|היא|הוא|है|ist|est|es|è|é|to|är|er|adalah|là|είναι|は|은|는)"
    r"|は|은|는|为|為)?"
)
_STATEMENT = re.compile(
    rf"(?<![^\W\d_])(?:{_ANSWER}){_COPULA}(?:[ \t]?(?P<colon>[:：=])[ \t]{{0,3}}|[ \t]{{1,3}}|(?=\d))"
    r"(?P<value>\S[^\n]{0,200})"
)
_NUMBER = re.compile(r"[*$]{0,2}[-−+]?[$€£₹]?\s?\d[\d.,٫٬/]{0,40}(?:\s?[%٪]|\s[^\W\d_]{1,4}(?=[.।。]?$))?[*$]{0,2}")
#: Nothing but a verb may follow the number: 36ではない denies it.
_AFTER = re.compile(r"\s?(?:です|である|だ|になります|입니다|이다|است|है|হয়|dir)?\s?[.。।]?$")
_END = re.compile(r"[.。।؟](?=\s|$)")


def stated(tail: str, kind: str) -> tuple[int, str] | None:
    """Return (position, value) of the last statement; None if there is none.

    After a colon any value counts, otherwise only a number: a word there may deny it.
    """
    for match in reversed(list(_STATEMENT.finditer(tail))[-20:]):
        line = match["value"][:MAX_VALUE_LENGTH]
        end = _END.search(line)
        sentence = line[: end.start()] if end else line
        if kind == "number" and (number := _NUMBER.match(sentence)):
            value = number[0] if _AFTER.match(sentence, number.end()) else sentence
            return match.start("value"), tidy(value.strip("*$ "))
        if match["colon"]:
            return match.start("value"), tidy(sentence)
    return None
