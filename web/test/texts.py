"""Texts, what Python stores of them, and what the learner of requests that ships with the package answers; `fixtures.py` calls it."""

import json
import pathlib
import shutil
import warnings

from quickstudy.errors import DataError, InputWarning
from quickstudy.inputs.text import TextSpec
from quickstudy.runtime import Learner, pretrained

GIVEN = [
    ["I lost my card.", "Grüße!", "  blanks around \n"],
    ["Grüße aus Köln", "日本語のテキスト", "👍🏽 emoji, which take four bytes"],
    ["\ufeffafter a mark", "zero\0inside\0", "\x1c\x85\u3000blanks of Python\xa0\u2028", "\ufeff\ufeffsecond mark stays\ufeff"],
    ["half a pair \ud83d here", "\udc4d", "a sign \ufffd of its own"],
    [b"plain bytes", b"\xff\xfe broken", b"\xe6\x97", "both \ufffd".encode(), b"\xf0\x9f\x91\x8d\xf0\x9f"],
]
LENGTHS = (3, 8, 9, 128)
REQUESTS = {
    "card": ["where is my card", "my card has not come yet", "I am still waiting for my new card"],
    "weather": ["will it rain tomorrow", "is it cold outside", "what is the forecast for the weekend"],
    "music": ["play some jazz", "put on my favourite song", "turn the music up"],
    "alarm": ["wake me at seven", "set an alarm for six in the morning", "I need to get up early tomorrow"],
}
MORE = ["book a table for two", "reserve a place at the restaurant tonight", "did my card get lost in the mail"]
MORE_LABELS = ["table", "table", "card"]
QUERIES = [
    "has my card been sent",
    "do I need an umbrella today",
    "play the new album",
    "please wake me up at 8",
    "Grüße!",
    "set the alarm " * 12,
]


def texts(folder: pathlib.Path) -> None:
    """Write how texts are stored, which are refused, what is said of them, and what `intents` answers."""
    found = [stored(given, length) for given in GIVEN for length in LENGTHS]
    (folder / "texts.json").write_text(json.dumps({"stored": found, "refused": refused(), "unlike": unlike()}))
    shutil.copy(pretrained.find("intents"), folder / "intents.qs")
    labels = [label for label in REQUESTS for _ in range(3)]
    support = [text for group in REQUESTS.values() for text in group]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", InputWarning)  # the last query is cut
        skill = Learner.load("intents").adapt(support, labels)
        expected = {"support": support, "labels": labels, "more": MORE, "moreLabels": MORE_LABELS, "query": QUERIES}
        expected |= {"logits": skill.logits(QUERIES).tolist(), "probabilities": skill.predict_proba(QUERIES).tolist()}
        expected |= {"predicted": skill.predict(QUERIES), "unknown": skill.unknown(QUERIES).tolist()}
        skill.add(MORE, MORE_LABELS)
        expected |= {"logitsAfterMore": skill.logits(QUERIES).tolist(), "classes": skill.labels}
    (folder / "intents.json").write_text(json.dumps(expected))


def stored(given: list, length: int) -> dict[str, object]:
    """Return texts as they are stored, with the warning of what was lost."""
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        rows = TextSpec(length).read_all(given)["text"]
    words = " ".join(str(warning.message) for warning in said) or None
    return {"given": [plain(text) for text in given], "length": length, "stored": rows.tolist(), "said": words}


def plain(text: str | bytes) -> str | list[int]:
    """Return a text as the tests read it: bytes as numbers."""
    return text if isinstance(text, str) else list(text)


def refused() -> list[dict[str, object]]:
    """Return texts that are refused, with the words."""
    found = []
    for given in ("", " \n\t", "\ufeff", "\0\0", "\x1f\x85\u2003"):
        try:
            TextSpec(8).read_all(["sound", given])
        except DataError as error:
            found.append({"given": given, "said": str(error)})
    return found


def unlike() -> list[dict[str, object]]:
    """Return sets of texts with their statistics, and what is said of them if a learner was trained on the first."""
    sets = [["where is my card", "play jazz"], ["hm"], ["日本語"], ["where is my card " * 6], ["ab" * 25, "a" * 51, "a" * 50]]
    sets += [["äöü", "abcdef"], ["a" * 101, "b" * 100]]
    spec = TextSpec(128)
    rows = [spec.read_all(given)["text"] for given in sets]
    trained = spec.statistics({"text": rows[0]})
    return [
        {
            "stored": found.tolist(),
            "statistics": spec.statistics({"text": found}),
            "trained": trained,
            "said": spec.unlike(trained, {"text": found}),
        }
        for found in rows
    ]
