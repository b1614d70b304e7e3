/* SPDX-License-Identifier: Apache-2.0 */
/* A jump to another stack looks like a mistake to the checking longjmp(). */
#undef _FORTIFY_SOURCE
#include "tests/sim/fiber.h"

#include <assert.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <ucontext.h>

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/common_interface_defs.h>
#define STACK_BYTES ((size_t)1 << 20)
#else
#define STACK_BYTES ((size_t)256 << 10)
#endif

/*
 * A fiber begins with makecontext(), which is the portable way to another stack. From then on it is
 * left and entered by _setjmp() and _longjmp(), which don't ask the kernel for signal masks; under
 * AddressSanitizer, which is told of each change, by swapcontext(), which it knows.
 */
struct place {
#ifdef __SANITIZE_ADDRESS__
    ucontext_t context;
#else
    jmp_buf jump;
#endif
};

struct fiber {
    struct fiber *next; /* among those that wait to be used again */
    void (*fn)(void *arg);
    void *arg;
    void *stack;
    ucontext_t first;
    struct place inside;
    bool begun, over;
    void *fake_stack;
};

static struct fiber *running, *unused;
static struct place outside;

#ifdef __SANITIZE_ADDRESS__
static const void *outside_stack;
static size_t outside_bytes;

static void go(struct place *from, struct place *to)
{
    swapcontext(&from->context, &to->context);
}

static void go_first(struct place *from, ucontext_t *to)
{
    swapcontext(&from->context, to);
}

static void leaving_outside(void **fake, const struct fiber *f)
{
    __sanitizer_start_switch_fiber(fake, f->stack, STACK_BYTES);
}

static void back_outside(void *fake)
{
    __sanitizer_finish_switch_fiber(fake, NULL, NULL);
}

static void leaving_fiber(void **fake)
{
    __sanitizer_start_switch_fiber(fake, outside_stack, outside_bytes);
}

static void back_in_fiber(void *fake)
{
    __sanitizer_finish_switch_fiber(fake, &outside_stack, &outside_bytes);
}
#else
static void go(struct place *from, struct place *to)
{
    if (_setjmp(from->jump) == 0)
        _longjmp(to->jump, 1);
}

static void go_first(struct place *from, ucontext_t *to)
{
    if (_setjmp(from->jump) == 0)
        setcontext(to);
}

static void leaving_outside(void **fake, const struct fiber *f)
{
    (void)fake;
    (void)f;
}

static void back_outside(void *fake)
{
    (void)fake;
}

static void leaving_fiber(void **fake)
{
    (void)fake;
}

static void back_in_fiber(void *fake)
{
    (void)fake;
}
#endif

static void enter(void)
{
    back_in_fiber(NULL);
    running->fn(running->arg);
    running->over = true;
    leaving_fiber(NULL);
    go(&running->inside, &outside);
}

struct fiber *fiber_new(void (*fn)(void *arg), void *arg)
{
    struct fiber *f = unused;
    if (f != NULL) {
        unused = f->next;
    } else {
        f = calloc(1, sizeof *f);
        assert(f != NULL);
        f->stack = mmap(NULL, STACK_BYTES, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        assert(f->stack != MAP_FAILED);
    }
    f->fn = fn;
    f->arg = arg;
    f->begun = f->over = false;
    f->fake_stack = NULL;
    return f;
}

static void go_in(struct fiber *f)
{
    if (f->begun) {
        go(&outside, &f->inside);
        return;
    }
    f->begun = true;
    getcontext(&f->first);
    f->first.uc_stack.ss_sp = f->stack;
    f->first.uc_stack.ss_size = STACK_BYTES;
    f->first.uc_link = NULL;
    makecontext(&f->first, enter, 0);
    go_first(&outside, &f->first);
}

bool fiber_run(struct fiber *f)
{
    void *fake = NULL;
    assert(running == NULL && !f->over);
    running = f;
    leaving_outside(&fake, f);
    go_in(f);
    back_outside(fake);
    bool over = running->over;
    running = NULL;
    return over;
}

void fiber_pause(void)
{
    struct fiber *f = running;
    assert(f != NULL);
    leaving_fiber(&f->fake_stack);
    go(&f->inside, &outside);
    back_in_fiber(running->fake_stack);
}

struct fiber *fiber_self(void)
{
    return running;
}

void fiber_drop(struct fiber *f)
{
    assert(f != running);
    f->next = unused;
    unused = f;
}
