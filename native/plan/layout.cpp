// The half of a plan that may be done again: tiles and rings, who makes what, and where everything lies in memory.
#include <algorithm>
#include <cstring>
#include <limits>
#include <numeric>

#include "failure.h"
#include "plan.h"

namespace mobilenets {
namespace {

constexpr size_t kPage = 4096;  // addresses this far apart are mistaken for each other by the load and store units

int32_t round_up(int32_t value, int32_t multiple) {
    return (value + multiple - 1) / multiple * multiple;
}

uint32_t padding_key(Type type, int32_t value) {
    return (type == Type::kFloat32 ? 1000u : 0u) + static_cast<uint32_t>(value);
}

// Of a max pool over floats, whose padding never wins.
constexpr int32_t kLowest = 1;

int32_t padding_value(const Stage& stage) {
    const bool lowest = stage.window.kind == Kind::kMaxPool && stage.window.type == Type::kFloat32;
    return lowest ? kLowest : stage.window.padding_value;
}

}  // namespace

void Plan::arrange(const std::vector<ChainChoice>& choices) {
    if (!finished_ || (!choices.empty() && choices.size() != steps_.size()))
        refuse("a finished plan takes one choice for each of its steps");
    scratch_bytes_ = arena_bytes_ = 0;
    largest_window_ = 1;
    padding_places_.clear();
    for (Map& map : maps_) {
        map.offset = 0;
        map.first = 0;
        map.last = -1;
    }
    for (size_t s = 0; s < steps_.size(); ++s) {
        steps_[s].choice = choices.empty() ? ChainChoice() : choices[s];
        if (steps_[s].kind != StepKind::kChain) continue;
        set_tiles(steps_[s]);
        steps_[s].row_grains.clear();
        for (int32_t threads = 1; threads <= options_.threads; ++threads)
            steps_[s].row_grains.push_back(choose_row_grain(steps_[s], threads));
    }
    set_lifetimes();
    place_maps();
    make_padding();
}

int32_t Plan::grain_rows(const Stage& stage) {
    return stage.parts[0].kernel->grain(stage.parts[0].op).rows;
}

int32_t Plan::rows_together(const Stage& stage) {
    int32_t rows = 1;
    for (const Packed& part : stage.parts) {
        const int32_t together = part.kernel->grain(part.op).together;
        rows = std::max(rows, together / std::gcd(together, stage.window.out_width));
    }
    return stage.window.kind == Kind::kPointwise ? rows : 1;
}

// Bytes of the rows that the last stage of a chain reads or makes at a time.
size_t Plan::tile_bytes(const Step& chain) const {
    if (chain.choice.tile_bytes) return chain.choice.tile_bytes;
    if (options_.tile_bytes) return options_.tile_bytes;
    // Every tile walks through all weights of the last stage: where these come from beyond the second-level cache, the
    // tile is as large as that cache allows.
    const bool heavy = chain.stages.back().parts[0].memory.size() > size_t{512} << 10;
    if (heavy) return size_t{512} << 10;
    return (options_.type == Type::kFloat32 ? size_t{128} : size_t{64}) << 10;
}

// Rows that the last stage of a chain makes at a time: all, unless what it reads or makes should stay in the cache.
int32_t Plan::last_step_rows(const Step& chain) const {
    const std::vector<Stage>& stages = chain.stages;
    const Stage& last = stages.back();
    const size_t bytes = tile_bytes(chain);
    const int32_t together = rows_together(last), height = last.window.out_height;
    // As many as lie within the bytes, in whole groups.
    const auto rows_within = [&](size_t all, size_t row_bytes, int32_t group) {
        const auto rows = static_cast<int32_t>(std::max<size_t>(1, all / std::max<size_t>(1, row_bytes)));
        return std::min(height, std::max(group, rows / group * group));
    };
    if (last.gather) return rows_within(2 * bytes, last.gather_bytes, together);
    if (stages.size() > 1) {
        const int32_t group = round_up(grain_rows(stages[stages.size() - 2]), together);
        return rows_within(bytes, maps_[static_cast<size_t>(last.input)].row_bytes(), group);
    }
    if (!last.activation.empty()) {  // which reads again what has been made
        const int32_t group = round_up(last.window.kind == Kind::kPointwise ? 1 : grain_rows(last), together);
        return rows_within(bytes, maps_[static_cast<size_t>(last.output)].row_bytes(), group);
    }
    return height;
}

// Rows that a stage makes at a time, and that it keeps, for the next, whose rows are already set.
void Plan::set_ring(Stage& stage, const Stage& next) const {
    const Operation& window = next.window;
    if (window.kind == Kind::kPointwise) {
        stage.ring_rows = stage.step_rows = next.step_rows;
        return;
    }
    const int32_t grain = stage.window.kind == Kind::kPointwise ? 1 : grain_rows(stage);
    const int32_t needed = (next.step_rows - 1) * window.stride_down + window.kernel;
    // There are no more rows than the map has; a large stride would ask for many more.
    const int32_t height = stage.window.out_height;
    const int32_t step_rows = std::max(1, round_up(next.step_rows * window.stride_down, grain));
    stage.step_rows = std::min(step_rows, height);
    stage.ring_rows = std::min(std::max(step_rows, needed) + grain - 1, height);
}

// Scratch memory of a stage besides the rings: its kernels' and its gathered windows.
size_t Plan::stage_scratch_bytes(const Stage& stage) {
    const size_t gathered = stage.gather ? stage.gather_bytes * static_cast<size_t>(stage.step_rows) + 2 * kSlack : 0;
    return stage.kernel_scratch + round_up(gathered, kAlignment);
}

void Plan::set_tiles(Step& chain) {
    std::vector<Stage>& stages = chain.stages;
    stages.back().step_rows = last_step_rows(chain);
    size_t used = kSlack, extra = 0;
    for (size_t i = stages.size(); i-- > 0;) {
        Stage& stage = stages[i];
        if (i + 1 < stages.size()) {
            set_ring(stage, stages[i + 1]);
            stage.ring_offset = used;
            const size_t row_bytes = maps_[static_cast<size_t>(stage.output)].row_bytes();
            used += round_up(row_bytes * static_cast<size_t>(stage.ring_rows) + kSlack, kAlignment);
            used += 13 * kAlignment;  // rings of one size must not lie a multiple of 4 KB apart
        }
        size_t kernel = 0;
        for (const Packed& part : stage.parts) kernel = std::max(kernel, part.scratch_bytes);
        stage.kernel_scratch = round_up(kernel + kSlack, kAlignment);
        extra = std::max(extra, stage_scratch_bytes(stage));
        const Operation& window = stage.window;
        largest_window_ = std::max(largest_window_, (window.out_height - 1) * window.stride_down + window.kernel);
    }
    scratch_bytes_ = std::max(scratch_bytes_, round_up(used, kAlignment) + extra);
}

int32_t Plan::choose_row_grain(const Step& chain, int32_t threads) {
    const bool can_choose = threads > 1 && chain.stages.size() <= 2;
    if (can_choose && chain.choice.split == Split::kChannels) return 0;
    // The largest part of the work that one thread gets.
    const auto share = [&](int32_t total, int32_t grain) {
        const int32_t grains = (total + grain - 1) / grain;
        const int32_t most = std::min(total, (grains + threads - 1) / threads * grain);
        return static_cast<double>(most) / static_cast<double>(total);
    };
    const int32_t together = rows_together(chain.stages.back());
    int32_t grain = 1;
    double channels = 0, macs = 0;
    for (const Stage& stage : chain.stages) {
        const Packed& part = stage.parts[0];
        const Grain kernel_grain = part.kernel->grain(part.op);
        if (stage.window.kind != Kind::kPointwise) grain = std::max(grain, kernel_grain.rows);
        // A depthwise multiplication costs about eight times one of a matrix product.
        const double weight = static_cast<double>(stage.macs + 1) * (stage.window.kind == Kind::kDepthwise ? 8 : 1);
        channels += weight * share(part.op.out_channels, kernel_grain.channels);
        macs += weight;
    }
    const int32_t rows = chain.stages.back().window.out_height;
    // Kernels that make several rows at a time lose a little on an odd one, but less than by uneven parts.
    grain = round_up(grain, together);
    if (share(rows, grain) > 1.03 * share(rows, together)) grain = together;
    // By channels, every thread reads what the others wrote just before, from the other core's cache.
    const double kForeignReads = 1.2;
    const bool by_rows =
        !can_choose || chain.choice.split == Split::kRows || share(rows, grain) <= kForeignReads * channels / macs;
    return by_rows ? grain : 0;
}

void Plan::set_lifetimes() {
    const auto steps = static_cast<int32_t>(steps_.size());
    for (int32_t s = 0; s < steps; ++s) {
        const Step& step = steps_[static_cast<size_t>(s)];
        maps_[static_cast<size_t>(step.output)].first = s;
        maps_[static_cast<size_t>(step.output)].last = s;
        for (const int32_t input : step.inputs)
            maps_[static_cast<size_t>(input)].last = std::max(maps_[static_cast<size_t>(input)].last, s);
        bool whole = false;
        for (int32_t threads = 2; threads <= options_.threads; ++threads)
            whole = whole || (step.kind == StepKind::kChain && row_grain(step, threads) == 0);
        for (size_t i = 0; whole && i + 1 < step.stages.size(); ++i) {
            Map& between = maps_[static_cast<size_t>(step.stages[i].output)];
            between.first = between.last = s;
        }
    }
    for (const Output& output : outputs_) maps_[static_cast<size_t>(output.map)].last = steps;
    if (!input_is_map_) maps_[0].last = -1;
}

// Largest first, each at the lowest place that is free for as long as it lives.
void Plan::place_maps() {
    std::vector<size_t> order;
    for (size_t i = 0; i < maps_.size(); ++i)
        if (maps_[i].last >= 0) order.push_back(i);
    std::partial_sort(order.begin(), order.end(), order.end(), [&](size_t a, size_t b) {
        return maps_[a].bytes() != maps_[b].bytes() ? maps_[a].bytes() > maps_[b].bytes() : a < b;
    });
    std::vector<size_t> placed;
    for (const size_t index : order) {
        Map& map = maps_[index];
        // Bases of large maps are spread over the page, for a store must not look like a load from the map before.
        const size_t residue = map.bytes() >= 4 * kPage ? index * 11 * kAlignment % kPage : 0;
        const auto align = [&](size_t offset) {
            return residue ? round_up(offset > residue ? offset - residue : 0, kPage) + residue
                           : round_up(offset, kAlignment);
        };
        size_t offset = align(kSlack);
        for (bool moved = true; moved;) {
            moved = false;
            for (const size_t other_index : placed) {
                const Map& other = maps_[other_index];
                const bool together = options_.guarded || (map.first <= other.last && other.first <= map.last);
                const bool overlap =
                    offset < other.offset + other.bytes() + kSlack && other.offset < offset + map.bytes() + kSlack;
                if (!together || !overlap) continue;
                offset = align(other.offset + other.bytes() + kSlack);
                moved = true;
            }
        }
        map.offset = offset;
        placed.push_back(index);
        arena_bytes_ = std::max(arena_bytes_, offset + map.bytes() + kSlack);
    }
}

void Plan::make_padding() {
    std::vector<std::pair<uint32_t, size_t>> rows;  // key, bytes
    for (const Step& step : steps_) {
        for (const Stage& stage : step.stages) {
            const uint32_t key = padding_key(stage.window.type, padding_value(stage));
            const Map& in = maps_[static_cast<size_t>(stage.input)];
            auto found = std::find_if(rows.begin(), rows.end(), [&](const auto& row) { return row.first == key; });
            if (found == rows.end()) found = rows.insert(rows.end(), {key, 0});
            found->second = std::max(found->second, in.row_bytes());
        }
    }
    size_t total = kSlack;
    for (const auto& [key, bytes] : rows) {
        padding_places_.emplace_back(key, total);
        total += round_up(bytes, kAlignment) + kSlack;
    }
    padding_ = Memory(total);
    for (size_t i = 0; i < rows.size(); ++i) {
        uint8_t* row = padding_.data() + padding_places_[i].second;
        if (rows[i].first == padding_key(Type::kFloat32, kLowest)) {
            auto* values = reinterpret_cast<float*>(row);
            std::fill_n(values, rows[i].second / sizeof(float), -std::numeric_limits<float>::infinity());
        } else if (rows[i].first < padding_key(Type::kFloat32, 0)) {
            std::memset(row, static_cast<int>(rows[i].first), rows[i].second);
        }
    }
    for (Step& step : steps_)
        for (Stage& stage : step.stages) stage.padding_row = padding_row(stage);
}

const uint8_t* Plan::padding_row(const Stage& stage) const {
    if (stage.edge_is_null) return nullptr;
    const uint32_t key = padding_key(stage.window.type, padding_value(stage));
    for (const auto& [other, place] : padding_places_)
        if (other == key) return padding_.data() + place;
    return nullptr;
}

}  // namespace mobilenets
