/* SPDX-License-Identifier: Apache-2.0 */
/* Public functions that put a value range by range. */
#include <cenote/range.h>
#include <stdlib.h>

#include "client/client.h"
#include "client/policy.h"
#include "client/writer.h"

struct cenote_writer {
    struct cenote *client;
    struct drive *drive; /* to the service that owns the key */
    struct writer *w;
};

static int check_open(const struct cenote_key *key, uint64_t len_bytes, unsigned flags)
{
    int status = client_check_key(key);

    if (status == CENOTE_OK && len_bytes > EXTENT_PAYLOAD_MAX)
        status = CENOTE_VALUE_SIZE;
    return status == CENOTE_OK ? client_check_put_flags(flags) : status;
}

static void abort_put(struct drive *d, struct writer *w)
{
    struct machine *m = writer_abort(w);

    if (m)
        drive_run(d, m);
}

struct opening {
    const struct cenote_key *key;
    uint64_t len_bytes;
    unsigned flags;
    struct keep keep;
    struct drive *drive;
    struct writer *w;
};

static int open_one(void *arg, struct drive *d, uint64_t *epoch)
{
    struct opening *o = arg;
    struct machine_env env = drive_env(d);
    struct writer *w = writer_new(&env, o->key, o->len_bytes, o->flags);

    if (!w)
        return CENOTE_NO_MEMORY;
    writer_keep(w, &o->keep);
    drive_run(d, writer_open(w));
    int status = writer_opened(w);
    if (status == CENOTE_OK) {
        o->drive = d;
        o->w = w;
        return CENOTE_OK;
    }
    *epoch = w->machine.wrong_epoch;
    abort_put(d, w);
    writer_free(w);
    return status;
}

int cenote_writer_open_with(struct cenote *client, const void *key, size_t key_len_bytes,
                            uint64_t len_bytes, unsigned flags, const struct cenote_policy *policy,
                            struct cenote_writer **out)
{
    const struct cenote_key k = {key, key_len_bytes};
    struct opening o = {.key = &k, .len_bytes = len_bytes, .flags = flags};
    struct cenote_writer *writer;
    struct shards *s;
    int status = client_enter_shards(client, &s);

    if (status == CENOTE_OK)
        status = out ? check_open(&k, len_bytes, flags) : CENOTE_INVALID;
    if (status == CENOTE_OK)
        status = policy_keep(policy, &o.keep);
    if (status != CENOTE_OK)
        return status;
    writer = malloc(sizeof *writer);
    if (!writer)
        return CENOTE_NO_MEMORY;
    status = shards_one(s, &k, open_one, &o);
    if (status != CENOTE_OK) {
        free(writer);
        return status;
    }
    *writer = (struct cenote_writer){.client = client, .drive = o.drive, .w = o.w};
    *out = writer;
    return CENOTE_OK;
}

int cenote_writer_open(struct cenote *client, const void *key, size_t key_len_bytes,
                       uint64_t len_bytes, unsigned flags, struct cenote_writer **out)
{
    return cenote_writer_open_with(client, key, key_len_bytes, len_bytes, flags, NULL, out);
}

int cenote_writer_write(struct cenote_writer *writer, uint64_t offset, const void *data,
                        size_t len_bytes)
{
    struct writer_range *range;
    struct shards *s;
    int status;

    if (!writer || (!data && len_bytes > 0))
        return CENOTE_INVALID;
    status = client_enter_shards(writer->client, &s);
    if (status == CENOTE_OK)
        status = writer_range_begin(writer->w, offset, data, len_bytes, &range);
    if (status != CENOTE_OK)
        return status;
    drive_run(writer->drive, writer_range_machine(range));
    return writer_range_end(range);
}

int cenote_writer_commit(struct cenote_writer *writer)
{
    struct machine *m = NULL;
    struct shards *s;
    int status;

    if (!writer)
        return CENOTE_INVALID;
    status = client_enter_shards(writer->client, &s);
    if (status == CENOTE_OK)
        status = writer_commit(writer->w, &m);
    if (!m)
        return status;
    uint64_t begun_ns = tally_begin();
    drive_run(writer->drive, m);
    tally_took(drive_tally(writer->drive), TALLY_PUT, begun_ns);
    tally_ended(drive_tally(writer->drive), TALLY_PUT, writer->w->status);
    if (writer->w->machine.wrong_epoch != 0)
        shards_learn(s, writer->drive, writer->w->machine.wrong_epoch);
    return writer->w->status;
}

/* In a forked child only what is the child's own is given back. */
void cenote_writer_close(struct cenote_writer **writer)
{
    struct cenote_writer *closing = writer ? *writer : NULL;
    struct shards *s;

    if (!closing)
        return;
    *writer = NULL;
    if (client_enter_shards(closing->client, &s) == CENOTE_OK)
        abort_put(closing->drive, closing->w);
    writer_free(closing->w);
    free(closing);
}
