// A table of 256 bytes applied to uint8 activations, over a `Lookup` that does it for one vector.
#pragma once

#include <cstring>

#include "kernels.h"
#include "kernels/simd/unroll.h"

namespace mobilenets {
namespace {

// A Lookup has kBytes, is made of a table and applies it to the kBytes bytes at `in`.
template <class Lookup>
struct Table {
    static bool fits(const Operation&) { return true; }
    static size_t packed_bytes(const Operation&) { return 256; }
    static size_t scratch_bytes(const Operation&) { return 0; }
    static Grain grain(const Operation&) { return {1, Lookup::kBytes}; }

    static void pack(const Operation&, const Weights& weights, void* packed) {
        std::memcpy(packed, weights.weight, 256);
    }

    // `count` values in a row. Those behind the last vector are looked up one by one: another thread may be writing
    // the next.
    static void row(const Lookup& lookup, const uint8_t* table, const uint8_t* in, uint8_t* out, ptrdiff_t count) {
        ptrdiff_t i = 0;
        for (; i + Lookup::kBytes <= count; i += Lookup::kBytes) lookup.apply(in + i, out + i);
        for (; i < count; ++i) out[i] = table[in[i]];
    }

    static void run(const Operation&, const void* packed, const Task& task) {
        const auto* table = static_cast<const uint8_t*>(packed);
        const Lookup lookup(table);
        const ptrdiff_t channels = task.channel_end - task.channel_begin;
        const auto* in = static_cast<const uint8_t*>(task.in) + task.channel_begin;
        auto* out = static_cast<uint8_t*>(task.out) + task.channel_begin;
        const bool in_a_row = task.in_stride == channels && task.out_stride == channels;
        const int32_t rows = in_a_row ? 1 : task.count;
        for (int32_t i = 0; i < rows; ++i, in += task.in_stride, out += task.out_stride)
            row(lookup, table, in, out, in_a_row ? channels * task.count : channels);
    }
};

template <class Lookup>
constexpr Kernel u8_table(const char* name) {
    using Formulation = Table<Lookup>;
    return {name,
            Kind::kActivation,
            Type::kUint8,
            Formulation::fits,
            Formulation::packed_bytes,
            Formulation::pack,
            Formulation::scratch_bytes,
            Formulation::grain,
            Formulation::run};
}

}  // namespace
}  // namespace mobilenets
