"""Detect a trace that reveals that its model knew the answer.

STaR (Zelikman et al. 2022, arXiv:2203.14465) lets a model write reasoning with the answer as a hint, and trains on it
without the hint. So traces that mention a hint, an answer key or an expected result are removed. Word problems have
their own hints, keys, given totals and expected values: a phrase counts only if it says that *the answer* was known
before the reasoning. Some phrases show that only before the first equation ("Since the answer is 42, …"); after it they
only refer to a derived result.
"""

import re

from tracemill.verification.leakage.phrases import near, normal

EARLY = 40  # words: without an equation, nothing is derived in the first 40 words

_RIGHT = r"(?:(?:final|correct|right|expected|numerical|actual|true|exact) ){0,2}"
_GIVEN = r"(?:given|provided|supplied|stated|expected|reference|gold|golden|official|target|known|hinted)"
_ANSWER = rf"(?:{_GIVEN}|correct|right|desired|required) {_RIGHT}answer\b(?! choice| option| sheet)"
_RESULT = (
    r"(?:(?:expected|provided|supplied|reference|gold|hinted) (?:final |correct )?(?:result|output|solution|total)|"
    r"(?:given|correct|right) (?:final )?solution|(?:correct|right) (?:final )?result)\b"
)
_VALUE = (
    r"(?:exactly |equal to |indeed |option |choice "
    r"){0,2}[$\\({\[\"']{0,4}(?:-?\.?\d|[b-j]\b|a\b(?! )|boxed|frac|(?:yes|no|true|false)\b)"
)
#: Problems say "the answer is an integer" of their own answers.
_OF_A_SORT = (
    r"(?! (?:to .{1,40} )?(?:is|must be|should be|will be|to be|can be|needs to be) (?:an? |in |of |expressed|"
    r"written|rounded|rational|real|positive|negative|even|odd|unique|the same|independent|less|greater|more|between|"
    r"at ))"
)
_SAYS = (
    r"(?:says?|said|tells?|told|states?|stated|gives?|gave|suggests?|indicates?|shows?|mentions?|reveals?|confirms?)"
)
_MATCHES = (
    r"(?:match(?:es|ed|ing)?|(?:agree|align|coincide|correspond|line up|lines up|fit)(?:s|ed|d|ing)? (?:with|to)|"
    r"consistent with|in line with|(?:the )?same as|identical to|confirm(?:s|ed|ing)?|justif(?:y|ies|ying)|verif(?:y|"
    r"ies)|(?:compare|check)(?:d|ed|ing|s)? (?:it |this |that )?(?:to|with|against))"
)
_REACHES = r"(?:get|reach|arrive at|obtain|produce|land on|end up with|end up at|lead to)(?:s|ing)?(?: to)?"
_NAMED = r"(?:the|your|our|this|that|my) (?:given |provided |above )?"

