"""A folder outside its schedule: files are recorded, pages are read when its time has come."""

import signal
from datetime import datetime, timedelta

from tests.integration.tree import CONFIG, Tree, ask, daemon, folder_of, scan
from tests.support.waiting import wait_for


def closed_for_days(tree: Tree) -> None:
    """Open on a day of the week that is neither today nor tomorrow."""
    day = f"{datetime.now() + timedelta(days=3):%a}"
    text = CONFIG.format(root=tree.root) + f'schedule = ["{day} 20:00-22:00"]\n'
    tree.config.write_text(text, encoding="utf-8")


def states(tree: Tree) -> dict[str, str]:
    return {job["folder"]: job["state"] for job in ask(tree, "jobs")["jobs"]}


def test_a_closed_folder_records_and_waits_and_goes_on_when_it_opens(tree: Tree) -> None:
    closed_for_days(tree)
    tree.drop("a.jpg", scan(1))
    with daemon(tree) as process:
        wait_for(lambda: folder_of(tree)["waiting"] == 1)
        wait_for(lambda: folder_of(tree)["waits_until"])
        opens = datetime.fromisoformat(folder_of(tree)["waits_until"])
        assert (opens.hour, opens.minute) == (20, 0)
        assert (opens.date() - datetime.now().date()).days in (2, 3)  # the day may just have ended
        assert ask(tree, "jobs")["jobs"][0]["attempts"] == 0
        tree.config.write_text(CONFIG.format(root=tree.root), encoding="utf-8")
        process.send_signal(signal.SIGHUP)
        wait_for(lambda: folder_of(tree)["done"] == 1)
        wait_for(lambda: folder_of(tree)["waits_until"] is None)
    tree.check_done()


def test_a_closed_folder_holds_up_no_other(tree: Tree) -> None:
    closed_for_days(tree)
    with tree.config.open("a", encoding="utf-8") as config:
        config.write('[[folder]]\nname = "mail"\nmode = "ocr"\n')
    tree.drop("a.jpg", scan(1))
    mail = tree.root / "inbox" / "mail"
    mail.mkdir()
    (mail / "b.jpg").write_bytes(scan(2))
    with daemon(tree):
        wait_for(lambda: (tree.root / "archive" / "mail" / "b.jpg").exists())
        wait_for(lambda: states(tree) == {"scans": "queued", "mail": "done"})


def test_who_runs_it_once_by_hand_wants_it_done_now(tree: Tree) -> None:
    closed_for_days(tree)
    tree.drop("a.jpg", scan(1))
    tree.work_off()
    tree.check_done()
