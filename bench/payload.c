/* SPDX-License-Identifier: Apache-2.0 */
#include "bench/payload.h"

#include <string.h>

/* The finaliser of SplitMix64 (Steele, Lea, Flood: Fast splittable pseudorandom number generators,
 * OOPSLA 2014): a bijection, so different (id, i) give different words. */
static uint64_t word(uint64_t id, size_t i)
{
    uint64_t z = (id << 32 | (uint64_t)i) + UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

void payload_fill(uint64_t id, uint8_t *out, size_t len_bytes)
{
    size_t words = len_bytes / sizeof(uint64_t);

    for (size_t i = 0; i < words; i++) {
        uint64_t w = word(id, i);
        memcpy(out + i * sizeof w, &w, sizeof w);
    }
    uint64_t last = word(id, words);
    memcpy(out + words * sizeof last, &last, len_bytes % sizeof last);
}

bool payload_is(uint64_t id, const uint8_t *data, size_t len_bytes)
{
    size_t words = len_bytes / sizeof(uint64_t);
    uint64_t differs = 0;

    for (size_t i = 0; i < words; i++) {
        uint64_t w;
        memcpy(&w, data + i * sizeof w, sizeof w);
        differs |= w ^ word(id, i);
    }
    uint64_t last = word(id, words);
    return differs == 0 && memcmp(data + words * sizeof last, &last, len_bytes % sizeof last) == 0;
}
