/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The gateway's clients: one for each namespace in use, opened when it is asked for, and closed
 * when it has been idle for a while, so that nothing keeps a namespace from being removed. Workers
 * only: opening one waits.
 */
#ifndef CENOTE_GATEWAY_SPACES_H
#define CENOTE_GATEWAY_SPACES_H

#include <cenote/cenote.h>

#define SPACES_MAX     16u
#define SPACES_IDLE_MS 2000u

struct spaces;
struct space;

/* meta: copied. NULL: no memory. */
struct spaces *gateway_spaces_new(const char *meta);
void gateway_spaces_free(struct spaces *s);

/* CENOTE_OK, and *out is kept until gateway_space_give(). CENOTE_NOT_FOUND: there is no such
 * namespace; CENOTE_LIMIT: SPACES_MAX others are busy; or what cenote_open() answers. */
int gateway_space_take(struct spaces *s, const char *name, struct space **out);
/* Any thread; NULL is accepted. */
void gateway_space_give(struct space *space);
struct cenote *gateway_space_client(const struct space *space);

/* Closes those that are idle. Are there others? */
bool gateway_spaces_tidy(struct spaces *s);

#endif
