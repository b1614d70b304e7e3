/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Puts one value and stops itself (SIGSTOP) in the middle of the transfer, for tests of fences:
 *
 *   tcp   between two calls of sendmsg(), once so many bytes are on their way
 *   rdma  after it has rung the doorbell so often: the device goes on with what it was given
 *   shm   inside the copy: the source's pages from there on can't be read, and the handler of the
 *         fault stops the process before it makes them readable; with "closed" it first closes all
 *         descriptors but the standard ones
 *
 * Prints the name of the put's status, and how often the doorbell was rung; exit status 0 if the
 * value was stored, 3 if not.
 * Usage: writer ENDPOINT shm|tcp|rdma KEY LENGTH PAYLOAD-ID STOP-AT [closed]
 * STOP-AT 0: doesn't stop
 */
#include <cenote/cenote.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "bench/payload.h"
#include "tests/support/transport.h"

#define PAGE      4096u
#define NOT_DONE  3
#define POST_SEND 28u /* the command by which a process tells a software device to look */

static uint8_t *value;
static size_t mapped;
static atomic_ullong sent;
static atomic_uint doorbells;
static bool closes;
static uint64_t stop_sending_at = UINT64_MAX, stop_ringing_at = UINT64_MAX;

static void on_fault(int number)
{
    (void)number;
    if (closes && syscall(SYS_close_range, STDERR_FILENO + 1, ~0u, 0) != 0)
        abort();
    raise(SIGSTOP);
    if (mprotect(value, mapped, PROT_READ | PROT_WRITE) != 0)
        abort();
}

/* Takes the place of the C library's, for libcenote too. */
CENOTE_API ssize_t sendmsg(int fd, const struct msghdr *message, int flags)
{
    if (atomic_load(&sent) >= stop_sending_at) {
        stop_sending_at = UINT64_MAX;
        raise(SIGSTOP);
    }
    ssize_t n = syscall(SYS_sendmsg, fd, message, flags);
    if (n > 0)
        atomic_fetch_add(&sent, (unsigned long long)n);
    return n;
}

static bool is_doorbell(int fd, const void *data, size_t len)
{
    struct stat st;
    uint32_t command;

    if (len < sizeof command)
        return false;
    memcpy(&command, data, sizeof command);
    return command == POST_SEND && fstat(fd, &st) == 0 && S_ISCHR(st.st_mode);
}

/* Likewise; for the device's library too. */
CENOTE_API ssize_t write(int fd, const void *data, size_t len)
{
    ssize_t n = syscall(SYS_write, fd, data, len);

    if (is_doorbell(fd, data, len) && atomic_fetch_add(&doorbells, 1) + 1 == stop_ringing_at)
        raise(SIGSTOP);
    return n;
}

static int prepare(enum cenote_transport transport, size_t len, uint64_t id, size_t stop_at)
{
    mapped = (len / PAGE + 1) * PAGE;
    value = mmap(NULL, mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (value == MAP_FAILED)
        return -1;
    payload_fill(id, value, len);
    if (stop_at == 0)
        return 0;
    if (transport == CENOTE_TRANSPORT_RDMA)
        stop_ringing_at = stop_at;
    if (transport == CENOTE_TRANSPORT_TCP)
        stop_sending_at = stop_at;
    if (transport != CENOTE_TRANSPORT_SHM)
        return 0;
    struct sigaction action = {.sa_handler = on_fault};
    size_t readable = stop_at / PAGE * PAGE;
    return sigaction(SIGSEGV, &action, NULL) == 0 &&
                   mprotect(value + readable, mapped - readable, PROT_NONE) == 0
               ? 0
               : -1;
}

int main(int argc, char **argv)
{
    struct cenote *client = NULL;

    closes = argc == 8 && strcmp(argv[7], "closed") == 0;
    if (argc != 7 && !closes) {
        fputs("usage: writer ENDPOINT shm|tcp|rdma KEY LENGTH PAYLOAD-ID STOP-AT [closed]\n",
              stderr);
        return 2;
    }
    size_t len = strtoull(argv[4], NULL, 10);
    struct cenote_options options = {
        .meta = argv[1], .transport = transport_named(argv[2]), .timeout_ms = 60000};
    if (prepare(options.transport, len, strtoull(argv[5], NULL, 10), strtoull(argv[6], NULL, 10)) !=
        0) {
        perror("writer");
        return 2;
    }
    int status = cenote_open(&options, &client);
    if (status == CENOTE_OK)
        status = cenote_put(client, argv[3], strlen(argv[3]), value, len, 0);
    printf("%s %u\n", cenote_status_name(status), atomic_load(&doorbells));
    cenote_close(&client);
    munmap(value, mapped);
    return status == CENOTE_OK ? 0 : NOT_DONE;
}
