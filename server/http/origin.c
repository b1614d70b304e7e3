/* SPDX-License-Identifier: Apache-2.0 */
#include "server/http/origin.h"

#include <arpa/inet.h>
#include <string.h>
#include <strings.h>

#define NAME_MAX_BYTES 256u
#define LOCAL_SUFFIX   ".localhost"

static bool is_address(const char *name)
{
    struct in6_addr address;
    return inet_pton(AF_INET, name, &address) == 1 || inet_pton(AF_INET6, name, &address) == 1;
}

/* An address, or a name that nobody can point anywhere. */
static bool is_here(const char *host)
{
    char name[NAME_MAX_BYTES];
    bool bracketed = host[0] == '[';
    size_t len = bracketed ? strcspn(++host, "]") : strcspn(host, ":");
    if (len >= sizeof name)
        return false;
    memcpy(name, host, len);
    name[len] = '\0';
    size_t suffix = strlen(LOCAL_SUFFIX);
    return is_address(name) || strcasecmp(name, "localhost") == 0 ||
           (len > suffix && strcasecmp(name + len - suffix, LOCAL_SUFFIX) == 0);
}

const char *http_origin_fault(const struct http_head *h, bool loopback)
{
    const char *host = http_head_value(h, "Host"), *origin = http_head_value(h, "Origin");
    if (loopback && host && !is_here(host))
        return "this server is asked by its address, or as localhost";
    if (!origin || h->method == HTTP_GET || h->method == HTTP_HEAD)
        return NULL;
    bool same = host && strncasecmp(origin, "http://", 7) == 0 && strcasecmp(origin + 7, host) == 0;
    return same ? NULL : "pages of other sites may not change anything here";
}
