/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/rdma/settings.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cenote/status.h>

#define TEXT_MAX   1024u /* of the whole */
#define AUTO_RAILS 4u
#define RAILS_MAX  8u /* of a transfer: XCOPY_RAILS_MAX */

struct parser {
    struct rdma_settings *out;
    bool any_item, is_auto;
    char *error;
    size_t error_size;
};

/* A setting NAME=NUMBER. */
struct number {
    const char *name;
    uint32_t least, most;
    void (*set)(struct rdma_settings *s, uint32_t value);
};

#define SETTER(name, type, field)                                                                  \
    static void set_##name(struct rdma_settings *s, uint32_t value)                                \
    {                                                                                              \
        s->field = (type)value;                                                                    \
    }
SETTER(rails, uint32_t, rails)
SETTER(gid, int, gid)
SETTER(tc, uint8_t, traffic_class)
SETTER(sl, uint8_t, service_level)
SETTER(hops, uint8_t, hop_limit)
SETTER(mtu, uint32_t, mtu_bytes)
SETTER(timeout, uint8_t, timeout)
SETTER(retry, uint8_t, retry)
SETTER(depth, uint32_t, depth)
SETTER(qps, uint32_t, queue_pairs_max)
SETTER(ipv, unsigned, ipv)
SETTER(pkey, uint16_t, pkey)

static void set_cache(struct rdma_settings *s, uint32_t value)
{
    s->no_cache = value == 0;
}

/* timeout: 0 would mean for ever; 22 is 17 s a try. */
static const struct number numbers[] = {
    {"rails", 1, RAILS_MAX, set_rails},
    {"gid", 0, 255, set_gid},
    {"tc", 0, 255, set_tc},
    {"sl", 0, 15, set_sl},
    {"hops", 1, 255, set_hops},
    {"mtu", 256, 4096, set_mtu},
    {"timeout", 1, 22, set_timeout},
    {"retry", 1, 6, set_retry},
    {"depth", 16, 8192, set_depth},
    {"qps", 1, 65536, set_qps},
    {"ipv", 4, 6, set_ipv},
    {"pkey", 0, 65535, set_pkey},
    {"cache", 0, 1, set_cache},
};

static int refuse(struct parser *p, const char *format, ...) __attribute__((format(printf, 2, 3)));

static int refuse(struct parser *p, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(p->error, p->error_size, format, args);
    va_end(args);
    return CENOTE_INVALID;
}

/* Decimal digits and nothing else. */
static bool number_of(const char *text, uint32_t least, uint32_t most, uint32_t *out)
{
    size_t digits = strspn(text, "0123456789");
    if (digits == 0 || digits > 9 || text[digits] != '\0')
        return false;
    unsigned long value = strtoul(text, NULL, 10);
    if (value < least || value > most)
        return false;
    *out = (uint32_t)value;
    return true;
}

static bool is_power_of_two(uint32_t value)
{
    return (value & (value - 1)) == 0;
}

static int take_number(struct parser *p, const char *name, const char *text)
{
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
        const struct number *n = &numbers[i];
        uint32_t value = 0;
        if (strcmp(n->name, name) != 0)
            continue;
        if (!number_of(text, n->least, n->most, &value))
            return refuse(
                p, "%s=%s: %s is a number from %u to %u%s", name, text, name, n->least, n->most,
                strcmp(name, "retry") == 0 ? " (7 would mean for ever on some devices)" : "");
        if (n->set == set_mtu && !is_power_of_two(value))
            return refuse(p, "mtu=%s: a path MTU is 256, 512, 1024, 2048 or 4096", text);
        if (n->set == set_ipv && value == 5)
            return refuse(p, "ipv=5: 4 or 6");
        n->set(p->out, value);
        return CENOTE_OK;
    }
    return refuse(p, "%s: no such setting", name);
}

static bool is_device_name(const char *text)
{
    return text[0] != '\0' && strlen(text) < RDMA_NAME_MAX &&
           text[strspn(text,
                       "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.")] ==
               '\0' &&
           text[0] != '.';
}

/* DEVICE[:PORT][/GID]; item is cut into its parts. */
static int take_device(struct parser *p, char *item)
{
    struct rdma_settings *s = p->out;
    struct rdma_named named = {.gid = -1};
    uint32_t value = 0;
    char *gid = strchr(item, '/');
    if (gid != NULL) {
        *gid++ = '\0';
        if (!number_of(gid, 0, 255, &value))
            return refuse(p, "%s/%s: a GID index is a number from 0 to 255", item, gid);
        named.gid = (int)value;
    }
    char *port = strchr(item, ':');
    if (port != NULL) {
        *port++ = '\0';
        if (!number_of(port, 1, 255, &value))
            return refuse(p, "%s:%s: a port is a number from 1 to 255", item, port);
        named.port = (uint8_t)value;
    }
    if (!is_device_name(item))
        return refuse(p, "'%s': no name of a device", item);
    memcpy(named.device, item, strlen(item) + 1);
    for (uint32_t i = 0; i < s->named_count; i++) {
        const struct rdma_named *other = &s->named[i];
        if (strcmp(other->device, item) == 0 &&
            (other->port == named.port || other->port == 0 || named.port == 0))
            return refuse(p, "%s: named twice", item);
    }
    if (s->named_count == RDMA_NAMED_MAX)
        return refuse(p, "at most %u devices can be named", RDMA_NAMED_MAX);
    s->named[s->named_count++] = named;
    return CENOTE_OK;
}

static int take_item(struct parser *p, char *item)
{
    bool first = !p->any_item;
    p->any_item = true;
    if (item[0] == '\0')
        return refuse(p, "there is a comma too many");
    char *value = strchr(item, '=');
    if (value != NULL) {
        *value++ = '\0';
        return take_number(p, item, value);
    }
    if (strcmp(item, "auto") == 0 || strcmp(item, "none") == 0) {
        if (!first)
            return refuse(p, "%s stands at the beginning and without devices", item);
        p->is_auto = item[0] == 'a';
        p->out->none = item[0] == 'n';
        return CENOTE_OK;
    }
    if (p->is_auto || p->out->none)
        return refuse(p, "%s: no devices can be named after %s", item,
                      p->is_auto ? "auto" : "none");
    return take_device(p, item);
}

int rdma_settings_parse(const char *text, struct rdma_settings *out, char *error, size_t error_size)
{
    struct rdma_settings s = {
        .gid = -1,
        .hop_limit = 64,
        .mtu_bytes = 4096,
        .timeout = 14,
        .retry = 6,
        .depth = 256,
        .queue_pairs_max = 1024,
    };
    struct parser p = {.out = &s, .error = error, .error_size = error_size};
    char copy[TEXT_MAX];
    if (text == NULL)
        text = "";
    size_t len = strlen(text);
    if (len >= sizeof(copy))
        return refuse(&p, "longer than %u characters", TEXT_MAX - 1);
    memcpy(copy, text, len + 1);
    char *rest = len > 0 ? copy : NULL;
    while (rest != NULL) {
        char *item = strsep(&rest, ",");
        int status = take_item(&p, item);
        if (status != CENOTE_OK)
            return status;
    }
    if (s.rails == 0)
        s.rails = s.named_count > 0 ? RAILS_MAX : AUTO_RAILS;
    *out = s;
    return CENOTE_OK;
}
