#include "memory.h"

#include <cstdlib>

#include "failure.h"

#if defined(__linux__)
#include <sys/mman.h>
#endif

namespace mobilenets {
namespace {

constexpr size_t kLargePage = size_t{2} << 20;

}  // namespace

Memory::Memory(size_t size) : size_(size), start_(nullptr) {
    if (size == 0) return;
    const size_t alignment = size >= kLargePage ? kLargePage : kAlignment;
    memory_ = std::shared_ptr<void>(std::calloc(size + alignment, 1), std::free);
    if (memory_ == nullptr) out_of_memory();
    const auto address = reinterpret_cast<uintptr_t>(memory_.get());
    start_ = static_cast<uint8_t*>(memory_.get()) + (round_up(address, alignment) - address);
#if defined(__linux__)
    // Whole pages only: what is beyond the last one would be touched for nothing.
    if (size >= kLargePage) madvise(start_, size / kLargePage * kLargePage, MADV_HUGEPAGE);
#endif
}

Memory Memory::part(size_t offset, size_t size) const {
    Memory result;
    result.size_ = size;
    result.memory_ = memory_;
    result.start_ = start_ + offset;
    return result;
}

}  // namespace mobilenets
