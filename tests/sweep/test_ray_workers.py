import os
import subprocess
import sys
from pathlib import Path

import pytest

ray = pytest.importorskip("ray")

# In a process of its own: Ray's threads and warnings are no part of the other tests. Two nodes on this machine, the
# second killed when a third of the trainings is done; its lost trainings must be run again.
TWO_NODES = """
import os, sys, warnings
warnings.simplefilter("ignore")
os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
from ray.cluster_utils import Cluster
from inkdigits.data.loading import load_data
from inkdigits.sweep.sweep import sweep

cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
second = cluster.add_node(num_cpus=1)
done = []

def kill_one_node(job, recipe):
    done.append(job.key)
    if len(done) == 2:
        cluster.remove_node(second, allow_graceful=False)

found = sweep(
    "linear", {"learning_rate": "1e-3,1e-2", "epochs": "60"}, seeds=3, data=sys.argv[1], runs_dir=sys.argv[2],
    ray=cluster.address, winner=False, on_job=kill_one_node,
)
cluster.shutdown()
assert len(done) == len(set(done)) == 6, done
print(found.ranking.to_dict()["ranking"])
"""


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="Ray's test clusters are for POSIX")
def test_a_lost_nodes_trainings_are_run_again_with_the_same_end(toy_folder: Path, tmp_path: Path) -> None:
    from inkdigits.sweep.sweep import sweep

    command = [sys.executable, "-c", TWO_NODES, str(toy_folder), str(tmp_path / "ray")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=600)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    words = {"learning_rate": "1e-3,1e-2", "epochs": "60"}
    local = sweep("linear", words, seeds=3, data=toy_folder, runs_dir=tmp_path / "local", winner=False, progress=False)
    found = {row["settings"]["learning_rate"]: row["accuracies"] for row in eval(done.stdout.splitlines()[-1])}
    assert found == {row.settings["learning_rate"]: row.accuracies for row in local.ranking.rows}


def test_no_cluster_is_said_in_one_line(toy_folder: Path, tmp_path: Path) -> None:
    code = "from inkdigits.cli.main import main; main()"
    words = ["sweep", "linear", "--ray", "127.0.0.1:1", "--data", str(toy_folder), "--runs", str(tmp_path)]
    done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    errors = [line for line in done.stderr.splitlines() if line.startswith("error:")]
    assert len(errors) == 1
    assert "--ray 127.0.0.1:1" in errors[0]
