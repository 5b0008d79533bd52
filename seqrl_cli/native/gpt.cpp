// A GPT's forward pass in decoding.
//
// A unit is `span` consecutive tokens of one sequence: one token when beams take a step, a transition when a window is
// encoded. Its past is a list of closed pages, then the first `split` columns of a shared open page, then the columns
// from `split` on of a private page, to which the keys and values of its tokens are written:
//
//     | closed pages, one per transition | shared page    | private page |
//     | block_table[0], [1], ...         | 0 ... split    | split ...    |
//     | shared by all descendants        | shared by      | of this unit |
//     | of the same rows                 | related rows   | only         |
//
// A unit's result does not depend on other units. So a thread takes a chunk of units through all layers, and through
// several tokens if each is the most likely one, without waiting for other threads.

#include <algorithm>
#include <iterator>
#include <numeric>
#include <vector>

#include "attention.h"
#include "gpt.h"

namespace {

// Rows whose vectors stay in the L1 and L2 caches during linear layers and attention.
constexpr int64_t BLOCK = 32;

// Rows that a thread takes through a layer, for which it reads the weights once. With several steps there are fewer,
// so that their past stays in the L3 cache.
constexpr int64_t CHUNK = 256, CHUNK_OF_STEPS = 32;

// Memory for one chunk, which each thread reuses for later calls.
struct Scratch {
    std::vector<float> memory;
    float *x, *qkv, *attention, *normed, *hidden, *scores;

    // Room for the rows of a chunk, for those of a block, and for the scores of a block's units.
    void reserve(const GPTWeights& model, const ForwardCall& call, int64_t rows, int64_t block, int64_t score_rows) {
        const GPTLayerWeights& layer = model.layer[0];
        const int64_t pages = call.closed_pages + 2, scores_width = model.shape.heads * pages * model.shape.lanes;
        const int64_t hidden_width = std::max(layer.mlp_in.outputs, call.heads ? call.heads->outputs : 0);
        const int64_t sizes[] = {
            rows * layer.projection.outputs,  rows * layer.qkv.outputs, rows * layer.projection.inputs,
            block * layer.projection.outputs, block * hidden_width,     score_rows * scores_width};
        const int64_t total = std::accumulate(std::begin(sizes), std::end(sizes), int64_t(0));
        if ((int64_t)memory.size() < total) memory.resize(total);
        float** parts[] = {&x, &qkv, &attention, &normed, &hidden, &scores};
        float* next = memory.data();
        for (int i = 0; i < 6; next += sizes[i++]) *parts[i] = next;
    }
};

// A chunk of units at one step of the forward pass.
struct Chunk {
    const GPTWeights& model;
    const ForwardCall& call;
    const int32_t* units;  // (count,)
    int64_t count, step;
    const Scratch& scratch;

    const PageShape& shape = model.shape;
    const int64_t span = call.span, rows = count * span, padded = round_up(rows, TILE);
    const int64_t stride = model.layer[0].projection.outputs, qkv_stride = model.layer[0].qkv.outputs;
    const int64_t attention_stride = model.layer[0].projection.inputs, hidden_stride = model.layer[0].mlp_in.outputs;
    const int64_t column = call.column + step;
    const bool has_shared = call.split > 0, has_private = call.keeps || column > call.split;
    const int64_t length = (call.closed_pages + has_shared + has_private) * shape.lanes;
    const int64_t head_stride = shape.columns * shape.head_width;  // from one head's values to the next's

    void run() {
        embed();
        for (int64_t layer = 0; layer < model.layers; ++layer) {
            project(layer);
            if (call.keeps) keep(layer);
            if (layer + 1 == model.layers && !call.heads) return;
            attend(layer);
            finish(layer);
        }
        predict();
    }

    // Calls `visit(first, count)` for blocks of rows, padded to whole tiles.
    template <class Visit>
    void for_each_block(Visit visit) const {
        for (int64_t first = 0; first < padded; first += BLOCK) visit(first, std::min(BLOCK, padded - first));
    }

    void embed() {
        std::fill(scratch.x, scratch.x + padded * stride, 0.0f);
        for (int64_t row = 0; row < rows; ++row) {
            const int64_t i = row % span, unit = units[row / span];
            const int64_t token = step ? call.chosen[unit * (call.steps - 1) + step - 1] : call.tokens[unit * span + i];
            const float* embedded = model.embedding + (call.first_row[step + i] + token) * model.width;
            const float* position = model.positions + call.position[step + i] * model.width;
            for (int64_t j = 0; j < model.width; ++j) scratch.x[row * stride + j] = embedded[j] + position[j];
        }
    }

