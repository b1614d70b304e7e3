/* SPDX-License-Identifier: Apache-2.0 */
/* Public functions that put a value range by range. */
#include <cenote/range.h>
#include <stdlib.h>

#include "client/client.h"
#include "client/writer.h"

struct cenote_writer {
    struct cenote *client;
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

int cenote_writer_open(struct cenote *client, const void *key, size_t key_len_bytes,
                       uint64_t len_bytes, unsigned flags, struct cenote_writer **out)
{
    const struct cenote_key k = {key, key_len_bytes};
    struct cenote_writer *writer;
    struct drive *d;
    int status = client_enter(client, &d);

    if (status == CENOTE_OK)
        status = out ? check_open(&k, len_bytes, flags) : CENOTE_INVALID;
    if (status != CENOTE_OK)
        return status;
    struct machine_env env = drive_env(d);
    writer = malloc(sizeof *writer);
    if (!writer)
        return CENOTE_NO_MEMORY;
    *writer = (struct cenote_writer){client, writer_new(&env, &k, len_bytes, flags)};
    if (!writer->w) {
        free(writer);
        return CENOTE_NO_MEMORY;
    }
    drive_run(d, writer_open(writer->w));
    status = writer_opened(writer->w);
    if (status == CENOTE_OK) {
        *out = writer;
        return CENOTE_OK;
    }
    abort_put(d, writer->w);
    writer_free(writer->w);
    free(writer);
    return status;
}

int cenote_writer_write(struct cenote_writer *writer, uint64_t offset, const void *data,
                        size_t len_bytes)
{
    struct writer_range *range;
    struct drive *d;
    int status;

    if (!writer || (!data && len_bytes > 0))
        return CENOTE_INVALID;
    status = client_enter(writer->client, &d);
    if (status == CENOTE_OK)
        status = writer_range_begin(writer->w, offset, data, len_bytes, &range);
    if (status != CENOTE_OK)
        return status;
    drive_run(d, writer_range_machine(range));
    return writer_range_end(range);
}

int cenote_writer_commit(struct cenote_writer *writer)
{
    struct machine *m = NULL;
    struct drive *d;
    int status;

    if (!writer)
        return CENOTE_INVALID;
    status = client_enter(writer->client, &d);
    if (status == CENOTE_OK)
        status = writer_commit(writer->w, &m);
    if (!m)
        return status;
    drive_run(d, m);
    return writer->w->status;
}

/* In a forked child only what is the child's own is given back. */
void cenote_writer_close(struct cenote_writer **writer)
{
    struct cenote_writer *closing = writer ? *writer : NULL;
    struct drive *d;

    if (!closing)
        return;
    *writer = NULL;
    if (client_enter(closing->client, &d) == CENOTE_OK)
        abort_put(d, closing->w);
    writer_free(closing->w);
    free(closing);
}
