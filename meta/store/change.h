/* SPDX-License-Identifier: Apache-2.0 */
/* A submitted change with its own copy of all bytes, and lists of them. */
#ifndef CENOTE_META_STORE_CHANGE_H
#define CENOTE_META_STORE_CHANGE_H

#include "meta/core/store.h"

struct change {
    struct change *next;
    void (*done)(void *arg, int status);
    void *arg;
    int status;   /* what done() gets */
    bool refused; /* by submit: status is final, there are no writes */
    bool frees, sync;
    uint32_t count;
    size_t size_bytes;           /* of this allocation */
    struct store_write writes[]; /* the keys' and values' bytes follow */
};

struct change_list {
    struct change *first, *last;
    size_t size_bytes;
};

/* Bytes of a copy. */
size_t change_size(const struct store_change *from);
/* NULL: no memory. Freed with free(). */
struct change *change_copy(const struct store_change *from);
/* Makes c, of at least sizeof(*c), the refusal of a change. */
void change_refuse(struct change *c, const struct store_change *from, int status);

void change_append(struct change_list *list, struct change *c);
/* Moves all of from behind the end of list. */
void change_splice(struct change_list *list, struct change_list *from);
/* NULL when it is empty. */
struct change *change_pop(struct change_list *list);

#endif