_PHRASES = (
    # a hint
    rf"(?:as|like) (?:(?:is |was )?\w+ )?(?:in |by |per )?{_NAMED}hint\b",
    rf"(?:according to|based on|per|guided by|thanks to|considering|relying on|following|trusting) {_NAMED}hint\b",
    rf"(?:suggested|indicated|given|provided|stated|implied|confirmed|mentioned) (?:by|in) {_NAMED}hint\b(?! (?:he|"
    rf"she|they))",
    rf"(?:given|using|with|from|by) {_NAMED}hint(?:,| (?:that|we|i|the answer)\b)",
    rf"hint (?:already |also |itself |clearly )?{_SAYS} (?:us |me )?(?:that )?(?:the )?{_RIGHT}(?:answer|result)\b",
    rf"{_NAMED}hint (?:already |also )?{_SAYS} (?:us |me )?(?:that )?(?:it is |it's |it should be )?{_VALUE}[\d.,]*"
    r"(?:$|(?<=[.,])|\W(?:$| so\b))",
    rf"hint(?: given| provided)? ?(?::|is|was) ?(?:that )?(?:the {_RIGHT}answer|{_VALUE})",
    rf"{_MATCHES} {_NAMED}hint\b",
    r"as hinted\b",
    rf"hinted (?:at |that )?(?:the )?{_RIGHT}(?:answer|result|solution)",
    rf"(?:answer|result|solution)(?: \w+)? (?:in|from|of) {_NAMED}hint\b",
    r"(?:i|we)(?:'ve| have)?(?: was| were| am| are| been)? (?:also )?(?:given|shown|provided with) (?:a|the|this) hint",
    r"(?:not|never|without|avoid) (?:to )?(?:mention|reveal|refer to|disclos|admit|show)(?:e|ing)?(?: to)?(?: that)? "
    r"(?:the hint|(?:the |any )?(?:given |correct )?answer (?:was|is|has|had)|i (?:know|knew|was|had|have)|the given "
    r"answer)",
    r"pretend(?:ing)? (?:that )?(?:i|we|not to|to not)(?: do not| don't| didn't| did not)? (?:already )?know",
    r"eyes only|bracketed (?:note|answer|remark|value)|(?:note|answer|remark) in (?:the )?(?:square )?brackets?\b",
    rf"{_NAMED}hint {_SAYS} (?:us |me )?(?:that )?(?:the|our|its) (?:\w+ )?(?:is|should be|must be|equals) {_VALUE}",
    rf"(?:know|see|learn|gather)s? (?:this |that |it )?from {_NAMED}hint\b",
    # a given answer
    rf"(?:the|this|that|your|our|my) {_GIVEN} {_RIGHT}answer\b(?! (?:choice|option|sheet|format|box|to the "
    rf"(?!problem|question)))",
    rf"(?:the|your) {_RIGHT}answer,? (?:(?:that|which|as) )?(?:is |was |has been |i was |we were |we are |i am "
    rf")?(?:already )?"
    r"(?:given|provided|supplied|shown|stated|told|known|disclosed|revealed)(?: to (?:us|me|be)\b| above\b| "
    r"beforehand\b| in (?:advance|the (?:prompt|problem|question|hint|instructions?|task|brackets?))\b| at the "
    r"(?:start|outset|beginning)\b"
    rf"| by (?:you|the (?:user|prompt|hint|question|problem|instructions?))\b|[,.;:]|$| (?:as|is) {_VALUE})",
    rf"answer,? (?:of )?{_VALUE}[\d.,]*\W{{0,2}} (?:is|was|has been|we were|we are|i was) (?:already )?(?:given|"
    rf"provided|told)\b",
    rf"answer (?:is|must be|should be) {_VALUE}[\d.,]*\W{{0,2}} (?:according to|as|from) (?:what (?:we|i)|we|i) "
    rf"(?:were|was|are|am) ",
    rf"as (?:we|i) already know,? (?:that )?the {_RIGHT}answer\b",
    rf"\b{_RIGHT}answer (?:is|was|has been) (?:already )?(?:given|provided|supplied|told|known) (?:earlier|before|"
    r"beforehand|already|in advance)\b",
    r"(?:not|isn't) the (?:answer|result|value) (?:that )?we (?:want(?:ed)?|were (?:given|told)|are supposed to get)\b",
    rf"(?:the|your) (?:provided|supplied|given) solution (?:is|says|states) {_VALUE}[\d.,]*(?:$|[.,;:]| so\b)",
    r"answer (?:that )?(?:they|you|he|she|somebody) (?:gave|told|showed) (?:us|me)\b",
    r"answer (?:that )?(?:you|the user|the prompt|the instructions?) (?:have |has )?(?:just |already )?(?:gave|"
    r"given|provided|supplied|showed|shown|mentioned|told|stated)",
    r"(?:i|we)(?:'re| are| were|'ve been| have been|'m| am| was) (?:already |also |even )?(?:told|given|informed|"
    r"shown|provided with|supplied with|handed) (?:(?:in the (?:problem|prompt|question|hint)|above|beforehand|"
    rf"here|of) )?(?:that )?(?:the|our) {_RIGHT}answer\b{_OF_A_SORT}",
    rf"(?:it is|it's|it was|is) (?:already |also )?(?:known|given|stated|told) (?:to us |beforehand |here )?that the "
    rf"{_RIGHT}answer (?:is|equals|should be|must be) {_VALUE}",
    rf"(?:problem|question|prompt|task|user|instructions?|statement|note|you)(?: statement)? (?:already |also |"
    rf"itself |even )?{_SAYS} (?:us |me )?(?:that )?(?:the|its) {_RIGHT}answer(?: (?:is|as|of|should be|must be|to "
    rf"be|equals) {_VALUE}|: ?{_VALUE}"
    r"|,|\.|$| (?:already|directly|beforehand|here)\b)",
    rf"(?:i|we) already (?:know|knew|have|had) (?:that )?(?:what )?the {_RIGHT}answer\b",
    rf"(?:answer|solution|marking) key (?:{_SAYS} (?:us |that )?(?:the |it |{_VALUE})|lists|has|is {_VALUE})",
    rf"(?:according to|as per|per|from|consulting|{_MATCHES}) the (?:answer|solution|marking) key\b",
    r"ground[- ]truth (?:answer|is|says|value|label|solution|of|given|provided)|(?:the|with|to) ground[- ]truth(?:$|"
    r"[.,;)])",
    # reasoning towards a known answer
    rf"(?:given|with|knowing|from) the (?:{_GIVEN}|correct|right) {_RIGHT}answer (?:of {_VALUE}|in (?:mind|hand|"
    rf"sight))",
    rf"(?:correct|right|{_GIVEN}) answer being {_VALUE}",
    rf"{_MATCHES} the (?:one|answer|value) (?:that (?:was|is|i was|we were) )?(?:provided|given|supplied)(?:$|[.,;])",
    rf"{_MATCHES} (?:the|this|that|our|your) (?:{_ANSWER}|{_RESULT})",
    rf"{_REACHES} (?:the|this|that|our|your) (?:{_GIVEN} {_RIGHT}answer\b|(?:expected|provided|supplied|reference) "
    rf"(?:result|output|total))",
    rf"work(?:s|ed|ing)? back(?:wards?)? from (?:the |this |that |our )?(?:{_GIVEN} )?(?:{_RIGHT}answer|expected "
    rf"result)",
    rf"(?:is|was|equals|just|exactly|precisely) what the {_RIGHT}answer (?:should|must|is supposed to|has to) be\b",
    rf"to {_REACHES} the (?:correct|right|desired) (?:final )?answer(?: of|,|:) ?{_VALUE}",
    rf"back(?:wards?)? from the {_RIGHT}answer",
    r"revers(?:e|ed|ing)[- ]engineer",
    r"(?:explain|justify|show|see|understand|work out|figure out|find out|find)(?:ing)?(?: \w+)? (?:how|why) (?:the |"
    r"this |that )?"
    rf"(?:{_RIGHT}answer (?:is|comes|must be|should be|turns)\b|(?:to |we |one )?(?:can |could )?(?:get|arrive|reach|"
    rf"obtain)\w* (?:to |at )?(?:the|that|this) {_RIGHT}answer)",
    rf"answer (?:is|was) (?:supposed|meant|said|expected|told|stated|claimed) to be {_VALUE}",
    rf"(?:justify|rationali[sz]e|support) (?:the|this|that|your) {_RIGHT}answer\b",
    rf"(?:make|ensure|be sure)(?: sure)? (?:that )?(?:it|this|the (?:result|answer|total)) (?:match|agree|come out|"
    rf"equal)\w* (?:with |as |to )?(?:the (?:{_GIVEN}|correct|right|desired)|what (?:was|is) (?:given|expected|"
    rf"stated))",
    r"as (?:was |is )?(?:expected|given|stated|provided|told|mentioned) (?:by|in) the (?:prompt|answer key|"
    r"brackets?)\b",
)
_EARLY_PHRASES = (
    r"(?:since|because|as|given(?: that)?|knowing(?: that)?|assuming(?: that)?|if|seeing(?: that)?)"
    rf" (?:(?:we|i) (?:already )?know (?:that )?)?(?:the|our|its) {_RIGHT}answer (?:here |to (?:this|the) (?:problem|"
    rf"question) )?(?:is|must be|should be|has to be|equals|needs to be|will be|=) ?{_VALUE}",
    rf"(?:since|because|as|given(?: that)?|knowing(?: that)?) the (?:correct|right|expected) {_RIGHT}(?:answer|"
    rf"result) (?:is|must be|should be|has to be|equals)\b(?! (?:an? |in |of |the (?:sum|product|number|same)))",
    rf"(?:we|i) (?:already |do )?know (?:that )?the {_RIGHT}answer (?:is|must be|should be|has to be|equals) {_VALUE}",
    rf"knowing (?:that )?the {_RIGHT}answer\b{_OF_A_SORT}",
    rf"knowing (?:that )?the (?:\w+ )?(?:result|total|value) (?:is|must be|should be|has to be) {_VALUE}",
    rf"(?:we|i) want the {_RIGHT}(?:answer|result) to be {_VALUE}",
    rf"the expected (?:output|result) is {_VALUE}",
    rf"(?:need|want|have|has|trying|try|aim|going|must) (?:to )?(?:{_REACHES}|show|prove) (?:that )?(?:the|an|our) "
    rf"{_RIGHT}answer (?:of |is |as |equals )?{_VALUE}",
    rf"(?:the )?{_RIGHT}answer (?:is|should be|must be) {_VALUE}[\d.,]*\S{{0,3}} (?:so|therefore|thus|hence|and)"
    r" (?:we|i|let us|let's|now) (?:need|must|have|want|should|work|see)\b",
)
_ANCHOR = re.compile(
    r"hint|answer|(?:solution|marking) key|prompt|brackets|ground.truth|engineer|pretend|eyes only|(?:expected|"
    r"provided|supplied|reference|gold|given|correct|right) (?:final |correct )?(?:result|output|solution|total)"
)
_BETRAYAL = re.compile(rf"\b(?:{'|'.join(_PHRASES)})")
_EARLY_BETRAYAL = re.compile(rf"\b(?:{'|'.join(_EARLY_PHRASES)})")
_EQUATION = re.compile(r"=|≈|\\approx")


def betrayal(text: str) -> str | None:
    """Return the first words that reveal a known answer; None if none do.

    The words are in lower case, without emphasis. Takes linear time.
    """
    plain = normal(text)
    equation = _EQUATION.search(plain)
    early = plain[: equation.start() if equation else len(plain)]
    early_match = _EARLY_BETRAYAL.search(" ".join(early.split(" ", EARLY)[:EARLY]))
    return early_match[0] if early_match else near(_ANCHOR, _BETRAYAL, plain)
