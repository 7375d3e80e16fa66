"""What holds for the whole suite.

Hypothesis draws the same cases each time; HYPOTHESIS_PROFILE=explore draws new ones.  Lava's tests fail where Lava is
missing, unless NEURO_DEPLOY_NO_LAVA=1 says that it is meant to be.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from hypothesis import settings

settings.register_profile("suite", derandomize=True, deadline=None)
settings.register_profile("explore", max_examples=1000, deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "suite"))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if os.environ.get("NEURO_DEPLOY_NO_LAVA") == "1":
        for item in items:
            if item.get_closest_marker("lava"):
                item.add_marker(pytest.mark.skip(reason="NEURO_DEPLOY_NO_LAVA=1"))


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Small networks are faster so, and nothing that they give depends on it."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
