"""Computes the importance of a message, how much it is worth keeping, from the message alone.

The weighted sum of ten features, each in [0, 1], goes through the logistic function. A message gains importance by
what a later question can ask about: things, names, figures and dates, and what its speaker says about their own life.
It loses importance by talk about the listener, courtesies, questions, long impersonal text, and a machine as speaker.
Age does not count: recency belongs to ranking and to retention.

The vocabularies are common English words, with first-person words, thanks and greetings of some other languages.
Messages in any other language are scored only by their words, figures and punctuation.
"""

import math
import re
from dataclasses import dataclass
from typing import NamedTuple

from deployments.analysis.english_words import FIRST_PERSON, FUNCTION_WORDS, SECOND_PERSON

READ_CHARACTERS = 10_000
"""Only this much of a message is read, far more than saturates every count below."""


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


COURTESY = _words(
    "hi hey hello bye thanks thank thx wow cool awesome great nice amazing lovely wonderful fantastic "
    "perfect congrats congratulations glad happy appreciate totally absolutely definitely exactly agree "
    "agreed haha lol sorry luck welcome ok okay yeah yep yup nope sure yes no good proud hope sounds "
    "hola gracias hallo danke bonjour merci ciao grazie olá obrigado привет спасибо مرحبا شكرا 你 好 谢"
)
HOLLOW = FUNCTION_WORDS | COURTESY | FIRST_PERSON | SECOND_PERSON

FIGURES = _words(
    "two three four five six seven eight nine ten dozen hundred thousand first second third once twice "
    "half today yesterday tonight tomorrow ago last recently since next weekend week weeks month months "
    "year years monday tuesday wednesday thursday friday saturday sunday morning evening spring summer "
    "autumn winter january february march april june july august september october november "
    "december"
)
LIFE = _words(
    # people close to the speaker
    "mom mum mother dad father parents sister brother wife husband partner boyfriend girlfriend son "
    "daughter kids kid child children family friend friends grandma grandpa grandmother grandfather "
    "aunt uncle cousin boss manager colleague colleagues roommate dog cat "
    # likes and dislikes
    "prefer favorite favourite love loved liked enjoy enjoyed hate fan dream passion allergic never "
    # events and plans
    "was were been had went came left moved started finished joined met visited attended bought sold "
    "got made took gave told found lost won built wrote became ran tried signed decided planned plan "
    "planning"
)

# Scripts without spaces between words: each character counts as a word.
_UNSPACED = "\u0e00-\u0e7f\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af"
_CAPITAL = "A-ZÀ-ÖØ-ÞΑ-ΩА-Я"
_WORD = re.compile(rf"[^\W_{_UNSPACED}]+(?:'[^\W_{_UNSPACED}]+)*|[{_UNSPACED}]")
_NAME = re.compile(rf" (?<=[\w,;:&)] )[\"“'(*]*([{_CAPITAL}][\w']*)([!.?,]?)")
# \uff01 and \uff1f are the full-width "!" and "?", \u3002 is the Chinese full stop, \u061f the Arabic "?".
_SENTENCE_END = re.compile("[.!?…](?=[\\s\"'”)*]|$)|[\u3002\uff01\uff1f\u061f]")
_QUESTION = re.compile("\\?(?=[\\s\"'”)*!]|$)|[\uff1f\u061f]")
# List numbers do not count as figures: an answer in ten steps states none by them.
_NUMBERING = re.compile(r"^[ \t]*+\d++[.)]\s", re.MULTILINE)


class Message(NamedTuple):
    """A message prepared once for all features."""

    text: str
    words: list[str]
    vocabulary: set[str]


class Features(NamedTuple):
    """The features of a message, each in [0, 1]."""

    information: float
    names: float
    figures: float
    self_told: float
    life: float
    addressed: float
    courtesy: float
    asking: float
    essay: float
    machine: float


@dataclass(frozen=True, slots=True)
class Weights:
    """The weight of each feature in the log-odds that a message is worth keeping.

    Two logistic regressions of "this turn answered a question" on the features, one over dialogues between people
    (LoCoMo) and one over chats with an assistant (LongMemEval), agree on every sign that both can determine. These
    weights are close to both, rounded to halves. Changing all of them at random by up to a third changes the share of
    evidence in the more important half of the messages by 0.5 points on LoCoMo and 2.3 on LongMemEval (standard
    deviations). The docstring of each weight gives its coefficients.
    """

    base: float = -1.5
    """Gives a few empty words 0.2, and the plainest fact more than 0.35, the default threshold of retention."""

    information: float = 1.5
    """1.3 between people, 2.0 in chats."""

    names: float = 1.0
    """1.5 and 0.4: people name what they talk about, while an assistant's lists name everything."""

    figures: float = 1.5
    """1.9 and 1.2."""

    self_told: float = 1.0
    """0.8 and 1.5: in chats it separates what users say about themselves from what they ask."""

    life: float = 1.0
    """1.6 and 0.4."""

    addressed: float = -1.5
    """-1.4 and -2.2: facts about the listener belong to the listener's own messages."""

    courtesy: float = -1.0
    """-1.4 and -1.3. Smaller here, because a fact often comes with thanks."""

    asking: float = -0.5
    """-0.4 and -0.6. Small, because a question often comes with its reason."""

    essay: float = -3.0
    """-2.7 in chats; dialogues between people have no messages this long."""

    machine: float = -0.5
    """-0.4 in chats. Small, because length and the missing first person already indicate a machine."""


