"""The tokenizer of the embedded model: one token per word of the synthetic worlds, made from their vocabulary."""

from pathlib import Path

from tokenizers import Regex, Tokenizer, decoders, normalizers, pre_tokenizers
from tokenizers.models import WordLevel
from transformers import PreTrainedTokenizerFast

from stc_ros.models.chat_template import PREFIX, SUFFIX
from stc_ros.synthetic.vocabulary import VOCABULARY, words_of

START, END = '<|im_start|>', '<|im_end|>'
SPECIAL = ('<pad>', '<unk>', START, END, '<image>', '<video>')


def list_words() -> list[str]:
    """Every token by id: the special ones, then the words of the chat format and of the worlds."""
    chat = words_of('system You are a helpful assistant . user')
    return [*SPECIAL, *sorted(set(chat) | set(VOCABULARY))]


def build_tokenizer() -> PreTrainedTokenizerFast:
    """Lower case, white space dropped, punctuation apart; decoding puts no space before punctuation."""
    words = {word: i for i, word in enumerate(list_words())}
    core = Tokenizer(WordLevel(words, unk_token='<unk>'))
    core.normalizer = normalizers.Lowercase()
    core.pre_tokenizer = pre_tokenizers.Split(Regex(r'[a-z0-9]+|[^\sa-z0-9]'), 'removed', invert=True)
    core.decoder = decoders.WordPiece(prefix='##', cleanup=True)
    return PreTrainedTokenizerFast(
        tokenizer_object=core,
        pad_token='<pad>',
        unk_token='<unk>',
        eos_token=END,
        additional_special_tokens=[START, '<image>', '<video>'],
        model_max_length=2048,
    )


class Coder:
    """ChatTemplate to ids without the tokenizer's cost: what training uses, equal to the tokenizer (see the tests)."""

    def __init__(self):
        self.ids = {word: i for i, word in enumerate(list_words())}
        self.start, self.end, self.pad = self.ids[START], self.ids[END], self.ids['<pad>']
        self.head = self.encode(PREFIX)

    def encode(self, text: str) -> list[int]:
        """Ids of a text in which the ChatML marks stand for themselves."""
        out = []
        for i, piece in enumerate(text.split(START)):
            out += [self.start] if i else []
            for j, part in enumerate(piece.split(END)):
                out += [self.end] if j else []
                out += [self.ids[w] for w in words_of(part)]
        return out

    def question(self, text: str) -> list[int]:
        """Ids from the question to the answer's beginning."""
        return self.encode(SUFFIX.format(question=text))

    def answer(self, text: str) -> list[int]:
        return self.encode(text) + [self.end]


def save_tokenizer(folder: Path) -> None:
    """Writes tokenizer.json and tokenizer_config.json."""
    build_tokenizer().save_pretrained(folder)
