/* SPDX-License-Identifier: Apache-2.0 */
#include "client/client.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "transport/base/hash.h"
#include "transport/base/log.h"

#define MODULE             "client"
#define META_VARIABLE      "CENOTE_META"
#define META_DEFAULT       "127.0.0.1:7400"
#define RDMA_VARIABLE      "CENOTE_RDMA"
#define NAME_SPACE_DEFAULT "default"
#define TIMEOUT_DEFAULT_MS 10000u

struct cenote {
    struct shards *shards;
    struct tally *tally;
    struct cenote_options options;       /* as it was opened */
    char *meta, *rdma;                   /* theirs; NULL: nothing was said */
    volatile const unsigned char *owned; /* reads 1; the kernel wipes it in a forked child */
    size_t owned_bytes;
};

static int mark_owner(struct cenote *c)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    unsigned char *mark =
        mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (mark == MAP_FAILED)
        return CENOTE_NO_MEMORY;
    if (madvise(mark, page, MADV_WIPEONFORK) != 0) {
        log_error(MODULE, "this kernel can't mark memory for fork: %s", strerror(errno));
        munmap(mark, page);
        return CENOTE_NOT_SUPPORTED;
    }
    *mark = 1;
    c->owned = mark;
    c->owned_bytes = page;
    return CENOTE_OK;
}

static void unmark_owner(struct cenote *c)
{
    munmap((void *)(uintptr_t)c->owned, c->owned_bytes);
}

bool client_name_valid(const char *name)
{
    size_t len = name ? strlen(name) : 0;
    return len >= 1 && len <= CENOTE_NAMESPACE_MAX &&
           strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") == len;
}

static const char *meta_of(const struct cenote_options *o)
{
    const char *from_environment = getenv(META_VARIABLE);

    if (o->meta)
        return o->meta;
    return from_environment && *from_environment ? from_environment : META_DEFAULT;
}

static const char *rdma_of(const struct cenote_options *o)
{
    const char *from_environment = getenv(RDMA_VARIABLE);

    if (o->rdma)
        return o->rdma;
    return from_environment && *from_environment ? from_environment : NULL;
}

static int read_options(const struct cenote_options *o, char client[TEXT_MAX],
                        struct drive_options *out)
{
    if (o->transport > CENOTE_TRANSPORT_RDMA || o->verify > CENOTE_VERIFY_SEAL ||
        o->replicas > CENOTE_REPLICAS_MAX)
        return CENOTE_INVALID;
    if (o->name_space && !client_name_valid(o->name_space))
        return CENOTE_INVALID;
    snprintf(client, TEXT_MAX, "%.*s pid %ld", (int)(TEXT_MAX - 32), program_invocation_short_name,
             (long)getpid());
    *out = (struct drive_options){
        .session = {.meta = meta_of(o),
                    .name_space = o->name_space ? o->name_space : NAME_SPACE_DEFAULT,
                    .client = client,
                    .timeout_ms = o->timeout_ms ? o->timeout_ms : TIMEOUT_DEFAULT_MS},
        .transport = o->transport,
        .settings = {.rdma = rdma_of(o)},
        .verify = o->verify,
        .replicas = o->replicas,
        .cache_bytes = o->cache_bytes ? o->cache_bytes : CACHE_BYTES_DEFAULT};
    return CENOTE_OK;
}

/* For client_open_within(). */
static int keep_options(struct cenote *c, const struct cenote_options *o)
{
    c->options = *o;
    c->meta = o->meta ? strdup(o->meta) : NULL;
    c->rdma = o->rdma ? strdup(o->rdma) : NULL;
    c->options.meta = c->meta;
    c->options.rdma = c->rdma;
    return (!o->meta || c->meta) && (!o->rdma || c->rdma) ? CENOTE_OK : CENOTE_NO_MEMORY;
}

