"""What NVML says, from a stand-in for its module: there is no GPU to ask."""

from __future__ import annotations

import sys
import time
from types import SimpleNamespace
from typing import Any

import pytest

from mmkg_sdk.bench.gpu.power import THROTTLING, Meter, Watching, open_meter


class NVMLError(Exception):
    pass


def refused(handle: object, *more: object) -> float:
    raise NVMLError("Not Supported")


class StandIn:
    """The names of pynvml that power.py uses; `test_its_names_are_those_of_the_package` compares them."""

    NVMLError = NVMLError
    NVML_CLOCK_SM, NVML_CLOCK_MEM, NVML_TEMPERATURE_GPU = 1, 2, 0
    nvmlClocksEventReasonSwPowerCap = 4
    nvmlClocksEventReasonHwSlowdown = 8
    nvmlClocksEventReasonSwThermalSlowdown = 32
    nvmlClocksEventReasonHwThermalSlowdown = 64
    nvmlClocksEventReasonHwPowerBrakeSlowdown = 128
    nvmlClocksEventReasonApplicationsClocksSetting = 2

    def __init__(self) -> None:
        self.clocks = iter([1500.0, 1980.0, 1200.0, *[1980.0] * 100])
        self.reasons = iter([0, 4, 1 | 64, *[0] * 100])

    def nvmlDeviceGetTotalEnergyConsumption(self, handle: object) -> float:
        return 123_456.0

    def nvmlDeviceGetMemoryInfo(self, handle: object) -> Any:
        return SimpleNamespace(used=512 * 2**20)

    def nvmlDeviceGetPowerUsage(self, handle: object) -> float:
        return 350_500.0

    def nvmlDeviceGetClockInfo(self, handle: object, kind: int) -> float:
        return next(self.clocks) if kind == self.NVML_CLOCK_SM else 2619.0

    def nvmlDeviceGetTemperature(self, handle: object, kind: int) -> float:
        return 61.0

    def nvmlDeviceGetCurrentClocksEventReasons(self, handle: object) -> int:
        return next(self.reasons)


def test_its_names_are_those_of_the_package() -> None:
    real = pytest.importorskip("pynvml", reason="nvidia-ml-py is not installed")
    names = [name for name in vars(StandIn) if not name.startswith("_")]
    assert [name for name in (*names, "nvmlInit", "nvmlDeviceGetHandleByUUID") if not hasattr(real, name)] == []
    for name in (*THROTTLING, "NVML_CLOCK_SM", "NVML_CLOCK_MEM", "NVML_TEMPERATURE_GPU"):
        assert getattr(StandIn, name) == getattr(real, name)


def test_readings_become_medians_extremes_and_reasons() -> None:
    meter = Meter(StandIn(), None)
    with Watching(meter) as watching:
        watching.readings.append(meter.reading())
    assert len(watching.readings) == 3
    assert watching.numbers() == {
        "sm_mhz": 1500.0,
        "sm_mhz_min": 1200.0,
        "memory_mhz": 2619.0,
        "temperature_c": 61.0,
        "gpu_peak_mib": 512.0,
    }
    # Idling, the bit 1, is no reason to distrust a time.
    assert watching.throttling() == ["power limit", "temperature (hardware)"]
    assert meter.energy_mj() == 123_456.0
    assert watching.readings[0]["watts"] == 350.5


def test_it_reads_by_itself_while_the_work_goes_on() -> None:
    with Watching(Meter(StandIn(), None)) as watching:
        began = time.monotonic()
        while len(watching.readings) < 2 and time.monotonic() - began < 20:
            time.sleep(0.05)
        assert 0.4 <= time.monotonic() - began < 20


def test_what_a_gpu_does_not_say_is_absent(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in vars(StandIn) if name.startswith("nvmlDevice")]:
        monkeypatch.setattr(StandIn, name, lambda self, *given: refused(None))
    meter = Meter(StandIn(), None)
    assert set(meter.reading().values()) == {None}
    assert meter.energy_mj() is None
    with Watching(meter) as watching:
        pass
    assert set(watching.numbers().values()) == {None}
    assert watching.throttling() == []


def test_a_missing_package_is_named_with_its_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", None)
    assert open_meter("cuda:0") == (
        "energy, clocks and temperature: nvidia-ml-py is not installed. Run: pip install nvidia-ml-py"
    )
