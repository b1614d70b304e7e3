/* SPDX-License-Identifier: Apache-2.0 */
/* One valid message of each kind, with its encoder and its decoder. */
#ifndef CENOTE_TESTS_UNIT_STUB_SAMPLES_H
#define CENOTE_TESTS_UNIT_STUB_SAMPLES_H

#include "meta/stub/messages.h"

struct sample {
    const char *name;
    void (*put)(struct wire_buf *b);   /* a valid message */
    bool (*get)(struct wire_value v);  /* decodes and, where it succeeds, reads all that it got */
    bool (*same)(struct wire_value v); /* decodes, and finds what put wrote */
};

extern const struct sample samples[];
extern const size_t sample_count;

#endif