    // Queries, keys and values.
    void project(int64_t layer) {
        for_each_block([&](int64_t first, int64_t count) {
            normalize(scratch.x + first * stride, scratch.normed, count, model.width, stride);
            apply(model.layer[layer].qkv, scratch.normed, stride, count,
                  store_into(scratch.qkv + first * qkv_stride, qkv_stride));
        });
    }

    // The block after attention: projection, feed-forward network, and both residuals.
    void finish(int64_t layer) {
        const GPTLayerWeights& weights = model.layer[layer];
        for_each_block([&](int64_t first, int64_t count) {
            float* x = scratch.x + first * stride;
            apply(weights.projection, scratch.attention + first * attention_stride, attention_stride, count,
                  add_to(x, stride));
            normalize(x, scratch.normed, count, model.width, stride);
            apply(weights.mlp_in, scratch.normed, stride, count, [this](int64_t row, int64_t output, Floats sums) {
                store(scratch.hidden + row * hidden_stride + output, gelu(sums));
            });
            apply(weights.mlp_out, scratch.hidden, hidden_stride, count, add_to(x, stride));
        });
    }

    // The next token of each unit: the most likely one if there is another step, else its logits.
    void predict() {
        const PackedLinear& head = call.heads[step];
        for_each_block([&](int64_t first, int64_t count) {
            normalize(scratch.x + first * stride, scratch.normed, count, model.width, stride);
            apply(head, scratch.normed, stride, count, store_into(scratch.hidden, head.outputs));
            for (int64_t row = first; row < std::min(first + count, rows); ++row) {
                const float* logits = scratch.hidden + (row - first) * head.outputs;
                const int64_t unit = units[row / span];
                if (step + 1 < call.steps)
                    call.chosen[unit * (call.steps - 1) + step] =
                        std::max_element(logits, logits + call.outputs) - logits;
                else if (row % span == span - 1)
                    std::copy(logits, logits + call.outputs, call.logits + unit * call.outputs);
            }
        });
    }

    float* private_page(int64_t layer, int64_t unit) const {
        return call.target.at(shape, layer, call.private_page[units[unit]]);
    }

    // The end of the columns of the private page that a row sees.
    int64_t end(int64_t row) const { return column + (call.keeps ? row % span + 1 : 0); }

    const float* query(int64_t row, int64_t head) const {
        return scratch.qkv + row * qkv_stride + head * shape.head_width;
    }

    float* attention(int64_t row, int64_t head) const {
        return scratch.attention + row * attention_stride + head * shape.head_width;
    }

    // Scores of one block of units at a time, whose first row is `start`.
    float* scores(int64_t row, int64_t start, int64_t head, int64_t part) const {
        return scratch.scores + ((row - start) * shape.heads + head) * length + part * shape.lanes;
    }

    // Stores the rows' keys and values, which follow the queries.
    void keep(int64_t layer) {
        for (int64_t row = 0; row < rows; ++row) {
            float* page = private_page(layer, row / span);
            for (int64_t head = 0; head < shape.heads; ++head)
                write_token(shape, page, call.target.closed, head, column + row % span, query(row, shape.heads + head),
                            query(row, 2 * shape.heads + head));
        }
    }

    void attend(int64_t layer) {
        const int64_t each = std::max<int64_t>(1, BLOCK / span);
        for (int64_t unit = 0; unit < count; unit += each) {
            const int64_t last_unit = std::min(unit + each, count), first = unit * span, last = last_unit * span;
            for_each_page(layer, unit, last_unit, [&](auto... seen) { score(first, seen...); });
            for (int64_t row = first; row < last; ++row) {
                for (int64_t head = 0; head < shape.heads; ++head) softmax(scores(row, first, head, 0), length);
                std::fill(attention(row, 0), attention(row, shape.heads), 0.0f);
            }
            for_each_page(layer, unit, last_unit, [&](auto... seen) { add_values(first, seen...); });
        }
    }

    // Calls `visit(pages, page, first row, row after the last, part, first column, column after the last)` for all
    // pages that the rows of units [first, last) see; rows that share a page are visited together.
    template <class Visit>
    void for_each_page(int64_t layer, int64_t first, int64_t last, Visit visit) {
        for (int64_t part = 0; part < call.closed_pages; ++part)
            for_shared_pages(first, last, call.block_table + part, call.closed_pages,
                    [&](int32_t page, int64_t from, int64_t to) {
                        visit(call.closed, call.closed.at(shape, layer, page), from, to, part, 0, shape.columns);
                    });
        if (has_shared)
            for_shared_pages(first, last, call.shared_page, 1, [&](int32_t page, int64_t from, int64_t to) {
                visit(call.open, call.open.at(shape, layer, page), from, to, call.closed_pages, 0, call.split);
            });
        for (int64_t row = first * span; has_private && row < last * span; ++row)
            visit(call.target, private_page(layer, row / span), row, row + 1, call.closed_pages + has_shared,
                  call.split, end(row));
    }

