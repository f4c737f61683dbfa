#include "detection.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace mobilenets {
namespace {

constexpr int32_t kScanned = 16;  // values that are looked at together
constexpr float kSlack = 1e-3f;   // of a logit: what is near the threshold is decided by its score

struct Candidate {
    float score;
    int32_t row, label;
};

bool before(const Candidate& one, const Candidate& other) {
    if (one.score != other.score) return one.score > other.score;
    return one.row != other.row ? one.row < other.row : one.label < other.label;
}

float area(const BoxCorners& box) {
    return (box.right - box.left) * (box.bottom - box.top);
}

bool overlap(const BoxCorners& best, const BoxCorners& other, float threshold) {
    const float width = std::min(best.right, other.right) - std::max(best.left, other.left);
    const float height = std::min(best.bottom, other.bottom) - std::max(best.top, other.top);
    const float shared = std::max(width, 0.0f) * std::max(height, 0.0f);
    return shared > threshold * (area(best) + area(other) - shared);
}

// One sort of few for all orders: in a web page every other one takes five kilobytes.
using Order = bool (*)(const Candidate&, const Candidate&);

void order_first(Candidate* begin, Candidate* middle, Candidate* end, Order order) {
    std::partial_sort(begin, middle, end, order);
}

// Every anchor's likeliest class only; of equals the first.
void keep_likeliest(std::vector<Candidate>& candidates) {
    Candidate* const first = candidates.data();
    Candidate* const last = first + candidates.size();
    order_first(first, last, last, [](const Candidate& one, const Candidate& other) {
        return one.row != other.row ? one.row < other.row : before(one, other);
    });
    const auto same = [](const Candidate& one, const Candidate& other) { return one.row == other.row; };
    candidates.erase(std::unique(candidates.begin(), candidates.end(), same), candidates.end());
}

// The candidates class by class, and where each class begins; the end is behind the last.
std::vector<size_t> group(std::vector<Candidate>& candidates) {
    int32_t most = -1;
    for (const Candidate& one : candidates) most = std::max(most, one.label);
    std::vector<size_t> begins(static_cast<size_t>(most) + 2);
    for (const Candidate& one : candidates) ++begins[static_cast<size_t>(one.label) + 1];
    for (size_t label = 1; label < begins.size(); ++label) begins[label] += begins[label - 1];
    std::vector<Candidate> grouped(candidates.size());
    std::vector<size_t> next = begins;
    for (const Candidate& one : candidates) grouped[next[static_cast<size_t>(one.label)]++] = one;
    candidates.swap(grouped);
    return begins;
}

void best_first(std::vector<KeptBox>& kept) {
    std::partial_sort(kept.begin(), kept.end(), kept.end(), [](const KeptBox& one, const KeptBox& other) {
        return before({one.score, one.candidate, one.label}, {other.score, other.candidate, other.label});
    });
}

// Suppresses one group of candidates, those of a class or all, and adds what is left to `kept`.
template <typename BoxOf>
void suppress_group(Candidate* begin, Candidate* end, const SuppressionRule& rule, BoxOf& box_of,
                    std::vector<KeptBox>& kept) {
    Candidate* const last = begin + std::min<std::ptrdiff_t>(end - begin, rule.most_candidates);
    order_first(begin, last, end, before);
    const size_t first = kept.size();
    for (const Candidate* one = begin; one != last && kept.size() - first < static_cast<size_t>(rule.most); ++one) {
        const BoxCorners box = box_of(one->row);
        const auto hides = [&](const KeptBox& better) { return overlap(better.box, box, rule.iou_threshold); };
        if (std::none_of(kept.begin() + static_cast<std::ptrdiff_t>(first), kept.end(), hides))
            kept.push_back({box, one->score, one->row, one->label});
    }
}

template <typename BoxOf>
std::vector<KeptBox> suppress_all(std::vector<Candidate>& candidates, const SuppressionRule& rule, BoxOf box_of) {
    std::vector<KeptBox> kept;
    if (rule.class_agnostic) {
        keep_likeliest(candidates);
        suppress_group(candidates.data(), candidates.data() + candidates.size(), rule, box_of, kept);
    } else {
        const std::vector<size_t> begins = group(candidates);
        for (size_t label = 0; label + 1 < begins.size(); ++label)
            suppress_group(candidates.data() + begins[label], candidates.data() + begins[label + 1], rule, box_of,
                           kept);
    }
    best_first(kept);
    if (kept.size() > static_cast<size_t>(rule.most)) kept.resize(static_cast<size_t>(rule.most));
    return kept;
}

// Calls `found(i)` for every i below `count` at which values[i] is at least `least`.
template <typename Found>
void scan(const float* values, int32_t count, float least, Found&& found) {
    int32_t i = 0;
    for (; i + kScanned <= count; i += kScanned) {
        // Counted without a branch, so that the compiler looks at several values at once.
        int32_t hits = 0;
        for (int32_t j = 0; j < kScanned; ++j) hits += values[i + j] >= least;
        if (hits == 0) continue;
        for (int32_t j = i; j < i + kScanned; ++j)
            if (values[j] >= least) found(j);
    }
    for (; i < count; ++i)
        if (values[i] >= least) found(i);
}

// What is the same for all candidates of a level.
struct Level {
    const AnchorMaps& maps;
    const AnchorRule& anchors;
    float least_score, least_logit;  // the second above the background's, where there is one
    int32_t first_row;

