// Pointwise and linear layers over uint8 for NEON, written once over `Dot`: how this instruction set multiplies.
//
// Weights lie in panels of eight output channels: their biases, their multipliers, then for every group of
// Dot::kDepth input channels the weights of each of the eight to that group. A tile keeps rows × 8 sums in registers.
#pragma once

#include <arm_neon.h>

#include <cstring>

#include "kernels.h"
#include "kernels/simd/unroll.h"
#include "neon_requantize.h"

namespace mobilenets {
namespace {

constexpr int kMostRows = 8, kPanelChannels = 8;

struct PanelLayout {
    int32_t groups;

    explicit PanelLayout(const Operation& op) : groups((op.in_channels + Dot::kDepth - 1) / Dot::kDepth) {}
    ptrdiff_t bytes() const { return kPanelChannels * (8 + static_cast<ptrdiff_t>(groups) * Dot::kDepth); }
    static int32_t panels(const Operation& op) { return (op.out_channels + kPanelChannels - 1) / kPanelChannels; }
};

size_t pointwise_packed_bytes(const Operation& op) {
    return static_cast<size_t>(PanelLayout::panels(op)) * static_cast<size_t>(PanelLayout(op).bytes());
}

void pointwise_pack(const Operation& op, const Weights& weights, void* packed) {
    const PanelLayout layout(op);
    const auto* weight = static_cast<const int8_t*>(weights.weight);
    const auto* bias = static_cast<const int32_t*>(weights.bias);
    for (int32_t c = 0; c < op.out_channels; ++c) {
        const int32_t lane = c % kPanelChannels;
        uint8_t* panel = static_cast<uint8_t*>(packed) + c / kPanelChannels * layout.bytes();
        uint32_t sum = 0;
        uint8_t* to = panel + 8 * kPanelChannels;
        for (int32_t k = 0; k < op.in_channels; ++k) {
            const int8_t value = weight[static_cast<ptrdiff_t>(c) * op.in_channels + k];
            sum += static_cast<uint32_t>(value);
            const ptrdiff_t group = k / Dot::kDepth;
            to[(group * kPanelChannels + lane) * Dot::kDepth + k % Dot::kDepth] = static_cast<uint8_t>(value);
        }
        const uint32_t whole = static_cast<uint32_t>(bias[c]) + sum * static_cast<uint32_t>(Dot::kInputOffset);
        std::memcpy(panel + 4 * lane, &whole, 4);
        std::memcpy(panel + 4 * (kPanelChannels + lane), &weights.multiplier[c], 4);
    }
}

struct PointwiseTile {
    const uint8_t* in = nullptr;
    ptrdiff_t in_stride = 0;
    int32_t groups = 0;
    const uint8_t* panel = nullptr;
    uint8_t* out = nullptr;
    ptrdiff_t out_stride = 0;
    int32_t channels = 0;  // that the panel really has
};

template <int Rows>
void pointwise_tile(const Operation& op, const PointwiseTile& tile) {
    int32x4_t sums[Rows][2];
    MOBILENETS_UNROLL
    for (int r = 0; r < Rows; ++r) {
        sums[r][0] = vld1q_s32(reinterpret_cast<const int32_t*>(tile.panel));
        sums[r][1] = vld1q_s32(reinterpret_cast<const int32_t*>(tile.panel) + 4);
    }
    Dot::multiply<Rows>(sums, tile.in, tile.in_stride, reinterpret_cast<const int8_t*>(tile.panel + 64), tile.groups);
    MOBILENETS_UNROLL
    for (int r = 0; r < Rows; ++r)
        store_requantized(op, sums[r], reinterpret_cast<const float*>(tile.panel + 32), tile.out + r * tile.out_stride,
                          tile.channels);
}

using PointwiseFunction = void (*)(const Operation&, const PointwiseTile&);

template <int Rows = kMostRows>
PointwiseFunction pointwise_tile_of(int32_t rows) {
    if constexpr (Rows == 1)
        return pointwise_tile<1>;
    else
        return rows == Rows ? pointwise_tile<Rows> : pointwise_tile_of<Rows - 1>(rows);
}

Grain pointwise_grain(const Operation&) {
    return {kMostRows, kPanelChannels};
}

void pointwise_run(const Operation& op, const void* packed, const Task& task) {
    const PanelLayout layout(op);
    const ptrdiff_t value_bytes = op.real_output ? 4 : 1;
    const int32_t tiles = (task.count + kMostRows - 1) / kMostRows;
    const int32_t size = task.count / tiles, larger = task.count % tiles;
    const PointwiseFunction large = pointwise_tile_of(larger ? size + 1 : size), small = pointwise_tile_of(size);
    for (int32_t channel = task.channel_begin; channel < task.channel_end; channel += kPanelChannels) {
        PointwiseTile tile;
        tile.in = static_cast<const uint8_t*>(task.in);
        tile.in_stride = task.in_stride;
        tile.groups = layout.groups;
        tile.panel = static_cast<const uint8_t*>(packed) + channel / kPanelChannels * layout.bytes();
        tile.out = static_cast<uint8_t*>(task.out) + channel * value_bytes;
        tile.out_stride = task.out_stride;
        tile.channels = task.channel_end - channel < kPanelChannels ? task.channel_end - channel : kPanelChannels;
        for (int32_t t = 0; t < tiles; ++t) {
            const int32_t rows = t < larger ? size + 1 : size;
            (t < larger ? large : small)(op, tile);
            tile.in += rows * tile.in_stride;
            tile.out += rows * tile.out_stride;
        }
    }
}

bool fits_all(const Operation&) {
    return true;
}

size_t no_scratch(const Operation&) {
    return 0;
}

}  // namespace
}  // namespace mobilenets
