#include "execute.h"

#include <algorithm>
#include <chrono>
#include <cstring>

namespace mobilenets {
namespace {

constexpr size_t kActivatedBytes = size_t{16} << 10;  // that a step makes before its activation reads them again

struct Range {
    int32_t begin, end;
    int32_t size() const { return end - begin; }
};

// The part of a total that one thread takes: whole grains, as even as they allow.
Range part_of(int32_t total, int32_t grain, int thread, int threads) {
    const int64_t grains = (total + grain - 1) / grain;
    const auto edge = [&](int index) {
        return static_cast<int32_t>(std::min<int64_t>(total, grains * index / threads * grain));
    };
    return {edge(thread), edge(thread + 1)};
}

class Stopwatch {
  public:
    explicit Stopwatch(double* sum) : sum_(sum) {
        if (sum_) begin_ = std::chrono::steady_clock::now();
    }
    ~Stopwatch() {
        if (sum_) *sum_ += std::chrono::duration<double>(std::chrono::steady_clock::now() - begin_).count();
    }

  private:
    double* sum_;
    std::chrono::steady_clock::time_point begin_;
};

// The time from step to step.
class StepClock {
  public:
    explicit StepClock(double* sums) : sums_(sums) {
        if (sums_) begin_ = std::chrono::steady_clock::now();
    }
    void next() {
        if (!sums_) return;
        const auto now = std::chrono::steady_clock::now();
        *sums_++ += std::chrono::duration<double>(now - begin_).count();
        begin_ = now;
    }

  private:
    double* sums_;
    std::chrono::steady_clock::time_point begin_;
};

// Applies an activation that is no clamp, if there is one, to `pixels` pixels of a map from `first` on, in their place.
void activate(const std::vector<Packed>& activation, const Map& map, uint8_t* first, int32_t pixels, Range channels) {
    for (const Packed& part : activation) {
        Task task;
        task.in = task.out = first;
        task.in_stride = task.out_stride = static_cast<ptrdiff_t>(map.pixel_bytes());
        task.count = pixels;
        task.channel_begin = channels.begin;
        task.channel_end = channels.end;
        part.kernel->run(part.op, part.memory.data(), task);
    }
}

// One thread making rows of a chain.
class ChainRun {
  public:
    ChainRun(const Plan& plan, const Step& step, Context& context, int thread, double* seconds)
        : plan_(plan), step_(step), context_(context), thread_(thread), seconds_(seconds) {}

    // Rows of the last stage, and what they need of the stages before.
    void run_rows(Range rows) {
        if (rows.size() <= 0) return;
        const size_t count = step_.stages.size();
        done_[count - 1] = base_[count - 1] = rows.begin;
        for (size_t i = count - 1; i-- > 0;) {
            const Operation& next = step_.stages[i + 1].window;
            done_[i] = base_[i] = std::max(0, done_[i + 1] * next.stride_down - next.pad_top);
        }
        whole_maps_ = false;
        make(count - 1, rows.end);
    }

    // All rows of one stage and some of its channels; the stages hand over whole maps.
    void run_channels(size_t stage_index, int threads) {
        const Stage& stage = step_.stages[stage_index];
        whole_maps_ = true;
        for (const Packed& part : stage.parts) {
            const Range channels =
                part_of(part.op.out_channels, part.kernel->grain(part.op).channels, thread_, threads);
            if (channels.size() <= 0) continue;
            const int32_t rows = stage.window.out_height;
            for (int32_t y = 0; y < rows; y += stage.step_rows)
                run_part(stage_index, part, y, std::min(stage.step_rows, rows - y), channels);
        }
    }

  private:
    // Makes rows of a stage until `end`, in steps.
    void make(size_t index, int32_t end) {
        const Stage& stage = step_.stages[index];
        while (done_[index] < end) {
            const int32_t y = done_[index];
            int32_t count = std::min(stage.step_rows, end - y);
            if (index + 1 < step_.stages.size()) count = std::min(count, stage.ring_rows - slot(index, y));
            if (index > 0) need_input(index, y, count);
            for (const Packed& part : stage.parts) run_part(index, part, y, count, {0, part.op.out_channels});
            done_[index] = y + count;
        }
    }

