"""How much a message is worth keeping, from what the message itself says.

Ten features, each in [0, 1], are weighted, added and squashed into [0, 1]. What speaks for a message is
what a later question can ask about: the things, names, figures and dates in it, and what its speaker says
of their own life. What speaks against it is talk about the listener, courtesies, questions, length without
a person behind it, and a machine's voice. Age is no part of it: recency belongs to ranking and to retention.

The vocabularies are common English words, with the first person, thanks and greetings of some other
languages. What is said in any other is scored by its words, figures and punctuation alone.
"""

import math
import re
from dataclasses import dataclass
from typing import NamedTuple

from deployments.analysis.english_words import FIRST_PERSON, FUNCTION_WORDS, SECOND_PERSON

READ_CHARACTERS = 10_000
"""As much of a message as is read. It is far past the length at which every count below is saturated."""


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
    # who belongs to it
    "mom mum mother dad father parents sister brother wife husband partner boyfriend girlfriend son "
    "daughter kids kid child children family friend friends grandma grandpa grandmother grandfather "
    "aunt uncle cousin boss manager colleague colleagues roommate dog cat "
    # what its owner likes
    "prefer favorite favourite love loved liked enjoy enjoyed hate fan dream passion allergic never "
    # what happened in it, or is going to
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
# The numbers of a list are no figures: an answer in ten steps states none by that.
_NUMBERING = re.compile(r"^[ \t]*+\d++[.)]\s", re.MULTILINE)


class Message(NamedTuple):
    """One message, read once for all features."""

    text: str
    words: list[str]
    vocabulary: set[str]


class Features(NamedTuple):
    """What a message shows, each part in [0, 1]."""

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
    """What each feature adds to the log-odds that a message is worth keeping.

    Two logistic regressions of "a question was answered by this turn" on the features, one over dialogues
    between people (LoCoMo) and one over chats with an assistant (LongMemEval), agree on every sign that both
    can see, and these are near both, rounded to halves. Moving all of them by up to a third at random moves
    the evidence that the more important half keeps by 0.5 points on the first and 2.3 on the other (standard
    deviations).
    """

    base: float = -1.5
    """Puts a few words that say nothing at 0.2, and the plainest fact above 0.35, where retention begins."""

    information: float = 1.5
    """1.3 between people, 2.0 in chats."""

    names: float = 1.0
    """1.5 and 0.4: people name what they tell, and an assistant's lists name everything."""

    figures: float = 1.5
    """1.9 and 1.2."""

    self_told: float = 1.0
    """0.8 and 1.5: in chats it tells what the user is from what the user asks."""

    life: float = 1.0
    """1.6 and 0.4."""

    addressed: float = -1.5
    """-1.4 and -2.2: what is said of the listener is the listener's to tell."""

    courtesy: float = -1.0
    """-1.4 and -1.3. Less, since a fact often comes with thanks."""

    asking: float = -0.5
    """-0.4 and -0.6. Little, since a question often comes with its reason."""

    essay: float = -3.0
    """-2.7 in chats; between people nothing is that long."""

    machine: float = -0.5
    """-0.4 in chats, so little, since length and the missing first person say most of it."""


WEIGHTS = Weights()


def read(content: str) -> Message:
    """The beginning of a message, its words in lower case and their vocabulary."""
    text = content[:READ_CHARACTERS].replace("\u2019", "'")
    words = _WORD.findall(_NUMBERING.sub("", text).lower())
    return Message(text, words, set(words))


def _up_to(count: float, enough: float) -> float:
    return min(1.0, count / enough)


def _share(words: list[str], of: frozenset[str]) -> float:
    return sum(map(of.__contains__, words)) / max(1, len(words))


def information(message: Message) -> float:
    """Different words that carry meaning, on a log scale; 40 of them are 1."""
    return _up_to(math.log1p(len(message.vocabulary - HOLLOW)), math.log1p(40))


def _calls_somebody(found: re.Match[str]) -> bool:
    """Whether a name is only spoken to: "Hey Ann", "so glad, Ann." and not "Berlin, Germany."."""
    before = found.string[max(0, found.start() - 20) : found.start()].rpartition(" ")[2]
    if before.rstrip(",").lower() in COURTESY:
        return True
    return before.endswith(",") and before[0].islower() and bool(found[2])


def names(message: Message) -> float:
    """Capitalised words inside a sentence, other than the person spoken to; 3 are 1."""
    found = {m[1] for m in _NAME.finditer(message.text) if not _calls_somebody(m)}
    return _up_to(sum(1 for name in found if name.lower() not in HOLLOW), 3)


def figures(message: Message) -> float:
    """Different numbers, dates and words of time; 3 are 1."""
    digits = sum(1 for word in message.vocabulary if word[0].isdigit())
    return _up_to(digits + len(message.vocabulary & FIGURES), 3)


def self_told(message: Message) -> float:
    """Share of first-person words; one in eight is 1."""
    return _up_to(_share(message.words, FIRST_PERSON), 1 / 8)


def life(message: Message) -> float:
    """Different words for people close to someone, likes, events and plans; 4 are 1."""
    return _up_to(len(message.vocabulary & LIFE), 4)


def addressed(message: Message) -> float:
    """Share of second-person words; one in eight is 1."""
    return _up_to(_share(message.words, SECOND_PERSON), 1 / 8)


def courtesy(message: Message) -> float:
    """Share of greetings, thanks and praise; one word in four is 1, and so is a message without words."""
    return _up_to(_share(message.words, COURTESY), 1 / 4) if message.words else 1.0


def asking(message: Message) -> float:
    """Share of sentences that are questions."""
    asked = len(_QUESTION.findall(message.text))
    if not asked:
        return 0.0
    *ended, rest = _SENTENCE_END.split(message.text)
    return _up_to(asked, max(1, len(ended) + bool(_WORD.search(rest))))


def essay(message: Message) -> float:
    """Length past 500 characters, on a log scale; 2,000 are 1, and 0 if the writer speaks of themselves."""
    length = _up_to(math.log(max(1.0, len(message.text) / 500)), math.log(4))
    return length * (1 - self_told(message)) if length else 0.0


def machine(role: str, name: str | None) -> float:
    """1 for a voice that is nobody's: an assistant, a system or a tool without a name."""
    return float(role != "user" and not name)


def features(*, role: str, content: str, name: str | None = None) -> Features:
    """All features of one message: what there is to say about why it scores as it does."""
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
    """How much one message is worth keeping, in (0, 1): the logistic function of its weighted features.

    `name` is who spoke, as in the chat formats. An assistant with a name is taken for a person.
    """
    seen = features(role=role, content=content, name=name)
    log_odds = WEIGHTS.base + sum(value * getattr(WEIGHTS, part) for part, value in seen._asdict().items())
    return 1 / (1 + math.exp(-log_odds))
