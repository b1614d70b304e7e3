/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Private to transport/base: libxxhash, by its dispatcher where there is one, which picks SSE2,
 * AVX2 or AVX-512 at run time. The dispatcher's first call fills a table without a lock, so
 * hash_init() makes that call for everybody; it must come before any other.
 */
#ifndef CENOTE_BASE_XXH3_H
#define CENOTE_BASE_XXH3_H

#define XXH_STATIC_LINKING_ONLY /* XXH3_state_t as a complete type */
#if defined(__x86_64__) && __has_include(<xxh_x86dispatch.h>)
#include <xxh_x86dispatch.h>
#else
#include <xxhash.h>
#endif

#endif
