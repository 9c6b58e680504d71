"""Small data sets in exactly the layout in which the real ones are published, with videos whose frames are numbered."""

import json
from pathlib import Path

import av
import numpy as np

RATE = 4  # Hz
SECONDS = 8
STEP = 6  # of brightness, from a frame to the next


def make_video(file, seconds=SECONDS):
    """Frame n is grey, of brightness STEP * n."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(file), 'w', format='matroska' if file.suffix == '.mkv' else 'mp4') as container:
        stream = container.add_stream('mpeg4', rate=RATE, options={'qmin': '1', 'qmax': '1'})
        stream.width = stream.height = 32
        stream.pix_fmt = 'yuv420p'
        for n in range(round(seconds * RATE)):
            picture = np.full((32, 32, 3), STEP * n, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format='rgb24')))
        container.mux(stream.encode())
    return file


def number_of(picture):
    """The number of a frame."""
    return round(float(picture.mean()) / STEP)


def write_json(file, content):
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(content))


def ovo_bench(folder, **_):
    colours = ['red', 'green', 'blue', 'a grey wall']
    records = [
        {'id': 0, 'task': 'EPM', 'video': 'Ego4D/clips/one.mp4', 'realtime': 5.4, 'question': 'What colour was it?',
         'answer': 'blue', 'options': colours, 'gt': 2},
        {'id': 1, 'task': 'EPM', 'video': 'Ego4D/clips/one.mp4', 'realtime': 2, 'question': 'And before?',
         'answer': 'red', 'options': colours, 'gt': 0},
        {'id': 2, 'task': 'HLD', 'video': 'Ego4D/clips/two.mp4', 'realtime': 3, 'question': 'Who was it?',
         'answer': 'Unable to answer', 'options': ['my sister', 'Unable to answer'], 'gt': 1},
        {'id': 3, 'task': 'OCR', 'video': 'AutoEvalMetaData/3.mp4', 'realtime': 4.0, 'question': 'What is written?',
         'answer': 'EXIT', 'options': ['EXIT', 'ENTRY', 'TAXI'], 'gt': 0},
        {'id': 4, 'task': 'CRR', 'video': 'MovieNet/tt.mp4', 'question': 'What does she do?', 'answer': 'She leaves.',
         'ask_time': 2, 'clue_time': 4,
         'test_info': [{'realtime': 2, 'type': 0}, {'realtime': 5, 'type': 1}]},
        {'id': 5, 'task': 'SSR', 'video': 'COIN/x.mp4', 'tutorial': 'MakeTea', 'all_steps': ['boil', 'pour'],
         'start_time': [1, 4], 'end_time': [3, 6],
         'test_info': [{'realtime': 5, 'step': 'pour', 'type': 1}, {'realtime': 2, 'step': 'pour', 'type': 0},
                       {'realtime': 3, 'step': 'boil', 'type': 1}]},
        {'id': 6, 'task': 'REC', 'video': 'perception_test/v.mp4', 'activity': 'jump', 'start_times': [1, 4],
         'end_times': [2, 5], 'test_info': [{'realtime': 2, 'count': 1}, {'realtime': 7.0, 'count': 2}]},
    ]  # fmt: skip
    write_json(folder / 'ovo_bench_new.json', records)
    for video in {record['video'] for record in records}:
        make_video(folder / 'src_videos' / video)


def streaming_bench(folder, **_):
    def entry(video, *questions):
        return {'time': '[0:00:00 - 0:00:08]', 'questions': list(questions), 'video_categories': 'sports',
                'video_path': f'./videos/{video}.mp4'}  # fmt: skip

    def choice(task, stamp, answer, options):
        return {'task_type': task, 'question': f'{task} at {stamp}?', 'time_stamp': stamp, 'answer': answer,
                'options': options, 'required_ability': 'working memory'}  # fmt: skip

    plain, own = ['red.', 'green.', 'blue.', 'grey.'], ['A. red.', 'B. green.', 'C. blue.', 'D. grey.']
    real = [entry('sample_1_real', choice('Counting', '00:00:05', 'C', own)),
            entry('sample_1_real', choice('Object Recognition', '0:00:02', 'A', own))]  # fmt: skip
    omni = [
        entry(
            'sample_1_Source',
            choice('Source Discrimination', '00:00:03', 'B', ['A. red', '', 'B. one', 'more', 'C. blue', 'D. grey']),
        )
    ]
    sqa = [[entry('sample_1_sqa', choice('Sequential Question Answering', '00:00:04', 'D', plain)),
            entry('sample_1_sqa', choice('Sequential Question Answering', '00:00:02', 'B', plain))]]  # fmt: skip
    proactive = [
        entry(
            'sample_1_proactive',
            {
                'task_type': 'Proactive Output',
                'question': 'When it is bright, output "GO".',
                'time_stamp': '00:00:01',
                'ground_truth_time_stamp': '00:00:04',
                'ground_truth_output': 'GO',
                'required_ability': 'working memory',
            },
        )
    ]
    for part, records in {'real': real, 'omni': omni, 'sqa': sqa, 'proactive': proactive}.items():
        write_json(folder / f'questions_{part}.json', records)
    for video in ('sample_1_real', 'sample_1_Source', 'sample_1_sqa', 'sample_1_proactive'):
        make_video(folder / 'videos' / f'{video}.mp4', 10)


def rtv_bench(folder, **_):
    def record(group, level, option, end, answer, type='Event-IA', video='SportsCam_001.mp4'):
        return {'video': video, 'questionID': f'q-group-{group}-{level}-option{option}', 'type': type,
                'field': 'sports_cam', 'start_time': 0, 'end_time': end, 'question': f'Level {level} of {group}?',
                'options': {'A': 'Yes', 'B': 'No', 'C': "I don't know"}, 'answer': answer}  # fmt: skip

    records = [
        record('aa1', 0, 1, 2.5, 'B'), record('aa1', 1, 0, 3.0, 'A'),
        record('aa1', 2, 0, 1.5, 'A'), record('aa1', 2, 1, 6.25, 'B'),
        record('bb2', 2, 0, 4.0, 'A', 'Object-TP', 'SportsCam_002.mp4'),
        record('cc3', 0, 2, 2.0, 'C', 'Action-SR', 'SportsCam_002.mp4'),
        record('cc3', 2, 0, 5.0, 'A', 'Action-SR', 'SportsCam_002.mp4'),
    ]  # fmt: skip
    write_json(folder / 'QA.json', records)
    for video in {record['video'] for record in records}:
        make_video(folder / 'videos' / 'sports_cam' / video)


def mlvu(folder, **_):
    def record(task, video, answer, candidates=('red', 'green', 'blue', 'grey')):
        return {'video': f'{video}.mp4', 'duration': 8.0, 'question': f'Is it {answer}: {task}?',
                'candidates': list(candidates), 'answer': answer, 'question_type': task}  # fmt: skip

    data = {
        '1_plotQA': [record('plotQA', 'movie_1', 'green'), record('plotQA', 'movie_1', 'red'),
                     record('plotQA', 'movie_1', 'blue'), record('plotQA', 'movie_2', 'red', ['red', 'x', 'red', 'y'])],
        '2_needle': [record('findNeedle', 'needle_1', 'grey'), record('findNeedle', 'needle_1', 'violet')],
        '4_count': [record('count', 'count_1', '1', ['2', '1', '5', '4'])],
        '9_summary': [{'video': '217.mp4', 'duration': 8, 'question': 'Please summarize this video.', 'answer': 'Long.',
                       'question_type': 'summary'}],
    }  # fmt: skip
    for name, records in data.items():
        write_json(folder / 'json' / f'{name}.json', records)
        for each in records if name != '9_summary' else ():
            file = folder / 'video' / name / each['video']
            if not file.exists():
                make_video(file)


def video_mme(folder, **_):
    import pyarrow
    from pyarrow import parquet

    rows = [
        {'video_id': '001', 'duration': length, 'domain': 'Knowledge', 'sub_category': 'Geography', 'url': 'https://',
         'videoID': video, 'question_id': f'{video}-{n}', 'task_type': task, 'question': f'{task} in {video}?',
         'options': ['A. Red.', 'B. Green.', 'C. Blue.', 'D. Grey.'], 'answer': answer}
        for n, (length, video, task, answer) in enumerate([
            ('short', 'fFjv93ACGo8', 'Counting Problem', 'C'), ('short', 'fFjv93ACGo8', 'Information Synopsis', 'A'),
            ('long', 'N1cdUjctpG8', 'Counting Problem', 'B')])
    ]  # fmt: skip
    (folder / 'videomme').mkdir(parents=True)
    parquet.write_table(pyarrow.Table.from_pylist(rows), folder / 'videomme' / 'test-00000-of-00001.parquet')
    for video in ('fFjv93ACGo8', 'N1cdUjctpG8'):
        make_video(folder / 'data' / f'{video}.mp4')
    (folder / 'subtitle').mkdir()
    (folder / 'subtitle' / 'fFjv93ACGo8.srt').write_text(
        '1\n00:00:00,100 --> 00:00:00,900\n<font color="white" size=".72c">between two frames</font>\n\n'
        '2\n00:00:01,500 --> 00:00:02,400\n<font color="white" size=".72c">shown with a frame</font>\n'
    )


def egoschema(folder, **_):
    questions = [
        {'q_uid': name, 'google_drive_id': 'x', 'question': f'What of {name}?',
         **{f'option {i}': text for i, text in enumerate(['C cooks', 'C cleans', 'C reads', 'C waits', 'C builds'])}}
        for name in ('0074f737', '00b9a0de', '00f93e1e')
    ]  # fmt: skip
    write_json(folder / 'questions.json', questions)
    write_json(folder / 'subset_answers.json', {'0074f737': 3, '00b9a0de': 0})
    for name in ('0074f737', '00b9a0de'):
        make_video(folder / 'videos' / f'{name}.mp4')


def bag(folder, **_):
    """A bag of numbered frames, 4 Hz, and questions."""
    from stc_ros.evaluation.made_bags import from_video
    from stc_ros.io.bag_writer import BagWriter
    from stc_ros.io.video import Video

    video = make_video(folder / 'made.mp4', 4)
    with BagWriter(folder / 'run', 'mcap') as writer:
        from_video(Video(str(video)), writer, '/camera/image_raw')
    (folder / 'questions.yaml').write_text(
        'questions:\n'
        '  - {at: 1.1, question: "which colour ?", expect: {exact: grey}, tags: [colour]}\n'
        '  - {at: 2, question: "is it dark ?", expect: {yes/no: no}, tags: [light]}\n'
        '  - {at: 3, question: "which ?", expect: {choice: grey, of: {A: red, B: grey}}}\n'
    )


MAKERS = {made.__name__: made for made in (ovo_bench, streaming_bench, rtv_bench, mlvu, video_mme, egoschema, bag)}


def parameters(name, folder: Path) -> dict:
    """Of a data set that has been made in a folder."""
    if name == 'bag':
        return {'dataset.bag.path': str(folder / 'run'), 'dataset.bag.questions': str(folder / 'questions.yaml')}
    return {f'dataset.{name}.folder': str(folder)}
