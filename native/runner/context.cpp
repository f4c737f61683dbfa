#include "context.h"

#include <algorithm>
#include <cstring>

namespace mobilenets {

Context::Context(const Plan& plan)
    : plan_(plan),
      arena_(plan.arena_bytes()),
      scratch_(plan.scratch_bytes() * static_cast<size_t>(plan.options().threads) + kSlack),
      pixel_rows_(static_cast<size_t>(plan.maps()[0].height)) {
    size_t inputs = 0;
    for (const Step& step : plan.steps()) inputs = std::max(inputs, step.inputs.size());
    // A cache line more, so that two threads do not write into one.
    rows_per_thread_ = std::max(static_cast<size_t>(plan.largest_window()), inputs) + 8;
    rows_.resize(rows_per_thread_ * static_cast<size_t>(plan.options().threads));
    const Map& input = plan.maps()[0];
    const size_t row_bytes = static_cast<size_t>(input.width) * static_cast<size_t>(input.channels);
    const size_t edge_rows = std::min(2 * (kSlack / row_bytes + 1), static_cast<size_t>(input.height));
    edges_ = Memory(kSlack + edge_rows * (row_bytes + kSlack));
}

uint8_t* Context::scratch(int thread) const {
    return scratch_.data() + static_cast<size_t>(thread) * plan_.scratch_bytes();
}

const uint8_t* Context::pixel_row(int32_t y) const {
    return pixel_rows_[static_cast<size_t>(y)];
}

void Context::set_image(const uint8_t* image, const uint8_t* images, size_t images_bytes) {
    const Map& input = plan_.maps()[0];
    const size_t row_bytes = static_cast<size_t>(input.width) * static_cast<size_t>(input.channels);
    const uint8_t* const end = images + images_bytes;
    uint8_t* copy = edges_.data() + kSlack;
    for (size_t y = 0; y < pixel_rows_.size(); ++y) {
        const uint8_t* row = image + y * row_bytes;
        const bool near_edge =
            static_cast<size_t>(row - images) < kSlack || static_cast<size_t>(end - row) < row_bytes + kSlack;
        if (near_edge) {
            std::memcpy(copy, row, row_bytes);
            row = copy;
            copy += row_bytes + kSlack;
        }
        pixel_rows_[y] = row;
    }
    if (!plan_.input_is_map()) return;
    if (input.type == Type::kUint8) {
        std::memcpy(map(0), image, input.bytes());
        return;
    }
    auto* values = reinterpret_cast<float*>(map(0));
    const auto channels = static_cast<size_t>(input.channels);
    for (size_t i = 0; i < static_cast<size_t>(input.pixels()) * channels; ++i) {
        const size_t c = i % channels;
        values[i] = (static_cast<float>(image[i]) - plan_.input_offset()[c]) * plan_.input_scale()[c];
    }
}

void Context::poison(uint8_t byte) {
    std::memset(arena_.data(), byte, arena_.size());
    std::memset(scratch_.data(), byte, scratch_.size());
}

bool Context::intact(uint8_t byte) const {
    std::vector<const Map*> maps;
    for (const Map& map : plan_.maps())
        if (map.last >= 0) maps.push_back(&map);
    std::sort(maps.begin(), maps.end(), [](const Map* a, const Map* b) { return a->offset < b->offset; });
    size_t place = 0;
    const auto clean_until = [&](size_t end) {
        for (; place < end; ++place)
            if (arena_.data()[place] != byte) return false;
        return true;
    };
    for (const Map* map : maps) {
        if (!clean_until(map->offset)) return false;
        place = map->offset + map->bytes();
    }
    const uint8_t* const end = scratch_.data() + scratch_.size();
    return clean_until(arena_.size()) && std::all_of(end - kSlack, end, [&](uint8_t value) { return value == byte; });
}

void write_outputs(const Plan& plan, const Context& context, int64_t image, float* const* outputs) {
    for (size_t o = 0; o < plan.outputs().size(); ++o) {
        const Plan::Output& output = plan.outputs()[o];
        const Map& map = plan.maps()[static_cast<size_t>(output.map)];
        const int64_t channels = map.channels, pixels = map.pixels();
        float* to = outputs[o] + image * channels * pixels;
        const uint8_t* from = context.map(output.map);
        if (map.type == Type::kFloat32 && pixels == 1) {
            std::memcpy(to, from, map.bytes());
            continue;
        }
        for (int64_t c = 0; c < channels; ++c) {
            for (int64_t p = 0; p < pixels; ++p) {
                const int64_t i = p * channels + c;
                to[c * pixels + p] =
                    map.type == Type::kFloat32
                        ? reinterpret_cast<const float*>(from)[i]
                        : static_cast<float>(static_cast<int32_t>(from[i]) - output.zero_point) * output.scale;
            }
        }
    }
}

}  // namespace mobilenets
