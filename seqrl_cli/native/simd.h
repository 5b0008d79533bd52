// Vectors of floats as wide as the processor's, by GCC's vector extension, and functions of them.

#pragma once

#include <cmath>
#include <cstdint>
#include <initializer_list>

#if defined(__AVX512F__)
constexpr int LANES = 16;
#elif defined(__AVX__)
constexpr int LANES = 8;
#else
constexpr int LANES = 4;
#endif

typedef float Floats __attribute__((vector_size(LANES * sizeof(float))));
typedef int32_t Ints __attribute__((vector_size(LANES * sizeof(int32_t))));

// The same at any address.
typedef float Unaligned __attribute__((vector_size(LANES * sizeof(float)), aligned(4), may_alias));

inline Floats load(const float* from) { return *(const Unaligned*)from; }

inline void store(float* to, Floats x) { *(Unaligned*)to = x; }

inline Floats broadcast(float x) { return x - Floats{}; }

inline Floats larger(Floats a, Floats b) { return a > b ? a : b; }

inline Floats absolute(Floats x) { return (Floats)((Ints)x & 0x7fffffff); }

// Combines each half of the vector with the other, then quarters, and so on, until one number is left.
template <class Combine>
inline float fold(Floats x, Combine combine) {
#pragma GCC unroll 4
    for (int distance = LANES / 2; distance > 0; distance /= 2) {
        Ints lane;
        for (int i = 0; i < LANES; ++i) lane[i] = i ^ distance;
        x = combine(x, __builtin_shuffle(x, lane));
    }
    return x[0];
}

inline float sum(Floats x) {
    return fold(x, [](Floats a, Floats b) { return a + b; });
}

inline float largest(Floats x) { return fold(x, larger); }

typedef float Fours __attribute__((vector_size(16)));

// The sums of four vectors, folded together.
inline Fours sums(const Floats (&x)[4]) {
    Ints even, odd;  // lanes of two vectors side by side
    Floats pairs[2], all_four;
    for (int i = 0; i < LANES; ++i) {
        even[i] = 2 * i;
        odd[i] = even[i] + 1;
    }
    for (int i = 0; i < 2; ++i)
        pairs[i] = __builtin_shuffle(x[2 * i], x[2 * i + 1], even) + __builtin_shuffle(x[2 * i], x[2 * i + 1], odd);
    all_four = __builtin_shuffle(pairs[0], pairs[1], even) + __builtin_shuffle(pairs[0], pairs[1], odd);
    // now a quarter of the lanes belongs to each vector
    Fours totals{};
    for (int i = 0; i < 4; ++i)
        for (int lane = 0; lane < LANES / 4; ++lane) totals[i] += all_four[i * (LANES / 4) + lane];
    return totals;
}

// e^x for x <= 88, to two units in the last place; 0 below -87, where a float would lose digits.
inline Floats exponential(Floats x) {
    const Floats magic = broadcast(12582912.0f);  // 1.5 * 2^23: adding it rounds to whole numbers
    Floats shifted = x * 1.44269504f + magic, whole = shifted - magic;
    Floats rest = x - whole * 0.693359375f + whole * 2.12194440e-4f;  // ln 2 in two parts, the first exact
    Floats series = broadcast(1.0f / 5040);
    for (float factor : {1.0f / 720, 1.0f / 120, 1.0f / 24, 1.0f / 6, 0.5f, 1.0f, 1.0f})
        series = series * rest + factor;
    Ints power = ((Ints)shifted - (Ints)magic) << 23;
    return x < -87.0f ? Floats{} : (Floats)((Ints)series + power);
}

// GELU in its exact form, x Phi(x); erf by Abramowitz and Stegun, 7.1.26, whose error is below 1.5e-7.
inline Floats gelu(Floats x) {
    Floats z = absolute(x) * 0.70710678f;
    Floats t = 1.0f / (1.0f + 0.3275911f * z), series = broadcast(1.061405429f);
    for (float factor : {-1.453152027f, 1.421413741f, -0.284496736f, 0.254829592f}) series = series * t + factor;
    Floats tail = 0.5f * series * t * exponential(-z * z);  // Phi(-|x|)
    return x * (x < 0.0f ? tail : 1.0f - tail);
}

// SiLU, x / (1 + e^-x).
inline Floats silu(Floats x) {
    Floats tail = exponential(-absolute(x)), positive = 1.0f / (1.0f + tail);
    return x * (x < 0.0f ? tail * positive : positive);
}
