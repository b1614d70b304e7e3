/* SPDX-License-Identifier: Apache-2.0 */
/* The cases of the contract suite; each gets a fresh node and leaves nothing behind. */
#ifndef CENOTE_TESTS_CONTRACT_CASES_H
#define CENOTE_TESTS_CONTRACT_CASES_H

#include "tests/contract/rig.h"

#define CONTRACT_CASES(X)                                                                          \
    X(sizes)                                                                                       \
    X(scattered)                                                                                   \
    X(ranges)                                                                                      \
    X(write_in_parts)                                                                              \
    X(parts_by_many)                                                                               \
    X(part_and_list)                                                                               \
    X(unmapped)                                                                                    \
    X(pipelined)                                                                                   \
    X(bad_requests)                                                                                \
    X(out_of_range)                                                                                \
    X(connect_refused)                                                                             \
    X(wrong_grant)                                                                                 \
    X(other_session)                                                                               \
    X(stale)                                                                                       \
    X(fence_between_writes)                                                                        \
    X(fence_half_way)                                                                              \
    X(fence_passes_by)                                                                             \
    X(fence_storm)                                                                                 \
    X(writer_killed)                                                                               \
    X(writer_forgets)                                                                              \
    X(writer_outlives_node)                                                                        \
    X(writer_unseen)                                                                               \
    X(hold)                                                                                        \
    X(hold_refused)                                                                                \
    X(hold_all)                                                                                    \
    X(hold_race)                                                                                   \
    X(hold_outlives_node)                                                                          \
    X(holder_killed)                                                                               \
    X(node_killed)                                                                                 \
    X(cancel)                                                                                      \
    X(stop_in_flight)                                                                              \
    X(segment_added)                                                                               \
    X(segment_added_without_descriptors)                                                           \
    X(threads)                                                                                     \
    X(thousand_connects)                                                                           \
    X(garbage)                                                                                     \
    X(silence)

#define CONTRACT_DECLARE(name) void case_##name(struct rig *r);
CONTRACT_CASES(CONTRACT_DECLARE)

#endif
