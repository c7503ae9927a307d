"""What a power loss may leave of a file, and what it may not."""

from __future__ import annotations

from random import Random

from powerloss.disk import Create, Disk, Image, Operation, Sync, SyncDirectory, Truncate, Unlink, Write

OLD, NEW = b"a" * 2048, b"b" * 2048


def crashes(*operations: Operation, image: Image | None = None) -> list[Image]:
    """Many of the images that are possible after these operations."""
    disk = Disk(image or {})
    for operation in operations:
        disk.perform(operation)
    return [disk.crash(Random(seed)) for seed in range(1000)]


def contents(images: list[Image]) -> set[bytes]:
    return {image["f"] or b"" for image in images}


def test_what_was_synced_is_always_there() -> None:
    assert contents(crashes(Write("f", 0, NEW), Sync("f"), image={"f": OLD})) == {NEW}


def test_what_was_not_synced_is_there_or_not_or_in_part() -> None:
    found = contents(crashes(Write("f", 0, NEW), image={"f": OLD}))
    assert {OLD, NEW} < found
    assert OLD[:512] + NEW[512:1024] + OLD[1024:] in found, "a sector of its own"
    assert all(octet in b"ab" for content in found for octet in content)
    assert any(content.count(b"b") % 512 for content in found), "a torn sector"


def test_octets_that_were_not_written_do_not_change() -> None:
    found = contents(crashes(Write("f", 100, b"b" * 10), image={"f": OLD}))
    assert all(content[:100] == OLD[:100] and content[110:] == OLD[110:] for content in found)


def test_a_later_write_may_be_there_without_an_earlier_one() -> None:
    found = contents(crashes(Write("f", 0, b"1" * 512), Write("f", 1024, b"2" * 512), image={"f": OLD}))
    assert b"a" * 1024 + b"2" * 512 + b"a" * 512 in found


def test_between_the_old_end_and_a_later_write_are_zeros_or_anything() -> None:
    holes = {content[512:1024] for content in contents(crashes(Write("f", 1024, NEW), image={"f": b"a" * 512}))}
    assert bytes(512) in holes
    assert len(holes) > 5


def test_a_length_that_was_not_synced_may_lag_behind() -> None:
    lengths = {len(content) for content in contents(crashes(Write("f", 2048, NEW), image={"f": OLD}))}
    assert {2048, 4096} < lengths <= set(range(2048, 4097))


def test_a_truncation_that_was_not_synced_may_not_have_happened() -> None:
    assert contents(crashes(Truncate("f", 5), image={"f": OLD})) == {OLD, OLD[:5]}


def test_a_name_is_safe_once_its_directory_was_synced_and_not_before() -> None:
    made: tuple[Operation, ...] = (Create("d", directory=True), Create("d/f"), Write("d/f", 0, NEW), Sync("d/f"))
    assert {tuple(sorted(image)) for image in crashes(*made)} == {(), ("d",), ("d", "d/f")}
    assert {tuple(sorted(image)) for image in crashes(*made, SyncDirectory("d"))} == {(), ("d", "d/f")}
    assert {tuple(sorted(image)) for image in crashes(*made, SyncDirectory("d"), SyncDirectory("."))} == {("d", "d/f")}


def test_a_removed_file_may_be_there_until_its_directory_was_synced() -> None:
    assert contents([image for image in crashes(Unlink("f"), image={"f": OLD}) if image]) == {OLD}
    assert {len(image) for image in crashes(Unlink("f"), image={"f": OLD})} == {0, 1}
    assert {len(image) for image in crashes(Unlink("f"), SyncDirectory("."), image={"f": OLD})} == {0}
