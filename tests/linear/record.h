/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a client's threads did, in a file that is mapped shared: it survives the client's death by
 * kill -9, and says which operation each thread was in. Times are CLOCK_MONOTONIC, which all
 * processes of a machine share.
 */
#ifndef CENOTE_TESTS_LINEAR_RECORD_H
#define CENOTE_TESTS_LINEAR_RECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "tests/linear/linear.h"

#define RECORD_THREADS_MAX 32u
#define RECORD_PREFIX_MAX  64u

struct record_op {
    uint64_t invoked_ns;
    uint64_t returned_ns; /* 0: not yet. Written last */
    uint64_t value;
    uint32_t key; /* its number */
    int32_t status;
    uint32_t kind; /* enum linear_kind */
    bool present;  /* the answer of LINEAR_EXISTS */
};

struct record; /* a file, mapped */

/* keys: the text before their number. NULL: errno says why. */
struct record *record_new(const char *path, const char *keys, uint32_t threads, uint32_t room);
struct record *record_open(const char *path);
void record_close(struct record *r);

/* Before an operation. NULL: the thread's room is used up. */
struct record_op *record_invoke(struct record *r, uint32_t thread, enum linear_kind kind,
                                uint32_t key, uint64_t value);
/* After it. */
void record_return(struct record_op *op, int status);

/* Writes the history as JSON; see tests/linear/README.md. */
void record_print(const struct record *r, FILE *out);

#endif
