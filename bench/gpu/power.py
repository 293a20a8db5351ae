"""What NVML says of a GPU while it works: clocks, temperature, power, throttling, memory, energy. Nothing is set.

NEVER RUN ON A GPU. It needs the package nvidia-ml-py; without it these numbers are absent, and the report says so.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

from mmkg_sdk.backends.base import parse_device

from ..machine.gpus import system_name
from ..report.percentiles import Numbers

INSTALL = "pip install nvidia-ml-py"
_PERIOD_S = 0.5
# Bits of nvmlDeviceGetCurrentClocksEventReasons that mean slower clocks than the GPU could have.
THROTTLING = {
    "nvmlClocksEventReasonSwPowerCap": "power limit",
    "nvmlClocksEventReasonHwSlowdown": "hardware slowdown",
    "nvmlClocksEventReasonSwThermalSlowdown": "temperature (driver)",
    "nvmlClocksEventReasonHwThermalSlowdown": "temperature (hardware)",
    "nvmlClocksEventReasonHwPowerBrakeSlowdown": "power brake",
    "nvmlClocksEventReasonApplicationsClocksSetting": "clocks set for applications",
}


@dataclass
class Meter:
    """NVML's handle of one GPU.

    Attributes:
        nvml: the module pynvml.
        handle: of the GPU.
    """

    nvml: Any
    handle: Any

    def energy_mj(self) -> float | None:
        """The GPU's energy counter since the driver was loaded, in millijoules; None where it has none."""
        return self._asked(self.nvml.nvmlDeviceGetTotalEnergyConsumption)

    def memory_mib(self) -> float | None:
        """Memory in use on the whole GPU, by whomever."""
        try:
            return float(self.nvml.nvmlDeviceGetMemoryInfo(self.handle).used) / 2**20
        except self.nvml.NVMLError:
            return None

    def reading(self) -> dict[str, float | None]:
        """One look at the clocks, the temperature, the power and the reasons for slower clocks."""
        milliwatts = self._asked(self.nvml.nvmlDeviceGetPowerUsage)
        return {
            "sm_mhz": self._asked(self.nvml.nvmlDeviceGetClockInfo, self.nvml.NVML_CLOCK_SM),
            "memory_mhz": self._asked(self.nvml.nvmlDeviceGetClockInfo, self.nvml.NVML_CLOCK_MEM),
            "temperature_c": self._asked(self.nvml.nvmlDeviceGetTemperature, self.nvml.NVML_TEMPERATURE_GPU),
            "watts": None if milliwatts is None else milliwatts / 1e3,
            "memory_mib": self.memory_mib(),
            "reasons": self._asked(self.nvml.nvmlDeviceGetCurrentClocksEventReasons),
        }

    def throttling(self, reasons: int) -> list[str]:
        """The names of those reasons that make a GPU slower than it could be."""
        return [words for name, words in THROTTLING.items() if reasons & getattr(self.nvml, name)]

    def _asked(self, function: Any, *more: Any) -> float | None:
        try:
            return float(function(self.handle, *more))
        except self.nvml.NVMLError:
            return None  # this GPU does not say


def open_meter(device: str) -> Meter | str:
    """NVML's view of a device, or why there is none."""
    try:
        import pynvml
    except ModuleNotFoundError:
        return f"energy, clocks and temperature: nvidia-ml-py is not installed. Run: {INSTALL}"
    try:
        pynvml.nvmlInit()
        name = system_name(parse_device(device)[1])
        handle = (
            pynvml.nvmlDeviceGetHandleByIndex(int(name)) if name.isdecimal() else pynvml.nvmlDeviceGetHandleByUUID(name)
        )
        return Meter(pynvml, handle)
    except pynvml.NVMLError as err:
        return f"energy, clocks and temperature: NVML does not answer ({err})"


@dataclass
class Watching:
    """Reads a meter twice a second within a `with` statement, in a thread.

    Attributes:
        readings: in order; one at the start and one at the end at the least.
    """

    meter: Meter
    readings: list[dict[str, float | None]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Watching:
        self.readings.append(self.meter.reading())
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join()
        self.readings.append(self.meter.reading())

    def numbers(self) -> Numbers:
        """Median and lowest clock, the memory's median clock, highest temperature, and most memory in use."""
        return {
            "sm_mhz": _middle(self._known("sm_mhz")),
            "sm_mhz_min": min(self._known("sm_mhz"), default=None),
            "memory_mhz": _middle(self._known("memory_mhz")),
            "temperature_c": max(self._known("temperature_c"), default=None),
            "gpu_peak_mib": max(self._known("memory_mib"), default=None),
        }

    def throttling(self) -> list[str]:
        """Why clocks were slower than they could be, at any reading."""
        seen = 0
        for reasons in self._known("reasons"):
            seen |= int(reasons)
        return self.meter.throttling(seen)

    def _known(self, name: str) -> list[float]:
        return [value for reading in self.readings if (value := reading[name]) is not None]

    def _watch(self) -> None:
        while not self._ended.wait(_PERIOD_S):
            self.readings.append(self.meter.reading())


def _middle(values: list[float]) -> float | None:
    return sorted(values)[len(values) // 2] if values else None
