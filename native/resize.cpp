#include "resize.h"

#include <algorithm>
#include <cmath>
#include <vector>

namespace mobilenets {

double reach(Interpolation interpolation) {
    switch (interpolation) {
        case Interpolation::kBox:
            return 0.5;
        case Interpolation::kBilinear:
            return 1;
        case Interpolation::kBicubic:
            return 2;
        case Interpolation::kLanczos:
            return 3;
    }
    return 0;
}

namespace {

// sin(πx) / (πx) for |x| < 3, as exact as std::sin makes it, which in WebAssembly takes eight kilobytes of code.
double sinc(double x) {
    constexpr double kPi = 3.14159265358979323846;
    if (x == 0) return 1;
    const double whole = std::nearbyint(x), angle = (x - whole) * kPi;  // within a quarter of the period
    double term = angle, sine = angle;
    for (int i = 2; i < 24; i += 2) sine += term *= -angle * angle / (i * (i + 1));
    const bool odd = static_cast<int>(whole) % 2 != 0;
    return (odd ? -sine : sine) / (x * kPi);
}

double weight_at(Interpolation interpolation, double x) {
    const double a = -0.5, distance = std::fabs(x);
    switch (interpolation) {
        case Interpolation::kBox:
            return x > -0.5 && x <= 0.5 ? 1 : 0;
        case Interpolation::kBilinear:
            return distance < 1 ? 1 - distance : 0;
        case Interpolation::kBicubic:
            if (distance < 1) return ((a + 2) * distance - (a + 3)) * distance * distance + 1;
            return distance < 2 ? (((distance - 5) * distance + 8) * distance - 4) * a : 0;
        case Interpolation::kLanczos:
            return x >= -3 && x < 3 ? sinc(x) * sinc(x / 3) : 0;
    }
    return 0;
}

// The taps along one axis, and the memory that holds them. None where the image is too small.
class AxisTaps {
  public:
    // Every operation as Pillow does it, for the same bits.
    AxisTaps(int32_t inputs, float begin, float end, int32_t outputs, Interpolation interpolation, int32_t together) {
        const double scale = static_cast<double>(end - begin) / outputs, stretch = std::max(scale, 1.0);
        const double support = reach(interpolation) * stretch;
        const auto begin_of = [=](double center) { return std::max(0, static_cast<int32_t>(center - support + 0.5)); };
        const auto end_of = [=](double center) {
            return std::min(inputs, static_cast<int32_t>(center + support + 0.5));
        };
        const auto center_of = [=](int32_t output) { return begin + (output + 0.5) * scale; };
        for (int32_t i = 0; i < outputs; ++i) most_ = std::max(most_, end_of(center_of(i)) - begin_of(center_of(i)));
        most_ = (most_ + together - 1) / together * together;
        if (most_ > inputs) return;
        const auto room = static_cast<size_t>(most_);
        first_.resize(static_cast<size_t>(outputs));
        weights_.resize(first_.size() * room);
        std::vector<double> weights(room);
        for (int32_t i = 0; i < outputs; ++i) {
            const double center = center_of(i);
            const int32_t first = begin_of(center), last = end_of(center);
            double sum = 0;
            for (int32_t t = first; t < last; ++t)
                sum += weights[static_cast<size_t>(t - first)] =
                    weight_at(interpolation, (t - center + 0.5) * (1.0 / stretch));
            // Weights beyond these are zero, so that it does not matter which inputs they belong to.
            const auto at = static_cast<size_t>(i);
            first_[at] = std::min(first, inputs - most_);
            int32_t* to = weights_.data() + at * room + (first - first_[at]);
            for (int32_t t = first; t < last; ++t) {
                const double weight = weights[static_cast<size_t>(t - first)] / (sum != 0 ? sum : 1);
                *to++ = static_cast<int32_t>(weight * (1 << kWeightBits) + (weight < 0 ? -0.5 : 0.5));
            }
        }
        if (together != kTapsTogether) return;  // loops that do without halves
        spread_.resize(weights_.size() * 8);
        pairs_.resize(weights_.size() * 2);
        for (size_t at = 0; at < weights_.size(); at += kTapsTogether)
            put_halves(weights_.data() + at, spread_.data() + 8 * at, pairs_.data() + 2 * at);
    }

    bool none() const { return first_.empty(); }
    Taps taps() const {
        return {
            static_cast<int32_t>(first_.size()), most_, first_.data(), weights_.data(), spread_.data(), pairs_.data()};
    }

