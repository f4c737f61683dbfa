// What one run of a plan works in.
#pragma once

#include <cstdint>
#include <vector>

#include "plan/plan.h"
#include "runner/thread_pool.h"

namespace mobilenets {

// Working memory for one image at a time. Made once and used again.
class Context {
  public:
    explicit Context(const Plan& plan);

    uint8_t* map(int32_t index) const { return arena_.data() + plan_.maps()[static_cast<size_t>(index)].offset; }
    uint8_t* scratch(int thread) const;
    const void** rows(int thread) { return rows_.data() + static_cast<size_t>(thread) * rows_per_thread_; }
    const uint8_t* pixel_row(int32_t y) const;

    // Points to an image in an array of `images_bytes` bytes. Rows too near the array's ends to be read past are
    // copied; where the plan needs the input as a map, it is made here.
    void set_image(const uint8_t* image, const uint8_t* images, size_t images_bytes);

    Barrier barrier;
    double* seconds = nullptr;       // where to add up the first thread's time in each stage and single step, or null
    double* step_seconds = nullptr;  // where to add up the time of each step, until all threads have done it, or null

    // For tests of a guarded plan: fill all memory with one byte, and see that it still stands between the maps.
    void poison(uint8_t byte);
    bool intact(uint8_t byte) const;

  private:
    const Plan& plan_;
    Memory arena_, scratch_, edges_;
    std::vector<const void*> rows_;
    std::vector<const uint8_t*> pixel_rows_;
    size_t rows_per_thread_;
};

// Writes the outputs of image number `image` of a run: each as float32, (channels, height, width) for one image after
// the other.
void write_outputs(const Plan& plan, const Context& context, int64_t image, float* const* outputs);

}  // namespace mobilenets
