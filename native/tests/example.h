// One operation with random parameters and input, run by a kernel the way the driver runs it.
#pragma once

#include <cstdint>
#include <random>
#include <string>
#include <vector>

#include "kernels.h"

namespace mobilenets {

using Bytes = std::vector<uint8_t>;

// Memory of a size with kSlack poisoned bytes on both sides, which a kernel may read and must not write.
class Guarded {
  public:
    explicit Guarded(size_t size, uint8_t fill = 0);
    uint8_t* data() { return start_; }
    const uint8_t* data() const { return start_; }
    size_t size() const { return size_; }
    bool intact() const;

  private:
    size_t size_;
    Bytes memory_;
    uint8_t* start_;
};

class Example {
  public:
    Example(const Operation& op, int32_t pixels, uint32_t seed);

    // Output of one kernel. `parts` > 1 cuts the work both ways at the kernel's grain. An empty result means that the
    // kernel wrote where it must not.
    Bytes run(const Kernel& kernel, int32_t parts = 1) const;

    // Packs once and runs again and again on one range; for timing. Returns nanoseconds of the fastest run.
    double time(const Kernel& kernel, double seconds) const;

    const Operation& operation() const { return op_; }
    int64_t macs() const;

  private:
    void run_range(const Kernel&, const void* packed, uint8_t* scratch, uint8_t* out, int32_t first, int32_t count,
                   int32_t channel_begin, int32_t channel_end) const;
    int32_t rows() const;
    size_t out_value_bytes() const;
    ptrdiff_t out_stride() const;

    Operation op_;
    int32_t pixels_;
    std::vector<Guarded> inputs_;
    Guarded padding_row_;
    Bytes weight_, bias_;
    std::vector<float> multiplier_, offset_;
    std::vector<int8_t> zero_point_;
};

std::string describe(const Operation& op, int32_t pixels);

}  // namespace mobilenets
