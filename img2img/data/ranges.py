"""Types of settings with limits, checked when a configuration is read."""

from typing import Annotated, TypeVar

from pydantic import AfterValidator, Field, PositiveFloat

Number = TypeVar("Number", int, float)


def rising(pair: tuple[Number, Number]) -> tuple[Number, Number]:
    if pair[0] > pair[1]:
        raise ValueError(f"the range {list(pair)} must start with the lower value")
    return pair


Probability = Annotated[float, Field(ge=0, le=1)]
Factor = Annotated[float, Field(gt=0, le=1)]
Factors = Annotated[tuple[Factor, Factor], AfterValidator(rising)]
Range = Annotated[tuple[PositiveFloat, PositiveFloat], AfterValidator(rising)]
Count = Annotated[int, Field(ge=1, le=1000)]
Counts = Annotated[tuple[Count, Count], AfterValidator(rising)]

# The upper limits are far above any use. They stop a slip of the keyboard from filling the memory of the machine.
Side = Annotated[int, Field(ge=1, le=16_384)]
SideOrOff = Annotated[int, Field(ge=0, le=16_384)]
BatchSize = Annotated[int, Field(ge=1, le=65_536)]
Steps = Annotated[int, Field(ge=1, le=10**9)]
