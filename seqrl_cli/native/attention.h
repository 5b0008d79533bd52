// Attention over a paged cache: rows share the pages with the keys and values of a transition.
//
// A page of one layer holds keys, followed by values by token, (heads, columns, head_width). A closed page, which
// never changes again, holds keys by component, (heads, head_dim, lanes), so that one vector has a component of all its
// tokens; an open page holds them by token, like values, because storing one token by component would touch one
// cache line per component.
//
// Rows that share a page process it together, while it is in the nearest cache; so related rows should be adjacent. A
// row's sums are computed in the same order whatever the other rows are.

#pragma once

#include <algorithm>

#include "linear.h"

// Sizes that all layers share. `columns` tokens fit on a page; `lanes` and `head_width` are `columns` and `head_dim`
// rounded up to whole vectors.
struct PageShape {
    int64_t heads, head_dim, head_width, columns, lanes;

    int64_t keys(bool closed) const { return heads * (closed ? head_dim * lanes : columns * head_width); }
    int64_t page(bool closed) const { return keys(closed) + heads * columns * head_width; }
};

// Pages of all layers, (layers, capacity, page).
struct PagePool {
    float* memory;
    int64_t capacity, closed;

    float* at(const PageShape& shape, int64_t layer, int64_t page) const {
        return memory + (layer * capacity + page) * shape.page(closed);
    }
};

// Puts one head's key and value of a token into column `c` of a page.
inline void write_token(const PageShape& shape, float* page, bool closed, int64_t head, int64_t c, const float* key,
                        const float* value) {
    const int64_t place = (head * shape.columns + c) * shape.head_width;
    if (closed)
        for (int64_t d = 0; d < shape.head_dim; ++d) page[(head * shape.head_dim + d) * shape.lanes + c] = key[d];
    else
        std::copy(key, key + shape.head_width, page + place);
    std::copy(value, value + shape.head_width, page + shape.keys(closed) + place);
}

// Calls `function(row, group)` for groups of 4, 2 and 1 rows, whose size is a compile-time constant, `group()`.
template <class Function>
inline void for_each_group(int64_t first, int64_t last, Function function) {
    int64_t row = first;
    for (; row + 4 <= last; row += 4) function(row, std::integral_constant<int, 4>());
    for (; row + 2 <= last; row += 2) function(row, std::integral_constant<int, 2>());
    for (; row < last; ++row) function(row, std::integral_constant<int, 1>());
}

// Products of ROWS queries with one head's keys by component; four sums per product, so that additions can overlap.
template <int ROWS>
inline void score_components(const PageShape& shape, const float* query, int64_t stride, const float* keys,
                             float* scores, int64_t score_stride) {
    for (int64_t lane = 0; lane < shape.lanes; lane += LANES) {
        Floats sums[ROWS][4] = {};
        int64_t d = 0;
        for (; d + 4 <= shape.head_dim; d += 4) {
#pragma GCC unroll 4
            for (int part = 0; part < 4; ++part) {
                const Floats key = load(keys + (d + part) * shape.lanes + lane);
#pragma GCC unroll 4
                for (int r = 0; r < ROWS; ++r) sums[r][part] += query[r * stride + d + part] * key;
            }
        }
        for (; d < shape.head_dim; ++d) {
            const Floats key = load(keys + d * shape.lanes + lane);
#pragma GCC unroll 4
            for (int r = 0; r < ROWS; ++r) sums[r][0] += query[r * stride + d] * key;
        }
#pragma GCC unroll 4
        for (int r = 0; r < ROWS; ++r)
            store(scores + r * score_stride + lane, (sums[r][0] + sums[r][1]) + (sums[r][2] + sums[r][3]));
    }
}

// Products of a query with columns [first, last) of one head's keys by token, four at a time.
inline void score_tokens(const PageShape& shape, const float* query, const float* keys, int64_t first, int64_t last,
                         float* scores) {
    for (int64_t c = first; c < last; c += 4) {
        Floats products[4] = {};
        for (int64_t d = 0; d < shape.head_width; d += LANES)
#pragma GCC unroll 4
            for (int i = 0; i < 4; ++i)
                products[i] += load(query + d) * load(keys + std::min(c + i, last - 1) * shape.head_width + d);
        const Fours totals = sums(products);
        for (int64_t i = 0; i < std::min<int64_t>(4, last - c); ++i) scores[c + i] = totals[i];
    }
}

// Adds columns [first, last) of one head's values, weighted, to the attention outputs of ROWS queries.
template <int ROWS, int VECTORS>
inline void add_weighted_vectors(const PageShape& shape, const float* weights, int64_t weight_stride,
                                 const float* values, int64_t first, int64_t last, float* attention, int64_t stride) {
    Floats sums[ROWS][VECTORS];
#pragma GCC unroll 8
    for (int r = 0; r < ROWS; ++r)
#pragma GCC unroll 2
        for (int v = 0; v < VECTORS; ++v) sums[r][v] = load(attention + r * stride + v * LANES);
    for (int64_t c = first; c < last; ++c) {
        Floats value[VECTORS];
#pragma GCC unroll 2
        for (int v = 0; v < VECTORS; ++v) value[v] = load(values + c * shape.head_width + v * LANES);
#pragma GCC unroll 8
        for (int r = 0; r < ROWS; ++r)
#pragma GCC unroll 2
            for (int v = 0; v < VECTORS; ++v) sums[r][v] += weights[r * weight_stride + c] * value[v];
    }
#pragma GCC unroll 8
    for (int r = 0; r < ROWS; ++r)
#pragma GCC unroll 2
        for (int v = 0; v < VECTORS; ++v) store(attention + r * stride + v * LANES, sums[r][v]);
}

template <int ROWS>
inline void add_weighted_values(const PageShape& shape, const float* weights, int64_t weight_stride,
                                const float* values, int64_t first, int64_t last, float* attention, int64_t stride) {
    int64_t d = 0;
    for (; d + 2 * LANES <= shape.head_width; d += 2 * LANES)
        add_weighted_vectors<ROWS, 2>(shape, weights, weight_stride, values + d, first, last, attention + d, stride);
    if (d < shape.head_width)
        add_weighted_vectors<ROWS, 1>(shape, weights, weight_stride, values + d, first, last, attention + d, stride);
}

// Replaces scores (count,) by their softmax.
inline void softmax(float* scores, int64_t count) {
    Floats best = load(scores), total{};
    for (int64_t i = LANES; i < count; i += LANES) best = larger(best, load(scores + i));
    const float shift = largest(best);
    for (int64_t i = 0; i < count; i += LANES) {
        const Floats weight = exponential(load(scores + i) - shift);
        store(scores + i, weight);
        total += weight;
    }
    const float scale = 1 / sum(total);
    for (int64_t i = 0; i < count; i += LANES) store(scores + i, load(scores + i) * scale);
}
