"""Networks that read prompts, through the command line: from a folder, fine-tuned, saved, aligned."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from transformers import GPT2Config, GPT2LMHeadModel

from iit_lab.models.tokenizers import word_level

SMALL = ("task=arithmetic_sum", "counterfactual=sum_inputs", "debug=fast", "job.steps_per_call=10")
ALIGN = ("job=align", "task=arithmetic_sum", "objective=das", "counterfactual=sum_pairs", "debug=fast")
ALIGN += ("alignment.layer=1", "alignment.position=3", "intervention=low_rank", "intervention.rank=2")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pretrained language model of a few weights, whose tokenizer knows the answers too."""
    path = tmp_path_factory.mktemp("gpt2")
    tokenizer = word_level(["+", "=", *map(str, range(1, 31))])
    sizes = {"n_layer": 2, "n_embd": 16, "n_head": 2, "vocab_size": len(tokenizer), "n_positions": 8}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        GPT2LMHeadModel(GPT2Config(**sizes, bos_token_id=None, eos_token_id=None)).save_pretrained(path)
    tokenizer.tokenizer.save_pretrained(path)
    return path


@pytest.mark.parametrize("model", ["gpt2", "gpt2_lm", "gpt2_bridge"])
def test_a_pretrained_network_is_fine_tuned_and_aligned(launch, folder, model):
    where = (f"model={model}", f"model.network.pretrained={folder}")
    trained = launch(*SMALL, "objective=behaviour", *where, directory="trained")
    weights = load_file(trained.directory / "network.safetensors")
    embedding = next(
        value for name, value in weights.items() if name.endswith(("wte.weight", "embed.weight"))
    )
    before = GPT2LMHeadModel.from_pretrained(folder).transformer.wte.weight
    assert embedding.shape == before.shape and not torch.equal(embedding, before)
    used = ("model.weights=trained", "model.trainable=false", "job.min_accuracy=null")
    aligned = launch(*ALIGN, *where, *used, directory="aligned")
    assert {"test/iia/P", "seen/iia/P", "all/iia/P", "test/iia_full_swap/P"} <= set(aligned.metrics)
    again = launch("job=evaluate", "job.run=aligned", "logger=csv", directory="again")
    assert again.metrics["test/iia/P"] == aligned.metrics["test/iia/P"]


def test_a_network_that_does_not_solve_the_task_is_refused(launch):
    untrained = ("model=gpt2_small", "limit.steps=null", "model.trainable=false", "job.min_accuracy=0.9")
    refused = launch(*ALIGN, *untrained, code=1)
    assert "job.min_accuracy=0.9: the network solves 0.0" in refused.output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("model=mlp", "alignment.position=null"), "task.tokenizer=null: prompts need one"),
        (
            ("model=gpt2_small", "alignment.layer=12"),
            "alignment.layer=12: gpt2, 12 layers x 64 has layers 0..11",
        ),
        (("model=gpt2_small", "alignment.position=6"), "alignment.position=6: layer 1 block_output"),
        (("model=gpt2_small", "intervention.rank=65"), "intervention.rank=65: the site has 64 units"),
        (("model=gpt2_small", "intervention.rank=0"), "intervention.rank=0: the site has 64 units"),
        (("model=gpt2_small", "model.network.config.n_head=5"), "model.network"),
        (("model=gpt2_small", "task.causal_model.terms=AB"), "terms=AB: letters of XYZ"),
        (("model=gpt2", "model.network.pretrained=/nowhere"), "model.tokenizer.name=/nowhere: no tokenizer"),
        (("model=gpt2_small", 'model.tokenizer.words=["+","="]'), "has a word that it does not know"),
        (("model=gpt2_lm", "model.network.pretrained=FOLDER", "model.tokenizer.name=SHORT"), "answers"),
    ],
)
def test_what_does_not_fit_is_one_line(launch, folder, tmp_path, arguments, message):
    short = tmp_path / "short"
    word_level(["+", "=", *map(str, range(1, 11))]).tokenizer.save_pretrained(short)
    real = [text.replace("FOLDER", str(folder)).replace("SHORT", str(short)) for text in arguments]
    refused = launch(*ALIGN, "model.trainable=false", *real, code=1)
    assert message in refused.output
    assert "Traceback" not in refused.output
