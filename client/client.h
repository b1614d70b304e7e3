/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the public functions share: the way into a client, and the checks of their arguments.
 */
#ifndef CENOTE_CLIENT_CLIENT_H
#define CENOTE_CLIENT_CLIENT_H

#include <cenote/cenote.h>

#include "client/shards.h"

/* CENOTE_OK and the services; CENOTE_INVALID for NULL; CENOTE_FORKED in a child of the process that
 * opened the client. */
int client_enter_shards(struct cenote *client, struct shards **out);
/* The same, and the driver of the client's home, for what isn't about a key. */
int client_enter(struct cenote *client, struct drive **out);

/* What the client has done. */
struct tally *client_tally(const struct cenote *client);

/* A namespace's. NULL is accepted, and isn't. */
bool client_name_valid(const char *name);
/* Another one with the same options, but in this namespace. */
int client_open_within(const struct cenote *client, const char *name_space, struct cenote **out);

/* CENOTE_OK or CENOTE_KEY_SIZE; CENOTE_INVALID for a NULL. */
int client_check_key(const struct cenote_key *key);
int client_check_keys(const struct cenote_key *keys, size_t count);
/* CENOTE_OK, CENOTE_INVALID (a NULL piece that isn't empty), CENOTE_VALUE_SIZE (more than a value
 * can ever have). */
int client_check_buffers(const struct cenote_buffer *buffers, size_t count);
/* Of whole batches; CENOTE_INVALID too for more than CENOTE_BATCH_MAX, and for unknown flags. */
int client_check_gets(const struct cenote_get_item *items, size_t count);
int client_check_puts(const struct cenote_put_item *items, size_t count, unsigned flags);
/* Asks stat about one key; read takes its item and returns a status. */
int client_stat(struct cenote *client, const struct cenote_key *key,
                int (*read)(struct wire_value v, void *out), void *out);
/* CENOTE_OK or CENOTE_INVALID. */
int client_check_put_flags(unsigned flags);

#endif