    // Calls `visit(page, first row, row after the last)` for neighbours that share a page.
    template <class Visit>
    void for_shared_pages(int64_t first, int64_t last, const int32_t* pages, int64_t page_stride, Visit visit) const {
        for (int64_t next = first; first < last; first = next) {
            const int32_t page = pages[units[first] * page_stride];
            while (next < last && pages[units[next] * page_stride] == page) ++next;
            visit(page, first * span, next * span);
        }
    }

    // Scores of rows that share a page, of which they see columns [from, to).
    void score(int64_t start, const PagePool& pages, const float* page, int64_t first, int64_t last, int64_t part,
               int64_t from, int64_t to) {
        for (int64_t head = 0; head < shape.heads; ++head) {
            const float* keys = page + head * (pages.closed ? shape.head_dim * shape.lanes : head_stride);
            if (pages.closed)
                for_each_group(first, last, [&](int64_t row, auto group) {
                    score_components<group()>(shape, query(row, head), qkv_stride, keys, scores(row, start, head, part),
                                              shape.heads * length);
                });
            for (int64_t row = first; row < last; ++row) {
                float* place = scores(row, start, head, part);
                if (!pages.closed) score_tokens(shape, query(row, head), keys, from, to, place);
                for (int64_t c = 0; c < from; ++c) place[c] = -INFINITY;
                for (int64_t c = to; c < shape.lanes; ++c) place[c] = -INFINITY;
            }
        }
    }

    // Adds the weighted values of a page that rows share to their attention outputs.
    void add_values(int64_t start, const PagePool& pages, const float* page, int64_t first, int64_t last, int64_t part,
             int64_t from, int64_t to) {
        const float* values = page + shape.keys(pages.closed);
        for (int64_t head = 0; head < shape.heads; ++head, values += head_stride)
            for_each_group(first, last, [&](int64_t row, auto group) {
                add_weighted_values<group()>(shape, scores(row, start, head, part), shape.heads * length, values, from,
                                             to, attention(row, head), attention_stride);
            });
    }
};

// Takes `count` units through all layers, once per step.
void run_chunk(const GPTWeights& model, const ForwardCall& call, const int32_t* units, int64_t count) {
    static thread_local Scratch scratch;
    const int64_t rows = round_up(count * call.span, TILE), score_units = std::max<int64_t>(1, BLOCK / call.span);
    scratch.reserve(model, call, rows, std::min(rows, BLOCK), std::min(count, score_units) * call.span);
    for (int64_t step = 0; step < call.steps; ++step) Chunk{model, call, units, count, step, scratch}.run();
}

}  // namespace

extern "C" {

int64_t lanes() { return LANES; }

int64_t panel() { return PANEL; }

int64_t page_size(const PageShape* shape, bool closed) { return shape->page(closed); }

int64_t call_size() { return sizeof(ForwardCall); }

int64_t model_size() { return sizeof(GPTWeights); }

// Takes units through the model.
void forward(const GPTWeights* model, const ForwardCall* call, int threads) {
    const int64_t per_thread = (call->units + threads - 1) / threads;
    const int64_t most = (call->steps > 1 ? CHUNK_OF_STEPS : CHUNK) / call->span;
    const int64_t each = std::max<int64_t>(1, std::min(per_thread, most)), chunks = (call->units + each - 1) / each;
#pragma omp parallel for schedule(dynamic, 1) num_threads(threads)
    for (int64_t chunk = 0; chunk < chunks; ++chunk)
        run_chunk(*model, *call, call->order + chunk * each, std::min(each, call->units - chunk * each));
}

// Copies the first `split` columns of open page shared[i], and columns [split, filled) of open page private_[i], to
// page to[i] of `into`.
void join(const GPTWeights* model, const PagePool* open, const PagePool* into, int64_t count, const int32_t* shared,
          const int32_t* private_, const int32_t* to, int64_t split, int64_t filled, int threads) {
    const PageShape& shape = model->shape;
#pragma omp parallel for schedule(static) num_threads(threads)
    for (int64_t job = 0; job < count * model->layers; ++job) {
        const int64_t layer = job / count, i = job % count;
        for (int64_t c = 0; c < filled; ++c) {
            const float *keys = open->at(shape, layer, c < split ? shared[i] : private_[i]),
                        *values = keys + shape.keys(false);
            for (int64_t head = 0; head < shape.heads; ++head) {
                const int64_t place = (head * shape.columns + c) * shape.head_width;
                write_token(shape, into->at(shape, layer, to[i]), into->closed, head, c, keys + place, values + place);
            }
        }
    }
}
}
