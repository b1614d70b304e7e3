/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Shared memory, the side that copies: the node's segments are mapped, a copy is a memcpy by the
 * calling thread, and the node's CPU has no part in it. One channel serves all threads; a read
 * takes no lock, nor does a hold.
 *
 * The node can't look at requests here. What this end checks (ranges, the boot, the session, the
 * horizon of fences) keeps honest processes apart; a process of the same user is trusted
 * (doc/PROTOCOL.md). The session, since a fence names one: what an ended session was granted may
 * belong to others, while nobody has fenced the session that this process has begun meanwhile.
 */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "transport/base/clock.h"
#include "transport/base/endpoint.h"
#include "transport/base/log.h"
#include "transport/base/testswitch.h"
#include "transport/copy.h"
#include "transport/hello.h"
#include "transport/shm/map.h"
#include "transport/shm/slots.h"
#include "transport/transports.h"

#define ALIVE_CHECK_MS 2     /* the news of a node's death may take as long, and a tick more */
#define SLOT_WAIT_MS   10000 /* for one of 256 memcpys to end */

struct shm_channel {
    struct xcopy_channel base;
    int fd;
    uint64_t boot, session;
    struct slots *slots;
    _Atomic bool broken;
    _Atomic uint64_t checked_ms; /* when the socket was looked at, by the clock of ticks */
    pthread_mutex_t lock;        /* for receiving further segments */
    struct map maps[XCOPY_SEGMENTS_MAX];
    _Atomic size_t map_count; /* maps below it don't change any more */
};

static const struct shm_channel *channel_const(const struct xcopy_channel *c)
{
    return (const struct shm_channel *)c;
}

static struct shm_channel *channel_of(struct xcopy_channel *c)
{
    return (struct shm_channel *)c;
}

/* ---- segments -------------------------------------------------------------------------------- */

static int receive_segment(struct shm_channel *ch, uint64_t deadline_ms)
{
    struct shm_message m;
    int descriptor;
    size_t count = atomic_load(&ch->map_count);
    int status = shm_message_receive(ch->fd, deadline_ms, &m, &descriptor);
    if (status != CENOTE_OK)
        return status;
    if (m.kind != SHM_SEGMENT || count == XCOPY_SEGMENTS_MAX)
        status = CENOTE_PROTOCOL;
    else
        status = map_make(&m, descriptor, &ch->maps[count]);
    close(descriptor);
    if (status == CENOTE_OK)
        atomic_store_explicit(&ch->map_count, count + 1, memory_order_release);
    return status;
}

static uint8_t *find_mapped(struct shm_channel *ch, struct gva gva, uint64_t len_bytes,
                            struct map **map)
{
    size_t count = atomic_load_explicit(&ch->map_count, memory_order_acquire);
    for (size_t i = 0; i < count; i++) {
        uint8_t *at = map_at(&ch->maps[i], gva, len_bytes);
        if (at != NULL) {
            *map = &ch->maps[i];
            return at;
        }
    }
    return NULL;
}

/* An unknown address may lie in a segment of which the node has told meanwhile. */
static uint8_t *find_extent(struct shm_channel *ch, struct gva gva, uint64_t payload_len,
                            struct map **map)
{
    uint64_t len_bytes = extent_size(payload_len);
    uint8_t *at = find_mapped(ch, gva, len_bytes, map);
    if (at != NULL)
        return at;
    pthread_mutex_lock(&ch->lock);
    int status = CENOTE_OK;
    while (status == CENOTE_OK)
        status = receive_segment(ch, 0);
    pthread_mutex_unlock(&ch->lock);
    /* A message that came and couldn't be taken (no descriptor was free) comes only once. */
    if (status != CENOTE_TIMED_OUT)
        atomic_store(&ch->broken, true);
    return find_mapped(ch, gva, len_bytes, map);
}

/* ---- copies ---------------------------------------------------------------------------------- */

/* Data that the node has sent doesn't hide that it has gone; nor does a program that has closed
 * descriptors which aren't its own. */
static bool peer_gone(int fd)
{
    struct pollfd p = {.fd = fd, .events = POLLRDHUP};
    return poll(&p, 1, 0) > 0 && (p.revents & (POLLRDHUP | POLLHUP | POLLERR | POLLNVAL)) != 0;
}

