// Sums over the processes of one machine that train together, by memory that all of them have mapped.
//
// A process writes its numbers into its own part of the memory, says that they are there, waits until all the others
// have said so too, and adds all parts up itself: in the order of the processes, so that all find the same bits. Each
// part has room twice. Who writes for the third time knows that all others have said that their second numbers are
// there, so they are done with the first; nobody waits twice.
#pragma once

#include <cstddef>
#include <cstdint>

namespace mobilenets {

class SharedSums {
  public:
    static constexpr size_t kLine = 128;                // bytes between words that different processes write
    static constexpr size_t kRoom = size_t{256} << 10;  // bytes of numbers that are added up at a time

    static constexpr size_t bytes(size_t processes) { return processes * (kLine + 2 * kRoom); }

    // The memory begins as zeros, at a multiple of kLine, and outlives this.
    SharedSums(uint8_t* memory, size_t processes, size_t own) : memory_(memory), processes_(processes), own_(own) {}

    // Write this process's numbers, at most kRoom bytes.
    void write(const void* values, size_t bytes);

    // Whether all others have written theirs; false if one has not after some time.
    bool wait(double seconds) const;

    // Whether all have written as many bytes as this process; they have to add up the same things in the same order.
    bool agree(size_t bytes) const;

    // The sums. All have written, and agree.
    template <typename Value>
    void read(Value* sums, size_t count) const;

  private:
    struct Word;  // what a process says: how often it has written, and how many bytes it was
    Word& word(size_t process) const;
    uint8_t* part(size_t process) const;

    uint8_t* memory_;
    size_t processes_, own_;
    uint64_t times_ = 0;
};

}  // namespace mobilenets
