/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/rdma/watch.h"

#include <cenote/status.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "transport/base/log.h"
#include "transport/base/testswitch.h"

#ifndef UFFD_USER_MODE_ONLY
#define UFFD_USER_MODE_ONLY 1
#endif
#ifndef USERFAULTFD_IOC_NEW
#define USERFAULTFD_IOC_NEW _IO(0xAA, 0x00)
#endif

#define NEWS_MAX     256u /* ranges that were read and not yet taken by the owner */
#define MESSAGES_MAX 16u  /* of one read */
#define WATCH_EVENTS                                                                               \
    (UFFD_FEATURE_EVENT_UNMAP | UFFD_FEATURE_EVENT_REMAP | UFFD_FEATURE_EVENT_REMOVE)
#define PAGE_FROM_FILE (UINT64_C(1) << 61) /* bits of /proc/self/pagemap */
#define PAGE_PRESENT   (UINT64_C(1) << 63)
#define PAGEMAP_CHUNK  512u

/*
 * The kernel sends a message when a watched range is unmapped, moved, or stripped of its pages, and
 * the system call that does it returns only after its message has been read. This is all that the
 * watch rests on, and it has three traps.
 *
 * 1. Whoever unmaps waits for who reads. So the reader must never wait for anybody else: an
 *    application's thread may unmap while it holds a lock of its allocator, or ours, or while a
 *    collector has stopped all threads but its own, wherever they were. The reader is a thread that
 *    polls, reads, stores and posts, and does nothing else: no lock, no memory, no log. What it
 *    has read waits in the news, a ring with one producer; whoever holds the owner's lock takes it
 *    from there. A full ring means that everything is gone. The second thread, the worker, only
 *    sees to it that news are taken soon though nobody looks anything up, and cleans up after that
 *    (which may itself unmap watched memory: the reader is another).
 *
 * 2. Between reading a message and its being in the ring, the caller of munmap() may already be
 *    back. So the reader says that it is reading before it does, and that it isn't after the news
 *    are in the ring, and who looks up while it is reading doesn't rely on the table.
 *
 * 3. An address can be mapped again, by another thread, before munmap() has returned on the first,
 *    while its message waits. The kernel counts changes that are under way, from before it unmaps
 *    until after the message was read, and refuses to change protection meanwhile, with EAGAIN,
 *    before it looks at what it is asked. So an impossible request (EINVAL) is a probe. It also
 *    tells when an application has closed all descriptors that it found, or that its number is now
 *    another file's.
 *
 * A lookup, under the owner's lock, thus probes, then looks whether the reader is reading, then
 * takes the news, and only then relies on its table: rdma_watch_settled(). If a change of memory
 * was complete before the lookup began, or the memory's present owner got it from the kernel before
 * that, then the probe has seen the change, or the reader was reading, or the news are in the ring.
 *
 * When pages are given back (MADV_DONTNEED, MADV_FREE), the message comes before the pages go. Who
 * registers them in between has used memory that another thread was about to throw away.
 *
 * Not told: holes punched into files, and files cut short, hence rdma_watch_knows(). Also not told
 * are guard pages that MADV_GUARD_INSTALL puts over what was a buffer, and detached System V
 * segments, which are files in this respect.
 *
 * A forked child has a copy of the descriptor, which keeps the watch alive when the parent closes
 * its own; then nobody would read any more, and the parent's next munmap() would never return. So
 * nothing may be watched when it is closed. What the owner added it forgets; what grew or moved by
 * mremap(), or has been given back only, is found among all mappings in the end, at the price of a
 * walk over their page tables.
 *
 * There is no second descriptor to wake the reader by: should the application close all that it
 * finds, a write would go who knows where. It is woken by a message: a page that is watched for
 * this, the bell, is unmapped; and it goes when it has read that message, not earlier, as nobody
 * else reads it.
 */
