// Words that every vectorised kernel file uses, whatever the instruction set.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#if defined(_MSC_VER) && !defined(__clang__)
#define MOBILENETS_INLINE __forceinline
#define MOBILENETS_NOINLINE __declspec(noinline)
#define MOBILENETS_UNROLL
#elif defined(__clang__)
#define MOBILENETS_INLINE inline __attribute__((always_inline))
#define MOBILENETS_NOINLINE __attribute__((noinline))
#define MOBILENETS_UNROLL _Pragma("clang loop unroll(full)")
#else
#define MOBILENETS_INLINE inline __attribute__((always_inline))
#define MOBILENETS_NOINLINE __attribute__((noinline))
#define MOBILENETS_UNROLL _Pragma("GCC unroll 64")
// g++ 12 copies and spills the accumulators of a dot product intrinsic; an assembly operand that is read and written
// in place leaves it no choice. The tests read the disassembly for it.
#define MOBILENETS_DOT_IN_PLACE 1
#endif
