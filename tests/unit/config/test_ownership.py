"""A folder's `group` and `umask`, looked up when something is to be given to them."""

import grp
import os

import pytest

from ocrd.config.ownership import ownership
from ocrd.errors import Disposition, PlaceError


def test_empty_keys_ask_for_nothing() -> None:
    assert not ownership("", "").given


def test_a_group_is_looked_up_by_its_name() -> None:
    mine = grp.getgrgid(os.getegid())
    owner = ownership(mine.gr_name, "027")
    assert (owner.gid, owner.umask) == (mine.gr_gid, 0o027)


def test_a_group_that_vanished_is_a_condition_with_a_remedy() -> None:
    with pytest.raises(PlaceError) as caught:
        ownership("no-such-group", "")
    assert caught.value.kind == "unknown-group"
    assert caught.value.disposition is Disposition.CONDITION
    assert "getent group no-such-group" in caught.value.hint
