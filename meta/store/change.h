/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A submitted change with its own copy of all bytes, and lists of them.
 *
 * Copies lie one behind the other in blocks: tens of thousands of them are made and freed each
 * second, roughly in their order, and the writer reads them in that order. A block goes when its
 * last change does; one is kept. Making and freeing is the owner's thread's.
 */
#ifndef CENOTE_META_STORE_CHANGE_H
#define CENOTE_META_STORE_CHANGE_H

#include "meta/core/store.h"

struct change_block;

/* Larger ones have an allocation of their own. */
#define CHANGE_SMALL_MAX 4096u

struct change_room {
    struct change_block *filling; /* NULL: none */
    struct change_block *spare;   /* NULL: none */
};
void change_room_free(struct change_room *room); /* all changes must be freed */

struct change {
    struct change *next;
    struct change_block *block; /* NULL: malloced by itself */
    void (*done)(void *arg, int status);
    void *arg;
    int status;   /* what done() gets */
    bool refused; /* by submit: status is final, there are no writes */
    bool frees, sync;
    uint32_t count;
    size_t size_bytes;           /* of this copy */
    struct store_write writes[]; /* the keys' and values' bytes follow */
};

struct change_list {
    struct change *first, *last;
    size_t size_bytes;
};

/* Bytes of a copy. */
size_t change_size(const struct store_change *from);
/* NULL: no memory. */
struct change *change_copy(struct change_room *room, const struct store_change *from);
/* A copy, or a refusal that was malloced. */
void change_free(struct change_room *room, struct change *c);
/* Makes c, of at least sizeof(*c), the refusal of a change. */
void change_refuse(struct change *c, const struct store_change *from, int status);

void change_append(struct change_list *list, struct change *c);
/* Moves all of from behind the end of list. */
void change_splice(struct change_list *list, struct change_list *from);
/* NULL when it is empty. */
struct change *change_pop(struct change_list *list);

#endif
