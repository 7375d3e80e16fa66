"""The process that imports Lava: `python -m neuro_deploy.backends.lava_worker FOLDER`.

Started by `lava_process.run_plan` as the leader of a process group, with a pipe as standard input that only the parent
holds.  When the parent dies, however it dies, the pipe ends, and the watchdog ends the whole group.  Lines on standard
output that start with MARK are for the parent: `MARK DONE`, or `MARK n` after n samples.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import signal
import sys
import threading
from multiprocessing.util import get_temp_dir
from pathlib import Path

from .lava_mend import import_lava
from .lava_plan import WITNESSES, leave_error, load_plan

MARK = "@neuro_deploy"
DONE = "done"
SCRATCH = "scratch.txt"
"""Names the folder of multiprocessing's sockets, which a process that is ended cannot remove."""


def _say(word: object) -> None:
    sys.stdout.write(f"{MARK} {word}\n")
    sys.stdout.flush()


def remove_scratch(folder: Path) -> None:
    """Remove the folder that SCRATCH names, if there is one."""
    if (folder / SCRATCH).exists():
        shutil.rmtree((folder / SCRATCH).read_text(encoding="utf-8"), ignore_errors=True)


def _watchdog(pipe: int, folder: Path) -> None:
    """Wait for the end of the parent's pipe; then remove what the parent no longer can, and end the group.

    SIGTERM, not SIGKILL: it spares only multiprocessing's resource tracker, which then frees the shared memory.
    """
    while os.read(pipe, 1):
        pass
    remove_scratch(folder)
    shutil.rmtree(folder, ignore_errors=True)
    os.killpg(os.getpgrp(), signal.SIGTERM)


def main(folder: Path) -> int:
    """Run the plan in `folder`; 0 if it was run."""
    if os.getpgrp() != os.getpid():
        os.setsid()  # never end a group that is not ours
    threading.Thread(target=_watchdog, args=(os.dup(0), folder), daemon=True).start()
    try:
        multiprocessing.set_start_method("fork", force=True)  # Lava's processes carry what cannot be pickled
        (folder / SCRATCH).write_text(get_temp_dir(), encoding="utf-8")
        import_lava()
        from .lava_network import Network

        network = Network(load_plan(folder))
        (folder / WITNESSES).write_text(json.dumps(network.witnesses()), encoding="utf-8")
        for done in network.runs(network.prepare(folder)):
            _say(done)
        _say(DONE)
        network.stop()
    except Exception as error:
        leave_error(folder, error, "the Lava run")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