    void add(std::vector<Candidate>& candidates, float score, int32_t cell, int32_t shape, int32_t label) const {
        if (score >= least_score) candidates.push_back({score, first_row + cell * maps.shapes + shape, label});
    }
};

void add_by_sigmoid(const Level& level, std::vector<Candidate>& candidates) {
    const int32_t cells = level.maps.cells, classes = level.anchors.classes;
    for (int32_t map = 0; map < level.maps.shapes * classes; ++map) {
        const float* const logits = level.maps.logits + static_cast<ptrdiff_t>(map) * cells;
        scan(logits, cells, level.least_logit, [&](int32_t cell) {
            level.add(candidates, 1 / (1 + std::exp(-logits[cell])), cell, map / classes, map % classes);
        });
    }
}

void add_by_softmax(const Level& level, std::vector<Candidate>& candidates) {
    const int32_t cells = level.maps.cells, channels = level.anchors.classes + 1;
    // A sum of powers above this leaves no class the least score: an anchor that is sure of nothing needs few of them.
    const float most =
        level.least_score <= 0 ? std::numeric_limits<float>::infinity() : (1 + kSlack) / level.least_score;
    std::vector<float> largest(static_cast<size_t>(cells));
    for (int32_t shape = 0; shape < level.maps.shapes; ++shape) {
        const float* const begin = level.maps.logits + static_cast<ptrdiff_t>(shape) * channels * cells;
        std::copy(begin, begin + cells, largest.begin());
        for (int32_t channel = 1; channel < channels; ++channel) {
            const float* const logits = begin + static_cast<ptrdiff_t>(channel) * cells;
            for (int32_t cell = 0; cell < cells; ++cell)
                largest[static_cast<size_t>(cell)] = std::max(largest[static_cast<size_t>(cell)], logits[cell]);
        }
        for (int32_t cell = 0; cell < cells; ++cell) {
            const float top = largest[static_cast<size_t>(cell)];
            if (top - begin[cell] < level.least_logit) continue;
            const float* const logits = begin + cell;
            float sum = 0;
            for (int32_t channel = 0; channel < channels && !(sum > most); ++channel)
                sum += std::exp(logits[static_cast<ptrdiff_t>(channel) * cells] - top);
            if (sum > most) continue;
            for (int32_t label = 0; label < level.anchors.classes; ++label) {
                const float logit = logits[static_cast<ptrdiff_t>(label + 1) * cells];
                if (logit - begin[cell] >= level.least_logit)
                    level.add(candidates, std::exp(logit - top) / sum, cell, shape, label);
            }
        }
    }
}

// Candidates of one level whose scores reach the threshold.
void add_candidates(const AnchorMaps& maps, const AnchorRule& anchors, float least_score, int32_t first_row,
                    std::vector<Candidate>& candidates) {
    // A score of p needs a logit of log(p / (1 − p)).
    const float least = least_score <= 0   ? -std::numeric_limits<float>::infinity()
                        : least_score >= 1 ? 0.0f
                                           : std::log(least_score / (1 - least_score)) - kSlack;
    const Level level{maps, anchors, least_score, least, first_row};
    if (anchors.background)
        add_by_softmax(level, candidates);
    else
        add_by_sigmoid(level, candidates);
}

BoxCorners decode(const float code[4], const float anchor[4], const AnchorRule& rule) {
    float centre[2], half[2];
    for (int32_t axis = 0; axis < 2; ++axis) {
        const float offset = code[axis] / rule.coder[axis], size = code[2 + axis] / rule.coder[2 + axis];
        centre[axis] = anchor[axis] + offset * anchor[2 + axis];
        half[axis] = anchor[2 + axis] * std::exp(std::min(size, rule.largest_logarithm)) / 2;
    }
    return {centre[0] - half[0], centre[1] - half[1], centre[0] + half[0], centre[1] + half[1]};
}

}  // namespace

std::vector<KeptBox> suppress(const BoxCorners* boxes, const float* scores, int32_t candidates, int32_t classes,
                              const SuppressionRule& rule) {
    std::vector<Candidate> found;
    for (int32_t row = 0; row < candidates; ++row)
        scan(scores + static_cast<ptrdiff_t>(row) * classes, classes, rule.score_threshold, [&](int32_t label) {
            found.push_back({scores[static_cast<ptrdiff_t>(row) * classes + label], row, label});
        });
    return suppress_all(found, rule, [&](int32_t row) { return boxes[row]; });
}

std::vector<KeptBox> detect(const std::vector<AnchorMaps>& levels, const float* anchors, const AnchorRule& anchor_rule,
                            const SuppressionRule& rule) {
    std::vector<Candidate> found;
    std::vector<int32_t> first_rows;
    int32_t first_row = 0;
    for (const AnchorMaps& level : levels) {
        first_rows.push_back(first_row);
        add_candidates(level, anchor_rule, rule.score_threshold, first_row, found);
        first_row += level.cells * level.shapes;
    }
    return suppress_all(found, rule, [&](int32_t row) {
        const auto after = std::upper_bound(first_rows.begin(), first_rows.end(), row);
        const AnchorMaps& level = levels[static_cast<size_t>(after - first_rows.begin()) - 1];
        const int32_t inside = row - *(after - 1), cell = inside / level.shapes, shape = inside % level.shapes;
        float code[4];
        for (int32_t number = 0; number < 4; ++number)
            code[number] = level.codes[static_cast<ptrdiff_t>(4 * shape + number) * level.cells + cell];
        return decode(code, anchors + static_cast<ptrdiff_t>(row) * 4, anchor_rule);
    });
}

}  // namespace mobilenets
