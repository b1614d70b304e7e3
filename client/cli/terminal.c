/* SPDX-License-Identifier: Apache-2.0 */
#include "client/cli/terminal.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include "transport/base/clock.h"

/* Another screen than the shell's, without a cursor; and back. */
#define BEGIN "\033[?1049h\033[?25l"
#define END   "\033[?25h\033[?1049l"
#define HOME  "\033[H"
#define CLEAR "\033[J"

#define CTRL_D 4

static const int ending[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT};
#define ENDING (sizeof ending / sizeof *ending)

/* Of signal handlers, so there is one. */
static struct {
    struct termios before, taken;
    int wake[2]; /* a pipe */
    volatile sig_atomic_t is_open;
} terminal;

static void put(const char *text, size_t len_bytes)
{
    while (len_bytes > 0) {
        ssize_t n = write(STDOUT_FILENO, text, len_bytes);
        if (n < 0 && errno != EINTR)
            return;
        if (n > 0) {
            text += n;
            len_bytes -= (size_t)n;
        }
    }
}

static void take(void)
{
    tcsetattr(STDIN_FILENO, TCSADRAIN, &terminal.taken);
    put(BEGIN, sizeof BEGIN - 1);
}

static void give_back(void)
{
    put(END, sizeof END - 1);
    tcsetattr(STDIN_FILENO, TCSADRAIN, &terminal.before);
}

/* ---- signals: all that is called here may be ------------------------------------------------- */

static void on_end(int number)
{
    if (terminal.is_open)
        give_back();
    terminal.is_open = 0;
    signal(number, SIG_DFL);
    raise(number);
}

static void wake(void)
{
    if (write(terminal.wake[1], "", 1) < 0)
        return; /* full: it is awake anyway */
}

static void on_resize(int number)
{
    (void)number;
    wake();
}

/* Stopped with the shell's terminal; when it goes on, it takes it again. */
static void on_stop(int number)
{
    int was = errno;
    (void)number;
    give_back();
    raise(SIGSTOP);
    take();
    wake();
    errno = was;
}

static void set_handlers(void)
{
    struct sigaction end = {.sa_handler = on_end};
    struct sigaction resize = {.sa_handler = on_resize, .sa_flags = SA_RESTART};
    struct sigaction stop = {.sa_handler = on_stop, .sa_flags = SA_RESTART};
    for (unsigned i = 0; i < ENDING; i++)
        sigaction(ending[i], &end, NULL);
    sigaction(SIGWINCH, &resize, NULL);
    sigaction(SIGTSTP, &stop, NULL);
}

static void reset_handlers(void)
{
    for (unsigned i = 0; i < ENDING; i++)
        signal(ending[i], SIG_DFL);
    signal(SIGWINCH, SIG_DFL);
    signal(SIGTSTP, SIG_DFL);
}

/* ---- */

bool terminal_open(void)
{
    if (!isatty(STDOUT_FILENO) || tcgetattr(STDIN_FILENO, &terminal.before) != 0 ||
        pipe2(terminal.wake, O_CLOEXEC | O_NONBLOCK) != 0)
        return false;
    terminal.taken = terminal.before;
    terminal.taken.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
    terminal.taken.c_cc[VMIN] = 1;
    terminal.taken.c_cc[VTIME] = 0;
    terminal.is_open = 1;
    set_handlers();
    take();
    return true;
}

void terminal_close(void)
{
    if (!terminal.is_open)
        return;
    reset_handlers();
    terminal.is_open = 0;
    give_back();
    close(terminal.wake[0]);
    close(terminal.wake[1]);
}

void terminal_size(unsigned *columns, unsigned *rows)
{
    struct winsize size;
    bool known = ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 && size.ws_row > 0;
    *columns = known ? size.ws_col : 80;
    *rows = known ? size.ws_row : 24;
}

void terminal_draw(const char *text, size_t len_bytes)
{
    put(HOME, sizeof HOME - 1);
    put(text, len_bytes);
    put(CLEAR, sizeof CLEAR - 1);
}

static enum terminal_event read_key(void)
{
    char keys[64];
    ssize_t n = read(STDIN_FILENO, keys, sizeof keys);
    if (n == 0 || (n < 0 && errno != EINTR))
        return TERMINAL_QUIT; /* the terminal has gone */
    for (ssize_t i = 0; i < n; i++) {
        if (keys[i] == 'q' || keys[i] == 'Q' || keys[i] == CTRL_D)
            return TERMINAL_QUIT;
    }
    return TERMINAL_REDRAW;
}

enum terminal_event terminal_wait(uint64_t ms)
{
    struct pollfd fds[] = {{.fd = STDIN_FILENO, .events = POLLIN},
                           {.fd = terminal.wake[0], .events = POLLIN}};
    uint64_t end_ms = clock_now_ms() + ms, now_ms;
    char woken[64];
    while ((now_ms = clock_now_ms()) < end_ms) {
        if (poll(fds, 2, (int)(end_ms - now_ms)) <= 0)
            continue; /* its time is over, or a signal came */
        if (fds[0].revents && read_key() == TERMINAL_QUIT)
            return TERMINAL_QUIT;
        if (fds[1].revents) {
            while (read(terminal.wake[0], woken, sizeof woken) > 0)
                continue;
            return TERMINAL_REDRAW;
        }
    }
    return TERMINAL_TIME;
}
