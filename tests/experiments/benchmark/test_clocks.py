"""The clock of a contestant."""

import numpy as np
from benchmark_cases import Judge

from convexbn.experiments.benchmark import clocks


def test_the_clock_stands_still_while_the_judge_works(monkeypatch):
    now, judge = [0.0], Judge()
    monkeypatch.setattr("convexbn.solvers.snapshots.time.perf_counter", lambda: now[0])
    recorder = clocks.Recorder(judge)

    def weights():
        now[0] += 100
        return np.zeros(1)

    for _ in range(3):
        now[0] += 1
        recorder.show(weights)
    assert [point[0] for point in judge.points] == [1, 2, 3]


def test_points_are_as_dense_early_as_late_and_the_last_is_never_left_out(monkeypatch):
    now, judge = [0.0], Judge()
    monkeypatch.setattr("convexbn.solvers.snapshots.time.perf_counter", lambda: now[0])
    recorder = clocks.Recorder(judge)
    for tick in range(1, 10_000):
        now[0] = 0.01 * tick
        recorder.show(lambda: np.zeros(1))
    recorder.show(lambda: np.ones(1), final=True)
    seconds = np.array([point[0] for point in judge.points])
    # Points come at the first tick after the time has grown by 15 %.
    assert (seconds[1:-1] / seconds[:-2] >= 1.15 - 1e-9).all()
    assert len(seconds) < np.log(10_000) / np.log(1.15)
    assert judge.points[-1][2] == 1


def test_a_small_solve_is_not_kept_waiting_for_the_judge(monkeypatch):
    """Points less than a tenth of a second apart are sent together, as they were at their time."""
    now, judge = [0.0], Judge()
    monkeypatch.setattr("convexbn.solvers.snapshots.time.perf_counter", lambda: now[0])
    recorder, W = clocks.Recorder(judge), np.zeros(1)
    for _ in range(9):
        now[0] += 0.016
        W += 1
        recorder.show(W.view)  # the same memory
    recorder.show(W.view, final=True)
    # 7 * 0.016 is the first above 0.1; at 9 * 0.016 the time has not grown by 15 % yet.
    assert judge.sent == [7, 2]
    assert [float(point[2][0]) for point in judge.points] == [*range(1, 8), 9, 9]
