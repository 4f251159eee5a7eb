"""The files of MoNLI: read from a folder, or fetched from their public repository.

Geiger, Richardson and Potts 2020, "Neural Natural Language Inference Models Partially Embed Theories of
Lexical Entailment and Negation", BlackboxNLP.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from urllib.error import URLError

REPOSITORY = "https://raw.githubusercontent.com/atticusg/MoNLI/master"
FILES = {
    # part: (file, SHA-256, whether its sentences are negated)
    "nmonli_train": (
        "nmonli_train.jsonl",
        "c6fd6766fd21d6fb89337ddd821bd39f0c7a6004b141f89aca4f8c2bf9d27fe5",
        True,
    ),
    "nmonli_test": (
        "nmonli_test.jsonl",
        "f7bdb98d2e16b19aaa436b4d2165afab2420a776ed6f19f6ed12f14448be8ff3",
        True,
    ),
    "pmonli": ("pmonli.jsonl", "a5b5d8e1c683c874ed3d68c0fffb74ba37010db4f2bcf0983f0d1a60e2faf72f", False),
}
LABELS = ("neutral", "entailment")
KEYS = ("sentence1", "sentence2", "gold_label", "sentence1_lex", "sentence2_lex")


@dataclass(frozen=True)
class Example:
    """One line.

    Args:
        premise: the first sentence.
        hypothesis: the second, which differs from it in one word.
        words: the two words.
        negated: whether the word is in the scope of a negation.
        entails: whether the premise entails the hypothesis.
    """

    premise: str
    hypothesis: str
    words: tuple[str, str]
    negated: bool
    entails: bool

    @property
    def lexical(self) -> bool:
        """Whether the premise's word entails the hypothesis's: a negation turns the direction around."""
        return self.entails != self.negated


def read(folder: Path) -> dict[str, list[Example]]:
    """All three files, each example once.

    Raises:
        ValueError: if a file is missing, or saying which line lacks something.
    """
    return {part: _read(folder / name, negated) for part, (name, _, negated) in FILES.items()}


def _read(path: Path, negated: bool) -> list[Example]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise ValueError(f"{path}: cannot be read ({error.strerror})") from None
    except UnicodeDecodeError:
        raise ValueError(f"{path}: is no text") from None
    found: dict[Example, None] = {}
    for number, line in enumerate(lines, 1):
        if line.strip():
            found[_example(line, negated, f"{path}: line {number}")] = None
    if not found:
        raise ValueError(f"{path}: holds no examples")
    return list(found)


def _example(line: str, negated: bool, where: str) -> Example:
    try:
        data = json.loads(line)
    except json.JSONDecodeError as error:
        raise ValueError(f"{where}: malformed at column {error.colno}: {error.msg}") from None
    if not isinstance(data, dict):
        raise ValueError(f"{where}: is no object")
    for key in KEYS:
        if not isinstance(data.get(key), str) or not data[key].strip():
            raise ValueError(f"{where}: {key} is missing; a line has {list(KEYS)}")
    if data["gold_label"] not in LABELS:
        raise ValueError(f"{where}: gold_label={data['gold_label']}: valid are {list(LABELS)}")
    words = (data["sentence1_lex"], data["sentence2_lex"])
    return Example(data["sentence1"], data["sentence2"], words, negated, data["gold_label"] == LABELS[1])


def fetch(folder: Path) -> None:
    """Fetch those files that are not there; each must have its known checksum.

    Raises:
        ValueError: if the repository cannot be reached, or a file is not the one that is known.
    """
    from torch.hub import download_url_to_file

    for name, checksum, _ in FILES.values():
        if (folder / name).exists():
            continue
        folder.mkdir(parents=True, exist_ok=True)
        url = f"{REPOSITORY}/{name}"
        try:
            download_url_to_file(url, str(folder / name), hash_prefix=checksum, progress=False)
        except (URLError, OSError, RuntimeError) as error:
            reason = str(error).splitlines()[0]
            raise ValueError(f"{url}: {reason}; fetch it by hand and name its folder") from None