static bool channel_usable(struct shm_channel *ch)
{
    uint64_t now_ms = clock_tick_ms();
    if (atomic_load_explicit(&ch->broken, memory_order_relaxed))
        return false;
    if (now_ms - atomic_load_explicit(&ch->checked_ms, memory_order_relaxed) < ALIVE_CHECK_MS)
        return true;
    atomic_store_explicit(&ch->checked_ms, now_ms, memory_order_relaxed);
    if (!peer_gone(ch->fd))
        return true;
    atomic_store(&ch->broken, true);
    return false;
}

static void enter_pages(const struct xcopy_req *req, const uint8_t *extent, struct map *map)
{
    map_enter(map, extent + req->offset, req->len_bytes);
    map_enter(map, extent + extent_size(req->payload_len) - req->tail_len, req->tail_len);
}

static int run_write(struct shm_channel *ch, struct xcopy_req *req, uint8_t *extent)
{
    uint32_t slot;
    if (req->put_id == 0)
        return CENOTE_INVALID;
    if (req->grant.boot != ch->boot && !test_off(TEST_BOOT))
        return CENOTE_OLD_BOOT;
    if (req->session != ch->session && !test_off(TEST_GRANT))
        return CENOTE_BAD_GRANT;
    int status = slots_enter(ch->slots, req->put_id, SLOT_WAIT_MS, &slot);
    if (status != CENOTE_OK)
        return status;
    copy_write(req, extent);
    slots_leave(ch->slots, slot);
    return CENOTE_OK;
}

static int run(struct shm_channel *ch, struct xcopy_req *req)
{
    struct map *map;
    int status = copy_check(req);
    if (status != CENOTE_OK)
        return status;
    if (!channel_usable(ch))
        return CENOTE_NODE_DOWN;
    uint8_t *extent = find_extent(ch, req->gva, req->payload_len, &map);
    if (extent == NULL)
        return channel_usable(ch) ? CENOTE_BAD_RANGE : CENOTE_NODE_DOWN;
    enter_pages(req, extent, map);
    if (req->op == XCOPY_WRITE)
        return run_write(ch, req, extent);
    copy_read(req, extent);
    return CENOTE_OK;
}

static void shm_submit(struct xcopy_channel *c, struct xcopy_req *req)
{
    int status = run(channel_of(c), req);
    req->may_land = false;
    req->started = status == CENOTE_OK;
    req->status = status;
}

static int shm_hold(struct xcopy_channel *c, struct xcopy_hold *hold)
{
    struct shm_channel *ch = channel_of(c);
    struct map *map;
    if (!channel_usable(ch))
        return CENOTE_NODE_DOWN;
    uint8_t *extent = find_extent(ch, hold->gva, hold->payload_len, &map);
    if (extent == NULL)
        return channel_usable(ch) ? CENOTE_BAD_RANGE : CENOTE_NODE_DOWN;
    map_enter(map, extent, extent_size(hold->payload_len));
    int status = slots_hold(ch->slots, hold->slot, hold->gva);
    if (status != CENOTE_OK)
        return status;
    copy_load(hold->seal, extent + extent_seal_offset(hold->payload_len), SEAL_BYTES);
    atomic_thread_fence(memory_order_acquire); /* the payload is looked at behind the seal */
    hold->data = extent;
    return CENOTE_OK;
}

static void shm_unhold(struct xcopy_channel *c, uint32_t slot)
{
    slots_unhold(channel_of(c)->slots, slot);
}

static bool shm_progress(struct xcopy_channel *c)
{
    (void)c;
    return false;
}

static int shm_poll_fd(struct xcopy_channel *c, short *events)
{
    (void)c;
    *events = 0;
    return -1;
}

static void shm_cancel(struct xcopy_channel *c, int status)
{
    (void)status;
    atomic_store(&channel_of(c)->broken, true);
}

static bool shm_alive(const struct xcopy_channel *c)
{
    return !atomic_load(&channel_const(c)->broken) && !peer_gone(channel_const(c)->fd);
}

/* ---- connections ----------------------------------------------------------------------------- */

static bool shm_reaches(void *context, const struct xcopy_peer *peer)
{
    (void)context;
    char host[XCOPY_HOST_MAX];
    if (peer->shm[0] == '\0' || peer->host[0] == '\0')
        return false;
    xcopy_this_host(host);
    return strncmp(host, peer->host, XCOPY_HOST_MAX) == 0;
}