struct rdma_watch {
    struct rdma_watcher owner;
    int fd;
    uintptr_t page;
    void *bell;
    pthread_t reader, worker;
    sem_t something;     /* for the worker */
    _Atomic bool stop;   /* for the worker */
    bool rung;           /* the reader's */
    _Atomic bool broken; /* the descriptor isn't ours any more: nothing is told */
    _Atomic bool reading;
    _Atomic bool overrun; /* news were lost: everything is gone */
    _Atomic uint32_t put, taken;
    struct news {
        uintptr_t begin, end;
    } news[NEWS_MAX];
};

/* ---- the kernel's side ----------------------------------------------------------------------- */

/* The system call, or where only that is forbidden, the device. */
static int open_uffd(void)
{
    int flags = O_CLOEXEC | O_NONBLOCK | UFFD_USER_MODE_ONLY;
    int fd = (int)syscall(SYS_userfaultfd, flags);

    if (fd >= 0)
        return fd;
    int error = errno, device = open("/dev/userfaultfd", O_RDWR | O_CLOEXEC);
    if (device >= 0) {
        fd = ioctl(device, USERFAULTFD_IOC_NEW, flags);
        error = errno;
        close(device);
    }
    errno = error;
    return fd;
}

static int open_watch(void)
{
    struct uffdio_api api = {.api = UFFD_API, .features = WATCH_EVENTS};
    int fd = open_uffd();

    if (fd < 0)
        return -1;
    if (ioctl(fd, UFFDIO_API, &api) == 0)
        return fd;
    int error = errno;
    close(fd);
    errno = error;
    return -1;
}

static int watch_range(const struct rdma_watch *w, uintptr_t begin, uintptr_t end)
{
    struct uffdio_register what = {.range = {.start = begin, .len = end - begin},
                                   .mode = UFFDIO_REGISTER_MODE_WP};
    return ioctl(w->fd, UFFDIO_REGISTER, &what);
}

static void unwatch_range(const struct rdma_watch *w, uintptr_t begin, uintptr_t end)
{
    struct uffdio_range what = {.start = begin, .len = end - begin};
    ioctl(w->fd, UFFDIO_UNREGISTER, &what);
}

/* errno of a request that does nothing: EINVAL, or EAGAIN while memory is being changed; anything
 * else: this isn't our descriptor. */
static int probe(const struct rdma_watch *w)
{
    struct uffdio_writeprotect nothing = {.mode = 0};
    return ioctl(w->fd, UFFDIO_WRITEPROTECT, &nothing) == 0 ? 0 : errno;
}

/* ---- the reader: see trap 1 ------------------------------------------------------------------ */

static void put_news(struct rdma_watch *w, uint64_t begin, uint64_t end)
{
    uint32_t put = atomic_load_explicit(&w->put, memory_order_relaxed);

    if (put - atomic_load(&w->taken) == NEWS_MAX) {
        atomic_store(&w->overrun, true);
        return;
    }
    w->news[put % NEWS_MAX] = (struct news){.begin = (uintptr_t)begin, .end = (uintptr_t)end};
    atomic_store(&w->put, put + 1);
}

/* The descriptor was closed, or is another file's now. */
static void break_watch(struct rdma_watch *w)
{
    atomic_store(&w->broken, true);
    atomic_store(&w->overrun, true);
    sem_post(&w->something);
}

static void put_message(struct rdma_watch *w, const struct uffd_msg *m)
{
    switch (m->event) {
    case UFFD_EVENT_UNMAP:
    case UFFD_EVENT_REMOVE:
        if (m->arg.remove.start <= (uintptr_t)w->bell && (uintptr_t)w->bell < m->arg.remove.end)
            w->rung = true;
        put_news(w, m->arg.remove.start, m->arg.remove.end);
        break;
    case UFFD_EVENT_REMAP:
        put_news(w, m->arg.remap.from, m->arg.remap.from + m->arg.remap.len);
        break;
    default:
        break; /* nothing is protected, so nobody faults */
    }
}

static void read_messages(struct rdma_watch *w)
{
    struct uffd_msg messages[MESSAGES_MAX];
    int error = probe(w);

    if (error != EINVAL && error != EAGAIN) {
        break_watch(w);
        return;
    }
    atomic_store(&w->reading, true);
    ssize_t n = read(w->fd, messages, sizeof messages);
    for (size_t i = 0; n > 0 && i < (size_t)n / sizeof messages[0]; i++)
        put_message(w, &messages[i]);
    atomic_store(&w->reading, false);
    sem_post(&w->something);
}

