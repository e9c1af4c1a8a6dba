"""PyTorch in forked processes: a worker of `Dataset.map`, of a DataLoader, of multiprocessing.

A fork does not copy the threads among which PyTorch shares its work: an operator that uses them
hangs in the child of a process in which they have run.
"""

from __future__ import annotations

import os

import torch

_forked = False


def _note_fork() -> None:
    global _forked
    _forked = True


if hasattr(os, "register_at_fork"):  # Windows cannot fork
    os.register_at_fork(after_in_child=_note_fork)


def use_one_thread_if_forked() -> None:
    """Leave PyTorch one thread, as workers of a DataLoader do, once in every forked process.

    Called before the first operator; does nothing in a process that was not forked.
    """
    global _forked
    if _forked and not torch.compiler.is_compiling():
        _forked = False
        torch.set_num_threads(1)
