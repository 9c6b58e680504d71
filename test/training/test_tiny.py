"""The embedded model's own parts: tokenizer, training forward, and the equality of both with transformers."""

import pytest
import torch

from stc_ros.models import load_model
from stc_ros.settings import Settings
from stc_ros.stream import open_stream
from training.tiny import average, forward
from training.tiny.architecture import GRID, TOKENS, configure, create
from training.tiny.export import export_model
from training.tiny.tokenizer import PREFIX, SUFFIX, Coder, build_tokenizer, list_words


def fresh_model():
    words = {word: i for i, word in enumerate(list_words())}
    model = create(configure(words), seed=3).eval()
    with torch.no_grad():  # biases and norms start at 0 and 1: make every parameter matter
        for p in model.parameters():
            p.add_(torch.randn_like(p) * 0.05)
    return model


def test_coder_equals_the_tokenizer_and_text_survives():
    tokenizer, coder = build_tokenizer(), Coder()
    question = 'which left first , the red star or the blue circle ?'
    for text in (
        PREFIX,
        SUFFIX.format(question=question),
        'a small red star in the center moves left . the star left .',
    ):
        assert tokenizer.encode(text, add_special_tokens=False) == coder.encode(text)
    said = tokenizer.decode(coder.encode('a small red star stays , a circle left .'), skip_special_tokens=True)
    assert said == 'a small red star stays, a circle left.'
    assert tokenizer.unk_token_id in tokenizer.encode('zebra')


def test_our_forward_equals_transformers_on_a_video():
    torch.manual_seed(0)
    model, coder = fresh_model(), Coder()
    frames = torch.randint(0, 255, (3, GRID * 8, GRID * 8, 3), dtype=torch.uint8)
    pixels = forward.normalise(frames, torch.float32)
    tail = coder.question('where is the red star ?') + coder.answer('top left')
    video = model.config.video_token_id
    ids = torch.tensor([coder.head + [video] * (3 * TOKENS + 1) + tail])
    with torch.no_grad():
        expected = model(input_ids=ids, pixel_values_videos=pixels[None]).logits[0, -len(tail) :]
        w = forward.gather_weights(model, torch.float32)
        tokens = forward.project(w, forward.see_patches(w, pixels)).flatten(0, 1)
        prefix = torch.cat([forward.embed(w, torch.tensor(coder.head)), tokens])[None]
        n = prefix.shape[1]
        caches, _ = forward.read_prefix(w, prefix, torch.arange(n)[None])
        piece = torch.cat([w[forward.NEWLINE][None], forward.embed(w, torch.tensor(tail))])
        pieces = piece.expand(1, 2, -1, -1)
        positions = (n + torch.arange(piece.shape[0])).expand(1, 2, -1)
        visible = torch.ones(1, 2, n, dtype=torch.bool)
        visible[0, 1, len(coder.head) + TOKENS :] = False  # the second piece sees one frame only
        states, _ = forward.read_pieces(w, caches, pieces, positions, visible)
        logits = forward.name_words(w, states)[0]
    assert torch.allclose(logits[0, 1:], expected, atol=2e-4)
    assert not torch.allclose(logits[1, 1:], expected, atol=1e-2)


def test_a_packed_piece_equals_the_piece_alone():
    torch.manual_seed(1)
    model = fresh_model()
    w = {k: v.detach() for k, v in forward.gather_weights(model, torch.float32).items()}
    width = model.config.text_config.hidden_size
    prefix, pieces = torch.randn(2, 40, width), torch.randn(2, 3, 7, width)
    at = torch.arange(40).expand(2, -1) * 2
    positions = torch.randint(80, 90, (2, 3, 1)) + torch.arange(7)
    visible = torch.rand(2, 3, 40) > 0.3
    caches, _ = forward.read_prefix(w, prefix, at)
    packed, seen = forward.read_pieces(w, caches, pieces, positions, visible, watch=(2,))
    alone, _ = forward.read_pieces(w, caches, pieces[:, 1:2], positions[:, 1:2], visible[:, 1:2])
    assert torch.allclose(packed[:, 1:2], alone, atol=1e-5)
    assert seen[2].shape == (2, 4, 3, 7, 47)
    assert seen[2][..., :40][~visible[:, None, :, None, :].expand(-1, 4, -1, 7, -1)].abs().max() == 0


def test_an_average_has_the_mean_of_every_weight_and_answers(tmp_path):
    models = [fresh_model(), fresh_model()]
    with torch.no_grad():
        for weight in models[1].parameters():
            weight.mul_(1.5).add_(0.1)
    for i, model in enumerate(models):
        export_model(model, tmp_path / str(i))
    average.main([str(tmp_path / '0'), str(tmp_path / '1'), '--to', str(tmp_path / 'mean')])
    mean = load_model(Settings({'model.name': str(tmp_path / 'mean'), 'model.device': 'cpu', 'model.dtype': 'float32'}))
    first, second, mixed = (m.state_dict() for m in (*models, average.average_models([tmp_path / 'mean'])))
    for name, weight in mixed.items():
        assert torch.allclose(weight, (first[name] + second[name]) / 2, rtol=2**-7, atol=2**-9), name  # bfloat16
        assert not torch.equal(first[name], second[name]), name
    stream = open_stream(mean, Settings({'model.device': 'cpu', 'model.dtype': 'float32'}))
    stream.see(torch.zeros(112, 112, 3, dtype=torch.uint8).numpy(), 0)
    assert isinstance(''.join(stream.ask('is there a circle ?', 3)), str)


def test_other_architectures_cannot_be_averaged(tmp_path):
    model = fresh_model()
    export_model(model, tmp_path / 'one')
    config = configure({word: i for i, word in enumerate(list_words())})
    config.text_config.num_hidden_layers = 7
    config.text_config.layer_types = config.text_config.layer_types[:7]
    export_model(create(config, seed=3), tmp_path / 'other')
    with pytest.raises(ValueError, match='other is not of the same architecture'):
        average.average_models([tmp_path / 'one', tmp_path / 'other'])