/* A socket of another user could hand out memory of its own. */
static bool peer_trusted(int fd)
{
    struct ucred cred;
    socklen_t len = sizeof cred;
    return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) == 0 &&
           (cred.uid == geteuid() || cred.uid == 0);
}

static int receive_slots(struct shm_channel *ch, uint64_t deadline_ms)
{
    struct shm_message m;
    int descriptor;
    int status = shm_message_receive(ch->fd, deadline_ms, &m, &descriptor);
    if (status != CENOTE_OK)
        return status;
    status = m.kind == SHM_SLOTS ? slots_map(descriptor, &ch->slots) : CENOTE_PROTOCOL;
    close(descriptor);
    return status;
}

static void channel_free(struct shm_channel *ch)
{
    close(ch->fd);
    pthread_mutex_destroy(&ch->lock);
    free(ch);
}

static void shm_disconnect(struct xcopy_channel *c)
{
    struct shm_channel *ch = channel_of(c);
    for (size_t i = 0; i < atomic_load(&ch->map_count); i++)
        map_free(&ch->maps[i]);
    if (ch->slots != NULL) {
        slots_close(ch->slots);
        slots_unmap(ch->slots);
    }
    channel_free(ch);
}

/* Segments and slots are mapped in the parent only (MADV_DONTFORK). */
static void shm_abandon(struct xcopy_channel *c)
{
    struct shm_channel *ch = channel_of(c);
    for (size_t i = 0; i < atomic_load(&ch->map_count); i++)
        map_abandon(&ch->maps[i]);
    channel_free(ch);
}

static int introduce(struct shm_channel *ch, const struct xcopy_peer *peer,
                     const struct xcopy_credentials *who, uint64_t deadline_ms)
{
    struct hello_answer answer;
    if (!peer_trusted(ch->fd)) {
        log_warn("shm", "the socket of node %llu belongs to another user",
                 (unsigned long long)peer->node);
        return CENOTE_NOT_SUPPORTED;
    }
    int status = hello_exchange(ch->fd, peer, who, deadline_ms, &answer);
    if (status != CENOTE_OK)
        return status;
    ch->boot = answer.boot;
    ch->session = who->session;
    status = receive_slots(ch, deadline_ms);
    for (uint32_t i = 0; status == CENOTE_OK && i < answer.segments; i++)
        status = receive_segment(ch, deadline_ms);
    return status;
}

static int shm_connect(void *context, const struct xcopy_peer *peer,
                       const struct xcopy_credentials *who, uint32_t timeout_ms,
                       struct xcopy_channel **out)
{
    (void)context;
    struct endpoint e;
    uint64_t deadline_ms = clock_now_ms() + timeout_ms;
    if (endpoint_parse(peer->shm, &e) != CENOTE_OK || !endpoint_is_unix(&e))
        return CENOTE_NODE_DOWN;
    int fd = endpoint_connect(&e, timeout_ms);
    if (fd < 0)
        return fd == CENOTE_UNAVAILABLE ? CENOTE_NODE_DOWN : fd;
    struct shm_channel *ch = calloc(1, sizeof *ch);
    if (ch == NULL) {
        close(fd);
        return CENOTE_NO_MEMORY;
    }
    ch->base = (struct xcopy_channel){.transport = &xcopy_shm, .node = peer->node};
    ch->fd = fd;
    pthread_mutex_init(&ch->lock, NULL);
    int status = introduce(ch, peer, who, deadline_ms);
    if (status != CENOTE_OK) {
        shm_disconnect(&ch->base);
        return status;
    }
    *out = &ch->base;
    return CENOTE_OK;
}

const struct xcopy_transport xcopy_shm = {
    .name = "shm",
    .id = CENOTE_TRANSPORT_SHM,
    .caps = XCOPY_CAP_SHARED | XCOPY_CAP_IMMEDIATE,
    .reaches = shm_reaches,
    .connect = shm_connect,
    .disconnect = shm_disconnect,
    .abandon = shm_abandon,
    .submit = shm_submit,
    .progress = shm_progress,
    .poll_fd = shm_poll_fd,
    .cancel = shm_cancel,
    .alive = shm_alive,
    .hold = shm_hold,
    .unhold = shm_unhold,
};
