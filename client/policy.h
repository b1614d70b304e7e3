/* SPDX-License-Identifier: Apache-2.0 */
/* From the public policy to what travels. */
#ifndef CENOTE_CLIENT_POLICY_H
#define CENOTE_CLIENT_POLICY_H

#include <cenote/policy.h>

#include "meta/stub/messages.h"

/* policy may be NULL: nothing is asked for. CENOTE_OK or CENOTE_INVALID. */
int policy_keep(const struct cenote_policy *policy, struct keep *out);

#endif
