// A loop of constant length that must vanish: tiles live in registers only if their loops over rows and vectors do.
#pragma once

#if defined(__clang__)
#define MOBILENETS_UNROLL _Pragma("unroll")
#elif defined(__GNUC__)
#define MOBILENETS_UNROLL _Pragma("GCC unroll 32")
#else
#define MOBILENETS_UNROLL
#endif

// A loop of any length, four rounds at a time. Browsers compile what they are given: they unroll nothing.
#if defined(__wasm__)
#define MOBILENETS_UNROLL_FOUR _Pragma("clang loop unroll_count(4)")
#else
#define MOBILENETS_UNROLL_FOUR
#endif