    void need_input(size_t index, int32_t y, int32_t count) {
        const Operation& window = step_.stages[index].window;
        const Stage& before = step_.stages[index - 1];
        const int32_t end = (y + count - 1) * window.stride_down - window.pad_top + window.kernel;
        // A pointwise stage reads a run of pixels: the ring begins anew at every step, for nothing in it is read twice.
        if (window.kind == Kind::kPointwise) {
            base_[index - 1] = y;
            done_[index - 1] = std::max(done_[index - 1], y);
        }
        make(index - 1, std::min(before.window.out_height, end));
    }

    int32_t slot(size_t index, int32_t y) const { return (y - base_[index]) % step_.stages[index].ring_rows; }

    // Row y of what a stage makes: in the whole map, or in the ring for the next stage.
    uint8_t* output_row(size_t index, int32_t y) const {
        const Stage& stage = step_.stages[index];
        const size_t row_bytes = map_of(stage.output).row_bytes();
        if (whole_maps_ || index + 1 == step_.stages.size())
            return context_.map(stage.output) + static_cast<size_t>(y) * row_bytes;
        return context_.scratch(thread_) + stage.ring_offset + static_cast<size_t>(slot(index, y)) * row_bytes;
    }

    const uint8_t* input_row(size_t index, int32_t y) const {
        if (index > 0) return output_row(index - 1, y);
        const Stage& stage = step_.stages[0];
        if (reads_pixels(stage)) return context_.pixel_row(y);
        return context_.map(stage.input) + static_cast<size_t>(y) * map_of(stage.input).row_bytes();
    }

    bool reads_pixels(const Stage& stage) const {
        return stage.input == 0 && (stage.window.kind == Kind::kStem || !plan_.input_is_map());
    }

    const Map& map_of(int32_t index) const { return plan_.maps()[static_cast<size_t>(index)]; }

    void run_part(size_t index, const Packed& part, int32_t y, int32_t count, Range channels) {
        const Stage& stage = step_.stages[index];
        const Map& out = map_of(stage.output);
        Task task;
        task.out = output_row(index, y) + static_cast<size_t>(part.first_channel) * out.value_bytes();
        task.out_stride = static_cast<ptrdiff_t>(out.pixel_bytes());
        task.out_row_stride = static_cast<ptrdiff_t>(out.row_bytes());
        task.channel_begin = channels.begin;
        task.channel_end = channels.end;
        task.scratch = context_.scratch(thread_) + plan_.scratch_bytes() - stage.kernel_scratch;
        const bool contiguous = stage.window.kind == Kind::kPointwise && !stage.gather;
        const bool by_row = contiguous && index == 0 && reads_pixels(stage);
        if (!contiguous) set_rows(index, y, count);
        const Stopwatch watch(seconds_ ? seconds_ + index : nullptr);
        if (stage.gather) {
            uint8_t* gathered = gather(stage, part, count, task.scratch);
            run_pixels(part, task, gathered, count * stage.window.out_width);
        } else if (by_row) {
            for (int32_t i = 0; i < count; ++i) {
                run_pixels(part, task, input_row(index, y + i), stage.window.out_width);
                task.out = static_cast<uint8_t*>(task.out) + task.out_row_stride;
            }
        } else if (contiguous) {
            run_pixels(part, task, input_row(index, y), count * stage.window.out_width);
        } else {
            // Kernels step alike both ways: where a layer does not, each of its rows is a task.
            const int32_t together = part.op.stride_down == part.op.stride ? count : 1;
            for (int32_t i = 0; i < count; i += together) {
                task.rows = context_.rows(thread_) + static_cast<ptrdiff_t>(i) * stage.window.stride_down;
                task.count = together;
                part.kernel->run(part.op, part.memory.data(), task);
                task.out = static_cast<uint8_t*>(task.out) + together * task.out_row_stride;
            }
        }
        const Range made{part.first_channel + channels.begin, part.first_channel + channels.end};
        activate(stage.activation, out, output_row(index, y), count * stage.window.out_width, made);
    }

    static void run_pixels(const Packed& part, Task& task, const uint8_t* in, int32_t pixels) {
        task.in = in;
        task.in_stride = static_cast<ptrdiff_t>(part.op.in_channels) * (part.op.type == Type::kFloat32 ? 4 : 1);
        task.count = pixels;
        part.kernel->run(part.op, part.memory.data(), task);
    }

