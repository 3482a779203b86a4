/* SPDX-License-Identifier: MIT */
/* What the two halves of the front share. */
#ifndef STORE_REQ_H
#define STORE_REQ_H

#include "store/backend.h"

/* Takes the request; it is answered in a later turn, whatever happens. */
void req_submit(struct store_req *req);

#endif
