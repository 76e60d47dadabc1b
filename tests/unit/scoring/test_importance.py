"""Importance: what a message says of someone's life outweighs what it says to keep the talk going."""

import itertools

import pytest

from deployments.scoring.importance import READ_CHARACTERS, WEIGHTS, Features, features, importance

RETENTION_THRESHOLD = 0.35

FACTS = [
    "I moved to Berlin in March 2021 and work at Siemens",
    "My sister Anna is getting married in June.",
    "I prefer tea",
    "I'm allergic to peanuts.",
    "We decided to postpone the launch until 14 October.",
    "The meeting with Dr. Okafor is on Friday at 3pm.",
]
SMALL_TALK = [
    "ok thanks!",
    "Hi there, how are you?",
    "Wow, that's awesome!",
    "You're so welcome, glad I could help!",
    "Sounds good, talk to you soon.",
    "lol yeah",
]
ESSAY = (
    "Great question! Here are some tips to help you plan a trip to Japan:\n\n"
    + "\n".join(
        f"{n}. **Book your stay in {place}**: Look for {kind} near {station} Station, compare prices "
        "on several websites, and make sure to check the cancellation policy before you commit to anything."
        for n, (place, kind, station) in enumerate(
            [
                ("Tokyo", "capsule hotels", "Shinjuku"),
                ("Kyoto", "traditional guest houses", "Gion"),
                ("Osaka", "business hotels", "Namba"),
                ("Nara", "family inns", "Kintetsu"),
                ("Hakone", "hot spring resorts", "Yumoto"),
                ("Sapporo", "ski lodges", "Odori"),
            ],
            start=1,
        )
    )
    + "\n\nBy following these tips, you'll be well prepared for your journey. Let me know how it goes!"
)
NASTY = {
    "empty": "",
    "blank": " \t\n\u3000 ",
    "emoji": "😀🎉👩‍👩‍👧‍👦",
    "chinese": "我三月搬到柏林\uff0c在西门子工作。",
    "arabic": "انتقلت إلى برلين في مارس ٢٠٢١",
    "thai": "ฉันย้ายไปเบอร์ลินเมื่อเดือนมีนาคม",
    "digits": "31415926535 8979 3238",
    "punctuation": "?!...,;:—()[]{}?!",
    "binary-like": "".join(map(chr, itertools.chain(range(1, 32), range(127, 600)))),
    "lone surrogate": "\ud800 and more",
    "one long word": "a" * 100_000,
    "long text": "The quick brown fox met Mr. Smith in 2021, didn't it? " * 2_000,
    "only questions": "?" * 100_000,
    "only apostrophes": "a'" * 50_000,
    "only names": "A " * 50_000,
    "code": "def f(x: int) -> int:\n    return {'a': x}['a'] ** 2  # why?\n",
}


def said(content: str) -> float:
    return importance(role="user", content=content)


@pytest.mark.parametrize("fact", FACTS)
def test_a_fact_is_kept_by_the_default_threshold(fact: str) -> None:
    assert said(fact) > RETENTION_THRESHOLD


@pytest.mark.parametrize("small_talk", SMALL_TALK)
def test_small_talk_is_not(small_talk: str) -> None:
    assert said(small_talk) < RETENTION_THRESHOLD


def test_every_fact_outweighs_all_small_talk_by_far() -> None:
    assert min(map(said, FACTS)) - max(map(said, SMALL_TALK)) > 0.2


@pytest.mark.parametrize(
    ("more", "less"),
    [
        ("I moved to Oslo in 2019.", "I moved to Oslo in 2019?"),
        ("I moved to Oslo in 2019.", "You moved to Oslo in 2019."),
        ("I moved to Oslo in 2019.", "I moved to a city then."),
        ("I met Ingrid and Tor.", "I met ingrid and tor."),
        (
            "Ingrid likes jazz and Tor likes chess.",
            "Wow, great! Ingrid likes jazz and Tor likes chess, cool!",
        ),
        ("My uncle cooks for his cousin.", "My tailor cooks for his baker."),
        ("Solar panels charge the garden lamp battery.", "The lamp is on."),
    ],
    ids=["statement", "speaker's own", "figures", "names", "courtesy", "life", "information"],
)
def test_what_says_more_weighs_more(more: str, less: str) -> None:
    assert said(more) > said(less)


@pytest.mark.parametrize("fact", FACTS)
def test_what_the_user_says_outweighs_an_assistants_long_answer(fact: str) -> None:
    assert said(fact) > importance(role="assistant", content=ESSAY)


def test_a_pasted_essay_is_no_better_for_being_the_users() -> None:
    assert said(ESSAY) < min(map(said, FACTS))