  private:
    static void put_halves(const int32_t* weights, int16_t* spread, int16_t* pairs) {
        for (int i = 0; i < kTapsTogether; ++i) {
            const auto high = static_cast<int16_t>(weights[i] >> kLowBits);
            const auto low = static_cast<int16_t>(weights[i] & ((1 << kLowBits) - 1));
            for (int repeat = 0; repeat < 3; ++repeat) {
                const int at = i / 2 * 8 + 2 * repeat + i % 2;
                spread[at] = high;
                spread[at + 16] = low;
            }
            pairs[i / 2 * 4 + i % 2] = high;
            pairs[i / 2 * 4 + i % 2 + 2] = low;
        }
    }

    int32_t most_ = 0;
    std::vector<int32_t> first_, weights_;
    std::vector<int16_t> spread_, pairs_;
};

constexpr int32_t kHalf = 1 << (kWeightBits - 1);

uint8_t byte_of(int32_t sum) {
    return static_cast<uint8_t>(std::clamp(sum >> kWeightBits, 0, 255));
}

void horizontal(const uint8_t* row, const Taps& taps, uint8_t* out) {
    const int32_t* weights = taps.weights;
    for (int32_t i = 0; i < taps.outputs; ++i) {
        const uint8_t* in = row + kPixelBytes * static_cast<ptrdiff_t>(taps.first[i]);
        int32_t red = kHalf, green = kHalf, blue = kHalf;
        for (int32_t t = 0; t < taps.most; ++t, in += kPixelBytes) {
            red += in[0] * weights[t];
            green += in[1] * weights[t];
            blue += in[2] * weights[t];
        }
        weights += taps.most;
        *out++ = byte_of(red);
        *out++ = byte_of(green);
        *out++ = byte_of(blue);
    }
}

void vertical(const uint8_t* const* rows, const Taps& taps, int32_t output, int32_t count, uint8_t* out) {
    const int32_t* weights = taps.weights + static_cast<ptrdiff_t>(output) * taps.most;
    for (int32_t x = 0; x < count; ++x) {
        int32_t sum = kHalf;
        for (int32_t t = 0; t < taps.most; ++t) sum += rows[t][x] * weights[t];
        out[x] = byte_of(sum);
    }
}

void resize_vertically_first(const ResizeLoops& loops, const ResizeTask& task, const Taps& across, const Taps& down) {
    const size_t in_bytes = static_cast<size_t>(task.in_width) * kPixelBytes;
    std::vector<uint8_t> line(in_bytes + kResizeSlack);
    std::vector<const uint8_t*> rows(static_cast<size_t>(down.most));
    for (int32_t y = 0; y < task.height; ++y) {
        const auto first = static_cast<size_t>(down.first[y]);
        for (size_t t = 0; t < rows.size(); ++t) rows[t] = task.pixels + (first + t) * in_bytes;
        loops.vertical(rows.data(), down, y, static_cast<int32_t>(in_bytes), line.data());
        loops.horizontal(line.data(), across, task.out + static_cast<size_t>(y) * static_cast<size_t>(task.width) * 3);
    }
}

}  // namespace

const ResizeLoops kResizePortable = {horizontal, vertical};

bool resize(const ResizeLoops& loops, const ResizeTask& task) {
    const int32_t together = loops.taps_together;
    const AxisTaps columns(task.in_width, task.left, task.right, task.width, task.interpolation, together);
    const AxisTaps lines(task.in_height, task.top, task.bottom, task.height, task.interpolation, together);
    if (columns.none() || lines.none()) return false;
    if (task.vertical_first) {
        resize_vertically_first(loops, task, columns.taps(), lines.taps());
        return true;
    }
    const Taps across = columns.taps(), down = lines.taps();
    const size_t in_bytes = static_cast<size_t>(task.in_width) * kPixelBytes;
    const size_t out_bytes = static_cast<size_t>(task.width) * 3;
    const size_t row_bytes = out_bytes + kResizeSlack;
    const auto most = static_cast<size_t>(down.most);
    std::vector<uint8_t> memory(most * row_bytes);  // the last rows that were made, each at its number modulo `most`
    std::vector<const uint8_t*> rows(most);
    int32_t made = down.first[0];
    for (int32_t y = 0; y < task.height; ++y) {
        const int32_t first = down.first[y];
        made = std::max(made, first);
        for (; made < first + down.most; ++made)
            loops.horizontal(task.pixels + static_cast<size_t>(made) * in_bytes, across,
                             memory.data() + static_cast<size_t>(made) % most * row_bytes);
        for (size_t t = 0; t < most; ++t) rows[t] = memory.data() + (static_cast<size_t>(first) + t) % most * row_bytes;
        loops.vertical(rows.data(), down, y, static_cast<int32_t>(out_bytes),
                       task.out + static_cast<size_t>(y) * out_bytes);
    }
    return true;
}

}  // namespace mobilenets
