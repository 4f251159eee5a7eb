"""Sealed answers: kept apart, committed to in public, revealed to verify.

A commitment is SHA-256 over the canonical answer and a secret nonce of 256 bits. Without the nonce nobody can
try out the few possible answers; with it nobody can change the answer.
"""

import hashlib
import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from iit_lab.results.files import read_json, write_json

VERSION = 1
NONCE_BYTES = 32


@dataclass(frozen=True)
class Answer:
    """What is true of one network.

    Args:
        trained: the sets of variables that it was trained on, by name.
        alignment: where its variables live, as plain data.
        kind: of placement.
        control: why it is not expected to be realisable, if it is not.
        weights: SHA-256 of its weights' file, so that answers cannot be exchanged; empty if it was not
            published.
    """

    trained: str
    alignment: Mapping[str, Sequence[Mapping[str, Any]]]
    kind: str
    control: str | None
    weights: str

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "trained": self.trained,
            "alignment": {name: list(map(dict, places)) for name, places in self.alignment.items()},
            "kind": self.kind,
            "control": self.control,
            "weights": self.weights,
        }


@dataclass(frozen=True)
class Sealed:
    """The answer file.

    Args:
        seed: from which alignments, initial weights and the order of data were drawn.
        nonces: by network.
        answers: by network.
    """

    seed: int
    nonces: Mapping[str, str]
    answers: Mapping[str, Answer]

    def save(self, path: Path) -> None:
        """Write the file."""
        networks = {
            name: {"nonce": self.nonces[name], "answer": answer.to_json()}
            for name, answer in self.answers.items()
        }
        write_json(path, {"version": VERSION, "seed": self.seed, "networks": networks})


def read(path: Path) -> Sealed:
    """Read an answer file.

    Raises:
        ValueError: if it cannot be read or lacks something.
    """
    data = read_json(path)
    try:
        if data["version"] != VERSION:
            raise ValueError(f"{path}: version {data['version']}, this program reads {VERSION}")
        networks = data["networks"]
        answers = {name: _answer(own["answer"]) for name, own in networks.items()}
        nonces = {name: str(own["nonce"]) for name, own in networks.items()}
        if type(data["seed"]) is not int:
            raise TypeError("seed")
        return Sealed(data["seed"], nonces, answers)
    except (KeyError, TypeError, AttributeError, OverflowError) as error:
        raise ValueError(f"{path}: is no answer file, or was tampered with ({error!r})") from None


def _answer(data: Mapping[str, Any]) -> Answer:
    """One answer; its alignment is variable -> sites, as numbers.

    Raises:
        TypeError: for anything else.
    """
    answer = Answer(**data)
    places = [place for own in dict(answer.alignment).values() for place in own]
    if not all(isinstance(place, dict) and _is_numbers(list(place.values())) for place in places):
        raise TypeError("alignment")
    return answer


def _is_numbers(data: Any) -> bool:
    if isinstance(data, list):
        return all(_is_numbers(each) for each in data)
    return isinstance(data, int | float) and not isinstance(data, bool)


def new_nonce() -> str:
    """256 secret bits."""
    return secrets.token_hex(NONCE_BYTES)


def new_seed() -> int:
    """A seed that nobody can guess."""
    return secrets.randbits(63)


def canonical(data: Any) -> bytes:
    """Plain data as bytes, the same for equal data: sorted keys, no spaces, ASCII."""
    return json.dumps(data, sort_keys=True, separators=(",", ":"), allow_nan=False).encode("ascii")


def commitment(name: str, answer: Answer, nonce: str) -> str:
    """SHA-256, in hexadecimal digits, of nonce, network and answer."""
    return hashlib.sha256(canonical([nonce, name, answer.to_json()])).hexdigest()


def file_hash(path: Path) -> str:
    """SHA-256 of a file.

    Raises:
        ValueError: if it cannot be read.
    """
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise ValueError(f"{path}: cannot be read ({error.strerror})") from None


def verify(published: Mapping[str, Mapping[str, Any]], sealed: Sealed) -> None:
    """Whether answers are those that were committed to.

    Args:
        published: the manifest's entry of each network that was published.
        sealed: the answers.

    Raises:
        ValueError: naming the networks whose answers are missing or are not what was committed to.
    """
    missing = sorted(set(published) - set(sealed.answers))
    if missing:
        raise ValueError(f"no answer for {missing[:3]}, of {len(missing)} networks in all")
    wrong = [
        name
        for name, entry in sorted(published.items())
        if commitment(name, sealed.answers[name], sealed.nonces[name]) != entry["commitment"]
        or sealed.answers[name].weights != entry["weights"]
        or sealed.answers[name].trained != entry["trained"]
    ]
    if wrong:
        raise ValueError(
            f"the answers for {wrong[:3]}, {len(wrong)} networks in all, are not those that the manifest "
            "commits to; was the file tampered with?"
        )
