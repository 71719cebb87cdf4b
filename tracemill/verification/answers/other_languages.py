"""Answers that a trace states in another language than English: "Відповідь: 42", "الجواب هو ٤٢"."""

import re

from tracemill.verification.answers.normalize import MAX_VALUE_LENGTH, tidy

#: "The answer" by language. The copula follows in some of them.
_ANSWER = (
    "উত্তর|సమాధానం|الجواب|الإجابة|התשובה|پاسخ|जवाब|उत्तर|விடை|คำตอบ(?:คือ)?|[Вв]ідповідь|[Оо]твет|Отговор|Odgovor"
    "|Antwort|[Rr]éponse|[Rr]espuesta|"
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
#: Words of other languages that deny a number, doubt it, or change it.
OPEN = re.compile(
    r"\b(?:nicht|keine?n?|oder|mindestens|höchstens|größer als|kleiner als|mehr als|weniger als|(?:das )?doppelte"
    r"|hälfte|falsch|no es|no son|o(?=\s[$*]*\d)|al menos|como máximo|m[aá]s de|menos de|doble|mitad|incorrect[oa]"
    r"|n'est pas|pas|ou|au moins|au plus|plus de|moins de|le double|moitié|faux|não|pelo menos|mais de|dobro|metade"
    r"|errad[oa]|non è|almeno|più di|meno di|doppio|metà|niet|geen|ten minste|inte|ikke|ei ole|nie|lub|co najmniej"
    r"|değil|veya|en az|bukan|atau|không|hoặc|не|или|більше|або|больше|меньше|не менее|вдвое|половина|неверно)\b"
    r"|[不非否或]|的[两二三]倍|至少|至多|超过|超過|一半|では(?:な|あり)|でな|または|以上|以下|未満"
    r"|아니|아닙|또는|이상|이하|초과|미만|ليس|أو|नहीं|या\s",
    re.IGNORECASE,
)
#: A conclusion, or the number instead of the denied one: "il n'y a pas de reste, donc 18", "nicht 20, sondern 18".
_CONCLUSION = re.compile(
    r"[,;:]\s(?:donc|alors|also|daher|somit|więc|zatem|entonces|luego|portanto|logo|quindi|dus|поэтому|значит|тому)\s"
    r"|,?\s(?:sondern|mais|sino|mas|ma|maar|lecz|ale|а)\s(?=[$*]{0,2}\d)",
    re.IGNORECASE,
)
#: The scripts of Chinese, Japanese and Korean, whose numbers stand between letters: 一共有42个.
_EAST_ASIAN = re.compile("[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]")
_BETWEEN_LETTERS = re.compile(r"(?<![\w.,/])[-−]?\d[\d,]*(?:\.\d+)?(?:/\d+)?[%万千亿億만억]?", re.ASCII)
_CHANGED = re.compile("分之|大约|大約|约|約|几|およそ|약|第")


def conclusion(sentence: str) -> str:
    """Return what follows the last "donc", "also" or "sondern" of a sentence; the sentence if it has none."""
    matches = list(_CONCLUSION.finditer(sentence))
    return sentence[matches[-1].end() :] if matches else sentence


def stated(tail: str, kind: str) -> tuple[int, str] | None:
    """Return (position, value) of the last statement; None if there is none.

    After a colon any value counts, otherwise only a number: a word there may deny it.
    """
    for match in reversed(list(_STATEMENT.finditer(tail))[-20:]):
        line = match["value"][:MAX_VALUE_LENGTH]
        end = _END.search(line)
        sentence = line[: end.start()] if end else line
        if kind == "number" and (number := _NUMBER.match(sentence)):
            is_whole = _AFTER.match(sentence, number.end())
            value = number_between_letters(sentence) or (number[0] if is_whole else sentence)
            return match.start("value"), tidy(value.strip("*$ "))
        if match["colon"]:
            return match.start("value"), tidy(sentence)
    return None


def number_between_letters(text: str) -> str | None:
    """Return the only number in the last clause of a text in an East Asian script; None for any other text."""
    sentence = re.split(r"[。！？\n]|(?<=\S)[.!?](?=\s|$)", text.strip().rstrip("。！？.!?"))[-1]
    if not _EAST_ASIAN.search(sentence) or OPEN.search(sentence):
        return None
    clause = re.split(r"[，、；：;:]|,(?!\d)", sentence)[-1]
    numbers = _BETWEEN_LETTERS.findall(clause)
    return numbers[0] if len(numbers) == 1 and not _CHANGED.search(clause) else None
