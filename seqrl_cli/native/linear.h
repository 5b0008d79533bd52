// Linear layers and norms over a block of rows that stays in the nearest caches.
//
// A row's sums are computed in the same order whatever the other rows are, so its result is the same in any block, bit
// for bit.

#pragma once

#include "simd.h"

// Outputs and rows that are summed together, as many as the registers hold.
constexpr int PANEL = 2 * LANES;
constexpr int TILE = LANES == 16 ? 8 : 4;

inline int64_t round_up(int64_t count, int64_t multiple) { return (count + multiple - 1) / multiple * multiple; }

// Weights of a linear layer: panels of PANEL outputs, each (inputs, PANEL); outputs are a multiple of PANEL.
struct PackedLinear {
    const float* weights;
    const float* bias;
    int64_t inputs, outputs;
};

// Sums of one panel for TILE rows: (TILE, 2 vectors). A separate function, so that all of them stay in registers.
__attribute__((noinline)) inline void sum_tile(const float* panel, const float* bias, int64_t inputs, const float* x,
                                             int64_t stride, Floats (*out)[2]) {
    Floats sums[TILE][2];
#pragma GCC unroll 8
    for (int r = 0; r < TILE; ++r) sums[r][0] = load(bias), sums[r][1] = load(bias + LANES);
    for (int64_t k = 0; k < inputs; ++k, panel += PANEL) {
        const Floats left = load(panel), right = load(panel + LANES);
#pragma GCC unroll 8
        for (int r = 0; r < TILE; ++r) {
            const Floats factor = broadcast(x[r * stride + k]);
            sums[r][0] += factor * left;
            sums[r][1] += factor * right;
        }
    }
#pragma GCC unroll 8
    for (int r = 0; r < TILE; ++r) out[r][0] = sums[r][0], out[r][1] = sums[r][1];
}

// x (rows, inputs) @ weights + bias; `finish(row, output, sums)` gets LANES outputs at a time.
// rows must be a multiple of TILE; the caller pads.
template <class Finish>
inline void apply(const PackedLinear& layer, const float* x, int64_t stride, int64_t rows, Finish finish) {
    for (int64_t output = 0; output < layer.outputs; output += PANEL)
        for (int64_t row = 0; row < rows; row += TILE) {
            Floats sums[TILE][2];
            sum_tile(layer.weights + output * layer.inputs, layer.bias + output, layer.inputs, x + row * stride, stride,
                   sums);
            for (int r = 0; r < TILE; ++r) {
                finish(row + r, output, sums[r][0]);
                finish(row + r, output + LANES, sums[r][1]);
            }
        }
}

// Values of `finish` for `apply`: the outputs replace what is stored, or are added to it.
inline auto store_into(float* out, int64_t stride) {
    return [=](int64_t row, int64_t output, Floats sums) { store(out + row * stride + output, sums); };
}

inline auto add_to(float* out, int64_t stride) {
    return [=](int64_t row, int64_t output, Floats sums) {
        float* place = out + row * stride + output;
        store(place, load(place) + sums);
    };
}

// Layer norm without scale and shift. Columns of x from `width` to `stride` are zero; those of
// `normed` are unspecified.
inline void normalize(const float* x, float* normed, int64_t rows, int64_t width, int64_t stride) {
    for (; rows > 0; --rows, x += stride, normed += stride) {
        Floats total{}, squares{};
        for (int64_t i = 0; i < stride; i += LANES) total += load(x + i);
        const float mean = sum(total) / width;
        int64_t i = 0;
        for (; i + LANES <= width; i += LANES) squares += (load(x + i) - mean) * (load(x + i) - mean);
        float rest = 0;
        for (; i < width; ++i) rest += (x[i] - mean) * (x[i] - mean);
        const float scale = 1 / std::sqrt((sum(squares) + rest) / width + 1e-5f);
        for (int64_t j = 0; j < stride; j += LANES) store(normed + j, (load(x + j) - mean) * scale);
    }
}
