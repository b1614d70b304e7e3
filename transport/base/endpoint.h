/* SPDX-License-Identifier: Apache-2.0 */
/* Endpoints: "host:port", "[v6]:port" or "unix:PATH" (a PATH that begins with '@' is abstract). */
#ifndef CENOTE_BASE_ENDPOINT_H
#define CENOTE_BASE_ENDPOINT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

struct endpoint {
    struct sockaddr_storage addr;
    socklen_t addr_len;
};

/* Resolves numeric addresses and host names (blocking). CENOTE_OK or CENOTE_INVALID. */
int endpoint_parse(const char *text, struct endpoint *out);
bool endpoint_is_unix(const struct endpoint *e);
/* Loopback addresses and UNIX sockets: nothing leaves this machine. */
bool endpoint_is_local(const struct endpoint *e);
/* As text, e.g. of a bound socket. out always gets a terminated string. */
void endpoint_format(const struct endpoint *e, char *out, size_t size);

/* Non-blocking, close-on-exec listening socket; a stale UNIX socket file is replaced when nobody
 * answers on it; mode 0600. Returns the descriptor and the bound address (for port 0), or a
 * negative status, errno kept. */
int endpoint_listen(const struct endpoint *e, int backlog, struct endpoint *bound);
/* The same, but a failure is not logged. */
int endpoint_try_listen(const struct endpoint *e, int backlog, struct endpoint *bound);
/* Blocking connect with a time-out; TCP_NODELAY set. Returns a descriptor in blocking mode,
 * CENOTE_UNAVAILABLE, CENOTE_TIMED_OUT, or CENOTE_NO_MEMORY: no descriptor or no memory is left. */
int endpoint_connect(const struct endpoint *e, uint32_t timeout_ms);

#endif
