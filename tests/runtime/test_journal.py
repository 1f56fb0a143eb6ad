"""The journal of an output folder: what it says after changes, deaths and torn lines, and claims between processes."""

import errno
import hashlib
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from io import FileIO
from pathlib import Path

import pytest
from conftest import environment
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from img2img.atomic import atomic
from img2img.errors import ExitStatus, ModelError
from img2img.runtime.batch.journal import locks, log
from img2img.runtime.batch.journal.journal import NAME, Journal, JournalError, Verdict
from img2img.runtime.files import digests
from img2img.runtime.files.digests import Fingerprint
from img2img.runtime.network import model_digest

LONG_AGO = 1_600_000_000_000_000_000  # ns
MODEL, OPTIONS = "m" * 64, "o" * 64


def made_of(source: Path, model: str = MODEL, options: str = OPTIONS) -> bytes:
    """A result that differs with everything that it depends on; always of one size."""
    return hashlib.sha256(source.read_bytes() + model.encode() + options.encode()).digest()


def make(
    kept: Journal, target: Path, source: Path, model: str = MODEL, options: str = OPTIONS, *, landed: bool = True
) -> None:
    """What the batch does with one picture; without `landed` it dies before the output has its name."""
    given = digests.of_file(source)
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name("part")
    with part.open("wb+") as stream:
        stream.write(made_of(source, model, options))
        kept.record(target, digests.of_stream(stream), source.name, given, model=model, options=options)
    part.replace(target) if landed else part.unlink()


def ask(kept: Journal, target: Path, source: Path | Fingerprint, model: str = MODEL, options: str = OPTIONS) -> Verdict:
    return kept.verdict(target, source, model=model, options=options)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "cat.jpg"
    path.write_bytes(b"cat 1")
    os.utime(path, ns=(LONG_AGO, LONG_AGO))
    return path


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


# --- what it says ---


def test_second_call_has_nothing_to_do(out: Path, source: Path) -> None:
    target = out / "a" / "cat.png"
    with Journal.open(out) as kept:
        assert ask(kept, target, source) == Verdict("missing", "not made yet", True)
        make(kept, target, source)
        assert ask(kept, target, source).status == "done"
    with Journal.open(out) as kept:
        verdict = ask(kept, target, source)
        assert verdict.status == "done" and verdict.ours and not kept.warnings
        assert verdict.output is not None and verdict.output.sha256 == hashlib.sha256(target.read_bytes()).hexdigest()


def test_each_change_is_told_with_its_reason(out: Path, source: Path) -> None:
    target = out / "cat.png"
    with Journal.open(out) as kept:
        make(kept, target, source)
        made = target.read_bytes()

        def said(**changes: str) -> tuple[str, bool]:
            verdict = kept.verdict(target, source, **({"model": MODEL, "options": OPTIONS} | changes))
            assert verdict.status == "changed"
            return verdict.reason, verdict.ours

        assert said(model="another") == ("made by another model", True)
        assert said(options="others") == ("made with other options", True)
        source.write_bytes(b"cat 2")
        assert said() == ("its input has changed", True)
        source.unlink()
        assert said() == ("its input cannot be read: No such file or directory", True)
        source.write_bytes(b"cat 1")
        assert ask(kept, target, source).status == "done"

        target.write_bytes(made[::-1])
        os.utime(target, ns=(LONG_AGO, LONG_AGO))
        assert said() == ("the output was changed after it was made", False)
        target.write_bytes(made + b".")
        assert said() == ("the output was changed after it was made", False)
        target.unlink()
        assert ask(kept, target, source) == Verdict("missing", "it was made before, but is gone", True)
        target.mkdir()
        assert said() == ("it is no regular file", False)


def test_output_that_is_not_in_the_journal_is_not_ours(out: Path, source: Path) -> None:
    out.mkdir()
    (out / "cat.png").write_bytes(b"a person's")
    with Journal.open(out) as kept:
        assert ask(kept, out / "cat.png", source) == Verdict("changed", "not made by img2img, or not recorded", False)