    void set_rows(size_t index, int32_t y, int32_t count) {
        const Stage& stage = step_.stages[index];
        const Operation& window = stage.window;
        const void** rows = context_.rows(thread_);
        const int32_t first = y * window.stride_down - window.pad_top;
        const int32_t end = first + (count - 1) * window.stride_down + window.kernel;
        const int32_t inside = std::min(end, window.in_height);
        int32_t row = first;
        for (; row < std::min(0, end); ++row) *rows++ = stage.padding_row;
        if (index == 0 && reads_pixels(stage)) {
            for (; row < inside; ++row) *rows++ = context_.pixel_row(row);
        } else {
            const size_t row_bytes = map_of(stage.input).row_bytes();
            while (row < inside) {  // in one stretch, but where a ring begins anew
                const int32_t whole = inside - row;
                const bool ring = index > 0 && !whole_maps_;
                const int32_t stretch =
                    ring ? std::min(whole, step_.stages[index - 1].ring_rows - slot(index - 1, row)) : whole;
                const uint8_t* at = input_row(index, row);
                for (int32_t i = 0; i < stretch; ++i, at += row_bytes) *rows++ = at;
                row += stretch;
            }
        }
        for (; row < end; ++row) *rows++ = stage.padding_row;
    }

    // Copies the windows of `count` output rows, each (row, column, channel) of one group, one after the other.
    uint8_t* gather(const Stage& stage, const Packed& part, int32_t count, void* end) const {
        const Operation& window = stage.window;
        const Map& in = map_of(stage.input);
        const size_t pixel = in.pixel_bytes();
        const size_t share = pixel / stage.parts.size();
        const size_t group = static_cast<size_t>(&part - stage.parts.data());
        const void* const* rows = const_cast<Context&>(context_).rows(thread_);
        const size_t room = (stage.gather_bytes * static_cast<size_t>(stage.step_rows) + 2 * kSlack + 63) / 64 * 64;
        uint8_t* begin = static_cast<uint8_t*>(end) - room + kSlack;
        uint8_t* to = begin;
        for (int32_t y = 0; y < count; ++y) {
            for (int32_t x = 0; x < window.out_width; ++x) {
                const int32_t first = x * window.stride - window.pad_left;
                const int32_t inside_begin = std::max(0, -first);
                const int32_t inside_end = std::min(window.kernel, window.in_width - first);
                for (int32_t i = 0; i < window.kernel; ++i) {
                    const auto* row = static_cast<const uint8_t*>(rows[y * window.stride_down + i]) + group * share;
                    to = fill(to, static_cast<size_t>(inside_begin) * share, window.padding_value);
                    const uint8_t* from = row + static_cast<size_t>(first + inside_begin) * pixel;
                    if (share == pixel) {
                        const size_t bytes = static_cast<size_t>(inside_end - inside_begin) * pixel;
                        std::memcpy(to, from, bytes);
                        to += bytes;
                    } else {
                        for (int32_t j = inside_begin; j < inside_end; ++j, from += pixel, to += share)
                            std::memcpy(to, from, share);
                    }
                    to = fill(to, static_cast<size_t>(window.kernel - inside_end) * share, window.padding_value);
                }
            }
        }
        return begin;
    }

    static uint8_t* fill(uint8_t* to, size_t bytes, int32_t value) {
        if (bytes) std::memset(to, value, bytes);
        return to + bytes;
    }

