/* SPDX-License-Identifier: Apache-2.0 */
/* Clocks. Leases, time-outs and heartbeats use the monotonic one only. */
#ifndef CENOTE_BASE_CLOCK_H
#define CENOTE_BASE_CLOCK_H

#include <stdint.h>

/* Monotonic time that goes on while the machine sleeps (CLOCK_BOOTTIME). */
uint64_t clock_now_ms(void);
uint64_t clock_now_ns(void);

/* Milliseconds that go on a few at a time, with the kernel's tick, and stand still while the
 * machine sleeps: a tenth of the price, for what needn't be known better. Not to be mixed with the
 * others. */
uint64_t clock_tick_ms(void);

/* Wall clock, milliseconds since 1970: shown to people, never compared. */
uint64_t clock_wall_ms(void);

#endif
