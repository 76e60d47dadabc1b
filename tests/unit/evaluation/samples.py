"""Tiny made-up data in each format."""

import json
from pathlib import Path
from typing import Any

Json = dict[str, Any]


def message(number: int, **fields: Any) -> Json:
    """A line of our own format."""
    return {
        "type": "message",
        "id": f"m{number}",
        "conversation_id": "c1",
        "role": "user",
        "content": f"Sentence number {number}.",
        "created_at": f"2026-01-01T00:00:{number:02}Z",
        **fields,
    }


def question(*answers: str, **fields: Any) -> Json:
    """A line of our own format."""
    return {"type": "question", "question": "Which sentence?", "answers": list(answers), **fields}


def write_lines(path: Path, *lines: Json | str) -> Path:
    """A file of our own format."""
    path.write_text("".join(f"{line if isinstance(line, str) else json.dumps(line)}\n" for line in lines))
    return path


def locomo_sample(**fields: Any) -> Json:
    """Two speakers, two sessions, one picture, five questions."""
    return {
        "sample_id": "conv-1",
        "conversation": {
            "speaker_a": "Ida",
            "speaker_b": "Per",
            "session_2_date_time": "1:56 pm on 8 May, 2023",
            "session_2": [{"speaker": "Per", "dia_id": "D2:1", "text": "I sold the boat."}],
            "session_1_date_time": "12:05 am on 1 May, 2023",
            "session_1": [
                {"speaker": "Ida", "dia_id": "D1:1", "text": "I bought a boat."},
                {"speaker": "Per", "dia_id": "D1:2", "text": "Look!", "blip_caption": "a red boat"},
            ],
        },
        "qa": [
            {"question": "What did Ida buy?", "answer": "A boat", "evidence": ["D1:1"], "category": 4},
            {"question": "When was it sold?", "answer": "May", "evidence": ["D:2:1; D1:02"], "category": 2},
            {"question": "Evidence of no turn?", "evidence": ["D9:9"], "category": 1},
            {"question": "No evidence?", "category": 3},
            {"question": "Adversarial?", "evidence": ["D1:1"], "category": 5},
        ],
        **fields,
    }


def longmemeval_sample(**fields: Any) -> Json:
    """Two sessions, one blank turn, one answer."""
    return {
        "question_id": "q1",
        "question_type": "single-session-user",
        "question": "What is my cat called?",
        "haystack_dates": ["2023/05/20 (Sat) 02:21", "2023/05/21 (Sun) 23:59"],
        "haystack_sessions": [
            [{"role": "user", "content": "Hello"}, {"role": "assistant", "content": " "}],
            [
                {"role": "user", "content": "My cat is called Miso.", "has_answer": True},
                {"role": "assistant", "content": "A fine name.", "has_answer": False},
            ],
        ],
        **fields,
    }
