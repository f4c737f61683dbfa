#include "team_choice.h"

#include <algorithm>

namespace mobilenets {

void TeamChoice::Sum::add(double more, bool long_wait) {
    seconds += more;
    images += 1;
    waited = waited || long_wait;
}

bool TeamChoice::alone() {
    const std::lock_guard<std::mutex> lock(mutex_);
    return alone_;
}

void TeamChoice::add(bool alone, double seconds, bool waited) {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (alone != alone_) return;  // begun before the last decision
    switch (state_) {
        case State::kCalm:
            if (!waited) return;
            state_ = State::kMeasuringTeam;
            team_ = single_ = Sum();
            return;
        case State::kMeasuringTeam:
            team_.add(seconds, waited);
            if (team_.seconds < kCompared) return;
            alone_ = team_.waited;  // otherwise it was one wait that says nothing
            state_ = alone_ ? State::kMeasuringAlone : State::kCalm;
            return;
        case State::kMeasuringAlone:
            single_.add(seconds, waited);
            if (single_.seconds >= kCompared) decide();
            return;
        case State::kDecided:
            left_ -= seconds;
            if (left_ > 0) return;
            alone_ = false;
            state_ = State::kCalm;
            return;
    }
}

// Where the team is faster although its threads wait, because layers are long or the processor is slow, one thread is
// tried ever more seldom.
void TeamChoice::decide() {
    alone_ = single_.images * team_.seconds > team_.images * single_.seconds;
    run_ = alone_ ? kShortestRun : std::min(kLongestRun, 2 * run_);
    left_ = run_;
    state_ = State::kDecided;
}

}  // namespace mobilenets
