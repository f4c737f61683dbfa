// From the pixels of a canvas to a network's input: the bytes that mobilenets.model.preprocessing makes with Pillow.
#pragma once

#include <cstdint>

#include "resize.h"

namespace mobilenets {

// How an image of any shape meets the input: the largest centred box of its shape, the whole image stretched, or the
// whole image at its own aspect ratio, in the middle.
enum class Fit : uint8_t { kCrop, kSquash, kLetterbox };

struct Preprocessing {
    Fit fit = Fit::kCrop;
    double crop_fraction = 1;
    Interpolation interpolation = Interpolation::kBilinear;
    int32_t channels = 3;    // 3, or 1 for grey
    uint8_t around[3] = {};  // the image, where it is letterboxed
};

// The part of an image that is used, in its pixels; with letterboxing it reaches beyond the image.
struct UsedBox {
    double left, top, right, bottom;
};

// As Preprocessing.box of mobilenets.model.preprocessing, operation by operation.
UsedBox used_box(const Preprocessing& how, int32_t in_height, int32_t in_width, int32_t height, int32_t width);

// `pixels` is (in_height, in_width, 4): red, green, blue and one byte that means nothing. `out` gets (height, width,
// channels). May write to `pixels`.
void preprocess(const Preprocessing& how, uint8_t* pixels, int32_t in_height, int32_t in_width, int32_t height,
                int32_t width, uint8_t* out);

}  // namespace mobilenets
