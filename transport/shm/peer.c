/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "transport/base/clock.h"
#include "transport/base/log.h"
#include "transport/base/testswitch.h"
#include "transport/shm/keep.h"
#include "transport/shm/message.h"

#ifndef SO_PEERPIDFD
#define SO_PEERPIDFD 77
#endif

static void hang_up(struct shm_connection *c)
{
    if (c->fd < 0)
        return;
    close(c->fd);
    c->fd = -1;
    c->introduced = false;
}

static int answer(const struct shm_connection *c, const struct hello_answer *a)
{
    uint8_t raw[HELLO_ANSWER_BYTES];
    hello_answer_encode(a, raw);
    ssize_t n = send(c->fd, raw, sizeof raw, MSG_NOSIGNAL | MSG_DONTWAIT);
    return n == (ssize_t)sizeof raw ? CENOTE_OK : CENOTE_NODE_DOWN;
}

static void refuse(struct shm_connection *c, const struct shm_exporter *e, int status)
{
    (void)answer(c, &(struct hello_answer){.status = status, .boot = e->gate.boot});
    hang_up(c);
}

/* A process that has no number here, as it lives in another pid namespace, has a descriptor all the
 * same, since Linux 6.5. -1: it has none. */
static int open_peer(int fd, pid_t pid)
{
    int pidfd;
    socklen_t len = sizeof pidfd;
    if (pid > 0)
        return process_open(pid);
    return getsockopt(fd, SOL_SOCKET, SO_PEERPIDFD, &pidfd, &len) == 0 ? pidfd : -1;
}

/* Who connected. CENOTE_OK, CENOTE_DENIED (another user), CENOTE_NOT_SUPPORTED: its death could not
 * be proven: there is no pidfd; or a later process of the node couldn't, where slots outlive this
 * one, as a process of another pid namespace can't be named from here. */
static int identify(const struct shm_exporter *e, struct shm_connection *c)
{
    struct ucred cred;
    socklen_t len = sizeof cred;
    if (getsockopt(c->fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) != 0)
        return CENOTE_NOT_SUPPORTED;
    if (cred.uid != geteuid() && cred.uid != 0)
        return CENOTE_DENIED;
    c->pidfd = open_peer(c->fd, cred.pid);
    if (c->pidfd < 0)
        return CENOTE_NOT_SUPPORTED;
    if (e->slots_dir < 0)
        return CENOTE_OK;
    return cred.pid > 0 ? process_name(c->pidfd, cred.pid, &c->process) : CENOTE_NOT_SUPPORTED;
}

/* A client that won't have a node of another user is gone before it can be refused. */
static bool has_hung_up(int fd)
{
    struct pollfd p = {.fd = fd, .events = POLLRDHUP};
    return poll(&p, 1, 0) > 0 && (p.revents & (POLLRDHUP | POLLHUP)) != 0;
}

int shm_connection_add(struct shm_exporter *e, int fd)
{
    struct shm_connection *c = calloc(1, sizeof *c);
    if (c == NULL) {
        close(fd);
        return CENOTE_NO_MEMORY;
    }
    c->fd = fd;
    c->pidfd = -1;
    c->deadline_ms = clock_now_ms() + HELLO_TIMEOUT_MS;
    int status = e->connection_count >= SHM_CONNECTIONS_MAX ? CENOTE_LIMIT : identify(e, c);
    if (status != CENOTE_OK) {
        if (!has_hung_up(fd))
            log_warn("shm", "a client is refused: %s", cenote_status_text(status));
        refuse(c, e, status);
        shm_connection_free(c);
        return status;
    }
    pthread_mutex_lock(&e->lock);
    c->next = e->connections;
    e->connections = c;
    e->connection_count++;
    pthread_mutex_unlock(&e->lock);
    return CENOTE_OK;
}

void shm_connection_offer(struct shm_connection *c, const struct xcopy_segment *segment)
{
    struct shm_message m = {.kind = SHM_SEGMENT,
                            .gva = segment->gva,
                            .len_bytes = segment->memory.len_bytes,
                            .incarnation = segment->incarnation};
    /* Whoever doesn't take what he is sent connects anew. */
    if (shm_message_send(c->fd, &m, segment->memory.fd) != CENOTE_OK)
        shutdown(c->fd, SHUT_RDWR);
}

