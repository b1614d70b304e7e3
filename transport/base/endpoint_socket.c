/* SPDX-License-Identifier: Apache-2.0 */
#include <cenote/status.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "transport/base/clock.h"
#include "transport/base/endpoint.h"
#include "transport/base/log.h"

#define ENDPOINT_TEXT_MAX 128
#define SOCKET_MODE       0600
/* A UNIX socket whose backlog is full can't be polled for room. */
#define BACKLOG_RETRY_MS  5

static int open_socket(const struct endpoint *e)
{
    return socket(e->addr.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
}

static int connect_socket(int fd, const struct endpoint *e)
{
    return connect(fd, (const struct sockaddr *)&e->addr, e->addr_len);
}

static void close_keeping_errno(int fd)
{
    int saved_errno = errno;
    close(fd);
    errno = saved_errno;
}

static void format_keeping_errno(const struct endpoint *e, char text[ENDPOINT_TEXT_MAX])
{
    int saved_errno = errno;
    endpoint_format(e, text, ENDPOINT_TEXT_MAX);
    errno = saved_errno;
}

/* A path of a UNIX socket in the file system, NULL for everything else. */
static const char *socket_path(const struct endpoint *e)
{
    const struct sockaddr_un *un = (const struct sockaddr_un *)&e->addr;
    return endpoint_is_unix(e) && un->sun_path[0] != '\0' ? un->sun_path : NULL;
}

/* Only a refused connection proves that nobody listens: a full backlog is somebody. Connecting to a
 * file that is no socket is refused as well, hence the look at its type. */
static bool is_stale(const struct endpoint *e)
{
    struct stat st;
    if (lstat(socket_path(e), &st) != 0 || !S_ISSOCK(st.st_mode))
        return false;
    int fd = open_socket(e);
    if (fd < 0)
        return false;
    bool refused = connect_socket(fd, e) != 0 && errno == ECONNREFUSED;
    close(fd);
    return refused;
}

static int bind_socket(int fd, const struct endpoint *e)
{
    const struct sockaddr *addr = (const struct sockaddr *)&e->addr;
    const int one = 1;

    if (!endpoint_is_unix(e)) {
        if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) != 0)
            return -1;
        return bind(fd, addr, e->addr_len);
    }
    /* bind() gives the file the mode of the socket: there is no moment in which others could
     * connect, and the process's umask stays alone. */
    if (fchmod(fd, SOCKET_MODE) != 0)
        return -1;
    if (bind(fd, addr, e->addr_len) == 0)
        return 0;
    if (errno != EADDRINUSE || socket_path(e) == NULL)
        return -1;
    if (!is_stale(e) || unlink(socket_path(e)) != 0) {
        errno = EADDRINUSE;
        return -1;
    }
    return bind(fd, addr, e->addr_len);
}

int endpoint_try_listen(const struct endpoint *e, int backlog, struct endpoint *bound)
{
    struct endpoint name = {.addr_len = sizeof name.addr};

    int fd = open_socket(e);
    if (fd < 0)
        return CENOTE_IO;
    if (bind_socket(fd, e) != 0 || listen(fd, backlog) != 0 ||
        getsockname(fd, (struct sockaddr *)&name.addr, &name.addr_len) != 0)
        goto close_fd;
    if (bound != NULL)
        *bound = name;
    return fd;

close_fd:
    close_keeping_errno(fd);
    return CENOTE_IO;
}

int endpoint_listen(const struct endpoint *e, int backlog, struct endpoint *bound)
{
    char text[ENDPOINT_TEXT_MAX];
    int fd = endpoint_try_listen(e, backlog, bound);
    if (fd >= 0)
        return fd;
    format_keeping_errno(e, text);
    log_error("endpoint", "cannot listen on %s: %m", text);
    return fd;
}

static int ms_left(uint64_t deadline_ms)
{
    uint64_t now = clock_now_ms();
    uint64_t left = now < deadline_ms ? deadline_ms - now : 0;
    return left > INT32_MAX ? INT32_MAX : (int)left;
}

/* Waits for a connection that is being made: 0, or -1 with errno. */
static int await_connected(int fd, uint64_t deadline_ms)
{
    struct pollfd p = {.fd = fd, .events = POLLOUT};
    int error = 0;
    socklen_t len = sizeof error;

    for (;;) {
        int left = ms_left(deadline_ms);
        int n = poll(&p, 1, left);
        if (n > 0)
            break;
        if (n < 0 && errno != EINTR)
            return -1;
        if (n == 0 && left == 0) {
            errno = ETIMEDOUT;
            return -1;
        }
    }
    if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) != 0)
        return -1;
    errno = error;
    return error == 0 ? 0 : -1;
}

static int connect_until(int fd, const struct endpoint *e, uint64_t deadline_ms)
{
    while (connect_socket(fd, e) != 0) {
        if (errno == EINPROGRESS || errno == EINTR)
            return await_connected(fd, deadline_ms);
        if (errno != EAGAIN)
            return -1;
        int left = ms_left(deadline_ms);
        if (left == 0) {
            errno = ETIMEDOUT;
            return -1;
        }
        (void)poll(NULL, 0, left < BACKLOG_RETRY_MS ? left : BACKLOG_RETRY_MS);
    }
    return 0;
}

static int make_blocking(int fd, const struct endpoint *e)
{
    const int one = 1;
    int flags = fcntl(fd, F_GETFL);

    if (flags < 0 || fcntl(fd, F_SETFL, flags & ~O_NONBLOCK) != 0)
        return -1;
    if (endpoint_is_unix(e))
        return 0;
    return setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
}

/* What this process lacks says nothing about the other side. */
static int connect_status(int error)
{
    switch (error) {
    case ETIMEDOUT:
        return CENOTE_TIMED_OUT;
    case EMFILE:
    case ENFILE:
    case ENOBUFS:
    case ENOMEM:
        return CENOTE_NO_MEMORY;
    default:
        return CENOTE_UNAVAILABLE;
    }
}

int endpoint_connect(const struct endpoint *e, uint32_t timeout_ms)
{
    uint64_t deadline_ms = clock_now_ms() + timeout_ms;
    char text[ENDPOINT_TEXT_MAX];

    int fd = open_socket(e);
    if (fd < 0)
        goto fail;
    if (connect_until(fd, e, deadline_ms) != 0 || make_blocking(fd, e) != 0)
        goto close_fd;
    return fd;

close_fd:
    close_keeping_errno(fd);
fail:
    /* Those who connect try again, often: only they know whether this is news. */
    format_keeping_errno(e, text);
    log_debug("endpoint", "cannot connect to %s: %m", text);
    return connect_status(errno);
}
