"""Pretrained networks of a few weights, saved with their tokenizers as a hub has them."""

from pathlib import Path

from transformers import BertConfig, BertModel, BertTokenizer, GPT2Config, GPT2LMHeadModel

from iit_lab.models.tokenizers import word_level


def small_gpt2(folder: Path) -> Path:
    """A GPT-2 that knows numbers."""
    tokenizer = word_level(["+", "=", *map(str, range(1, 31))])
    sizes = {"n_layer": 6, "n_embd": 64, "n_head": 2, "vocab_size": len(tokenizer), "n_positions": 8}
    GPT2LMHeadModel(GPT2Config(**sizes, bos_token_id=None, eos_token_id=None)).save_pretrained(folder)
    tokenizer.tokenizer.save_pretrained(folder)
    return folder


def small_bert(folder: Path, *words: str, width: int = 384) -> Path:
    """A BERT that knows some words."""
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *words]
    BertTokenizer(vocab={word: i for i, word in enumerate(vocabulary)}).save_pretrained(folder)
    sizes = {"num_hidden_layers": 6, "hidden_size": width, "num_attention_heads": 2, "intermediate_size": 8}
    BertModel(BertConfig(**sizes, vocab_size=len(vocabulary))).save_pretrained(folder)
    return folder
