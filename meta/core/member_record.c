/* SPDX-License-Identifier: Apache-2.0 */
/* Nodes and incarnations in the store: 'n' and the node's id, 'i' and the incarnation's, both
 * big-endian. */
#include <string.h>

#include "meta/core/core.h"
#include "meta/core/record.h"
#include "transport/base/bytes.h"
#include "transport/base/log.h"

#define NODE_FORMAT        2u
#define NODE_FORMAT_BEFORE 1u /* the same without the rdma endpoint: there was none */
#define INCARNATION_FORMAT 1u
#define NODE_RECORD_MAX    (1 + 8 + 6 * 2 + NODE_NAME_MAX + 5 * TEXT_MAX)

struct member_key {
    uint8_t kind;
    struct record_key id;
};

static struct member_key key_of(char kind, uint64_t id)
{
    return (struct member_key){.kind = (uint8_t)kind, .id = record_key(id)};
}

static void text_put(struct bytes *b, const char *text)
{
    bytes_put_u16(b, (uint16_t)strlen(text));
    bytes_put(b, text, strlen(text));
}

static void text_get(struct bytes *b, char *out, size_t size)
{
    size_t len = bytes_get_u16(b);
    if (len >= size)
        b->failed = true;
    else
        bytes_get(b, out, len);
}

void member_record_node(struct core *c, const struct node *n)
{
    uint8_t record[NODE_RECORD_MAX];
    struct member_key key = key_of('n', n->id);
    struct bytes b = bytes_over(record, sizeof(record));
    bytes_put_u8(&b, NODE_FORMAT);
    bytes_put_u64(&b, n->boot);
    text_put(&b, n->name);
    text_put(&b, n->host);
    text_put(&b, n->zone);
    text_put(&b, n->shm);
    text_put(&b, n->rdma);
    text_put(&b, n->tcp);
    change_put(&c->changes, STORE_MEMBERS, &key, sizeof(key), record, (size_t)(b.at - record));
}

void member_record_incarnation(struct core *c, const struct incarnation *i, uint64_t node)
{
    uint8_t record[32];
    struct member_key key = key_of('i', i->id);
    struct bytes b = bytes_over(record, sizeof(record));
    bytes_put_u8(&b, INCARNATION_FORMAT);
    bytes_put_u8(&b, (uint8_t)i->kind);
    bytes_put_u64(&b, node);
    bytes_put_u64(&b, i->gva.v);
    bytes_put_u64(&b, i->len_bytes);
    change_put(&c->changes, STORE_MEMBERS, &key, sizeof(key), record, (size_t)(b.at - record));
}

void member_record_remove_node(struct core *c, uint64_t node)
{
    struct member_key key = key_of('n', node);
    change_remove(&c->changes, STORE_MEMBERS, &key, sizeof(key));
}

void member_record_remove_incarnation(struct core *c, uint64_t incarnation)
{
    struct member_key key = key_of('i', incarnation);
    change_remove(&c->changes, STORE_MEMBERS, &key, sizeof(key));
}

struct load {
    struct core *core;
    char kind;
    int status;
};

static int load_node(struct core *c, uint64_t id, struct bytes *b)
{
    struct node read = {.id = id};
    uint8_t format = bytes_get_u8(b);
    read.boot = bytes_get_u64(b);
    text_get(b, read.name, sizeof(read.name));
    text_get(b, read.host, sizeof(read.host));
    text_get(b, read.zone, sizeof(read.zone));
    text_get(b, read.shm, sizeof(read.shm));
    if (format != NODE_FORMAT_BEFORE)
        text_get(b, read.rdma, sizeof(read.rdma));
    text_get(b, read.tcp, sizeof(read.tcp));
    bool known = format == NODE_FORMAT || format == NODE_FORMAT_BEFORE;
    if (!known || !bytes_ok(b) || bytes_left(b) > 0)
        return CENOTE_IO;
    struct node *n = members_add(c, id, read.name);
    if (n == NULL)
        return CENOTE_NO_MEMORY;
    n->boot = read.boot;
    memcpy(n->host, read.host, sizeof(n->host));
    memcpy(n->zone, read.zone, sizeof(n->zone));
    memcpy(n->shm, read.shm, sizeof(n->shm));
    memcpy(n->rdma, read.rdma, sizeof(n->rdma));
    memcpy(n->tcp, read.tcp, sizeof(n->tcp));
    return CENOTE_OK;
}

static struct node *by_id(const struct core *c, uint64_t id)
{
    list_each(&c->members.nodes, l)
    {
        struct node *n = container_of(l, struct node, link);
        if (n->id == id)
            return n;
    }
    return NULL;
}

static int load_incarnation(struct core *c, uint64_t id, struct bytes *b)
{
    uint8_t format = bytes_get_u8(b);
    uint32_t kind = bytes_get_u8(b);
    struct node *n = by_id(c, bytes_get_u64(b));
    struct gva gva = gva_make(bytes_get_u64(b));
    uint64_t len = bytes_get_u64(b);
    if (format != INCARNATION_FORMAT || !bytes_ok(b) || bytes_left(b) > 0 || n == NULL ||
        n->segment_count == SEGMENTS_MAX || !gva_valid(gva) || len == 0 || len > ALLOC_LENGTH_MAX ||
        gva.v % GVA_ALIGN != 0 || !gva_covers(gva_make(GVA_FIRST), GVA_END - GVA_FIRST, gva, len) ||
        gva.v + len > c->members.gva_next || members_overlap(c, gva, len))
        return CENOTE_IO;
    struct incarnation *i = incarnation_new(c, id, gva, len, kind);
    if (i == NULL)
        return CENOTE_NO_MEMORY;
    incarnation_begin(c, i, n);
    n->segments[n->segment_count++] = i;
    return CENOTE_OK;
}

static bool load_one(void *arg, const void *key, uint32_t key_len, const void *value,
                     uint32_t value_len)
{
    struct load *load = arg;
    const uint8_t *k = key;
    uint64_t id = 0;
    struct bytes b = bytes_over_const(value, value_len);
    if (k[0] != (uint8_t)load->kind)
        return false;
    load->status = CENOTE_IO;
    if (record_key_read(k + 1, key_len - 1, &id))
        load->status = load->kind == 'n' ? load_node(load->core, id, &b)
                                         : load_incarnation(load->core, id, &b);
    if (load->status == CENOTE_IO)
        log_error("meta", "the record of member %c%llu can't be read", load->kind,
                  (unsigned long long)id);
    return load->status == CENOTE_OK;
}

/* Incarnations come before nodes in the store; they need their node first. */
int members_load(struct core *c)
{
    static const char kinds[] = {'n', 'i'};
    for (unsigned i = 0; i < sizeof(kinds); i++) {
        struct load load = {.core = c, .kind = kinds[i], .status = CENOTE_OK};
        int status = c->changes.store->ops->scan(c->changes.store, STORE_MEMBERS, &kinds[i], 1,
                                                 load_one, &load);
        if (status != CENOTE_OK || load.status != CENOTE_OK)
            return status != CENOTE_OK ? status : load.status;
    }
    return CENOTE_OK;
}