static void client_free(struct cenote *c)
{
    free(c->meta);
    free(c->rdma);
    tally_free(c->tally);
    free(c);
}

int client_open_within(const struct cenote *client, const char *name_space, struct cenote **out)
{
    struct cenote_options o = client->options;

    o.name_space = name_space;
    return cenote_open(&o, out);
}

int cenote_open(const struct cenote_options *options, struct cenote **out)
{
    static const struct cenote_options defaults;
    char client[TEXT_MAX];
    struct drive_options d;
    struct cenote *c;
    int status;

    if (!out)
        return CENOTE_INVALID;
    status = read_options(options ? options : &defaults, client, &d);
    if (status != CENOTE_OK)
        return status;
    hash_init();
    c = calloc(1, sizeof *c);
    if (!c)
        return CENOTE_NO_MEMORY;
    d.tally = c->tally = tally_new();
    status = c->tally ? keep_options(c, options ? options : &defaults) : CENOTE_NO_MEMORY;
    if (status == CENOTE_OK)
        status = mark_owner(c);
    if (status != CENOTE_OK)
        goto free_client;
    status = shards_open(&d, &c->shards);
    if (status != CENOTE_OK)
        goto unmark;
    *out = c;
    return CENOTE_OK;

unmark:
    unmark_owner(c);
free_client:
    client_free(c);
    return status;
}

void cenote_close(struct cenote **client)
{
    struct cenote *c = client ? *client : NULL;

    if (!c)
        return;
    *client = NULL;
    if (*c->owned)
        shards_close(c->shards);
    else
        shards_abandon(c->shards);
    unmark_owner(c);
    client_free(c);
}

int client_enter_shards(struct cenote *client, struct shards **out)
{
    if (!client)
        return CENOTE_INVALID;
    if (!*client->owned)
        return CENOTE_FORKED;
    *out = client->shards;
    return CENOTE_OK;
}

struct tally *client_tally(const struct cenote *client)
{
    return client->tally;
}

int client_enter(struct cenote *client, struct drive **out)
{
    struct shards *s;
    int status = client_enter_shards(client, &s);

    if (status == CENOTE_OK)
        *out = shards_home(s);
    return status;
}

int client_check_key(const struct cenote_key *key)
{
    if (key->len_bytes < 1 || key->len_bytes > CENOTE_KEY_MAX)
        return CENOTE_KEY_SIZE;
    return key->data ? CENOTE_OK : CENOTE_INVALID;
}

int client_check_keys(const struct cenote_key *keys, size_t count)
{
    if (count > CENOTE_BATCH_MAX || (count > 0 && !keys))
        return CENOTE_INVALID;
    for (size_t i = 0; i < count; i++) {
        int status = client_check_key(&keys[i]);
        if (status != CENOTE_OK)
            return status;
    }
    return CENOTE_OK;
}

int client_check_buffers(const struct cenote_buffer *buffers, size_t count)
{
    uint64_t sum = 0;

    if (count > 0 && !buffers)
        return CENOTE_INVALID;
    for (size_t i = 0; i < count; i++) {
        if (buffers[i].len_bytes > 0 && !buffers[i].addr)
            return CENOTE_INVALID;
        if (buffers[i].len_bytes > EXTENT_PAYLOAD_MAX - sum)
            return CENOTE_VALUE_SIZE;
        sum += buffers[i].len_bytes;
    }
    return CENOTE_OK;
}

int client_check_put_flags(unsigned flags)
{
    const unsigned known = CENOTE_PUT_REPLACE | CENOTE_PUT_REPLICAS_MASK;

    if (flags & ~known)
        return CENOTE_INVALID;
    return (flags & CENOTE_PUT_REPLICAS_MASK) > CENOTE_PUT_REPLICAS(CENOTE_REPLICAS_MAX)
               ? CENOTE_INVALID
               : CENOTE_OK;
}

const char *cenote_version(void)
{
    return CENOTE_VERSION_TEXT;
}
