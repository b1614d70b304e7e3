/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/crash/image.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/scenario/check.h"

/* ---- files ----------------------------------------------------------------------------------- */

static void resize(struct image_file *f, size_t len_bytes)
{
    if (len_bytes > f->room_bytes) {
        f->room_bytes = len_bytes * 2;
        f->bytes = realloc(f->bytes, f->room_bytes);
        CHECK(f->bytes != NULL);
    }
    if (len_bytes > f->len_bytes)
        memset(f->bytes + f->len_bytes, 0, len_bytes - f->len_bytes);
    f->len_bytes = len_bytes;
}

static void put(struct image_file *f, uint64_t at, const uint8_t *bytes, size_t len_bytes)
{
    if (at + len_bytes > f->len_bytes)
        resize(f, at + len_bytes);
    memcpy(f->bytes + at, bytes, len_bytes);
}

void image_take_part(struct image *image, const struct disk_op *op, size_t len_bytes)
{
    image_take(image, &(struct unit){.op = op, .len_bytes = len_bytes});
}

void image_take(struct image *image, const struct unit *unit)
{
    const struct disk_op *op = unit->op;
    struct image_file *f = &image->files[op->file];
    switch (op->kind) {
    case DISK_WRITE:
        put(f, op->at_bytes + unit->from_bytes, op->bytes + unit->from_bytes, unit->len_bytes);
        break;
    case DISK_SIZE:
        resize(f, op->at_bytes);
        break;
    case DISK_COME:
        f->there = true;
        break;
    case DISK_SYNC:
    case DISK_SYNC_DIR:
        break;
    }
}

void image_copy(const struct image *from, struct image *to)
{
    for (unsigned i = 0; i < DISK_FILES; i++) {
        const struct image_file *f = &from->files[i];
        struct image_file *t = &to->files[i];
        t->there = f->there;
        t->len_bytes = 0;
        resize(t, f->len_bytes);
        if (f->len_bytes > 0)
            memcpy(t->bytes, f->bytes, f->len_bytes);
    }
}

void image_free(struct image *image)
{
    for (unsigned i = 0; i < DISK_FILES; i++)
        free(image->files[i].bytes);
    *image = (struct image){0};
}

static void file_write(const struct image_file *f, const char *dir, const char *name)
{
    char path[DISK_PATH_MAX + 16];
    snprintf(path, sizeof(path), "%s/%s", dir, name);
    CHECK(unlink(path) == 0 || errno == ENOENT);
    if (!f->there)
        return;
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    CHECK(fd >= 0);
    CHECK(pwrite(fd, f->bytes, f->len_bytes, 0) == (ssize_t)f->len_bytes);
    close(fd);
}

void image_write(const struct image *image, const char *dir)
{
    const struct image_file none = {0};
    CHECK(mkdir(dir, 0700) == 0 || errno == EEXIST);
    file_write(&image->files[DISK_DATA], dir, "data.mdb");
    file_write(&image->files[DISK_STATE], dir, "state");
    file_write(&none, dir, "lock.mdb");
}

/* ---- the walk -------------------------------------------------------------------------------- */

void walk_begin(struct walk *w, const struct disk_record *record)
{
    *w = (struct walk){.record = record};
}

void walk_end(struct walk *w)
{
    image_free(&w->durable);
    image_free(&w->cached);
    free(w->pending);
}

static bool is_name(const struct disk_op *op)
{
    return op->kind == DISK_COME;
}

static bool overlap(const struct disk_op *a, const struct disk_op *b)
{
    return a->kind == DISK_WRITE && a->at_bytes < b->at_bytes + b->len_bytes &&
           b->at_bytes < a->at_bytes + a->len_bytes;
}

/* Is the pending operation durable once op is done? */
static bool settles(const struct disk_op *op, const struct disk_op *pending)
{
    switch (op->kind) {
    case DISK_SYNC:
        return pending->file == op->file && !is_name(pending);
    case DISK_SYNC_DIR:
        return is_name(pending);
    case DISK_WRITE:
        return op->durable && pending->file == op->file && overlap(pending, op);
    case DISK_SIZE:
    case DISK_COME:
        break;
    }
    return false;
}

static void settle(struct walk *w, const struct disk_op *op)
{
    size_t kept = 0;
    for (size_t i = 0; i < w->pending_count; i++) {
        const struct disk_op *p = &w->record->ops[w->pending[i]];
        if (settles(op, p))
            image_take_part(&w->durable, p, p->len_bytes);
        else
            w->pending[kept++] = w->pending[i];
    }
    w->pending_count = kept;
}

void walk_step(struct walk *w)
{
    const struct disk_op *op = &w->record->ops[w->at++];
    image_take_part(&w->cached, op, op->len_bytes);
    settle(w, op);
    if (op->kind == DISK_SYNC || op->kind == DISK_SYNC_DIR)
        return;
    if (op->durable) {
        image_take_part(&w->durable, op, op->len_bytes);
        return;
    }
    if (w->pending_count == w->pending_room) {
        w->pending_room = w->pending_room * 2 + 64;
        w->pending = realloc(w->pending, w->pending_room * sizeof(*w->pending));
        CHECK(w->pending != NULL);
    }
    w->pending[w->pending_count++] = w->at - 1;
}

static size_t units_of(const struct disk_op *op, size_t unit_bytes, struct unit *out, size_t count)
{
    size_t from = 0;
    do {
        size_t len = op->len_bytes - from < unit_bytes ? op->len_bytes - from : unit_bytes;
        CHECK(count < UNITS_MAX);
        out[count++] = (struct unit){.op = op, .from_bytes = from, .len_bytes = len};
        from += len;
    } while (from < op->len_bytes);
    return count;
}

size_t walk_units(const struct walk *w, size_t unit_bytes, struct unit out[UNITS_MAX])
{
    size_t count = 0;
    for (size_t i = 0; i < w->pending_count; i++)
        count = units_of(&w->record->ops[w->pending[i]], unit_bytes, out, count);
    if (w->at < w->record->count && w->record->ops[w->at].kind == DISK_WRITE)
        count = units_of(&w->record->ops[w->at], unit_bytes, out, count);
    return count;
}
