#include "preprocessing.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

#include "failure.h"
#include "kernels.h"

namespace mobilenets {
namespace {

constexpr double kReducingGap = 3;  // see REDUCING_GAP of mobilenets.model.preprocessing

// Where a whole image stands in an input that keeps its aspect ratio, in pixels of the input.
struct Inner {
    int32_t left, top, width, height;
};

// As letterbox() of mobilenets.model.preprocessing, operation by operation.
Inner letterbox(int32_t in_height, int32_t in_width, int32_t height, int32_t width) {
    const double scale = std::min(static_cast<double>(width) / in_width, static_cast<double>(height) / in_height);
    const auto side = [&](int32_t whole, int32_t most) {
        return std::min(most, std::max(1, static_cast<int32_t>(std::nearbyint(whole * scale))));
    };
    const int32_t inner_width = side(in_width, width), inner_height = side(in_height, height);
    return {(width - inner_width) / 2, (height - inner_height) / 2, inner_width, inner_height};
}

// The mean of a block of pixels, as Pillow's reduce() rounds it.
void average_block(const uint8_t* first, size_t row_bytes, int32_t columns, int32_t rows, uint8_t* out) {
    const auto count = static_cast<uint32_t>(columns * rows);
    const auto multiplier = static_cast<uint32_t>(4294967296.0f / static_cast<float>(256 * count));
    uint32_t sums[3] = {count / 2, count / 2, count / 2};
    for (int32_t y = 0; y < rows; ++y) {
        const uint8_t* in = first + static_cast<size_t>(y) * row_bytes;
        for (int32_t x = 0; x < columns; ++x, in += kPixelBytes)
            for (int c = 0; c < 3; ++c) sums[c] += in[c];
    }
    for (int c = 0; c < 3; ++c) out[c] = static_cast<uint8_t>((sums[c] * multiplier) >> 24);
}

struct Image {
    const uint8_t* pixels;
    int32_t height, width;
};

// A part of an image, reduced by whole factors; what is left over at its right and bottom is reduced by less.
std::vector<uint8_t> reduce(Image image, const int32_t (&part)[4], int32_t across, int32_t down, Image& made) {
    const int32_t part_width = part[2] - part[0], part_height = part[3] - part[1];
    made.width = (part_width - 1) / across + 1;
    made.height = (part_height - 1) / down + 1;
    const size_t row_bytes = static_cast<size_t>(image.width) * kPixelBytes;
    std::vector<uint8_t> out(static_cast<size_t>(made.height) * static_cast<size_t>(made.width) * kPixelBytes);
    uint8_t* to = out.data();
    for (int32_t y = 0; y < part_height; y += down)
        for (int32_t x = 0; x < part_width; x += across, to += kPixelBytes)
            average_block(image.pixels + static_cast<size_t>(part[1] + y) * row_bytes +
                              static_cast<size_t>(part[0] + x) * kPixelBytes,
                          row_bytes, std::min(across, part_width - x), std::min(down, part_height - y), to);
    made.pixels = out.data();
    return out;
}

int32_t factor_of(double begin, double end, int32_t outputs) {
    return std::max(1, static_cast<int32_t>((end - begin) / outputs / kReducingGap));
}

// Grey in all three channels: ITU-R BT.601 with 16 bits after the point.
void make_grey(uint8_t* pixels, size_t count) {
    for (; count > 0; --count, pixels += kPixelBytes) {
        const uint32_t grey = (pixels[0] * 19595u + pixels[1] * 38470u + pixels[2] * 7471u + 0x8000u) >> 16;
        pixels[0] = pixels[1] = pixels[2] = static_cast<uint8_t>(grey);
    }
}

// An image of which no more than a box is taken, over the whole input.
void fit(const Preprocessing& how, Image image, int32_t height, int32_t width, uint8_t* out) {
    const int32_t in_height = image.height, in_width = image.width;
    UsedBox box = used_box(how, in_height, in_width, height, width);
    std::vector<uint8_t> reduced;
    const int32_t across = factor_of(box.left, box.right, width), down = factor_of(box.top, box.bottom, height);
    if (across > 1 || down > 1) {
        const double margin = reach(how.interpolation) - 0.5;
        const double beyond_x = margin * ((box.right - box.left) / width);
        const double beyond_y = margin * ((box.bottom - box.top) / height);
        const int32_t part[4] = {std::max(0, static_cast<int32_t>(box.left - beyond_x)),
                                 std::max(0, static_cast<int32_t>(box.top - beyond_y)),
                                 std::min(in_width, static_cast<int32_t>(std::ceil(box.right + beyond_x))),
                                 std::min(in_height, static_cast<int32_t>(std::ceil(box.bottom + beyond_y)))};
        reduced = reduce(image, part, across, down, image);
        box = {(box.left - part[0]) / across, (box.top - part[1]) / down, (box.right - part[0]) / across,
               (box.bottom - part[1]) / down};
    }
    std::vector<uint8_t> colors;
    if (how.channels == 1) colors.resize(static_cast<size_t>(height) * static_cast<size_t>(width) * 3);
    ResizeTask task;
    task.pixels = image.pixels;
    task.in_height = image.height;
    task.in_width = image.width;
    task.left = static_cast<float>(box.left);
    task.top = static_cast<float>(box.top);
    task.right = static_cast<float>(box.right);
    task.bottom = static_cast<float>(box.bottom);
    task.height = height;
    task.width = width;
    task.interpolation = how.interpolation;
    task.out = how.channels == 1 ? colors.data() : out;
    task.vertical_first = image.height > height && image.height - height > 2 * (image.width - width);
    if (!resize(resize_loops(*best_instruction_set()), task)) refuse("an image is too small");
    for (size_t i = 0; i < colors.size(); i += 3) out[i / 3] = colors[i];
}

// The whole image in the middle of the input, what is left filled with the mean color.
void fit_whole(const Preprocessing& how, const Image& image, int32_t height, int32_t width, uint8_t* out) {
    const Inner inner = letterbox(image.height, image.width, height, width);
    const auto channels = static_cast<size_t>(how.channels);
    std::vector<uint8_t> pixels(static_cast<size_t>(inner.height) * static_cast<size_t>(inner.width) * channels);
    Preprocessing whole = how;
    whole.fit = Fit::kSquash;
    fit(whole, image, inner.height, inner.width, pixels.data());
    for (size_t i = 0; i < static_cast<size_t>(height) * static_cast<size_t>(width) * channels; ++i)
        out[i] = how.around[i % channels];
    const size_t row = static_cast<size_t>(inner.width) * channels;
    const auto left = static_cast<size_t>(inner.left), top = static_cast<size_t>(inner.top);
    for (size_t y = 0; y < static_cast<size_t>(inner.height); ++y)
        std::memcpy(out + ((top + y) * static_cast<size_t>(width) + left) * channels, pixels.data() + y * row, row);
}

}  // namespace

UsedBox used_box(const Preprocessing& how, int32_t in_height, int32_t in_width, int32_t height, int32_t width) {
    double box_width = in_width, box_height = in_height;
    if (how.fit == Fit::kLetterbox) {
        const Inner inner = letterbox(in_height, in_width, height, width);
        const double across = box_width / inner.width, down = box_height / inner.height;
        return {-inner.left * across, -inner.top * down, (width - inner.left) * across, (height - inner.top) * down};
    }
    if (how.fit == Fit::kCrop) {
        const double scale = std::min(box_width / width, box_height / height) * how.crop_fraction;
        box_width = std::min(box_width, width * scale);
        box_height = std::min(box_height, height * scale);
    }
    const double left = (in_width - box_width) / 2, top = (in_height - box_height) / 2;
    return {left, top, left + box_width, top + box_height};
}

void preprocess(const Preprocessing& how, uint8_t* pixels, int32_t in_height, int32_t in_width, int32_t height,
                int32_t width, uint8_t* out) {
    if (in_height < 1 || in_width < 1 || in_height >= 1 << 16 || in_width >= 1 << 16)
        refuse("an image is empty or too large");
    if (how.channels == 1) make_grey(pixels, static_cast<size_t>(in_height) * static_cast<size_t>(in_width));
    if (how.fit == Fit::kLetterbox) {
        fit_whole(how, {pixels, in_height, in_width}, height, width, out);
    } else {
        fit(how, {pixels, in_height, in_width}, height, width, out);
    }
}

}  // namespace mobilenets
