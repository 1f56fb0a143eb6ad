"""Types for the ranges of random settings, checked when a configuration is read."""

from typing import Annotated, TypeVar

from pydantic import AfterValidator, Field, PositiveFloat, PositiveInt

Number = TypeVar("Number", int, float)


def rising(pair: tuple[Number, Number]) -> tuple[Number, Number]:
    if pair[0] > pair[1]:
        raise ValueError(f"the range {list(pair)} must start with the lower value")
    return pair


Probability = Annotated[float, Field(ge=0, le=1)]
Factor = Annotated[float, Field(gt=0, le=1)]
Factors = Annotated[tuple[Factor, Factor], AfterValidator(rising)]
Range = Annotated[tuple[PositiveFloat, PositiveFloat], AfterValidator(rising)]
Counts = Annotated[tuple[PositiveInt, PositiveInt], AfterValidator(rising)]
