"""Minutes of stages, read from logs as they are written and as they may be found."""

import subprocess
import sys

import pytest

from convexbn.pipeline import elapsed

FIRST = "--- attempt 1: host a, process 7, 1 threads, 2026-01-31 23:59:30\n"
LAST = "--- ended well, 2026-02-01 00:01:00\n"


def logs(folder, **texts):
    for name, text in texts.items():
        path = folder / f"{name.replace('__', '/')}.log"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return elapsed.of_stages(folder)


def test_a_log_of_a_script_is_read(tmp_path):
    words = "import sys; from convexbn.pipeline import logs; logs.start(sys.argv[1], 2)"
    subprocess.run([sys.executable, "-c", words, tmp_path / "solve.log"], check=True)
    found = elapsed.of_stages(tmp_path)
    assert found.keys() == {"solve"}
    assert found["solve"]["jobs"] == 1
    assert 0 <= found["solve"]["minutes"] < 10  # a process that does nothing


def test_jobs_of_a_stage_are_summed_and_drawing_is_one_stage(tmp_path):
    job = FIRST + "at work\n" + LAST
    names = ("solve__a", "solve__b", "plot_rank__digits", "plot_depth", "tabulate")
    assert logs(tmp_path, **dict.fromkeys(names, job)) == {
        "plot": {"jobs": 2, "minutes": 3.0},
        "solve": {"jobs": 2, "minutes": 3.0},
        "tabulate": {"jobs": 1, "minutes": 1.5},
    }


def test_the_last_attempt_counts_and_only_if_it_ended_well(tmp_path):
    killed = "--- attempt 1: host a, process 7, 1 threads, 2026-01-31 20:00:00\n"
    second = FIRST.replace("attempt 1", "attempt 2")
    found = logs(tmp_path, solve=killed + second + LAST, bias=killed, other="from elsewhere\n")
    assert found == {"solve": {"jobs": 1, "minutes": 1.5}}
    # One that ended well is no longer the last where another was begun after it, and killed.
    assert logs(tmp_path, solve=FIRST + LAST + second.replace("2026-01", "2026-03")) == {}


@pytest.mark.parametrize("folder", ["", "missing"])
def test_no_logs_are_no_stages(folder, tmp_path):
    assert elapsed.of_stages(tmp_path / folder) == {}
