// Crop and resize of RGB bytes: Pillow's arithmetic, bit for bit, in a fraction of its time.
//
// Along each axis an output value is a weighted mean of neighbours, in whole numbers: weights have 22 bits after the
// point, sums 32, and between the horizontal pass, which comes first, and the vertical one lie bytes.
#pragma once

#include <cstddef>
#include <cstdint>

namespace mobilenets {

constexpr int kWeightBits = 22;
constexpr int kLowBits = 11;         // of a weight, in loops that multiply 16 bits at a time
constexpr int kTapsTogether = 4;     // weights of one output, in loops that multiply 16 bits at a time
constexpr int kPixelBytes = 4;       // of Pillow's memory: red, green, blue and one that means nothing
constexpr size_t kResizeSlack = 32;  // bytes that loops may read and write after a row of results between the passes

enum class Interpolation : uint8_t { kBox, kBilinear, kBicubic, kLanczos };

// How far the filter reaches to each side of its middle, in pixels of the input where none is lost.
double reach(Interpolation interpolation);

// What the outputs along one axis read: `most` inputs each, all of them inside.
struct Taps {
    int32_t outputs = 0, most = 0;
    const int32_t *first = nullptr, *weights = nullptr;  // [outputs], [outputs][most]
    // For the loops that multiply 16 bits at a time, w = high · 2^kLowBits + low. `spread`: [outputs][most / 4][high,
    // low][16], of four weights w: w0 w1 three times, two zeros, w2 w3 three times, two zeros. `pairs`: [outputs][most
    // / 2][high, low][2].
    const int16_t *spread = nullptr, *pairs = nullptr;
};

// One pass over one row.
struct ResizeLoops {
    // 3 · taps.outputs bytes from a row of pixels.
    void (*horizontal)(const uint8_t* row, const Taps& taps, uint8_t* out);
    // `count` bytes from taps.most rows, for one output of the vertical axis.
    void (*vertical)(const uint8_t* const* rows, const Taps& taps, int32_t output, int32_t count, uint8_t* out);
    int32_t taps_together = kTapsTogether;  // weights of one output come in multiples of this, with zeros among them
};

extern const ResizeLoops kResizePortable;
extern const ResizeLoops kResizeAvx2;
extern const ResizeLoops kResizeWasm;

// The best of them for an instruction set.
struct InstructionSet;
const ResizeLoops& resize_loops(const InstructionSet& set);

struct ResizeTask {
    const uint8_t* pixels;  // (in_height, in_width, kPixelBytes)
    int32_t in_height, in_width;
    float left, top, right, bottom;  // the part that is used, inside the image
    int32_t height, width;
    Interpolation interpolation;
    uint8_t* out;                 // (height, width, 3)
    bool vertical_first = false;  // as Pillow from 13 on does where far more rows than columns are lost
};

// False, and nothing done, where the image has fewer pixels on a side than one output needs.
bool resize(const ResizeLoops& loops, const ResizeTask& task);

}  // namespace mobilenets
