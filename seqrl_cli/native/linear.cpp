// A single linear layer, for models that are assembled in Python.

#include "linear.h"

#include <algorithm>
#include <vector>

namespace {

// Rows of a job, which stay in the L2 cache while they are multiplied with one panel after the other.
constexpr int64_t BLOCK = 64;

// Fewest products for which threads pay off.
constexpr int64_t WORTH_THREADS = 1 << 20;

enum Activation : int64_t { NONE, RELU, GELU, SILU };

Floats activate(Activation activation, Floats x) {
    switch (activation) {
        case RELU:
            return x < 0.0f ? Floats{} : x;  // NaN stays NaN
        case GELU:
            return gelu(x);
        case SILU:
            return silu(x);
        default:
            return x;
    }
}

// Loads up to LANES numbers.
Floats load_some(const float* from, int64_t count) {
    if (count >= LANES) return load(from);
    float numbers[LANES] = {};
    std::copy(from, from + count, numbers);
    return load(numbers);
}

void store_some(float* to, Floats x, int64_t count) {
    if (count >= LANES) return store(to, x);
    float numbers[LANES];
    store(numbers, x);
    std::copy(numbers, numbers + count, to);
}

}  // namespace

extern "C" {

// out (rows, outputs) = activation(x @ weights + bias) + start. Rows of x are `stride` apart; start, shaped like out,
// may be null. A job is one panel and one block of rows. With few rows, each thread reads its own weights; with many,
// threads read the same weights for different rows.
void multiply(const PackedLinear* layer, const float* x, int64_t stride, int64_t rows, const float* start, float* out,
              int64_t outputs, Activation activation, int threads) {
    const int64_t inputs = layer->inputs, whole = rows / TILE * TILE;
    std::vector<float> rest(whole < rows ? TILE * inputs : 0);  // rows that fill no tile, and zeros
    for (int64_t row = whole; row < rows; ++row)
        std::copy(x + row * stride, x + row * stride + inputs, rest.begin() + (row - whole) * inputs);
#pragma omp parallel for collapse(2) schedule(static) num_threads(threads) if (rows * inputs * outputs >= WORTH_THREADS)
    for (int64_t first = 0; first < rows; first += BLOCK)
        for (int64_t column = 0; column < layer->outputs; column += PANEL) {
            const PackedLinear panel{layer->weights + column * inputs, layer->bias + column, inputs, PANEL};
            const auto finish_from = [=](int64_t from) {
                return [=](int64_t row, int64_t lane, Floats sums) {
                    const int64_t left = outputs - column - lane, place = (from + row) * outputs + column + lane;
                    if (from + row >= rows || left <= 0) return;
                    Floats output = activate(activation, sums);
                    if (start) output += load_some(start + place, left);
                    store_some(out + place, output, left);
                };
            };
            const int64_t last = std::min(first + BLOCK, whole);
            if (first < last) apply(panel, x + first * stride, stride, last - first, finish_from(first));
            if (whole < rows && whole < first + BLOCK) apply(panel, rest.data(), inputs, TILE, finish_from(whole));
        }
}
}
