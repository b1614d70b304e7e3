/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the fuzz targets share. Targets that play a whole story take their input as a list of
 * records: [tag][aim][length, 2 bytes, little-endian][body]. A record that is cut short ends where
 * the input ends. What tags and aims mean is the target's; bodies are mostly MessagePack, which
 * mutate.c knows how to change from inside.
 */
#ifndef CENOTE_TESTS_FUZZ_H
#define CENOTE_TESTS_FUZZ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "transport/wire/wire.h"

#define FUZZ_RECORD_HEAD 4u
#define FUZZ_RECORDS_MAX 32u /* of one input; more are ignored */

struct fuzz_input {
    const uint8_t *at;
    size_t left;
    unsigned records; /* taken so far */
};

struct fuzz_record {
    uint8_t tag, aim;
    const uint8_t *body;
    size_t len;
};

/* With CENOTE_FUZZ_LOG in the environment, log lines are shown from here on. */
struct fuzz_input fuzz_input(const uint8_t *data, size_t size);

/* False: that was all. */
bool fuzz_next(struct fuzz_input *in, struct fuzz_record *out);

/* A body as a value. False: it is none; otherwise wire_msg_free(holder). */
bool fuzz_value(const struct fuzz_record *r, struct wire_msg *holder, struct wire_value *out);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#endif
