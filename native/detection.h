// Post-processing of detectors: from scores, or straight from the maps of a network, to the boxes that are kept.
//
// tasks/suppression.py is the definition. Arithmetic is in float32 in the same order, so that suppression of the same
// boxes and scores keeps the same ones.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace mobilenets {

struct SuppressionRule {
    float iou_threshold, score_threshold;
    int32_t most;             // boxes that are kept
    int32_t most_candidates;  // boxes of one class that are compared with each other
    bool class_agnostic;
};

struct BoxCorners {
    float left, top, right, bottom;
};

struct KeptBox {
    BoxCorners box;
    float score;
    int32_t candidate, label;
};

// boxes: [candidates]; scores: [candidates][classes].
std::vector<KeptBox> suppress(const BoxCorners* boxes, const float* scores, int32_t candidates, int32_t classes,
                              const SuppressionRule& rule);

// A level of anchors: maps of `cells` values for every channel, `shapes` anchors a cell. Channels of an anchor follow
// each other: four numbers of a box, and a logit a class, the background's first where there is one.
struct AnchorMaps {
    const float *codes, *logits;
    int32_t cells, shapes;
};

struct AnchorRule {
    float coder[4];           // what the four numbers are divided by
    float largest_logarithm;  // of a box's side over its anchor's
    bool background;          // scores are a softmax with the background's logit; else a sigmoid of each
    int32_t classes;          // without the background
};

// anchors: [all levels' cells · shapes][centre x, centre y, width, height], in the order of the levels and cells.
std::vector<KeptBox> detect(const std::vector<AnchorMaps>& levels, const float* anchors, const AnchorRule& anchor_rule,
                            const SuppressionRule& rule);

}  // namespace mobilenets
