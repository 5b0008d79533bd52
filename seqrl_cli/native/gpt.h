// The arguments of the GPT's forward pass. Python has the same structs in structs.py.

#pragma once

#include "attention.h"

extern "C" {

struct GPTLayerWeights {
    PackedLinear qkv, projection, mlp_in, mlp_out;
};

struct GPTWeights {
    int64_t layers, width;
    PageShape shape;
    const GPTLayerWeights* layer;
    const float *embedding, *positions;
};

struct ForwardCall {
    int64_t units, span, steps;           // steps > 1: tokens after the first are the most likely ones; then span is 1
    const int32_t* order;                 // (units,) the units sorted so that related ones are adjacent
    const int64_t* tokens;                // (units, span)
    const int64_t *first_row, *position;  // (span * steps,) first embedding row of the dimension; token's position
    const int32_t* block_table;           // (units, closed_pages)
    const int32_t* shared_page;           // (units,) in `open`; unused if split is 0
    const int32_t* private_page;          // (units,) in `target`
    int64_t closed_pages, split, column, keeps;  // column of the first token; whether to store keys and values
    PagePool closed, open, target;
    const PackedLinear* heads;  // (steps,); null if only keys and values are wanted
    int64_t outputs;
    int64_t* chosen;  // (units, steps - 1) the tokens after the first
    float* logits;    // (units, outputs) after the last token
};
}
