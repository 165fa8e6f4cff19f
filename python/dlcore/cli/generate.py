"""Continues a text, or answers it, with a language model from a folder or the Hugging Face hub.

The prompt is the arguments, or standard input where there are none. What is not said here comes from the
model's generation_config.json. A model without a tokenizer takes and gives token ids with --ids.

examples:
  dlcore generate --model gpt2 --max-new-tokens 40 "Once upon a time"
  echo "translate English to German: The house is small." | dlcore generate --model t5-small --beams 4
  dlcore generate --model ./gpt2 --sample --temperature 0.8 --top-p 0.95 --seed 7 --stream "The sea"
  dlcore generate --model ./gpt2 --sample --count 3 --json "The sea"
  dlcore generate --model ./gpt2 --ids 15496 11 995
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from typing import Any


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("prompt", nargs="*", metavar="TEXT", help="default: standard input")
    parser.add_argument("--model", required=True, metavar="PATH", help="a folder, or a name on the hub")
    parser.add_argument("--max-new-tokens", type=int, metavar="N", help="default: the model's, else 64")
    parser.add_argument("--min-new-tokens", type=int, metavar="N", help="no end before so many")
    parser.add_argument("--sample", action="store_true", help="draw tokens instead of taking the likeliest")
    parser.add_argument("--temperature", type=float, metavar="T", help="below 1 sharper, above 1 flatter")
    parser.add_argument("--top-k", type=int, metavar="K", help="draw from the K likeliest tokens")
    parser.add_argument("--top-p", type=float, metavar="P", help="draw from the likeliest of this mass")
    parser.add_argument("--min-p", type=float, metavar="P", help="draw from those of P times the likeliest's")
    parser.add_argument(
        "--repetition-penalty", type=float, metavar="R", help="above 1: less of what was said"
    )
    parser.add_argument("--no-repeat-ngram", type=int, metavar="N", help="no N tokens in a row twice")
    parser.add_argument("--beams", type=int, metavar="N", help="search with N beams")
    parser.add_argument(
        "--length-penalty", type=float, metavar="A", help="of beams: above 0 favours long ones"
    )
    parser.add_argument("--count", type=int, metavar="N", help="how many texts (needs --sample or --beams)")
    parser.add_argument(
        "--stop", action="append", metavar="TEXT", help="end after this text; may be repeated"
    )
    parser.add_argument("--seed", type=int, metavar="N", help="of --sample (default: from the system)")
    parser.add_argument("--threads", type=int, metavar="N", help="default: all cores")
    parser.add_argument("--ids", action="store_true", help="the prompt is token ids, and so is the answer")
    parser.add_argument("--stream", action="store_true", help="print words as they come")
    parser.add_argument("--json", action="store_true", help="print one JSON object")


class _Ids:
    """A tokenizer whose words are the ids."""

    def decode(self, tokens: Any, **_: Any) -> str:
        return "".join(f"{t} " for t in tokens)


def _prompt(arguments: argparse.Namespace, tokenizer: Any) -> list[int]:
    text = " ".join(arguments.prompt) if arguments.prompt else sys.stdin.read().rstrip("\n")
    if not arguments.ids:
        ids: list[int] = tokenizer(text)["input_ids"]
    else:
        try:
            ids = [int(word) for word in text.split()]
        except ValueError:
            raise ValueError(f"--ids wants integers, got {text!r}") from None
    if not ids:
        raise ValueError("the prompt must have at least one token")
    return ids


def _options(arguments: argparse.Namespace, model: Any) -> dict[str, Any]:
    given = {
        "max_new_tokens": arguments.max_new_tokens,
        "min_new_tokens": arguments.min_new_tokens,
        "do_sample": arguments.sample or None,
        "temperature": arguments.temperature,
        "top_k": arguments.top_k,
        "top_p": arguments.top_p,
        "min_p": arguments.min_p,
        "repetition_penalty": arguments.repetition_penalty,
        "no_repeat_ngram_size": arguments.no_repeat_ngram,
        "num_beams": arguments.beams,
        "length_penalty": arguments.length_penalty,
        "num_return_sequences": arguments.count,
        "stop_strings": arguments.stop,
    }
    options = {k: v for k, v in given.items() if v is not None}
    own = model.generation_config
    if own.max_new_tokens is None and own.max_length is None:
        options.setdefault("max_new_tokens", 64)
    return options


def _load(path: str) -> Any:
    """The model that the checkpoint's family has for text."""
    from dlcore.models import AutoConfig, AutoModelForCausalLM, AutoModelForSeq2SeqLM

    config: Any = AutoConfig.from_pretrained(path)
    kind: Any = AutoModelForSeq2SeqLM if config.is_encoder_decoder else AutoModelForCausalLM
    return kind.from_pretrained(path, config=config)


def run(arguments: argparse.Namespace) -> int:
    if arguments.stream and (arguments.json or (arguments.count or 1) > 1):
        raise ValueError("--stream prints one text: leave out --json and --count")
    from dlcore import _C
    from dlcore.generation import TextStreamer
    from dlcore.tensor import tensor

    if arguments.threads is not None:
        if not 1 <= arguments.threads <= 4096:
            raise ValueError(f"--threads must be between 1 and 4096, got {arguments.threads}")
        _C.set_num_threads(arguments.threads)
    began = time.perf_counter()
    if arguments.ids:
        tokenizer: Any = _Ids()
    else:
        from dlcore.models import AutoTokenizer

        tokenizer = AutoTokenizer.from_pretrained(arguments.model)
    model = _load(arguments.model)
    prompt = _prompt(arguments, tokenizer)
    options = _options(arguments, model)
    answers = bool(model.config.is_encoder_decoder)
    if arguments.stream:
        options["streamer"] = TextStreamer(tokenizer, skip_prompt=answers, skip_special_tokens=True)
    loaded = time.perf_counter()
    out = model.generate(tensor([prompt]), rng=arguments.seed, tokenizer=tokenizer, **options)
    seconds = time.perf_counter() - loaded
    rows = out.tolist()
    texts = [tokenizer.decode(row, skip_special_tokens=True).rstrip() for row in rows]
    if arguments.json:
        start = 1 if answers else len(prompt)
        result = {
            "model": arguments.model,
            "prompt_ids": prompt,
            "ids": rows,
            "texts": texts,
            "new_tokens": len(rows[0]) - start,
            "load_seconds": loaded - began,
            "seconds": seconds,
        }
        print(json.dumps(result, indent=2))
    elif not arguments.stream:
        print("\n".join(texts))
    return 0
