"""Exponential and logarithm that LLVM can vectorise.

``math.exp`` in a compiled loop is one library call per row. These are polynomials and bit
operations, so a loop over them runs in vector registers. Both are good to about 2 ulp; they
round results below the smallest normal number to zero.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

FASTMATH = {"contract"}
"""Fused multiply-add only: anything more would break range reduction and the NaN signal."""

_LOG2_E = 1 / math.log(2)
# ln 2 in two parts; the first has 21 trailing zero bits, so that n * LN2_HIGH is exact.
_LN2_HIGH = float.fromhex("0x1.62e42fee00000p-1")
_LN2_LOW = float.fromhex("0x1.a39ef35793c76p-33")
# Adding 1.5 * 2^52 rounds to an integer and leaves it in the low bits.
_ROUNDER = 6755399441055744.0
_ROUNDER_BITS = np.int64(0x4338000000000000)
_BIAS = np.int64(1023)
_MANTISSA = np.int64(52)
_SQRT_HALF_BITS = np.int64(0x3FE6A09E667F3BCD)
_OVERFLOW, _UNDERFLOW = 709.4, -708.3
_SMALLEST_NORMAL = 2.2250738585072014e-308


def _reinterpret(source: Any, target: Any, kept: Any) -> Any:
    """A function that reads the bits of a number as those of another type, ``kept`` in LLVM."""

    def typed(typing_context: Any, value: Any) -> Any:  # noqa: ARG001
        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:  # noqa: ARG001
            return builder.bitcast(args[0], kept)

        return target(source), generate

    return intrinsic(typed)


_bits = _reinterpret(types.float64, types.int64, ir.IntType(64))
_float = _reinterpret(types.int64, types.float64, ir.DoubleType())

_E = [1 / math.factorial(k) for k in range(14)]
_E2, _E3, _E4, _E5, _E6, _E7, _E8, _E9, _E10, _E11, _E12, _E13 = _E[2:]


@njit(forceinline=True, cache=True, nogil=True, fastmath=FASTMATH, error_model="numpy")
def exp(x: float) -> float:
    """e^x by x = n ln 2 + y and the Taylor series in y, summed by Estrin's scheme."""
    shifted = x * _LOG2_E + _ROUNDER
    n = shifted - _ROUNDER
    y = (x - n * _LN2_HIGH) - n * _LN2_LOW
    y2 = y * y
    y4 = y2 * y2
    low = (1.0 + y) + y2 * (_E2 + _E3 * y)
    middle = (_E4 + _E5 * y) + y2 * (_E6 + _E7 * y)
    high = (_E8 + _E9 * y) + y2 * (_E10 + _E11 * y) + y4 * (_E12 + _E13 * y)
    scale = _float((_bits(shifted) + _BIAS) << _MANTISSA)
    result = (low + y4 * (middle + y4 * high)) * scale
    result = math.inf if x > _OVERFLOW else result
    return 0.0 if x < _UNDERFLOW else result


_L = [2 / (2 * k + 1) for k in range(11)]
_L1, _L2, _L3, _L4, _L5, _L6, _L7, _L8, _L9, _L10 = _L[1:]


@njit(forceinline=True, cache=True, nogil=True, fastmath=FASTMATH, error_model="numpy")
def log(x: float) -> float:
    """Ln x for x > 0 by x = 2^n m and the series of artanh; NaN elsewhere."""
    bits = _bits(x)
    n = (bits - _SQRT_HALF_BITS) >> _MANTISSA
    m = _float(bits - (n << _MANTISSA)) - 1.0
    exponent = _float(n + _ROUNDER_BITS) - _ROUNDER
    s = m / (2.0 + m)
    z = s * s
    z2 = z * z
    z4 = z2 * z2
    low = (_L1 + _L2 * z) + z2 * (_L3 + _L4 * z)
    high = (_L5 + _L6 * z) + z2 * (_L7 + _L8 * z) + z4 * (_L9 + _L10 * z)
    result = exponent * _LN2_HIGH + (2.0 * s + (s * z * (low + z4 * high) + exponent * _LN2_LOW))
    result = math.inf if x == math.inf else result
    return result if x >= _SMALLEST_NORMAL else math.nan
