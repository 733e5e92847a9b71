"""`output_name`: what it can say, and what it cannot."""

from datetime import datetime

import pytest

from ocrd.config.names import asks_for_counter, checked_output_name, expand
from ocrd.errors import ConfigError

RECORDED = datetime(2026, 3, 9, 7, 5, 2)


@pytest.mark.parametrize(
    ("template", "path"),
    [
        ("{stem}", "letter"),
        ("{date} {stem}", "2026-03-09 letter"),
        ("{date:%Y/%m}/{stem}", "2026/03/letter"),
        ("{date:%Y%m%d}-{time:%H%M}", "20260309-0705"),
        ("{time}", "070502"),
        ("{folder}/{counter:04}", "invoices/0007"),
        ("{counter}-{job:06}", "7-000042"),
        ("{{{stem}}}", "{letter}"),
    ],
)
def test_a_template_is_filled_in(template: str, path: str) -> None:
    assert checked_output_name(template) == template
    assert (
        expand(template, stem="letter", recorded=RECORDED, folder="invoices", job=42, counter=7)
        == path
    )


@pytest.mark.parametrize(
    ("template", "said"),
    [
        ("{name}", "{name} is unknown"),
        ("{}", "{} is unknown"),
        ("{stem.__class__}", "is unknown"),
        ("{stem!r}", "!r has no meaning"),
        ("{stem:>10}", "takes no format"),
        ("{counter:x}", "'x' is no format of a number"),
        ("{counter:0999}", "'0999' is no format of a number"),
        ("{date:%Q}", "'%Q' is no format of a date"),
        ("{date:%}", "'%' is no format of a date"),
        ("{stem", "expected '}'"),
        ("", "a name at its end"),
        ("  ", "a name at its end"),
        ("{date:%Y}/", "a name at its end"),
        ("a//{stem}", "a folder in it has no name"),
        ("/srv/{stem}", "must not be absolute"),
        ("../{stem}", "begin with a dot"),
        ("{stem}/..", "begin with a dot"),
        (".{stem}", "begin with a dot"),
        ("{stem}\n", "cannot be printed"),
    ],
)
def test_what_makes_no_name_is_refused_with_what_is_known(template: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        checked_output_name(template)
    assert said in caught.value.message
    assert "{counter:04} {stem}" in caught.value.hint


def test_only_a_counter_asks_for_a_number() -> None:
    assert asks_for_counter("{date}/{counter:03}")
    assert not asks_for_counter("{{counter}} {stem}")