WEIGHTS = Weights()


def read(content: str) -> Message:
    """Return the beginning of a message, its lowercase words and the set of them."""
    text = content[:READ_CHARACTERS].replace("\u2019", "'")
    words = _WORD.findall(_NUMBERING.sub("", text).lower())
    return Message(text, words, set(words))


def _up_to(count: float, enough: float) -> float:
    return min(1.0, count / enough)


def _share(words: list[str], of: frozenset[str]) -> float:
    return sum(map(of.__contains__, words)) / max(1, len(words))


def information(message: Message) -> float:
    """Return the number of distinct content words on a log scale; 40 give 1."""
    return _up_to(math.log1p(len(message.vocabulary - HOLLOW)), math.log1p(40))


def _calls_somebody(found: re.Match[str]) -> bool:
    """Return whether a name only addresses somebody: "Hey Ann", "so glad, Ann.", but not "Berlin, Germany."."""
    before = found.string[max(0, found.start() - 20) : found.start()].rpartition(" ")[2]
    if before.rstrip(",").lower() in COURTESY:
        return True
    return before.endswith(",") and before[0].islower() and bool(found[2])


def names(message: Message) -> float:
    """Return the number of capitalised words inside sentences, except names of addressees; 3 give 1."""
    found = {m[1] for m in _NAME.finditer(message.text) if not _calls_somebody(m)}
    return _up_to(sum(1 for name in found if name.lower() not in HOLLOW), 3)


def figures(message: Message) -> float:
    """Return the number of distinct numbers, dates and words of time; 3 give 1."""
    digits = sum(1 for word in message.vocabulary if word[0].isdigit())
    return _up_to(digits + len(message.vocabulary & FIGURES), 3)


def self_told(message: Message) -> float:
    """Return the share of first-person words; one in eight gives 1."""
    return _up_to(_share(message.words, FIRST_PERSON), 1 / 8)


def life(message: Message) -> float:
    """Return the number of distinct words for close people, likes, events and plans; 4 give 1."""
    return _up_to(len(message.vocabulary & LIFE), 4)


def addressed(message: Message) -> float:
    """Return the share of second-person words; one in eight gives 1."""
    return _up_to(_share(message.words, SECOND_PERSON), 1 / 8)


def courtesy(message: Message) -> float:
    """Return the share of greetings, thanks and praise; one word in four gives 1, as does a message without words."""
    return _up_to(_share(message.words, COURTESY), 1 / 4) if message.words else 1.0


def asking(message: Message) -> float:
    """Return the share of sentences that are questions."""
    asked = len(_QUESTION.findall(message.text))
    if not asked:
        return 0.0
    *ended, rest = _SENTENCE_END.split(message.text)
    return _up_to(asked, max(1, len(ended) + bool(_WORD.search(rest))))


def essay(message: Message) -> float:
    """Return the length beyond 500 characters on a log scale; 2,000 give 1. First-person words reduce it to 0."""
    length = _up_to(math.log(max(1.0, len(message.text) / 500)), math.log(4))
    return length * (1 - self_told(message)) if length else 0.0


def machine(role: str, name: str | None) -> float:
    """Return 1 for an assistant, a system or a tool without a name, else 0."""
    return float(role != "user" and not name)


def features(*, role: str, content: str, name: str | None = None) -> Features:
    """Return all features of one message, which explain its importance."""
    message = read(content)
    return Features(
        information=information(message),
        names=names(message),
        figures=figures(message),
        self_told=self_told(message),
        life=life(message),
        addressed=addressed(message),
        courtesy=courtesy(message),
        asking=asking(message),
        essay=essay(message),
        machine=machine(role, name),
    )


def importance(*, role: str, content: str, name: str | None = None) -> float:
    """Return how much one message is worth keeping, in (0, 1): the logistic function of its weighted features.

    `name`: the speaker's name, as in the chat formats. An assistant with a name counts as a person.
    """
    seen = features(role=role, content=content, name=name)
    log_odds = WEIGHTS.base + sum(value * getattr(WEIGHTS, part) for part, value in seen._asdict().items())
    return 1 / (1 + math.exp(-log_odds))
