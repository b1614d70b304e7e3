/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/crash/life.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "meta/service/peer.h"
#include "tests/crash/image.h"
#include "tests/scenario/check.h"
#include "transport/base/log.h"

#define NEVER_MS 3600000u

/* ---- the log --------------------------------------------------------------------------------- */

static pthread_mutex_t log_lock = PTHREAD_MUTEX_INITIALIZER;
static char log_text[4096];
static size_t log_len;

static void keep(void *arg, enum log_level level, const char *module, const char *text)
{
    (void)arg, (void)module;
    if (level > LOG_ERROR)
        return;
    pthread_mutex_lock(&log_lock);
    size_t room = sizeof(log_text) - log_len;
    int len = snprintf(log_text + log_len, room, "%s; ", text);
    if (len > 0 && (size_t)len < room)
        log_len += (size_t)len;
    pthread_mutex_unlock(&log_lock);
}

/* What was kept explains why the program ended with a failure. */
static void say_at_exit(int status, void *arg)
{
    (void)arg;
    if (status != 0)
        fprintf(stderr, "errors logged: %s\n", life_said());
}

void life_log_keep(void)
{
    static bool registered;
    if (!registered)
        registered = on_exit(say_at_exit, NULL) == 0;
    pthread_mutex_lock(&log_lock);
    log_text[0] = 0;
    log_len = 0;
    pthread_mutex_unlock(&log_lock);
    log_set_sink(keep, NULL);
}

const char *life_said(void)
{
    static char said[sizeof(log_text)];
    pthread_mutex_lock(&log_lock);
    memcpy(said, log_text, sizeof(said));
    pthread_mutex_unlock(&log_lock);
    return said;
}

/* ---- the store of a world -------------------------------------------------------------------- */

static int disk_open(void *arg, struct store **out)
{
    struct lmdb_disk *d = arg;
    int status = store_lmdb_open(d->dir, &d->options, &d->store);
    *out = d->store;
    return status;
}

static void disk_run(void *arg)
{
    struct lmdb_disk *d = arg;
    store_lmdb_drain(d->store);
    if (d->ran != NULL)
        d->ran(d->arg);
}

static void disk_kill(void *arg)
{
    struct lmdb_disk *d = arg;
    d->dying = d->killed != NULL;
    if (d->dying)
        disk_record_to(NULL);
}

static void disk_close(void *arg)
{
    struct lmdb_disk *d = arg;
    store_lmdb_close(d->store);
    d->store = NULL;
    if (d->dying)
        d->killed(d->arg);
    d->dying = false;
}

void lmdb_disk_init(struct lmdb_disk *d, const char *dir, const struct store_lmdb_options *options)
{
    *d = (struct lmdb_disk){.dir = dir, .options = *options};
    d->disk = (struct world_disk){
        .open = disk_open, .run = disk_run, .kill = disk_kill, .close = disk_close, .arg = d};
}

/* ---- what is watched ------------------------------------------------------------------------- */

static void note(void *arg, enum event_kind kind, unsigned key, uint64_t put_id)
{
    struct life *life = arg;
    promises_add(&life->promises, &(struct event){.stamp = disk_recorded(&life->record),
                                                  .kind = kind,
                                                  .key = key,
                                                  .put_id = put_id});
}

static void on_asked(void *arg, unsigned key, uint64_t put_id)
{
    note(arg, EVENT_ASKED, key, put_id);
}

static void on_told(void *arg, unsigned key, uint64_t put_id)
{
    note(arg, EVENT_TOLD, key, put_id);
}

static void on_granted(void *arg, uint64_t put_id)
{
    note(arg, EVENT_GRANTED, 0, put_id);
}

static void on_ends(void *arg, uint64_t put_id)
{
    note(arg, EVENT_ENDS, 0, put_id);
}

/* All is done and nothing waits: reign and addresses were told to whoever asked. */
static void on_ran(void *arg)
{
    struct life *life = arg;
    const struct service *s = life->world->service;
    if (s == NULL || life->world->started != CENOTE_OK || life->lmdb.dying)
        return;
    promises_add(&life->promises, &(struct event){.stamp = disk_recorded(&life->record),
                                                  .kind = EVENT_LIFE,
                                                  .put_id = s->core.ids.reign,
                                                  .gva = s->core.members.gva_next});
}

/* The process is dead: its successor finds what was in the page cache. */
static void on_killed(void *arg)
{
    struct life *life = arg;
    struct walk w;
    walk_begin(&w, &life->record);
    while (w.at < life->record.count)
        walk_step(&w);
    image_write(&w.cached, life->lmdb.dir);
    walk_end(&w);
    disk_record_to(&life->record);
}

/* ---- the life -------------------------------------------------------------------------------- */

static struct life *living;

static void prepare(struct world *w)
{
    living->world = w;
}

void life_record(struct life *life, const char *dir)
{
    struct story_watch watch = {
        .asked = on_asked, .told = on_told, .granted = on_granted, .ends = on_ends, .arg = life};
    struct store_lmdb_options options = {.map_size_bytes = LIFE_MAP_BYTES,
                                         .durability = life->durability,
                                         .flush_ms = NEVER_MS,
                                         .boot_id = LIFE_BOOT_ID};
    lmdb_disk_init(&life->lmdb, dir, &options);
    life->lmdb.arg = life;
    life->lmdb.ran = on_ran;
    life->lmdb.killed = life->clean ? NULL : on_killed;
    living = life;
    disk_watch(dir);
    disk_record_to(&life->record);
    story_run(
        &(struct story_options){.prepare = prepare, .disk = &life->lmdb.disk, .watch = &watch});
    disk_record_to(NULL);
    disk_watch(NULL);
}

void life_free(struct life *life)
{
    disk_record_free(&life->record);
    promises_free(&life->promises);
}
