"""What folders ask of the system: groups for their results, a program that sees which way is up."""

from __future__ import annotations

import grp
import os
import pwd
from collections.abc import Iterator

from ocrd.config import Config
from ocrd.daemon.engines import chosen_kind
from ocrd.daemon.findings import Finding, Verdict
from ocrd.engine import osd


def groups(config: Config) -> Iterator[Finding]:
    """The daemon's user may only give files to groups that it belongs to."""
    user = _daemon_user(config)
    for folder in config.folders:
        if folder.group:
            yield _group(f"{folder.name} group", folder.group, user)


def _group(check: str, name: str, user: pwd.struct_passwd) -> Finding:
    try:
        gid = grp.getgrnam(name).gr_gid
    except KeyError:
        return Finding(
            check=check,
            verdict=Verdict.PROBLEM,
            found=f"there is no group {name}",
            hint=f"sudo groupadd {name}, or name another in the folder's `group`.",
        )
    if user.pw_uid != 0 and gid not in os.getgrouplist(user.pw_name, user.pw_gid):
        return Finding(
            check=check,
            verdict=Verdict.PROBLEM,
            found=f"the daemon's user {user.pw_name} is not in the group {name}",
            hint=f"sudo usermod -aG {name} {user.pw_name}; sudo systemctl restart ocrd",
        )
    return Finding(
        check=check, verdict=Verdict.OK, found=f"{user.pw_name} may give files to {name}"
    )


def _daemon_user(config: Config) -> pwd.struct_passwd:
    """Whose the spool is; before there is one, whoever asks."""
    owner = config.spool.stat().st_uid if config.spool.exists() else os.geteuid()
    try:
        return pwd.getpwuid(owner)
    except KeyError:  # a uid without a name, as in some containers
        return pwd.struct_passwd((str(owner), "x", owner, os.getegid(), "", "/", ""))


def orientation(config: Config) -> Iterator[Finding]:
    """Who finds which way up a page is, where folders want pages turned."""
    wanting = [folder.name for folder in config.folders if folder.upright]
    if not wanting:
        return
    if chosen_kind(config.settings) == "rapidocr":
        yield Finding(check="upright", verdict=Verdict.OK, found="RapidOCR sees it itself")
    elif (program := osd.installed()) is not None:
        yield Finding(check="upright", verdict=Verdict.OK, found=f"Tesseract sees it: {program}")
    else:
        yield Finding(
            check="upright",
            verdict=Verdict.WARNING,
            found=f"nobody sees how a page lies; it stays so in: {', '.join(wanting)}",
            hint="sudo apt install tesseract-ocr, then systemctl restart ocrd.",
        )
