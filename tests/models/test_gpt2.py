"""GPT-2 as a staged model: the same logits as Hugging Face, stage by stage, head by head."""

import pytest
import torch
from transformers import GPT2Config, GPT2ForSequenceClassification, GPT2LMHeadModel

from iit_lab.models.base import Point
from iit_lab.models.gpt2_loading import classifier, language_model
from iit_lab.models.tokenizers import pretrained, word_level
from iit_lab.sites import Site

SIZES = {"n_layer": 3, "n_embd": 24, "n_head": 4, "n_positions": 16, "vocab_size": 30}
SIZES |= {"bos_token_id": None, "eos_token_id": None}


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def tokens() -> torch.Tensor:
    return torch.randint(0, 30, (5, 6), generator=generator(1))


@pytest.fixture
def folder(tmp_path):
    torch.manual_seed(0)
    GPT2LMHeadModel(GPT2Config(**SIZES)).save_pretrained(tmp_path / "gpt2")
    return str(tmp_path / "gpt2")


@pytest.mark.parametrize(
    "extra", [{}, {"scale_attn_by_inverse_layer_idx": True}, {"activation_function": "relu"}]
)
def test_logits_of_a_classifier_are_hugging_faces(tokens, extra):
    model = classifier((6,), 7, generator(), config={**SIZES, **extra}).eval()
    reference = torch.cat([model.hf(input_ids=row[None]).logits for row in tokens])  # it pads no batches
    torch.testing.assert_close(model(tokens), reference)


def test_logits_of_a_language_model_are_hugging_faces(tokens):
    reference = None
    for answers, width in ((None, 30), ((4, 9), 2)):
        model = language_model((6,), width, generator(), config=SIZES, answers=answers).eval()
        reference = model.hf(input_ids=tokens).logits[:, -1]
        torch.testing.assert_close(
            model(tokens), reference if answers is None else reference[:, list(answers)]
        )


def test_hidden_states_are_stage_inputs(tokens):
    model = classifier((6,), 7, generator(), config=SIZES).eval()
    hidden = model.hf.transformer(input_ids=tokens, output_hidden_states=True).hidden_states
    for layer in range(3):
        torch.testing.assert_close(model.run(tokens, stop=layer + 1), hidden[layer])
        sites = [Site(layer, "block_input"), Site(layer, "block_output")]
        found = model.collect(tokens, sites)
        torch.testing.assert_close(found[sites[0]], hidden[layer].flatten(1))
    torch.testing.assert_close(model.run(model.run(tokens, stop=2), start=2), model(tokens))


@pytest.mark.parametrize("component", list(classifier((6,), 7, generator(), config=SIZES).shapes(0)))
def test_every_component_is_read_and_written(tokens, component):
    model = classifier((6,), 7, generator(), config=SIZES).eval()
    shape = model.shapes(1)[component]
    seen = {}

    def edit(activation):
        seen["shape"] = tuple(activation.shape[1:])
        return activation * 0

    changed = model.run(tokens, {model.point(1, component): edit})
    assert seen["shape"] == shape
    assert not torch.equal(changed, model(tokens))
    site = Site(1, component, (0, 5))
    assert model.collect(tokens, [site])[site].shape == (5, model.width(site))


def test_a_head_is_a_slice_of_what_goes_into_the_projection(tokens):
    model = classifier((6,), 7, generator(), config=SIZES).eval()
    taken = {}
    hook = model.hf.transformer.h[1].attn.c_proj.register_forward_pre_hook(
        lambda _, arguments: taken.update(z=arguments[0])
    )
    model.hf(input_ids=tokens[:1])
    hook.remove()
    site = Site(1, "attention_value_output", positions=(5,), heads=(2,))
    torch.testing.assert_close(model.collect(tokens[:1], [site])[site], taken["z"][:, 5, 12:18])
    assert model.point(1, "attention_value_output") == Point(2, "attention_value_output")


def test_a_folder_is_loaded_and_a_new_head_is_drawn(folder, tokens):
    first, again, other = (
        classifier((6,), 7, generator(seed), pretrained=folder).eval() for seed in (0, 0, 1)
    )
    theirs = GPT2ForSequenceClassification.from_pretrained(folder, num_labels=7).eval()
    assert torch.equal(first.hf.transformer.wte.weight, theirs.transformer.wte.weight)
    assert torch.equal(first(tokens), again(tokens))
    assert not torch.equal(first(tokens), other(tokens))
    words = language_model((6,), 30, generator(), pretrained=folder).eval()
    torch.testing.assert_close(
        words(tokens), GPT2LMHeadModel.from_pretrained(folder).eval()(tokens).logits[:, -1]
    )


def test_weights_come_from_the_generator_alone(tokens):
    before = torch.get_rng_state()
    one, other = (classifier((6,), 7, generator(3), config=SIZES).eval() for _ in range(2))
    assert torch.equal(one(tokens), other(tokens))
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "give either this, or a config"),
        ({"config": {**SIZES, "n_layers": 3}}, "config.n_layers=3: GPT2Config has no such key"),
        ({"config": {**SIZES, "n_positions": 4}}, "n_positions=4: the prompts have 6 tokens"),
        ({"config": SIZES, "vocabulary": 31}, "vocab_size=30: the tokenizer has 31 entries"),
        ({"config": {**SIZES, "reorder_and_upcast_attn": True}}, "reorder_and_upcast_attn=True"),
        ({"pretrained": "/nowhere"}, "pretrained=/nowhere: "),
    ],
)
def test_what_does_not_fit_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        classifier((6,), 7, generator(), **arguments)


def test_answers_must_be_as_many_as_classes():
    with pytest.raises(ValueError, match="answers: 2 tokens for 3 classes"):
        language_model((6,), 3, generator(), config=SIZES, answers=(1, 2))


def test_a_tokenizer_of_words():
    tokenizer = word_level(["+", "=", "1", "10", "cat"])
    assert tokenizer.encode(["10+1=", "cat + cat ="]).tolist() == [[4, 1, 3, 2], [5, 1, 5, 2]]
    assert tokenizer.single(["10", "cat"]) == (4, 5)
    with pytest.raises(ValueError, match="'dog=' has a word that it does not know"):
        tokenizer.encode(["dog="])
    with pytest.raises(ValueError, match="different numbers of tokens"):
        tokenizer.encode(["1=", "1+1="])
    with pytest.raises(ValueError, match="one token each"):
        tokenizer.single(["1+"])
    with pytest.raises(ValueError, match="each word once"):
        word_level(["a", "a"])


def test_a_tokenizer_of_a_folder(tmp_path):
    word_level(["a", "b"]).tokenizer.save_pretrained(tmp_path)
    assert pretrained(str(tmp_path)).encode(["a b"]).tolist() == [[1, 2]]
    with pytest.raises(ValueError, match="no tokenizer can be loaded"):
        pretrained(str(tmp_path / "none"))