static void *run_reader(void *arg)
{
    struct rdma_watch *w = arg;

    while (!w->rung && !atomic_load(&w->broken)) {
        struct pollfd p = {.fd = w->fd, .events = POLLIN};
        if (poll(&p, 1, -1) < 0)
            continue;
        if (p.revents & (POLLNVAL | POLLERR | POLLHUP))
            break_watch(w);
        else
            read_messages(w);
    }
    return NULL;
}

/* ---- taking news ----------------------------------------------------------------------------- */

/* The lock is held. */
static void take_news(struct rdma_watch *w)
{
    uint32_t taken = atomic_load_explicit(&w->taken, memory_order_relaxed);
    bool all = atomic_load(&w->overrun) && atomic_exchange(&w->overrun, false);

    for (; taken != atomic_load(&w->put); taken++) {
        struct news n = w->news[taken % NEWS_MAX];
        atomic_store(&w->taken, taken + 1);
        if (!test_off(TEST_WATCH))
            w->owner.gone(w->owner.arg, n.begin, n.end);
    }
    if (all)
        w->owner.gone(w->owner.arg, 0, UINTPTR_MAX);
}

bool rdma_watch_settled(struct rdma_watch *w)
{
    int error = probe(w);

    atomic_thread_fence(memory_order_seq_cst);
    bool reading = atomic_load(&w->reading);
    take_news(w);
    if (test_off(TEST_WATCH))
        return true;
    return error == EINVAL && !reading && !atomic_load(&w->broken);
}

static void *run_worker(void *arg)
{
    struct rdma_watch *w = arg;

    while (!atomic_load(&w->stop)) {
        if (sem_wait(&w->something) != 0)
            continue;
        pthread_mutex_lock(w->owner.lock);
        take_news(w);
        pthread_mutex_unlock(w->owner.lock);
        w->owner.clean(w->owner.arg);
    }
    return NULL;
}

/* ---- ranges ---------------------------------------------------------------------------------- */

static uintptr_t page_down(const struct rdma_watch *w, uintptr_t addr)
{
    return addr & ~(w->page - 1);
}

static uintptr_t page_up(const struct rdma_watch *w, uintptr_t addr)
{
    return page_down(w, addr + w->page - 1);
}

int rdma_watch_add(struct rdma_watch *w, uintptr_t begin, uintptr_t end)
{
    return watch_range(w, page_down(w, begin), page_up(w, end)) == 0 ? CENOTE_OK
                                                                     : CENOTE_NOT_SUPPORTED;
}

void rdma_watch_forget(struct rdma_watch *w, uintptr_t begin, uintptr_t end, uintptr_t low,
                       uintptr_t high)
{
    begin = page_down(w, begin);
    end = page_up(w, end);
    if (begin < low)
        begin = page_up(w, low);
    if (end > high)
        end = page_down(w, high);
    if (begin < end)
        unwatch_range(w, begin, end);
}

bool rdma_watch_knows(uintptr_t begin, uintptr_t end)
{
    uint64_t pages[PAGEMAP_CHUNK];
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE), at = begin / page, last = (end - 1) / page;
    int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
    bool known = fd >= 0;

    while (known && at <= last) {
        size_t want = last - at + 1 < PAGEMAP_CHUNK ? last - at + 1 : PAGEMAP_CHUNK;
        ssize_t n = pread(fd, pages, want * sizeof pages[0], (off_t)(at * sizeof pages[0]));
        size_t got = n > 0 ? (size_t)n / sizeof pages[0] : 0;
        known = got > 0;
        for (size_t i = 0; i < got; i++)
            known = known && (pages[i] & PAGE_PRESENT) && !(pages[i] & PAGE_FROM_FILE);
        at += got;
    }
    if (fd >= 0)
        close(fd);
    return known;
}

