import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from inkdigits.data.splits import Split
from inkdigits.errors import InkdigitsError
from inkdigits.sweep.ray_workers import ProgressActor
from inkdigits.sweep.sweep import sweep

ray = pytest.importorskip("ray")

# In a process of its own: Ray's threads and warnings are no part of the other tests. Two nodes on this machine; while
# both train, the second is killed, and what it trains must be trained again. By default Ray takes half
# a minute to notice, and runs workers at a low priority.
TWO_NODES = """
import json, os, sys, warnings
warnings.simplefilter("ignore")
os.environ |= {"RAY_USAGE_STATS_ENABLED": "0", "RAY_worker_niceness": "0"}
from ray.cluster_utils import Cluster
from inkdigits.sweep import scheduler
from inkdigits.sweep.sweep import sweep

noticed = {"health_check_initial_delay_ms": 0, "health_check_period_ms": 500, "health_check_failure_threshold": 2}
head = {"num_cpus": 1, "include_dashboard": False, "_system_config": noticed}
cluster = Cluster(initialize_head=True, head_node_args=head)
second = cluster.add_node(num_cpus=1)
reported, finished, done = set(), set(), []
after_epoch = scheduler.Scheduler.after_epoch

def kill_one_node(self, event):
    global second
    reported.add(event.item.job.number)
    if second and len(reported - finished) == 2:
        cluster.remove_node(second, allow_graceful=False)
        second = None
    after_epoch(self, event)

scheduler.Scheduler.after_epoch = kill_one_node
def keep(job, recipe):
    finished.add(job.number)
    done.append(job.key)

found = sweep(
    "linear", json.loads(sys.argv[3]), seeds=2, data=sys.argv[1], runs_dir=sys.argv[2], ray=cluster.address,
    winner=False, on_job=keep,
)
cluster.shutdown()
assert second is None
assert len(done) == len(set(done)) == 4, done
print(json.dumps(found.ranking.to_dict()["ranking"]))
"""
WORDS = {"learning_rate": "1e-3,1e-2", "epochs": "200"}


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="Ray's test clusters are for POSIX")
def test_a_lost_nodes_trainings_are_run_again_with_the_same_end(toy_folder: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-c", TWO_NODES, str(toy_folder), str(tmp_path / "ray"), json.dumps(WORDS)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=600)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    local = sweep("linear", WORDS, seeds=2, data=toy_folder, runs_dir=tmp_path / "local", winner=False, progress=False)
    found = {row["settings"]["learning_rate"]: row["accuracies"] for row in json.loads(done.stdout.splitlines()[-1])}
    assert found == {row.settings["learning_rate"]: row.accuracies for row in local.ranking.rows}


def test_no_cluster_is_said_in_one_line(toy: tuple[Split, Split], tmp_path: Path) -> None:
    with pytest.raises(InkdigitsError, match="no Ray cluster answers at") as raised:
        sweep("linear", data=toy, runs_dir=tmp_path, ray="127.0.0.1:1", progress=False)
    assert "\n" not in str(raised.value)


def test_a_training_that_is_run_again_reports_each_epoch_once() -> None:
    progress = ProgressActor()
    for epoch in (1, 2, 1, 2, 3):
        assert not progress.report(7, epoch, epoch / 10)
    assert progress.take() == [(7, 1, 0.1), (7, 2, 0.2), (7, 3, 0.3)]
    assert progress.take() == []
    progress.stop(7)
    assert progress.report(7, 4, 0.4)
