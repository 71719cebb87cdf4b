"""Detect a contrastive trace (plausible but wrong) that says it is wrong.

Such a trace is useless as a negative (Chia et al. 2023, arXiv:2311.09277): a model that compares it with a right one
learns to find the phrase, not the error. Questions about wrong answers and mistakes are ordinary, so a phrase counts
only if it is about the reasoning itself.
"""

import re

from tracemill.verification.leakage.phrases import near, normal

_WRONG = r"(?:wrong|incorrect|erroneous|false|flawed|faulty|mistaken|inaccurate)"
_ERROR = r"(?:error|mistake|slip|flaw|miscalculation|misreading|misinterpretation|misstep)"
_SORT = (
    r"(?:(?:single|one|only|intended|arithmetic|calculation|computational|common|subtle|plausible|deliberate|"
    r"intentional|logical) ){0,2}"
)
_DOES = (
    r"(?:add|subtract|multipl|divid|calculat|comput|us(?:e|ing)|assum|interpret|read|appl|conclud|treat|tak|took|"
    r"think|thought|consider|believ|conclu)"
)
_DONE = r"(?:calculated|computed|added|subtracted|multiplied|divided|interpreted|applied|assumed)"

_PHRASES = (
    rf"(?:on purpose|purposely|purposefully|intentional(?:ly)?|deliberate(?:ly)?),? (?:\w+ "
    rf"){{0,3}}(?:{_WRONG}(?:ly)?|{_ERROR}s?|"
    r"misread|miscount|skip|omit|leav)",
    rf"(?:{_WRONG}(?:ly)?|{_ERROR}s?)(?: \w+){{0,2}} (?:on purpose|intentional|deliberate)",
    r"(?:we|i) (?:\w+ ){1,5}(?:on purpose|deliberately|intentionally)\b",
    rf"{_WRONG}ly (?:\w+ )?{_DOES}",
    rf"{_DONE} (?:\w+ ){{0,2}}{_WRONG}ly",
    rf"(?:the|this|that|our|my) {_SORT}{_ERROR} (?:is|was|here|in|lies|occurs|occurred|comes|made|of)\b(?! (?:margin|"
    rf"measurement))",
    rf"(?:with|introduc\w+|make|made|making|contains?|has|there is|here is) (?:an?|the|one) {_SORT}{_ERROR}\b",
    rf"(?:arithmetic|calculation|computational|subtle|plausible|reasoning|logical) {_ERROR}s?\b",
    rf"common {_ERROR}\b|(?:common|typical) (?:misconception|pitfall|trap)",
    rf"\(?{_ERROR}(?: here)?: ",
    r"(?:wrong operation|missing step|wrong interpretation)(?: ?[:(]| error| is | here)",
    rf"(?:which|this|that|it|reasoning|solution|step|calculation|equation|answer|result)(?:'s| is| was) (?:of course "
    rf"|actually |clearly |obviously |in fact )?(?:{_WRONG}|not (?:right|correct|true))\b(?! (?:that|to say))",
    rf"(?:the|an?|this|my|our|plausible|but) (?:\w+ )?{_WRONG} (?:solution|reasoning|result|conclusion|step|"
    rf"calculation|approach|"
    r"operation|interpretation|way)",
    rf"(?:here is|give|giving|the|my|this) (?:plausible )?{_WRONG} answer (?:is|below|above|:)",
    r"(?:the|but) (?:actual|true|real|right|correct) (?:final )?(?:answer|result|solution|value|calculation|"
    r"reasoning|approach|operation|way) (?:is actually|would|should|was|must have)\b",
    r"(?:but|in reality|actually|however),? the (?:actual|true|real|right|correct) (?:final )?(?:answer|result|"
    r"value) is\b",
    r"(?:should|ought to) (?:actually |really |in fact |correctly |instead )(?:be|have|equal)\b",
    r"should(?: have|'ve) (?:been|added|subtracted|multiplied|divided|used|counted|read)\b",
    r"correct(?:ed|ion)? ?(?:version|solution|answer|calculation|reasoning)? ?: ",
    rf"(?:pretend|pretending) (?:\w+ ){{0,3}}(?:{_ERROR}|{_WRONG}|right|correct)",
    rf"(?:let's|let me|we'll|i'll|i will|i have|i've) (?:now )?(?:\w+ ){{0,2}}(?:an?|the|one) {_SORT}{_ERROR}\b",
    r"(?:contrast|negative|adversarial|faulty) (?:example|sample|trace|solution)",
)
_ANCHOR = re.compile(
    r"wrong|incorrect|erroneous|false|flaw|faulty|mista|inaccurate|error|slip|misread|misinter|misstep|miscalc|"
    r"miscount|purpose|intentional|deliberate|misconception|pitfall|trap|missing step|not (?:right|correct|true)|"
    r"correct|should|pretend|actual|true|real|right|negative|adversarial|contrast"
)
_GIVEAWAY = re.compile(rf"\b(?:{'|'.join(_PHRASES)})")


def giveaway(text: str) -> str | None:
    """Return the first words of `text` that say it is wrong; None if none do.

    The words are in lower case. Takes linear time.
    """
    return near(_ANCHOR, _GIVEAWAY, normal(text))
