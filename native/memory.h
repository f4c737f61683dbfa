// Memory for weights, maps and scratch.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

namespace mobilenets {

constexpr size_t kAlignment = 64;

inline size_t round_up(size_t value, size_t multiple) {
    return (value + multiple - 1) / multiple * multiple;
}

// 64-byte aligned, zeroed memory. Where it is large, it asks for large pages: the first touch of a small one costs more
// than packing what fits into it.
class Memory {
  public:
    explicit Memory(size_t size = 0);
    uint8_t* data() const { return start_; }
    size_t size() const { return size_; }

    // A part of this memory, which lives as long as any of its parts does.
    Memory part(size_t offset, size_t size) const;

  private:
    size_t size_;
    std::shared_ptr<void> memory_;
    uint8_t* start_;
};

}  // namespace mobilenets
