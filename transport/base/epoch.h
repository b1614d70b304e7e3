/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Readers without locks, and when what they may hold can be freed; the essay is in epoch.c.
 *
 * A reader enters, loads a pointer, uses what it points at, and leaves. A writer takes the pointer
 * away, notes a mark, and frees what it pointed at once epoch_passed() says that every reader who
 * was inside at the mark has left.
 *
 * Pointers that readers follow are atomic, and both sides use the plain forms (atomic_load,
 * atomic_store): the order of all such operations is what makes it right.
 */
#ifndef CENOTE_BASE_EPOCH_H
#define CENOTE_BASE_EPOCH_H

#include <stdbool.h>
#include <stdint.h>

struct epoch;

/* NULL: no memory. */
struct epoch *epoch_new(void);
/* Nobody may be inside, unless in a forked child, where the parent's threads don't exist. */
void epoch_free(struct epoch *e);

/* Wait-free, any thread; one thread may be inside several times. The ticket is for epoch_leave(),
 * which is called on the same thread or another. */
unsigned epoch_enter(struct epoch *e);
void epoch_leave(struct epoch *e, unsigned ticket);

/* After something has been taken away: names the readers who may still hold it. */
uint64_t epoch_mark(struct epoch *e);
/* Have they left? Never waits. */
bool epoch_passed(struct epoch *e, uint64_t mark);
/* Waits until they have; the caller is not inside. For readers who are inside for moments only. */
void epoch_wait(struct epoch *e, uint64_t mark);

#endif