/* The slots are made and filled with the present horizon before the client gets them; fences look
 * at them from then on. */
static int make_slots(struct shm_exporter *e, struct shm_connection *c, int *fd)
{
    struct slots *slots;
    int status = shm_keep_make(e, c, &slots, fd);
    if (status != CENOTE_OK)
        return status;
    pthread_mutex_lock(&e->lock);
    c->slots = slots;
    pthread_mutex_unlock(&e->lock);
    slots_raise(slots, e->gate.horizon(e->gate.arg, c->session));
    return CENOTE_OK;
}

static void introduce(struct shm_exporter *e, struct shm_connection *c, int slots_fd)
{
    pthread_mutex_lock(&e->lock);
    size_t count = segments_count(&e->segments);
    struct hello_answer a = {
        .status = CENOTE_OK, .boot = e->gate.boot, .segments = (uint32_t)count};
    if (answer(c, &a) == CENOTE_OK &&
        shm_message_send(c->fd, &(struct shm_message){.kind = SHM_SLOTS}, slots_fd) == CENOTE_OK) {
        c->introduced = true;
        for (size_t i = 0; i < count; i++)
            shm_connection_offer(c, &e->segments.at[i]);
    } else {
        hang_up(c);
    }
    pthread_mutex_unlock(&e->lock);
}

static void greet(struct shm_exporter *e, struct shm_connection *c)
{
    struct hello hello;
    int slots_fd;
    int status = hello_admit(c->hello, &e->gate, &hello);
    if (status == CENOTE_OK) {
        pthread_mutex_lock(&e->lock);
        c->session = hello.who.session;
        pthread_mutex_unlock(&e->lock);
        status = make_slots(e, c, &slots_fd);
    }
    if (status != CENOTE_OK) {
        refuse(c, e, status);
        return;
    }
    introduce(e, c, slots_fd);
    close(slots_fd);
}

static void greet_traced(struct shm_exporter *e, struct shm_connection *c)
{
    uint64_t traced_ns = trace_begin(e->trace, e->trace_greet);
    greet(e, c);
    trace_end(e->trace, e->trace_greet, traced_ns, c->session);
}

void shm_connection_read(struct shm_exporter *e, struct shm_connection *c)
{
    if (c->slots == NULL) {
        ssize_t n =
            recv(c->fd, c->hello + c->hello_have, HELLO_BYTES - c->hello_have, MSG_DONTWAIT);
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
            return;
        if (n > 0) {
            c->hello_have += (size_t)n;
            if (c->hello_have == HELLO_BYTES)
                greet_traced(e, c);
            return;
        }
    }
    /* the end, or a client that speaks after its hello: there is nothing to say */
    pthread_mutex_lock(&e->lock);
    hang_up(c);
    pthread_mutex_unlock(&e->lock);
}

/* May its process touch the memory by these slots? */
static bool in_use(const struct shm_connection *c)
{
    bool enters = !c->taken_over && c->slots != NULL && !slots_closed(c->slots);
    return enters || (c->slots != NULL &&
                      (slots_occupied(c->slots, UINT64_MAX) || slots_holds(c->slots) > 0));
}

void shm_connection_review(struct shm_exporter *e, struct shm_connection *c, bool dead)
{
    bool overdue = c->slots == NULL && clock_now_ms() >= c->deadline_ms;
    pthread_mutex_lock(&e->lock);
    if (dead || overdue)
        hang_up(c);
    bool forget = dead || (c->fd < 0 && (!in_use(c) || test_off(TEST_HANGUP)));
    if (forget) {
        struct shm_connection **at = &e->connections;
        while (*at != c)
            at = &(*at)->next;
        *at = c->next;
        e->connection_count--;
    }
    pthread_mutex_unlock(&e->lock);
    if (!forget)
        return;
    shm_keep_forget(e, c);
    shm_connection_free(c);
}

void shm_connection_free(struct shm_connection *c)
{
    hang_up(c);
    if (c->pidfd >= 0)
        close(c->pidfd);
    if (c->slots != NULL)
        slots_unmap(c->slots);
    free(c);
}
