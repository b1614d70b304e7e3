/* SPDX-License-Identifier: Apache-2.0 */
/* sd_notify(3)'s protocol, without its library. */
#ifndef CENOTE_SERVER_NOTIFY_H
#define CENOTE_SERVER_NOTIFY_H

/* Tells the service manager that started this process, if it wants to know ($NOTIFY_SOCKET), e.g.
 * "READY=1". A lost message is logged, and nobody's error. */
void notify_manager(const char *state);

#endif
