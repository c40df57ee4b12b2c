"""A soak sees a leak, and takes neither noise nor a single peak for one."""

from __future__ import annotations

from collections.abc import Callable

from node.bench.soak import Sample, all_flat, growth, slope

HOUR_S = 3600


def samples_of(process: str, memory_mib: Callable[[int], float], handles: int = 9) -> list[Sample]:
    return [
        Sample(process, float(at), memory_mib(at), handles, 4) for at in range(0, HOUR_S + 1, 10)
    ]


def test_a_leak_of_a_few_hundred_bytes_a_second_is_seen() -> None:
    (row,) = growth(samples_of("work 1", lambda at: 500 + 30 * at / HOUR_S))
    assert not row.is_flat
    assert 29 < row.memory_slope_mib_per_hour < 31


def test_a_single_peak_is_no_leak() -> None:
    (row,) = growth(samples_of("work 1", lambda at: 900 if at == 3000 else 500 + at % 3))
    assert row.is_flat
    assert row.memory_maximum_mib == 900


def test_handles_that_are_never_closed_are_seen() -> None:
    rising = [Sample("receive 1", float(at), 100, 10 + at // 300, 4) for at in range(0, HOUR_S, 10)]
    (row,) = growth(rising)
    assert not row.is_flat


def test_a_process_that_came_late_is_not_judged_and_the_archive_never() -> None:
    late = [one for one in samples_of("work 2", lambda at: at) if one.at_s > 3000]
    archive = growth(samples_of("Orthanc", lambda at: at))
    assert growth([*samples_of("work 1", lambda at: 5), *late])[0].process == "work 1"
    assert len(growth([*samples_of("work 1", lambda at: 5), *late])) == 1
    assert all_flat(archive)


def test_the_slope_of_no_points_is_zero() -> None:
    assert slope([]) == 0
    assert slope([(0, 1), (1, 3), (2, 5)]) == 2
