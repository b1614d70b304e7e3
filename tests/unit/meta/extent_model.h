/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What design.md §6 demands, watched from outside: of every extent that was ever granted, whether a
 * writer may still write to it, whether its seal is void, whether somebody looks at it, and until
 * when a reader may rely on it. An extent may overlap an older one only when all four say so.
 */
#ifndef CENOTE_TESTS_EXTENT_MODEL_H
#define CENOTE_TESTS_EXTENT_MODEL_H

#include "tests/support/metaworld.h"

struct watched {
    uint64_t gva, size;
    uint64_t put_id, session;
    uint32_t index; /* in its put: stripe by stripe, replica by replica */
    uint32_t stripe, stripes;
    bool writer_done;
    bool visible; /* its client told so when it committed */
    bool is_void;
    bool held;
    uint64_t lease_until_ms;
};

struct extent_model {
    struct watched *extents;
    uint32_t count, room;
    uint64_t reuses; /* extents that came back, rightly */
    unsigned faults;
};

/* A put_start was answered with these stripes. */
void model_granted(struct extent_model *m, uint64_t now_ms, uint64_t session, uint64_t put_id,
                   const struct stripe *stripes, uint32_t count);
/* The client of a put writes no more to this extent. */
void model_writer_done(struct extent_model *m, uint64_t put_id, uint32_t index);
/* It commits the put with this extent. */
void model_visible(struct extent_model *m, uint64_t put_id, uint32_t index);
/* A lookup was answered with these stripes. */
void model_leased(struct extent_model *m, uint64_t put_id, const struct stripe *stripes,
                  uint32_t count, uint64_t until_ms);
/* Somebody begins (or ends) to look at an extent that he has just looked up. */
void model_held(struct extent_model *m, uint64_t gva, bool held);
/* Another object of the key, or none, has been answered for: no reader may accept this one. */
void model_superseded(struct extent_model *m, uint64_t now_ms, uint64_t put_id);
/* A node has answered a call. */
void model_replied(struct extent_model *m, const struct end *node, const struct call *call);

#endif