def test_death_before_the_output_has_its_name_leaves_a_known_old_output(out: Path, source: Path) -> None:
    target = out / "cat.png"
    with Journal.open(out) as kept:
        make(kept, target, source)
        for _ in range(3):  # it dies each time
            make(kept, target, source, "new model", landed=False)
    with Journal.open(out) as kept:
        verdict = ask(kept, target, source, "new model")
        assert (verdict.status, verdict.reason, verdict.ours) == ("changed", "made by another model", True)
        assert ask(kept, target, source).status == "done"  # back to the old one: that is what lies there
        make(kept, target, source, "new model")
        assert ask(kept, target, source, "new model").status == "done"


def test_picture_from_a_pipe_is_known_by_its_bytes(out: Path) -> None:
    target, data = out / "stdin.png", digests.of_bytes(b"picture")
    with Journal.open(out) as kept, atomic(target) as stream:
        stream.write(b"result")
        kept.record(target, digests.of_stream(stream), "-", data, model=MODEL, options=OPTIONS)
    with Journal.open(out) as kept:
        assert ask(kept, target, data).status == "done"
        assert ask(kept, target, digests.of_bytes(b"another")).reason == "its input has changed"


def test_files_are_read_again_only_when_size_and_time_do_not_tell(
    out: Path, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target, read = out / "cat.png", []
    with Journal.open(out) as kept:
        make(kept, target, source)
        of_file = digests.of_file
        monkeypatch.setattr(digests, "of_file", lambda path: read.append(path.name) or of_file(path))
        assert ask(kept, target, source).status == "done" and read == []
        for path in (source, target):  # a copy of the tree has other times
            os.utime(path, ns=(LONG_AGO + 10**9, LONG_AGO + 10**9))
        assert ask(kept, target, source).status == "done" and sorted(read) == ["cat.jpg", "cat.png"]
        read.clear()
        assert ask(kept, target, source).status == "done" and read == []
    with Journal.open(out) as kept:
        assert ask(kept, target, source).status == "done" and read == []


def test_input_rewritten_in_the_same_tick_of_the_clock_is_noticed(out: Path, source: Path) -> None:
    now = time.time_ns()
    os.utime(source, ns=(now, now))
    with Journal.open(out) as kept:
        make(kept, out / "cat.png", source)
        source.write_bytes(b"cat 2")
        os.utime(source, ns=(now, now))
        assert ask(kept, out / "cat.png", source).reason == "its input has changed"


@pytest.mark.skipif(sys.platform != "linux", reason="names of any bytes")
def test_names_of_any_bytes_are_kept_in_plain_ascii(out: Path, source: Path) -> None:
    names = [os.fsdecode(name) for name in (b"\xff\xfe.png", "ä 猫 🐈.png".encode(), b'a\nb".png', b"\xc3.png")]
    with Journal.open(out) as kept:
        for name in names:
            make(kept, out / name, source)
    assert (out / NAME).read_bytes().isascii()
    with Journal.open(out) as kept:
        assert [ask(kept, out / name, source).status for name in names] == ["done"] * len(names)


def test_folder_may_be_named_in_another_way_or_moved(
    out: Path, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with Journal.open(Path("out")) as kept:
        make(kept, Path("out/cat.png"), source)
        assert ask(kept, out / "cat.png", source).status == "done"
        with pytest.raises(ValueError, match="not in"):
            ask(kept, tmp_path / "cat.png", source)
    out.rename(tmp_path / "moved")
    with Journal.open(tmp_path / "moved") as kept:
        assert ask(kept, tmp_path / "moved" / "cat.png", source).status == "done"


def test_looking_only_changes_nothing(out: Path, source: Path) -> None:
    with Journal.open(out, write=False) as kept:
        assert ask(kept, out / "cat.png", source).status == "missing"
        assert kept.claim(out / "cat.png") is not None
    assert not out.exists()
    with Journal.open(out) as kept:
        make(kept, out / "cat.png", source)
    before = (out / NAME).read_bytes()
    os.utime(source, ns=(LONG_AGO + 1, LONG_AGO + 1))
    with Journal.open(out, write=False) as kept:
        assert ask(kept, out / "cat.png", source).status == "done"
    assert (out / NAME).read_bytes() == before


def test_line_says_in_plain_json_what_was_made_of_what(out: Path, source: Path) -> None:
    with Journal.open(out) as kept:
        make(kept, out / "a" / "cat.png", source)
    header, line = (json.loads(line) for line in (out / NAME).read_text().splitlines())
    assert header == {"img2img journal": 1}
    assert line["output"]["path"] == "a/cat.png" and line["output"]["size"] == 32
    assert line["input"] == {
        "path": "cat.jpg", "size": 5, "mtime_ns": LONG_AGO, "sha256": hashlib.sha256(b"cat 1").hexdigest()
    }  # fmt: skip
    assert (line["model"], line["options"]) == (MODEL, OPTIONS)


# --- what can be wrong with the file ---


def test_torn_last_line_costs_that_line_only(out: Path, source: Path) -> None:
    with Journal.open(out) as kept:
        make(kept, out / "1.png", source)
        make(kept, out / "2.png", source)
    whole = (out / NAME).read_bytes()
    second = whole[:-1].rindex(b"\n") + 1
    for cut in [0, 1, 10, whole.index(b"\n"), second - 1, second, second + 1, second + 100, len(whole) - 1]:
        (out / NAME).write_bytes(whole[:cut])
        with Journal.open(out) as kept:
            assert ask(kept, out / "1.png", source).status == ("done" if cut >= second else "changed")
            assert ask(kept, out / "2.png", source).status == "changed"
            make(kept, out / "3.png", source)
        with Journal.open(out) as kept:
            assert not kept.warnings
            assert ask(kept, out / "3.png", source).status == "done"


def test_zeros_after_a_power_cut_are_no_obstacle(out: Path, source: Path) -> None:
    with Journal.open(out) as kept:
        make(kept, out / "1.png", source)
    with (out / NAME).open("ab") as stream:
        stream.write(bytes(4096))
    for name in ("2.png", "3.png"):
        with Journal.open(out) as kept:
            make(kept, out / name, source)
            assert not kept.warnings
            assert ask(kept, out / "1.png", source).status == ask(kept, out / name, source).status == "done"


@pytest.mark.parametrize("garbage", ["garbage", "[1, 2]", "7", '{"output": 3}', '{"output": {"path": []}}', "\udcff"])
def test_garbage_in_the_middle_is_one_warning(out: Path, source: Path, garbage: str) -> None:
    for name in ("1.png", "2.png"):
        with Journal.open(out) as kept:
            make(kept, out / name, source)
        with (out / NAME).open("ab") as stream:
            stream.write(os.fsencode(garbage) + b"\n")
    with Journal.open(out) as kept:
        assert [ask(kept, out / name, source).status for name in ("1.png", "2.png")] == ["done", "done"]
        (warning,) = kept.warnings
        assert "2 line(s)" in warning and NAME in warning


@pytest.mark.parametrize("text", ['{"some": "json"}\n', "a,b\n1,2\n", '{\n  "a": 1\n}\n', "[]\n"])
def test_file_of_somebody_else_is_refused_and_kept(out: Path, text: str) -> None:
    out.mkdir()
    (out / NAME).write_text(text)
    for write in (True, False):
        with pytest.raises(JournalError, match="not a journal of img2img; move it away"):
            Journal.open(out, write=write)
    assert (out / NAME).read_text() == text


def test_journal_of_another_format_is_refused_and_kept(out: Path) -> None:
    out.mkdir()
    (out / NAME).write_text('{"img2img journal": 2}\n')
    with pytest.raises(JournalError, match="has format 2, this program reads format 1") as caught:
        Journal.open(out)
    assert caught.value.status is ExitStatus.USAGE
    assert (out / NAME).read_text() == '{"img2img journal": 2}\n'


def test_folder_that_cannot_be_written_to_is_an_error_before_the_work(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    (tmp_path / NAME).mkdir()
    for folder in (tmp_path / "file", tmp_path / "file" / "below", tmp_path):
        with pytest.raises(JournalError, match="name another output folder") as caught:
            Journal.open(folder)
        assert str(folder) in str(caught.value)


def test_full_disk_is_an_error_and_no_lie(out: Path, source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class FullDisk(FileIO):
        def write(self, data: object) -> int:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(log, "FileIO", FullDisk)
    with Journal.open(out) as kept:
        with pytest.raises(JournalError, match="No space left on device"):
            make(kept, out / "cat.png", source)
        assert ask(kept, out / "cat.png", source).status == "missing"


def test_much_too_long_journal_is_written_anew(out: Path, source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log, "_SLACK", 10)
    with Journal.open(out) as other, Journal.open(out) as kept:
        for count in range(30):
            make(kept, out / "cat.png", source, f"model {count}")
        make(kept, out / "cat.png", source, "pending", landed=False)
        make(kept, out / "dog.png", source)
        with Journal.open(out):
            assert len((out / NAME).read_text().splitlines()) == 1 + 2 + 1
        for name, one in (("1.png", kept), ("2.png", other)):  # their file has lost its name
            make(one, out / name, source)
            assert ask(one, out / "cat.png", source, "model 29").status == "done"
    with Journal.open(out) as kept:
        assert ask(kept, out / "cat.png", source, "model 29").status == "done"
        assert [ask(kept, out / name, source).status for name in ("1.png", "2.png", "dog.png")] == ["done"] * 3
    assert not list(out.glob(".*.part"))


def test_journal_deleted_during_the_work_is_begun_anew(out: Path, source: Path) -> None:
    with Journal.open(out) as kept:
        make(kept, out / "1.png", source)
        (out / NAME).unlink()
        make(kept, out / "2.png", source)
        shutil.rmtree(out)
        make(kept, out / "3.png", source)
        assert ask(kept, out / "3.png", source).status == "done"
    assert len((out / NAME).read_text().splitlines()) == 2


def test_journal_shortened_during_the_work_is_read_again(out: Path, source: Path) -> None:
    with Journal.open(out) as kept:
        for name in ("1.png", "2.png"):
            make(kept, out / name, source)
        os.truncate(out / NAME, (out / NAME).stat().st_size - 10)
        make(kept, out / "3.png", source)
        assert [ask(kept, out / f"{n}.png", source).status for n in (1, 2, 3)] == ["done", "changed", "done"]


def test_line_is_not_written_to_a_journal_that_was_replaced_while_waiting_for_its_lock(
    out: Path, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    exclusive = locks.exclusive

    @contextmanager
    def late(descriptor: int) -> Iterator[bool]:
        monkeypatch.setattr(locks, "exclusive", exclusive)
        shutil.copy(out / NAME, out / "copy")
        (out / "copy").replace(out / NAME)
        with exclusive(descriptor) as held:
            yield held

    with Journal.open(out) as kept:
        make(kept, out / "1.png", source)
        monkeypatch.setattr(locks, "exclusive", late)
        make(kept, out / "2.png", source)
        assert [ask(kept, out / name, source).status for name in ("1.png", "2.png")] == ["done", "done"]
    assert recorded(out) == {"1.png", "2.png"}


def test_twenty_thousand_lines_are_read_in_a_moment(out: Path) -> None:
    print_ = Fingerprint(12345678, LONG_AGO, "f" * 64)
    with Journal.open(out) as kept:
        kept.record(out / "0.png", print_, "0.jpg", print_, model=MODEL, options=OPTIONS)
    line = (out / NAME).read_text().splitlines()[1]
    with (out / NAME).open("a") as stream:
        stream.writelines(line.replace("0.png", f"{n}.png") + "\n" for n in range(1, 20_000))
    began = time.process_time()
    with Journal.open(out) as kept:
        assert time.process_time() - began < 1
        assert kept.verdict(out / "19999.png", print_, model="", options="").reason == "it was made before, but is gone"


# --- two at once ---


def test_claim_is_given_once_until_it_is_released(out: Path) -> None:
    with Journal.open(out) as one, Journal.open(out) as other:
        claim = one.claim(out / "cat.png")
        assert claim is not None
        assert other.claim(out / "cat.png") is None and one.claim(out / "cat.png") is None
        assert other.claim(out / "dog.png") is not None
        threading.Thread(target=claim.release).start()
        while (again := other.claim(out / "cat.png")) is None:
            time.sleep(0.001)
        claim.release()  # a second time: not the other's
        assert one.claim(out / "cat.png") is None
        with again:
            pass
        assert one.claim(out / "cat.png") is not None
    with Journal.open(out) as kept:  # closed: all released
        assert kept.claim(out / "cat.png") is not None and kept.claim(out / "dog.png") is not None


def test_who_gets_a_claim_knows_what_others_made_in_the_meantime(out: Path, source: Path) -> None:
    with Journal.open(out) as one, Journal.open(out) as other:
        assert ask(one, out / "cat.png", source).status == "missing"
        with other.claim(out / "cat.png") or pytest.fail():
            make(other, out / "cat.png", source)
        with one.claim(out / "cat.png") or pytest.fail():
            assert ask(one, out / "cat.png", source).status == "done"


@pytest.mark.parametrize("reason", [errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL])
def test_file_system_without_locks_is_a_warning(
    out: Path, source: Path, reason: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(descriptor: int, offset: int | None) -> None:
        raise OSError(reason, os.strerror(reason))

    monkeypatch.setattr(locks, "_lock", refuse)
    monkeypatch.setattr(locks, "_unlock", refuse)
    with Journal.open(out) as kept:
        (warning,) = kept.warnings
        assert "cannot be locked" in warning
        with kept.claim(out / "cat.png") or pytest.fail():
            make(kept, out / "cat.png", source)
        assert ask(kept, out / "cat.png", source).status == "done"


def test_stopped_process_with_the_lock_does_not_stop_the_others(out: Path) -> None:
    out.mkdir()
    with (out / "file").open("wb") as one, (out / "file").open("wb") as other, locks.exclusive(one.fileno()) as held:
        assert held
        with locks.exclusive(other.fileno(), patience=0.05) as also:
            assert not also


PRELUDE = """
import sys
from pathlib import Path
from img2img.runtime.batch.journal import log
from img2img.runtime.files.digests import Fingerprint
from img2img.runtime.batch.journal.journal import Journal
out, name, number = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
some = Fingerprint(1, 1, "f" * 64)
def record(kept, n):
    kept.record(out / f"{name}-{n}.png", some, "x" * 3000, some, model="m", options="o")
"""
RECORD = """
with Journal.open(out) as kept:
    for n in range(number):
        record(kept, n)
        print(n, flush=True)
"""
REOPEN = "log._SLACK = 0\nfor n in range(number):\n    with Journal.open(out) as kept:\n        record(kept, n % 2)"
CLAIM = (
    "kept = Journal.open(out)\nclaim = kept.claim(out / 'cat.png')\nprint(bool(claim), flush=True)\nsys.stdin.read()"
)


@contextmanager
def process(code: str, out: Path, name: str, number: int) -> Iterator[subprocess.Popen[str]]:
    words = [sys.executable, "-c", PRELUDE + code, str(out), name, str(number)]
    with subprocess.Popen(
        words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment()
    ) as running:
        try:
            yield running
        finally:
            running.kill()


def recorded(out: Path) -> set[str]:
    """The outputs in the journal, every line of which is whole."""
    header, *lines = [json.loads(line) for line in (out / NAME).read_text().splitlines()]
    assert header == {"img2img journal": 1}
    return {line["output"]["path"] for line in lines}


def test_two_processes_write_at_once_and_no_line_is_lost(out: Path) -> None:
    with process(RECORD, out, "a", 600) as one, process(RECORD, out, "b", 600) as other:
        for running in (one, other):
            running.communicate()
            assert running.returncode == 0
    assert recorded(out) == {f"{name}-{n}.png" for name in "ab" for n in range(600)}
    assert len((out / NAME).read_text().splitlines()) == 1201


def test_no_line_is_lost_while_another_process_writes_the_journal_anew(out: Path) -> None:
    with process(RECORD, out, "a", 200) as one, process(REOPEN, out, "b", 100) as other:
        for running in (one, other):
            running.communicate()
            assert running.returncode == 0
    assert recorded(out) == {f"a-{n}.png" for n in range(200)} | {"b-0.png", "b-1.png"}
    assert not list(out.glob(".*.part"))


def test_kill_9_loses_nothing_that_was_recorded(out: Path) -> None:
    said = set()
    for round_ in range(6):
        with process(RECORD, out, str(round_), 10**6) as running:
            assert running.stdout is not None
            for _ in range(random.randrange(1, 60)):
                said.add(f"{round_}-{int(running.stdout.readline())}.png")
            running.kill()
            said |= {f"{round_}-{line.strip()}.png" for line in running.stdout if line.endswith("\n")}
    with Journal.open(out) as kept:
        assert not kept.warnings
        known = {
            name for name in said if kept.verdict(out / name, digests.of_bytes(b""), model="", options="").reason
            == "it was made before, but is gone"
        }  # fmt: skip
    assert known == said


def test_claim_of_a_killed_process_is_free(out: Path) -> None:
    with Journal.open(out) as kept, process(CLAIM, out, "", 0) as running:
        assert running.stdout is not None and running.stdout.readline() == "True\n"
        assert kept.claim(out / "cat.png") is None
        with Journal.open(out) as again:  # that this one closes its files must not free anything either
            assert again.claim(out / "cat.png") is None
        running.kill()
        running.wait()
        claim = kept.claim(out / "cat.png")
        assert claim is not None
        with Journal.open(out), process(CLAIM, out, "", 0) as second:
            assert second.communicate("")[0] == "False\n"
        with process(CLAIM, out, "", 0) as third:  # a second journal in this process was closed, the claim stands
            assert third.communicate("")[0] == "False\n"


# --- any sequence of events ---

NAMES = ["a.png", "deep/er/b.png", "ü 🐈\n.png"]
WORDS = st.sampled_from(["1", "2"])


class Folder(RuleBasedStateMachine):
    """A second call never passes over what is not as this call would make it, nor does it redo what is."""

    @initialize()
    def begin(self) -> None:
        self.top = Path(tempfile.mkdtemp())
        self.out = self.top / "out"
        self.sources = {name: self.top / f"{number}.jpg" for number, name in enumerate(NAMES)}
        for source in self.sources.values():
            source.write_bytes(b"0")
        self.kept = Journal.open(self.out)
        self.clock = LONG_AGO
        self.safe: dict[str, tuple[str, str]] = {}  # output -> model and options of the last result, recorded for sure
        self.ever: dict[str, set[bytes]] = {name: set() for name in NAMES}

    def teardown(self) -> None:
        if hasattr(self, "kept"):
            self.kept.close()
            shutil.rmtree(self.top)

    @rule(name=st.sampled_from(NAMES), model=WORDS, options=WORDS, landed=st.booleans())
    def result(self, name: str, model: str, options: str, landed: bool) -> None:
        make(self.kept, self.out / name, self.sources[name], model, options, landed=landed)
        self.ever[name].add(made_of(self.sources[name], model, options))
        if landed:
            self.safe[name] = model, options
        else:
            self.safe.pop(name, None)

    @rule(name=st.sampled_from(NAMES), data=st.sampled_from([b"0", b"1", b"22"]))
    def change_input(self, name: str, data: bytes) -> None:
        if data != self.sources[name].read_bytes():
            self.safe.pop(name, None)
        self.sources[name].write_bytes(data)

    @rule(name=st.sampled_from(NAMES), data=st.sampled_from([None, b"longer than that" * 3, b"x" * 32]))
    def change_output(self, name: str, data: bytes | None) -> None:
        target = self.out / name
        self.safe.pop(name, None)
        target.unlink(missing_ok=True)
        if data is not None:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(data)

    @rule()
    def copy_tree(self) -> None:
        for path in [*self.out.rglob("*.png"), *self.sources.values()]:
            self.clock += 10**9
            os.utime(path, ns=(self.clock, self.clock))

    @rule(slack=st.sampled_from([0, 1000]))
    def reopen(self, slack: int) -> None:
        self.kept.close()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(log, "_SLACK", slack)
            self.kept = Journal.open(self.out)

    @rule(part=st.floats(0, 1), junk=st.sampled_from([b"", b"{", bytes(20), b"junk\n", b"\xff"]))
    def tear(self, part: float, junk: bytes) -> None:
        data = (self.out / NAME).read_bytes()
        data = data[: round(len(data) * part)]
        self.safe.clear()
        self.kept.close()
        (self.out / NAME).write_bytes(data + (junk if b"\n" in data else b""))
        self.kept = Journal.open(self.out)

    @invariant()
    def verdicts_are_true(self) -> None:
        for name in NAMES if hasattr(self, "kept") else ():
            target, source = self.out / name, self.sources[name]
            for model in "12":
                for options in "12":
                    verdict = ask(self.kept, target, source, model, options)
                    assert (verdict.status == "missing") == (not target.exists())
                    if verdict.status == "done":
                        assert target.read_bytes() == made_of(source, model, options)
                    elif verdict.status == "changed" and verdict.ours:
                        assert target.read_bytes() in self.ever[name]
                    if self.safe.get(name) == (model, options):
                        assert verdict.status == "done"


TestAnySequenceOfEvents = Folder.TestCase
TestAnySequenceOfEvents.settings = settings(max_examples=40, stateful_step_count=20, deadline=None)


# --- digests ---


def test_a_file_a_stream_and_bytes_have_one_digest(tmp_path: Path) -> None:
    data = random.randbytes(300_000)
    with atomic(tmp_path / "file") as stream:
        stream.write(data)
        stream.seek(5)
        written = digests.of_stream(stream)
    read = digests.of_file(tmp_path / "file")
    assert read == written and read.fresh
    os.utime(tmp_path / "file", ns=(LONG_AGO, LONG_AGO))
    assert digests.of_file(tmp_path / "file") == Fingerprint(len(data), LONG_AGO, hashlib.sha256(data).hexdigest())
    assert digests.of_bytes(data) == Fingerprint(len(data), None, read.sha256)
    with pytest.raises(FileNotFoundError):
        digests.of_file(tmp_path / "none")


def test_options_are_known_by_their_values_not_their_order() -> None:
    assert digests.of_options({"a": 1, "b": (2, 3)}) == digests.of_options({"b": [2, 3], "a": 1})
    assert digests.of_options({"a": 1}) != digests.of_options({"a": 2}) != digests.of_options({"a": None})
    for wrong in (float("nan"), Path("x"), b"x"):
        with pytest.raises((TypeError, ValueError)):
            digests.of_options({"a": wrong})


def test_model_is_known_by_its_bytes_and_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("onnx")
    import onnx_nets

    path = onnx_nets.pointwise(tmp_path / "a.onnx", "Neg")
    first = model_digest.of_model(path)
    assert first == hashlib.sha256(path.read_bytes()).hexdigest()
    with monkeypatch.context() as patch:
        patch.setattr(digests, "of_file", None)
        assert model_digest.of_model(path) == first
    onnx_nets.pointwise(path, "Neg", name="another")
    assert model_digest.of_model(path) != first
    with pytest.raises(ModelError, match=r"none\.onnx"):
        model_digest.of_model(tmp_path / "none.onnx")


def test_model_with_weights_beside_it_is_known_by_them_too(tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    import onnx_nets

    made = onnx.load(onnx_nets.compact(tmp_path / "whole.onnx", scale=2))
    path = tmp_path / "a.onnx"
    onnx.save(made, path, save_as_external_data=True, location="a.weights", size_threshold=0)
    first = model_digest.of_model(path)
    weights = bytearray((tmp_path / "a.weights").read_bytes())
    weights[0] ^= 1
    (tmp_path / "a.weights").write_bytes(weights)
    model_digest._of_model.cache_clear()
    assert model_digest.of_model(path) != first
