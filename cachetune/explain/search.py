"""Find rules by words: in ids, summaries, messages, hints and prose."""

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence

from cachetune.explain.model import ExplainedRule

# How much a place is worth: people search for what they have read in a message, or for what they want to do.
_WEIGHTS = {"id": 50, "summary": 20, "message": 20, "fix": 6, "meaning": 4, "why": 2, "remedy": 2}
_WHOLE_WORD, _PHRASE = 3, 3
_PLACEHOLDER = re.compile(r"\{[^}]*\}")
_WORD = re.compile(r"[a-z_]{3,}")


def find(rules: Mapping[str, ExplainedRule], words: Sequence[str]) -> tuple[ExplainedRule, ...]:
    """The rules in which every word occurs, at least as the beginning of a word; the best match first."""
    if not words or not all(words):
        return ()
    scored = [(_score(rule, words), rule) for rule in rules.values()]
    return tuple(rule for score, rule in sorted(scored, key=lambda pair: -pair[0]) if score)


def near(rules: Mapping[str, ExplainedRule], word: str) -> str:
    """The word of the rules that is most similar to ``word``; "" if none is."""
    known = {
        found for rule in rules.values() for field in _WEIGHTS for found in _WORD.findall(_text(rule, field).lower())
    }
    close = difflib.get_close_matches(word.lower(), sorted(known), n=1, cutoff=0.75)
    return close[0] if close else ""


def _score(rule: ExplainedRule, words: Iterable[str]) -> int:
    """The sum of the places of the words and of the phrase that they form; 0 if a word occurs nowhere."""
    each = [_places(rule, [word]) for word in words]
    return sum(each) + _PHRASE * _places(rule, words) if all(each) else 0


def _places(rule: ExplainedRule, words: Iterable[str]) -> int:
    phrase = r"\W+".join(re.escape(_singular(word)) + "s?" for word in words)
    start = re.compile(rf"(?<!\w){phrase}", re.IGNORECASE)
    whole = re.compile(rf"(?<!\w){phrase}(?!\w)", re.IGNORECASE)
    score = 0
    for field, weight in _WEIGHTS.items():
        text = _text(rule, field)
        score += weight * (_WHOLE_WORD if whole.search(text) else 1 if start.search(text) else 0)
    return score


def _singular(word: str) -> str:
    return word[:-1] if len(word) > 3 and word[-1:] in "sS" and word[-2:].lower() != "ss" else word


def _text(rule: ExplainedRule, field: str) -> str:
    text: str = getattr(rule, field)
    return _PLACEHOLDER.sub(" ", f"{text} {rule.prints}" if field == "message" else text)
