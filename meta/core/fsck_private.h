/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of fsck share. */
#ifndef CENOTE_META_FSCK_PRIVATE_H
#define CENOTE_META_FSCK_PRIVATE_H

#include "meta/core/core.h"
#include "meta/core/fsck.h"
#include "meta/core/objects.h"

/* It seems odd. name may be NULL. */
void fsck_suspect(struct core *c, enum fsck_kind kind, uint64_t put_id, struct gva gva,
                  const struct names_key *name);
/* The record of a put: CENOTE_OK, CENOTE_NOT_FOUND; CENOTE_IO: it can't be read. */
int fsck_record(struct core *c, uint64_t put_id, struct record *out);
/* Does the object's name lead to it? o is committed. */
bool fsck_is_named(struct core *c, const struct object *o, struct names_key *name);
/* Is a part of the extent free space? */
bool fsck_is_free(const struct core *c, const struct piece *p);

/* Is it one of a committed object's extents? */
bool fsck_is_served(const struct core *c, uint64_t put_id, struct gva gva);

/* fsck_nodes.c: true when the nodes have been read; when all suspects of theirs were asked about.
 */
bool fsck_nodes_step(struct core *c);
bool fsck_again_step(struct core *c);
void fsck_nodes_begin(struct core *c);
/* If it can be asked; else NULL. */
struct node *fsck_node(const struct core *c, uint64_t id);

/* fsck_confirm.c: what is odd still; mends it. */
void fsck_confirm(struct core *c);

#endif