    const Plan& plan_;
    const Step& step_;
    Context& context_;
    const int thread_;
    double* const seconds_;
    bool whole_maps_ = false;
    int32_t done_[kMostStages] = {}, base_[kMostStages] = {};
};

void run_chain(const Plan& plan, const Step& step, Context& context, int thread, int threads, double* seconds) {
    ChainRun run(plan, step, context, thread, seconds);
    if (const int32_t grain = plan.row_grain(step, threads)) {
        run.run_rows(part_of(step.stages.back().window.out_height, grain, thread, threads));
        return;
    }
    for (size_t i = 0; i < step.stages.size(); ++i) {
        if (i > 0) context.barrier.meet(thread);
        run.run_channels(i, threads);
    }
}

void run_average_pool(const Plan& plan, const Step& step, Context& context, int thread, int threads) {
    const Packed& part = step.parts[0];
    const Map& in = plan.maps()[static_cast<size_t>(step.inputs[0])];
    const Range channels = part_of(in.channels, part.kernel->grain(part.op).channels, thread, threads);
    if (channels.size() <= 0) return;
    Task task;
    task.in = context.map(step.inputs[0]);
    task.in_stride = static_cast<ptrdiff_t>(in.pixel_bytes());
    task.out = context.map(step.output);
    task.out_stride = static_cast<ptrdiff_t>(plan.maps()[static_cast<size_t>(step.output)].pixel_bytes());
    task.count = static_cast<int32_t>(in.pixels());
    task.channel_begin = channels.begin;
    task.channel_end = channels.end;
    part.kernel->run(part.op, part.memory.data(), task);
}

// Pixels [range) of a sum of all inputs, of their product, or of one input alone in its place.
void run_range(const Plan& plan, const Step& step, size_t index, Context& context, int thread, Range range) {
    const Packed& part = step.parts[index];
    const Map& out = plan.maps()[static_cast<size_t>(step.output)];
    const void** rows = context.rows(thread);
    const auto first = static_cast<size_t>(range.begin);
    const size_t in_pixel = static_cast<size_t>(part.op.in_channels) * out.value_bytes();
    for (int32_t i = 0; i < part.op.inputs; ++i) {
        const bool one_for_all = part.op.per_channel && i == 1;
        rows[i] = context.map(step.inputs[index + static_cast<size_t>(i)]) + (one_for_all ? 0 : first * in_pixel);
    }
    Task task;
    task.rows = rows;
    task.in = rows[0];
    task.in_stride = static_cast<ptrdiff_t>(in_pixel);
    task.out = context.map(step.output) + first * out.pixel_bytes() +
               static_cast<size_t>(part.first_channel) * out.value_bytes();
    task.out_stride = static_cast<ptrdiff_t>(out.pixel_bytes());
    task.count = range.size();
    task.channel_end = part.op.out_channels;
    part.kernel->run(part.op, part.memory.data(), task);
}

void run_elementwise(const Plan& plan, const Step& step, Context& context, int thread, int threads) {
    const Map& out = plan.maps()[static_cast<size_t>(step.output)];
    for (size_t index = 0; index < step.parts.size(); ++index) {
        const Packed& part = step.parts[index];
        const int32_t grain = part.kernel->grain(part.op).rows;
        const Range mine = part_of(static_cast<int32_t>(out.pixels()), grain, thread, threads);
        const auto in_cache = static_cast<int32_t>(std::max<size_t>(1, kActivatedBytes / out.pixel_bytes()));
        const int32_t at_a_time = step.activation.empty() ? mine.size() : (in_cache + grain - 1) / grain * grain;
        for (int32_t begin = mine.begin; begin < mine.end; begin += at_a_time) {
            const Range range{begin, std::min(mine.end, begin + at_a_time)};
            run_range(plan, step, index, context, thread, range);
            uint8_t* const first = context.map(step.output) + static_cast<size_t>(begin) * out.pixel_bytes();
            activate(step.activation, out, first, range.size(), {0, out.channels});
        }
    }
}

// Adds up the first thread's time in each stage, or in the step where it has none, unless `seconds` is null.
void run_step(const Plan& plan, const Step& step, Context& context, int thread, int threads, double* seconds) {
    const Stopwatch watch(step.kind == StepKind::kChain ? nullptr : seconds);
    switch (step.kind) {
        case StepKind::kChain:
            run_chain(plan, step, context, thread, threads, seconds);
            break;
        case StepKind::kAveragePool:
            run_average_pool(plan, step, context, thread, threads);
            break;
        case StepKind::kSum:
        case StepKind::kProduct:
        case StepKind::kConcatenate:
            run_elementwise(plan, step, context, thread, threads);
            break;
    }
}

}  // namespace

void execute(const Plan& plan, Context& context, int thread, int threads) {
    double* seconds = thread == 0 ? context.seconds : nullptr;
    StepClock clock(thread == 0 ? context.step_seconds : nullptr);
    bool first = true;
    for (const Step& step : plan.steps()) {
        if (!first) {
            context.barrier.meet(thread);
            clock.next();
        }
        first = false;
        run_step(plan, step, context, thread, threads, seconds);
        if (seconds) seconds += std::max<size_t>(1, step.stages.size());
    }
    clock.next();
}

}  // namespace mobilenets
