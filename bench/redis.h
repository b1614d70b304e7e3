/* SPDX-License-Identifier: Apache-2.0 */
/* A client of Redis (or what speaks its protocol) that scatters values as the others do. */
#ifndef CENOTE_BENCH_REDIS_H
#define CENOTE_BENCH_REDIS_H

#include <cenote/cenote.h>
#include <stdbool.h>

/* A connected socket, negative when nobody answers. */
int redis_open(const char *endpoint);
bool redis_set(int fd, struct cenote_key key, const struct cenote_buffer *from, size_t count);
/* False also when the value has another length than the buffers together. */
bool redis_get(int fd, struct cenote_key key, const struct cenote_buffer *to, size_t count);
bool redis_del(int fd, struct cenote_key key);

#endif
