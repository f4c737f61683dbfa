#include "shared_sums.h"

#include <atomic>
#include <chrono>
#include <cstring>
#include <thread>

namespace mobilenets {
namespace {

using Clock = std::chrono::steady_clock;

constexpr int kLooks = 200;                            // before the core is offered to others
constexpr auto kAwake = std::chrono::milliseconds(2);  // before this thread sleeps between looks
constexpr auto kAsleep = std::chrono::microseconds(50);

}  // namespace

struct SharedSums::Word {
    std::atomic<uint64_t> times;
    uint64_t bytes[2];  // of the last two times
};

static_assert(std::atomic<uint64_t>::is_always_lock_free, "processes share these, and no locks");

SharedSums::Word& SharedSums::word(size_t process) const {
    static_assert(sizeof(Word) <= kLine, "a word has a line of its own");
    return *reinterpret_cast<Word*>(memory_ + process * kLine);
}

uint8_t* SharedSums::part(size_t process) const {
    return memory_ + processes_ * kLine + (2 * process + times_ % 2) * kRoom;
}

void SharedSums::write(const void* values, size_t bytes) {
    ++times_;
    std::memcpy(part(own_), values, bytes);
    word(own_).bytes[times_ % 2] = bytes;
    word(own_).times.store(times_, std::memory_order_release);
}

bool SharedSums::wait(double seconds) const {
    const auto begun = Clock::now();
    for (size_t process = 0; process < processes_; ++process) {
        const std::atomic<uint64_t>& times = word(process).times;
        for (int look = 0; times.load(std::memory_order_acquire) < times_; ++look) {
            if (look < kLooks) continue;
            const auto waited = Clock::now() - begun;
            if (waited > std::chrono::duration<double>(seconds)) return false;
            if (waited < kAwake)
                std::this_thread::yield();
            else
                std::this_thread::sleep_for(kAsleep);
        }
    }
    return true;
}

bool SharedSums::agree(size_t bytes) const {
    for (size_t process = 0; process < processes_; ++process)
        if (word(process).bytes[times_ % 2] != bytes) return false;
    return true;
}

template <typename Value>
void SharedSums::read(Value* sums, size_t count) const {
    std::memcpy(sums, part(0), count * sizeof(Value));
    for (size_t process = 1; process < processes_; ++process) {
        const auto* values = reinterpret_cast<const Value*>(part(process));
        for (size_t i = 0; i < count; ++i) sums[i] += values[i];
    }
}

template void SharedSums::read(float*, size_t) const;
template void SharedSums::read(double*, size_t) const;

}  // namespace mobilenets