/* ---- beginning and end ----------------------------------------------------------------------- */

static int start_thread(pthread_t *out, void *(*run)(void *), struct rdma_watch *w,
                        const char *name)
{
    sigset_t all, before;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int error = pthread_create(out, NULL, run, w);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (error == 0)
        pthread_setname_np(*out, name);
    return error;
}

/* Who has the mapping watched by a descriptor of its own doesn't let us, and is left alone. */
static void unwatch_mapping(const struct rdma_watch *w, uintptr_t begin, uintptr_t end)
{
    uintptr_t bell = (uintptr_t)w->bell;

    if (begin <= bell && bell < end) {
        if (begin < bell)
            unwatch_range(w, begin, bell);
        begin = bell + w->page;
    }
    if (begin < end && watch_range(w, begin, end) == 0)
        unwatch_range(w, begin, end);
}

/* Whatever is still watched, except the bell, among this process' own mappings. */
static void unwatch_all(const struct rdma_watch *w)
{
    FILE *f = fopen("/proc/self/maps", "re");
    unsigned long begin, end;
    char mode[5];

    if (f == NULL)
        return;
    while (fscanf(f, "%lx-%lx %4s%*[^\n]", &begin, &end, mode) == 3)
        if (mode[3] == 'p')
            unwatch_mapping(w, begin, end);
    fclose(f);
}

/* Unless it has become another file's number. */
static void close_watch(const struct rdma_watch *w)
{
    int error = probe(w);
    if (error == EINVAL || error == EAGAIN)
        close(w->fd);
}

static void stop_reader(struct rdma_watch *w)
{
    munmap(w->bell, w->page);
    pthread_join(w->reader, NULL);
}

static int start_threads(struct rdma_watch *w)
{
    if (start_thread(&w->reader, run_reader, w, "cenote-watch") != 0)
        return CENOTE_NO_MEMORY;
    if (start_thread(&w->worker, run_worker, w, "cenote-unpin") == 0)
        return CENOTE_OK;
    stop_reader(w);
    w->bell = MAP_FAILED; /* it was rung */
    return CENOTE_NO_MEMORY;
}

int rdma_watch_new(const struct rdma_watcher *watcher, struct rdma_watch **out)
{
    struct rdma_watch *w = calloc(1, sizeof *w);
    int status = CENOTE_NO_MEMORY;

    if (w == NULL)
        return CENOTE_NO_MEMORY;
    w->owner = *watcher;
    w->page = (uintptr_t)sysconf(_SC_PAGESIZE);
    sem_init(&w->something, 0, 0);
    w->bell = mmap(NULL, w->page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (w->bell == MAP_FAILED)
        goto free_watch;
    w->fd = open_watch();
    if (w->fd < 0 || watch_range(w, (uintptr_t)w->bell, (uintptr_t)w->bell + w->page) != 0 ||
        probe(w) != EINVAL) {
        log_info("rdma",
                 "userfaultfd(2) isn't allowed here (%s): buffers that aren't registered are "
                 "copied on their way",
                 strerror(errno));
        status = CENOTE_NOT_SUPPORTED;
        goto close_fd;
    }
    status = start_threads(w);
    if (status != CENOTE_OK)
        goto close_fd;
    *out = w;
    return CENOTE_OK;
close_fd:
    if (w->fd >= 0) {
        unwatch_range(w, (uintptr_t)w->bell, (uintptr_t)w->bell + w->page);
        close(w->fd);
    }
    if (w->bell != MAP_FAILED)
        munmap(w->bell, w->page);
free_watch:
    sem_destroy(&w->something);
    free(w);
    return status;
}

void rdma_watch_free(struct rdma_watch *w)
{
    unwatch_all(w);
    stop_reader(w);
    atomic_store(&w->stop, true);
    sem_post(&w->something);
    pthread_join(w->worker, NULL);
    close_watch(w);
    sem_destroy(&w->something);
    free(w);
}

void rdma_watch_abandon(struct rdma_watch *w)
{
    close_watch(w);
    munmap(w->bell, w->page);
    free(w);
}
