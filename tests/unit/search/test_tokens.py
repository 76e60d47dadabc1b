"""The estimate of tokens: adds up, never 0 for something, and not below what a real tokenizer counts."""

from pathlib import Path
from time import thread_time

import pytest
import wordllama
from tokenizers import Tokenizer

from deployments.search.context.tokens import MOST_CHARACTERS_PER_TOKEN, count_tokens, weigh
from tests.paths import ROOT

LLAMA_2 = Path(wordllama.__file__).parent / "tokenizers" / "l2_supercat_tokenizer_config.json"
SAYINGS = [
    "Hey Mel! Good to see you! How have you been?",
    "I'm swamped with the kids & work. What's up with you? Anything new?",
    "My appointment is on 12/05/2026 at 10:45, in room B-204; it costs €1,299.00.",
    "Here's a recipe:\n1. Peel three apples.\n2. Bake for 40 minutes at 180 °C.",
    '{"id": 17, "price": 212.5, "tags": ["a", "bcd"], "when": "2024-03-01T09:30:00Z"}',
    "Die Krankenversicherungsbeiträge steigen im nächsten Jahr nicht, sagt die Regierung.",
    "Je me suis réveillée ce matin avec une idée pour l'anniversaire de ma sœur.",
    "Моя сестра переехала в Лиссабон в марте, и теперь она учит португальский язык.",
    "انتقلت أختي إلى لشبونة في شهر مارس وهي تتعلم الآن اللغة البرتغالية.",
    "妹は三月にリスボンへ引っ越して、今ポルトガル語を勉強しています。",
]


@pytest.fixture(scope="module")
def llama() -> Tokenizer:
    """The tokenizer inside of wordllama's package."""
    tokenizer = Tokenizer.from_file(str(LLAMA_2))
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return tokenizer


def counted(tokenizer: Tokenizer, text: str) -> int:
    return len(tokenizer.encode(text, add_special_tokens=False).ids)


@pytest.mark.parametrize("saying", SAYINGS, ids=lambda saying: saying[:12])
def test_a_saying_is_not_taken_for_much_less_than_it_is(saying: str, llama: Tokenizer) -> None:
    assert 0.85 <= count_tokens(saying) / counted(llama, saying) <= 1.6


@pytest.mark.parametrize(
    "path", ["README.md", "deployments/runtime/micro_batcher.py", "deployments/storage/queries/search.sql"]
)
def test_prose_and_code_are_counted_a_little_upwards(path: str, llama: Tokenizer) -> None:
    text = (ROOT / path).read_text()

    assert 0.95 <= count_tokens(text) / counted(llama, text) <= 1.35


@pytest.mark.parametrize(("text", "expected"), [("我的妹妹搬到了里斯本", 13), ("🙂👍🎉", 9), ("สวัสดี", 9)])
def test_what_llama_2_spells_byte_by_byte_counts_more_than_a_token_each(text: str, expected: int) -> None:
    assert count_tokens(text) == expected


@pytest.mark.parametrize("text", [" ", "a", "\n", "\t", "\0", "é", "я", "中", "🙂", "\u200d", "\x7f"])
def test_what_is_there_counts(text: str) -> None:
    assert count_tokens(text) >= 1


def test_nothing_counts_nothing() -> None:
    assert count_tokens("") == 0


def test_a_text_weighs_what_its_parts_weigh() -> None:
    text = "".join(SAYINGS) + "🙂 สวัสดี"

    for cut in range(len(text)):
        assert weigh(text[:cut]) + weigh(text[cut:]) == weigh(text)
        assert count_tokens(text[:cut]) <= count_tokens(text[: cut + 1])


def test_no_character_counts_for_less_than_its_share() -> None:
    planes = [*range(0xD800), *range(0xE000, 0x110000, 7)]

    assert min(weigh(chr(point)) for point in planes) * MOST_CHARACTERS_PER_TOKEN == weigh("abcd")


def test_a_long_message_is_counted_in_a_moment() -> None:
    text = "wörd " * 20_000
    started = thread_time()

    count_tokens(text)

    assert thread_time() - started < 0.3
