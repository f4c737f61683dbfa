// Whether the threads of a team are faster together than one of them alone.
#pragma once

#include <cstdint>
#include <mutex>

namespace mobilenets {

// Beside busy processes the threads of a team seldom run at the same time, and wait for each other at every meeting:
// one thread alone can then be faster. As long as no wait is long, the team runs. Once waits are, the team and one
// thread are measured one after the other, and the faster of them runs for a while. The answers are the same bits. May
// be used by several threads at once.
class TeamChoice {
  public:
    bool alone();

    // What one image took, and whether the calling thread had to wait for long.
    void add(bool alone, double seconds, bool waited);

    // Seconds of images that are compared, and for which the faster one runs then, at least and at most.
    static constexpr double kCompared = 0.02, kShortestRun = 0.2, kLongestRun = 10;

  private:
    enum class State : uint8_t { kCalm, kMeasuringTeam, kMeasuringAlone, kDecided };
    struct Sum {
        double seconds = 0, images = 0;
        bool waited = false;
        void add(double more, bool long_wait);
    };

    void decide();

    std::mutex mutex_;
    State state_ = State::kCalm;
    bool alone_ = false;
    Sum team_, single_;
    double run_ = kShortestRun, left_ = 0;
};

}  // namespace mobilenets
