/* SPDX-License-Identifier: Apache-2.0 */
/* Endpoints as texts and addresses; their sockets are in endpoint_socket.c. */
#include "transport/base/endpoint.h"

#include <arpa/inet.h>
#include <cenote/status.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/un.h>

#include "transport/base/log.h"

#define UNIX_PREFIX "unix:"
#define HOST_MAX    256 /* a DNS name has at most 253 characters */
#define PORT_MAX    65535u
#define PORT_DIGITS 5
#define PATH_OFFSET offsetof(struct sockaddr_un, sun_path)

static int parse_unix(const char *path, struct endpoint *out)
{
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    size_t len = strlen(path);
    bool abstract = path[0] == '@';

    /* An abstract name is all bytes up to the address's length, a path ends in a zero byte. */
    if (len < (abstract ? 2u : 1u) || len + !abstract > sizeof un.sun_path)
        return CENOTE_INVALID;
    memcpy(un.sun_path, path, len);
    if (abstract)
        un.sun_path[0] = '\0';
    memcpy(&out->addr, &un, sizeof un);
    out->addr_len = (socklen_t)(PATH_OFFSET + len + !abstract);
    return CENOTE_OK;
}

/* Splits "host:port" and "[v6]:port"; host gets no brackets. */
static int split_host(const char *text, char host[HOST_MAX], bool *bracketed, const char **port)
{
    *bracketed = text[0] == '[';
    const char *begin = text + *bracketed;
    size_t len = strcspn(begin, *bracketed ? "]" : ":");
    const char *colon = begin + len;

    if (*bracketed && *colon++ == '\0')
        return CENOTE_INVALID;
    if (len == 0 || len >= HOST_MAX || *colon != ':')
        return CENOTE_INVALID;
    memcpy(host, begin, len);
    host[len] = '\0';
    *port = colon + 1;
    return CENOTE_OK;
}

static bool port_valid(const char *port)
{
    size_t digits = strspn(port, "0123456789");
    unsigned number = 0;

    if (digits == 0 || digits > PORT_DIGITS || port[digits] != '\0')
        return false;
    for (size_t i = 0; i < digits; i++)
        number = number * 10 + (unsigned)(port[i] - '0');
    return number <= PORT_MAX;
}

/* An endpoint is one address. Of several the first IPv4 one is taken: "localhost" then means the
 * same on both ends, also where a container knows ::1 by name only. */
static void take_address(const struct addrinfo *found, struct endpoint *out)
{
    const struct addrinfo *best = found;
    while (best != NULL && best->ai_family != AF_INET)
        best = best->ai_next;
    if (best == NULL)
        best = found;
    memcpy(&out->addr, best->ai_addr, best->ai_addrlen);
    out->addr_len = best->ai_addrlen;
}

static int parse_inet(const char *text, struct endpoint *out)
{
    char host[HOST_MAX];
    const char *port;
    bool bracketed;
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV};
    struct addrinfo *found;

    if (split_host(text, host, &bracketed, &port) != CENOTE_OK || !port_valid(port))
        return CENOTE_INVALID;
    if (bracketed) {
        hints.ai_family = AF_INET6;
        hints.ai_flags |= AI_NUMERICHOST;
    }
    int rc = getaddrinfo(host, port, &hints, &found);
    if (rc != 0) {
        log_warn("endpoint", "cannot resolve %s: %s", text, gai_strerror(rc));
        return CENOTE_INVALID;
    }
    take_address(found, out);
    freeaddrinfo(found);
    return CENOTE_OK;
}

int endpoint_parse(const char *text, struct endpoint *out)
{
    struct endpoint e = {.addr_len = 0};
    size_t prefix = strlen(UNIX_PREFIX);
    int rc = strncmp(text, UNIX_PREFIX, prefix) == 0 ? parse_unix(text + prefix, &e)
                                                     : parse_inet(text, &e);
    if (rc == CENOTE_OK)
        *out = e;
    return rc;
}

bool endpoint_is_unix(const struct endpoint *e)
{
    return e->addr.ss_family == AF_UNIX;
}

bool endpoint_is_local(const struct endpoint *e)
{
    if (e->addr.ss_family == AF_INET) {
        const struct sockaddr_in *in = (const struct sockaddr_in *)&e->addr;
        return ntohl(in->sin_addr.s_addr) >> 24 == IN_LOOPBACKNET;
    }
    if (e->addr.ss_family == AF_INET6) {
        const struct in6_addr *a = &((const struct sockaddr_in6 *)&e->addr)->sin6_addr;
        return IN6_IS_ADDR_LOOPBACK(a) ||
               (IN6_IS_ADDR_V4MAPPED(a) && a->s6_addr[12] == IN_LOOPBACKNET);
    }
    return endpoint_is_unix(e);
}

static void format_unix(const struct endpoint *e, char *out, size_t size)
{
    const struct sockaddr_un *un = (const struct sockaddr_un *)&e->addr;
    size_t len = e->addr_len > PATH_OFFSET ? e->addr_len - PATH_OFFSET : 0;

    if (len > sizeof un->sun_path)
        len = sizeof un->sun_path;
    if (len > 0 && un->sun_path[0] == '\0')
        snprintf(out, size, UNIX_PREFIX "@%.*s", (int)len - 1, un->sun_path + 1);
    else
        snprintf(out, size, UNIX_PREFIX "%.*s", (int)len, un->sun_path);
}

/* By hand: getnameinfo() can fail, and then a node told everybody that it is at "?". */
static void format_v4(const struct endpoint *e, char *out, size_t size)
{
    const struct sockaddr_in *in = (const struct sockaddr_in *)&e->addr;
    char host[INET_ADDRSTRLEN];
    inet_ntop(AF_INET, &in->sin_addr, host, sizeof host);
    snprintf(out, size, "%s:%u", host, ntohs(in->sin_port));
}

static void format_v6(const struct endpoint *e, char *out, size_t size)
{
    const struct sockaddr_in6 *in = (const struct sockaddr_in6 *)&e->addr;
    char host[INET6_ADDRSTRLEN], scope[16] = "";
    inet_ntop(AF_INET6, &in->sin6_addr, host, sizeof host);
    if (in->sin6_scope_id != 0)
        snprintf(scope, sizeof scope, "%%%u", in->sin6_scope_id);
    snprintf(out, size, "[%s%s]:%u", host, scope, ntohs(in->sin6_port));
}

void endpoint_format(const struct endpoint *e, char *out, size_t size)
{
    if (size == 0)
        return;
    if (endpoint_is_unix(e))
        format_unix(e, out, size);
    else if (e->addr.ss_family == AF_INET6)
        format_v6(e, out, size);
    else if (e->addr.ss_family == AF_INET)
        format_v4(e, out, size);
    else
        snprintf(out, size, "?");
}
