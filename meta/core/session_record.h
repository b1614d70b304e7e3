/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the store knows of a session:
 *
 *   session                -> its namespace and the name of its client, from its beginning to its
 *                             end: only who has one can be resumed
 *   session, slot, item    -> an answer of its window: of a put_start (item 0) the put ids, of the
 *                             others one record for each item that it has done
 *
 * Answers are drafted into the change that has the effect. A slot's records of an earlier call are
 * overwritten or stay behind; the number in them tells.
 */
#ifndef CENOTE_META_SESSION_RECORD_H
#define CENOTE_META_SESSION_RECORD_H

#include "meta/core/sessions.h"
#include "meta/core/window.h"

/* Removals of records in one change. */
#define SESSION_FORGET_MAX 4096u

void session_record_open(struct core *c, const struct session *s);
/* For the change that makes the puts PENDING; the call has its statuses. */
void session_record_started(struct core *c, struct session *s, const struct numbered *n);
/* For the change that does an item of any other call whose answers are stored. */
void session_record_item(struct core *c, struct session *s, const struct numbered *n,
                         uint32_t item);
/* The end: the session's own record first, with as many answers as a change takes. True: that was
 * the last of them. s->forget_slot says where to go on. */
bool session_record_forget(struct core *c, struct session *s);

/* Whose record has this key, and which; 0: it is no such key. */
#define SESSION_RECORD_OWN UINT32_MAX /* in place of the slot */
uint64_t session_record_id(const void *key, uint32_t key_len, uint32_t *slot, uint32_t *item);

/* Makes the sessions and their windows. Answers without a session are of one that was being
 * forgotten: it is made as one that has ended. */
int session_records_load(struct core *c);

#endif