def test_a_long_story_of_ones_own_stays_above_an_essay_of_that_length() -> None:
    sentence = "I remember how my mother and I took the night train to Lisbon in 1998, and we lost our bags. "
    story = sentence * (len(ESSAY) // len(sentence))
    assert said(story) > RETENTION_THRESHOLD > said(ESSAY)


def test_an_assistants_short_answer_outweighs_a_bare_request() -> None:
    answer = "For dinner in Rome I would recommend Roscioli, near Campo de' Fiori; it opened in 1972."
    assert importance(role="assistant", content=answer) > said("Can you recommend a good restaurant?")


@pytest.mark.parametrize("content", [*FACTS, *SMALL_TALK, ESSAY])
def test_two_people_with_names_are_on_equal_footing(content: str) -> None:
    ann = importance(role="user", content=content, name="Ann")
    bob = importance(role="assistant", content=content, name="Bob")
    assert ann == bob == said(content)


@pytest.mark.parametrize("role", ["assistant", "system", "tool"])
@pytest.mark.parametrize("name", [None, ""])
def test_a_voice_without_a_name_weighs_less(role: str, name: str | None) -> None:
    fact = FACTS[0]
    assert RETENTION_THRESHOLD < importance(role=role, content=fact, name=name) < said(fact)


@pytest.mark.parametrize(
    ("content", "found"),
    [
        ("Hey Ann!", 0),
        ("Thanks, Ann! I'm so glad, Ann.", 0),
        ("I live in Berlin, Germany.", 2),
        ("we saw Ann, Bob, Cy and Dee", 3),
        ("I read \u201cUlysses\u201d and I'm done.", 1),
        ("Meanwhile it rained. Then it stopped.", 0),
    ],
)
def test_names_are_counted_where_they_are_spoken_about(content: str, found: int) -> None:
    assert features(role="user", content=content).names == found / 3


@pytest.mark.parametrize(
    ("content", "share"),
    [
        ("Where do you live?", 1),
        ("I live in Rome. Where do you live?", 0.5),
        ("Where do you live? I live in Rome", 0.5),
        ("How are you? 😊", 1),
        ("It said 3.5 at example.com/a?b=c.", 0),
        ("你住在哪里\uff1f", 1),
        ("أين تسكن؟", 1),
    ],
)
def test_questions_are_counted_by_the_sentence(content: str, share: float) -> None:
    assert features(role="user", content=content).asking == share


def test_the_numbers_of_a_list_are_no_figures() -> None:
    assert features(role="assistant", content="1. Chop it.\n2. Fry it.\n 3) Serve it.").figures == 0
    assert features(role="user", content="I paid 3.50 for 2 of them.").figures == 1


def test_a_curly_apostrophe_is_an_apostrophe() -> None:
    assert said("I\u2019ve got my sister\u2019s car") == said("I've got my sister's car")


@pytest.mark.parametrize(
    ("fact", "small_talk"),
    [
        ("我三月搬到柏林\uff0c在西门子工作。", "谢谢你\uff01"),
        ("Ich wohne seit 2019 in Hamburg.", "Hallo, danke!"),
        ("Я переехал в Берлин в марте 2021 года", "Привет, спасибо!"),
        ("Me mudé a Sevilla en 2020 con mi hermana", "¡Hola, gracias!"),
    ],
)
def test_other_languages_are_told_apart_too(fact: str, small_talk: str) -> None:
    assert said(fact) > RETENTION_THRESHOLD > said(small_talk)


@pytest.mark.parametrize("content", NASTY.values(), ids=NASTY.keys())
@pytest.mark.parametrize("role", ["user", "assistant"])
def test_any_text_is_scored_within_the_range(content: str, role: str) -> None:
    assert 0 <= importance(role=role, content=content) <= 1
    assert all(0 <= part <= 1 for part in features(role=role, content=content))


@pytest.mark.parametrize("content", [NASTY["empty"], NASTY["blank"], NASTY["emoji"], NASTY["punctuation"]])
def test_what_has_no_words_is_small_talk(content: str) -> None:
    assert said(content) < RETENTION_THRESHOLD


def test_the_same_message_has_the_same_score() -> None:
    assert [said(text) for text in NASTY.values()] == [said(text) for text in NASTY.values()]


def test_no_more_than_the_beginning_is_read() -> None:
    beginning = "word and more " * (READ_CHARACTERS // 10)
    assert said(beginning + "I moved to Oslo in 2019.") == said(beginning)


def test_scores_spread_over_the_range() -> None:
    scores = [said(text) for text in (*FACTS, *SMALL_TALK)]
    assert min(scores) < 0.1
    assert max(scores) > 0.8


def test_every_feature_has_a_weight() -> None:
    assert {*Features._fields, "base"} == {*WEIGHTS.__dataclass_fields__}
