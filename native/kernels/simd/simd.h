// Words that every vectorized kernel file uses, whatever the instruction set.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "unroll.h"

#if defined(_MSC_VER) && !defined(__clang__)
#define MOBILENETS_INLINE __forceinline
#define MOBILENETS_NOINLINE __declspec(noinline)
#else
#define MOBILENETS_INLINE inline __attribute__((always_inline))
#define MOBILENETS_NOINLINE __attribute__((noinline))
#endif

// g++ 12 copies and spills the accumulators of a dot product intrinsic; an assembly operand that is read and written
// in place leaves it no choice. The tests read the disassembly for it.
#if defined(__GNUC__) && !defined(__clang__)
#define MOBILENETS_DOT_IN_PLACE 1
#endif
