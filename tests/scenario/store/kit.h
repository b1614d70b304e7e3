/* SPDX-License-Identifier: Apache-2.0 */
/* What the store's scenarios share. Every failed check ends the program. */
#ifndef CENOTE_TESTS_SCENARIO_STORE_KIT_H
#define CENOTE_TESTS_SCENARIO_STORE_KIT_H

#include <stdio.h>
#include <stdlib.h>

#include "meta/store/lmdb.h"

#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);                        \
            exit(1);                                                                               \
        }                                                                                          \
    } while (0)

/* A fresh directory's name below /tmp, which isn't made yet: kit_dir/store. */
void kit_dir_make(char out[64]);
void kit_dir_remove(const char *dir);

/* Keeps the last error of the log instead of printing it; kit_said() looks for words in it. */
void kit_log_keep(void);
bool kit_said(const char *words);

/* Completions. Zero-fill. */
struct kit_tally {
    unsigned done, ok, full, io;
};
void kit_done(void *arg, int status);

/* Keys are 8 bytes, big-endian; a value begins with its key and goes on with a byte of it. */
struct kit_key {
    unsigned char b[8];
};
struct kit_key kit_key_of(uint64_t n);
uint64_t kit_key_number(const void *key, uint32_t key_len);
void kit_value_fill(uint64_t n, void *out, uint32_t len_bytes);
bool kit_value_valid(uint64_t n, const void *value, uint32_t len_bytes);

enum kit_flags { KIT_FREES = 1, KIT_SYNC = 2, KIT_REMOVE = 4 };

/* One change of one write. */
void kit_submit(struct store *s, enum store_tree tree, uint64_t n, uint32_t len_bytes, int flags,
                struct kit_tally *tally);
/* Waits until that many are done. */
void kit_wait(struct store *s, const struct kit_tally *tally, unsigned done);
/* Submits and waits; its status. */
int kit_put(struct store *s, enum store_tree tree, uint64_t n, uint32_t len_bytes, int flags);
/* Number of keys in a tree; each value must be valid. */
unsigned kit_count(struct store *s, enum store_tree tree);
/* Is the value of n there, and valid? */
bool kit_has(struct store *s, enum store_tree tree, uint64_t n);

struct store *kit_open(const char *dir, const struct store_lmdb_options *options);
/* The status of an open that must fail. */
int kit_refused(const char *dir, const struct store_lmdb_options *options);

/* Runs body in a child that has a tmpfs of its own at dir; false (and a loud line): impossible. */
bool kit_in_tmpfs(const char *dir, const char *size, void (*body)(const char *dir));

#endif
