/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a crash may leave on the disk, from a record of the operations before it.
 *
 * The process dies (kill -9): every operation is in the page cache, the last one perhaps in part.
 * The system dies: what was synced is there; of the operations since then ("pending") any subset,
 * in whatever order they went out, is. A write is taken apart into units, a page or a sector each,
 * so that it may be torn; a file's size and its name are units too. An image is made from the
 * record's durable part and a choice of the pending units.
 */
#ifndef CENOTE_TESTS_CRASH_IMAGE_H
#define CENOTE_TESTS_CRASH_IMAGE_H

#include "tests/crash/disk.h"

#define PAGE_BYTES   4096u
#define SECTOR_BYTES 512u
#define UNITS_MAX    16384u

struct image_file {
    bool there;
    uint8_t *bytes;
    size_t len_bytes, room_bytes;
};

struct image {
    struct image_file files[DISK_FILES];
};

/* A part of an operation, that is there or isn't. */
struct unit {
    const struct disk_op *op;
    size_t from_bytes, len_bytes; /* of a write */
};

/* A walk through a record. */
struct walk {
    const struct disk_record *record;
    size_t at;                    /* operations before it have been issued */
    struct image durable, cached; /* after a crash of the system at the least, of the process */
    size_t *pending;              /* operations */
    size_t pending_count, pending_room;
};

void walk_begin(struct walk *w, const struct disk_record *record);
void walk_step(struct walk *w); /* issues one */
void walk_end(struct walk *w);

/* The pending operations, and the next one if it is a write, in units of so many bytes. */
size_t walk_units(const struct walk *w, size_t unit_bytes, struct unit out[UNITS_MAX]);

void image_copy(const struct image *from, struct image *to);
void image_take(struct image *image, const struct unit *unit);
/* The first bytes of an operation. */
void image_take_part(struct image *image, const struct disk_op *op, size_t len_bytes);
void image_free(struct image *image);
/* Makes the directory what the image says. */
void image_write(const struct image *image, const char *dir);

#endif
