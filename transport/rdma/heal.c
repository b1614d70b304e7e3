/* SPDX-License-Identifier: Apache-2.0 */
/* Queue pairs that fail, rails that are lost, and how a channel goes on (channel.h). */
#include <sched.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "transport/base/clock.h"
#include "transport/base/log.h"
#include "transport/rdma/channel.h"

void channel_fail_queue(struct rdma_channel *ch, struct channel_queue *queue)
{
    if (queue->failed || queue->state == QUEUE_NONE)
        return;
    queue->failed = true;
    if (ch->state == CHANNEL_RUNS)
        ch->state = CHANNEL_HEALS;
    for (uint64_t i = ch->first_job; i < ch->next_job; i++) {
        struct channel_job *job = channel_job_at(ch, i);
        job->holed |= (job->queues & queue->bit) != 0;
    }
}

void channel_doom(struct rdma_channel *ch, int status)
{
    if (ch->state == CHANNEL_BROKEN)
        return;
    ch->state = CHANNEL_HEALS;
    if (ch->doom == CENOTE_OK)
        ch->doom = status;
}

void channel_lose_rail(struct rdma_channel *ch, struct channel_rail *rail, const char *why)
{
    if (rail->lost)
        return;
    rail->lost = true;
    ch->rails_live--;
    atomic_fetch_add(&ch->devices->rails_lost, 1);
    log_warn("rdma", "node %llu: the rail by %s port %u is lost, %u left: %s",
             (unsigned long long)ch->base.node, rail->port->device->name, rail->port->number,
             ch->rails_live, why);
    channel_fail_queue(ch, &rail->read);
    channel_fail_queue(ch, &rail->write);
    if (ch->state == CHANNEL_RUNS)
        ch->state = CHANNEL_HEALS;
}

/* The descriptor of a device that was removed stays readable for ever. */
static void take_removal(struct rdma_channel *ch, struct channel_rail *rail)
{
    epoll_ctl(ch->epoll, EPOLL_CTL_DEL, rdma_device_event_fd(rail->port->device), NULL);
    channel_lose_rail(ch, rail, "the device has gone");
}

/* A link that is down may come up again before requests time out: without another rail that is
 * waited for. */
void channel_check_rails(struct rdma_channel *ch)
{
    uint64_t now_ms = clock_tick_ms();
    if (now_ms != ch->events_ms) {
        ch->events_ms = now_ms;
        rdma_devices_take_events(ch->devices);
    }
    for (unsigned i = 0; i < ch->rail_count; i++) {
        struct channel_rail *rail = &ch->rails[i];
        if (atomic_load(&rail->port->device->lost))
            take_removal(ch, rail);
        else if (atomic_load(&rail->port->down) && !rail->lost && ch->rails_live > 1)
            channel_lose_rail(ch, rail, "the link is down");
    }
}

/* Until the queue pair has given back what it had: at once, or never when its device has gone. */
static void drain(struct rdma_channel *ch, struct channel_queue *queue)
{
    uint64_t deadline_ms = clock_now_ms() + CHANNEL_DRAIN_MS;
    while (queue->posted > 0 && clock_now_ms() < deadline_ms) {
        if (channel_poll(ch))
            continue;
        rdma_devices_take_events(ch->devices);
        if (atomic_load(&queue->rail->port->device->lost))
            break;
        sched_yield();
    }
}

static void destroy(struct rdma_channel *ch, struct channel_queue *queue)
{
    uint64_t deadline_ms = clock_now_ms() + CHANNEL_DRAIN_MS;
    while (!rdma_queue_end(&queue->q)) { /* its device may be going: then its event tells */
        if (clock_now_ms() >= deadline_ms) {
            log_error("rdma", "%s: a queue pair that is stopped can't be destroyed",
                      queue->rail->port->device->name);
            break;
        }
        rdma_devices_take_events(ch->devices);
        sched_yield();
    }
}

/* The queue pair is no more when this returns, and what it had is over. Completions come at once
 * when it is in state ERR; destroying it is what makes sure that no buffer is touched any more. */
static void end_queue(struct rdma_channel *ch, struct channel_queue *queue)
{
    if (queue->q.qp == NULL)
        return;
    queue->failed = true;
    rdma_queue_fail(&queue->q);
    drain(ch, queue);
    destroy(ch, queue);
    channel_give_up_entries(ch, queue);
    queue->chain_count = queue->piece_count = 0;
}

/* Ends what has failed; the node is to end its side. */
static void end_failed(struct rdma_channel *ch)
{
    for (unsigned i = 0; i < 2 * ch->rail_count; i++) {
        struct channel_rail *rail = &ch->rails[i / 2];
        struct channel_queue *queue = i % 2 == 0 ? &rail->read : &rail->write;
        if (!queue->failed || queue->q.qp == NULL)
            continue;
        end_queue(ch, queue);
        if (queue->gone)
            queue->state = QUEUE_NONE;
        else
            channel_close_queue(ch, queue);
    }
}

static bool is_closing(const struct rdma_channel *ch)
{
    for (unsigned i = 0; i < ch->rail_count; i++)
        if (ch->rails[i].read.state == QUEUE_CLOSING || ch->rails[i].write.state == QUEUE_CLOSING)
            return true;
    return false;
}

bool channel_heal(struct rdma_channel *ch)
{
    end_failed(ch);
    if (ch->rails_live == 0)
        channel_doom(ch, CENOTE_NODE_DOWN);
    if (ch->doom != CENOTE_OK) {
        channel_break(ch, ch->doom);
        return true;
    }
    channel_retire(ch);
    if (ch->tail < ch->head || is_closing(ch))
        return false;
    for (uint64_t i = ch->first_job; i < ch->next_job; i++) {
        struct channel_job *job = channel_job_at(ch, i);
        if (job->holed)
            channel_rewind_job(job);
    }
    ch->state = CHANNEL_RUNS;
    ch->due = true;
    return true;
}

void channel_break(struct rdma_channel *ch, int status)
{
    if (ch->state != CHANNEL_BROKEN) {
        ch->state = CHANNEL_BROKEN;
        shutdown(ch->fd, SHUT_RDWR);
    }
    for (unsigned i = 0; i < ch->rail_count; i++) {
        end_queue(ch, &ch->rails[i].read);
        end_queue(ch, &ch->rails[i].write);
    }
    channel_drop_entries(ch);
    stage_rest(ch);
    channel_end_jobs(ch, status);
}
