/* SPDX-License-Identifier: MIT */
/*
 * Errors of the world (files, sockets, TLS, SQL): 0 is success, a negative
 * number says what went wrong. System errors are -errno; ours come below.
 */
#ifndef BASE_ERR_H
#define BASE_ERR_H

#include "base/base.h"

enum err {
	ERR_INVALID = -10000, /* malformed or out of range */
	ERR_LIMIT = -10001,   /* a bound was met */
	ERR_ABSENT = -10002,  /* no such thing */
	ERR_EXISTS = -10003,  /* there already */
	ERR_STORE = -10004,   /* the storage backend failed; see the log */
	ERR_TLS = -10005,
	ERR_CONFIG = -10006,
	ERR_CLOSED = -10007, /* the other side, or we, closed it */
	ERR_DENIED = -10008,
	ERR_TIMEOUT = -10009,
	ERR_UNKNOWN = -10010, /* whoever was asked can't tell, ever */
};

/* A short English text for any of them; static, or of the thread. */
API const char *err_text(int err);

#endif
